"""Gives a Modbus device another address or speed, on a port that nobody else has open, and sees that it took it.

Devices leave their factory with one address, and two with the same address on one line are deaf to everybody: so the
new address must be silent before, and the device must answer there afterwards. That it hangs there alone, only the
person beside it can know.

Whatever tears the move apart (an adapter that is pulled out, a shell that ends), the same words said again bring it to
its end: a device that is not where it was is looked for at every place to which the move could have brought it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from edge_agent.devices.modbus_device import ModbusDevice, port_is_open
from edge_agent.devices.modbus_profile import Own, Profile
from edge_agent.devices.profile_file import load_profile
from edge_agent.errors import BoardMisbehaved, BoardSilent, LinkDown, NeverSent, Refused
from edge_agent.links.backlog import Priority
from edge_agent.links.bus import Bus
from edge_agent.links.line import Line
from edge_agent.links.modbus import WRITE_ONE_REGISTER
from edge_agent.links.port import open_port
from shared.clock import Clock

# One lost answer is noise; fewer than the line's breaker takes for a dead slave.
ASKED_MAX: Final = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where a device is found on its line."""

    slave: int
    baud: int


@dataclass(frozen=True, slots=True)
class Moved:
    """Where the device is after it was told. `answers`: it is heard there; if not, nowhere that it was sent from or to.

    `was` is where it was before; `problem` says why it is not where it should be, None when it is. `port_gone`: nobody
    could listen any more, so that it is at either of the two. `found`: nothing was written, it was there already.
    """

    was: Place
    slave: int
    baud: int
    answers: bool
    problem: str | None = None
    port_gone: bool = False
    found: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One register written, and where the device is afterwards: an address and a speed are two steps."""

    register: int
    value: int
    there: Place


async def move_device(name_or_path: str, url: str, now: Place, to: Place, *, clock: Clock) -> Moved:
    """Write another address, another speed, or both; whatever goes wrong on the way, the answer says where it is now.

    Raises SettingsWrong for a profile that is none, `Refused` ("not_described", "out_of_range", "taken") before
    anything is written, LinkDown for a port that does not open, BoardSilent when nothing answers at `now`.
    """
    profile = load_profile(name_or_path)
    steps = _steps(_checked(profile, now, to), now, to)
    done = await _done(profile, url, now, steps, clock)
    at = steps[done - 1].there if done else now
    for step in steps[done:]:
        problem = None
        try:
            problem = await _write(profile, url, at, step, clock)
            if not await _is_heard(profile, url, step.there, clock):
                if await _is_heard(profile, url, at, clock):
                    return Moved(now, at.slave, at.baud, True, problem or "it did not take what was written")
                return Moved(now, step.there.slave, step.there.baud, False, problem or "it may wait for its power")
        except LinkDown as gone:
            return Moved(now, step.there.slave, step.there.baud, False, problem or str(gone), port_gone=True)
        at = step.there
    return Moved(now, at.slave, at.baud, True, found=done == len(steps) > 0)


async def _done(profile: Profile, url: str, now: Place, steps: list[Step], clock: Clock) -> int:
    """How many of the steps an earlier try has brought about; raises what `move_device` does."""
    async with _line(profile, url, now.baud, clock) as bus:
        try:
            await _ask(_device(bus, profile, now.slave, clock))
        except BoardSilent as silent:
            nowhere = silent
        else:
            to = steps[-1].there if steps else now
            if to.slave != now.slave and await _answers(_device(bus, profile, to.slave, clock)):
                raise Refused("taken", f"slave: a device answers at {to.slave} already, expected a free address")
            return 0
    for done, step in enumerate(steps, 1):
        async with _line(profile, url, step.there.baud, clock) as bus:
            with suppress(BoardSilent, BoardMisbehaved):  # who answers nonsense is somebody else
                await _ask(_device(bus, profile, step.there.slave, clock))
                return done
    raise nowhere


def _steps(own: Own, now: Place, to: Place) -> list[Step]:
    steps = []
    if to.slave != now.slave:
        steps.append(Step(own.slave, to.slave, Place(to.slave, now.baud)))
    if to.baud != now.baud:
        assert own.baud is not None
        steps.append(Step(own.baud, own.bauds[to.baud], to))
    return steps


def _checked(profile: Profile, now: Place, to: Place) -> Own:
    """The table of the profile that says how; `Refused` when what is wanted cannot be."""
    own = profile.own
    if own is None:
        raise Refused("not_described", f"{profile.name}: its profile has no table [own]: set it the maker's way")
    if not 1 <= to.slave <= own.slave_most:
        raise Refused("out_of_range", f"slave: {to.slave}: expected 1 to {own.slave_most}")
    if to.baud != now.baud and to.baud not in own.bauds:
        speeds = ", ".join(map(str, own.bauds)) or "no other speed"
        raise Refused("out_of_range", f"baud: {to.baud}: expected {speeds}")
    return own


@asynccontextmanager
async def _line(profile: Profile, url: str, baud: int, clock: Clock) -> AsyncIterator[Bus]:
    async with Bus(url, clock=clock, baud=baud, opener=partial(open_port, parity=profile.serial.parity)) as bus:
        await port_is_open(bus, clock)
        yield bus


def _device(bus: Bus, profile: Profile, slave: int, clock: Clock) -> ModbusDevice:
    return ModbusDevice(bus, profile, slave, clock, name=profile.name)


async def _ask(device: ModbusDevice) -> None:
    """A harmless read; raises what the line raises."""
    fence = device.profile.fences()[0]
    for _ in range(ASKED_MAX - 1):
        try:
            await device.run("look", Priority.READING, lambda line, by: device.slave.read(line, fence, by))
        except BoardSilent:
            continue
        return
    await device.run("look", Priority.READING, lambda line, by: device.slave.read(line, fence, by))


async def _answers(device: ModbusDevice) -> bool:
    try:
        await _ask(device)
    except BoardSilent:
        return False
    except BoardMisbehaved:  # whoever it is, it is not silence
        return True
    return True


async def _is_heard(profile: Profile, url: str, place: Place, clock: Clock) -> bool:
    async with _line(profile, url, place.baud, clock) as bus:
        return await _answers(_device(bus, profile, place.slave, clock))


async def _write(profile: Profile, url: str, at: Place, step: Step, clock: Clock) -> str | None:
    """Write; what went wrong for certain, or None.

    Devices answer from the old place, from the new one, or not at all: what counts is where they are heard afterwards.
    """
    address = step.register - profile.address_base

    def work(line: Line, by: int) -> None:
        device.slave.write_registers(line, address, [step.value], WRITE_ONE_REGISTER, by)

    try:
        async with _line(profile, url, at.baud, clock) as bus:
            device = _device(bus, profile, at.slave, clock)
            await device.run("move", Priority.READING, work)
    except BoardSilent:
        return None
    except (BoardMisbehaved, NeverSent, LinkDown) as error:
        return str(error)
    return None
