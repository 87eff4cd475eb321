"""One Modbus device that a profile describes: its registers as values, and nothing of what they are for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TypeVar

from edge_agent.devices.modbus_profile import Measured, Profile, Register, exact_text
from edge_agent.devices.profile_file import load_profile
from edge_agent.errors import BoardMisbehaved, BoardSilent, BreakerOpen, DeadlinePassed, LinkDown
from edge_agent.links.backlog import Priority
from edge_agent.links.bus import Bus
from edge_agent.links.line import Line
from edge_agent.links.modbus import ModbusSlave
from edge_agent.links.port import open_port
from shared.clock import Clock

# How long a reading may wait for its turn and for the line. Longer than the line waits for an answer that is overdue,
# so that a device whose answers were lost is heard again.
READING_WAIT_MS_MAX = 5_000

# A port that does not open within this time is not going to.
OPENING_WAIT_MS_MAX = 5_000
_OPENING_POLL_MS = 50

T = TypeVar("T")


class ModbusDevice:
    """A profile at an address on a bus. Its memory is touched on the bus's thread only."""

    def __init__(self, bus: Bus, profile: Profile, slave: int, clock: Clock, *, name: str) -> None:
        self.name = name
        self.profile = profile
        self.slave = ModbusSlave(slave, f"{name} ({slave} on {bus.url})", profile.fences(), profile.serial.reply_ms)
        self._bus = bus
        self._clock = clock
        self._checked_opening: int | None = None

    async def read(
        self, registers: Iterable[Register], *, priority: Priority = Priority.READING
    ) -> dict[str, Measured]:
        """The values of `registers` by name.

        Raises LinkDown, BoardSilent, a NeverSent, or BoardMisbehaved when a setting on which the profile counts
        differs.
        """
        wanted = list(registers)

        def work(line: Line, not_after: int) -> dict[str, Measured]:
            self.check_settings(line, not_after)
            return self.read_on(line, wanted, not_after)

        return await self.run("read", priority, work)

    async def write(self, name: str, value: Fraction | int) -> None:
        """Write a register that the profile allows to be written, and read it back.

        `ValueError` for a register or a value that it does not allow; BoardMisbehaved when the device does not take it.
        """
        register = self.profile.named(name)
        limits = register.write
        if limits is None:
            raise ValueError(f"{self.name}: {name} may not be written, its profile names no safe limits")
        if not Fraction(limits.least) <= value <= Fraction(limits.most):
            raise ValueError(f"{self.name}: {name} = {value}: expected {limits.least} to {limits.most} {register.unit}")
        words = register.encode(value / Fraction(register.scale))
        address = register.address - self.profile.address_base

        def work(line: Line, not_after: int) -> None:
            self.slave.write_registers(line, address, words, limits.function, not_after)
            taken = self.read_on(line, [register], not_after)[name].value
            if taken != value:
                raise BoardMisbehaved(
                    self.slave.peer.name, f"write {name}", f"{value} to be taken", str(taken).encode()
                )

        await self.run(f"write {name}", Priority.READING, work)

    async def run(
        self, name: str, priority: Priority, work: Callable[[Line, int], T], wait_ms: int = READING_WAIT_MS_MAX
    ) -> T:
        """Do `work` on the bus's thread, with its deadline; nothing is sent after it."""
        by = self._clock.mono_ms() + wait_ms
        return await self._bus.run(
            lambda line: work(line, by), name=f"{self.name}: {name}", priority=priority, not_after_mono_ms=by
        )

    # --- on the bus's thread ---

    def check_settings(self, line: Line, not_after: int) -> None:
        """Once after each opening of the port: are the settings what the profile counts on?"""
        if self._checked_opening == line.opening:
            return
        counted_on = [register for register in self.profile.register if register.must_be is not None]
        for name, measured in self.read_on(line, counted_on, not_after).items():
            register = self.profile.named(name)
            if measured.value != register.must_be:
                wanted = register.labels.get(register.must_be or 0, "")
                raise BoardMisbehaved(
                    self.slave.peer.name,
                    f"read {name}",
                    f"the setting {register.must_be} {wanted}".rstrip(),
                    str(measured.value).encode(),
                )
        self._checked_opening = line.opening

    def read_on(self, line: Line, registers: Iterable[Register], not_after: int) -> dict[str, Measured]:
        """The values of `registers`, and of those that they refer to, by name, in as few requests as possible."""
        try:
            words = {
                register.name: (register, part)
                for read, together in self.profile.reads(self.profile.with_referred(registers))
                for register, part in _parts(together, self.slave.read(line, read, not_after))
            }
        except BoardSilent:
            self._checked_opening = None  # perhaps it is being replaced
            raise
        raw = {name: register.decode(part) for name, (register, part) in words.items()}
        return {name: self.profile.measured(register, raw) for name, (register, _) in words.items()}


def _parts(together: Sequence[Register], words: Sequence[int]) -> Iterable[tuple[Register, Sequence[int]]]:
    at = 0
    for register in together:
        yield register, words[at : at + register.length]
        at += register.length


# --- a profile on trial ---


@dataclass(frozen=True, slots=True)
class Row:
    """What one register said when a profile was tried. `words` in hexadecimal; `problem` None when all is well."""

    name: str
    address: int
    words: str
    value: str
    unit: str
    problem: str | None


async def try_profile(
    name_or_path: str, url: str, slave: int | None = None, baud: int | None = None, *, clock: Clock
) -> list[Row]:
    """Read every register of a profile from a device on a port that nobody else has open; relays are not switched.

    `slave`, `baud` None: those of the profile. Raises SettingsWrong for a profile that is none, LinkDown for a port
    that does not open. A device that says nothing at all makes every row a problem.
    """
    profile = load_profile(name_or_path)
    serial = profile.serial
    async with Bus(url, clock=clock, baud=baud or serial.baud, opener=partial(open_port, parity=serial.parity)) as bus:
        await port_is_open(bus, clock)
        device = ModbusDevice(bus, profile, serial.slave if slave is None else slave, clock, name=profile.name)
        return [await _tried(device, register) for register in profile.register]


async def port_is_open(bus: Bus, clock: Clock) -> None:
    """Wait for a port that has just been asked for; LinkDown when it does not open."""
    until = clock.mono_ms() + OPENING_WAIT_MS_MAX
    while (down := bus.statistics().down) is not None:
        if clock.mono_ms() >= until:
            raise LinkDown(bus.url, down)
        await clock.sleep_ms(_OPENING_POLL_MS)


async def _tried(device: ModbusDevice, register: Register) -> Row:
    """One register alone, so that one that does not exist hides no other."""
    profile = device.profile

    def work(line: Line, not_after: int) -> Row:
        words: dict[str, list[int]] = {}
        for read, together in profile.reads(profile.with_referred([register])):
            answer = device.slave.read(line, read, not_after)
            words.update((each.name, list(part)) for each, part in _parts(together, answer))
        raw = {name: profile.named(name).decode(part) for name, part in words.items()}
        measured = profile.measured(register, raw)
        text = " ".join(f"{word:04x}" for word in words[register.name])
        problem = measured.problem
        if register.must_be is not None and measured.value != register.must_be:
            problem = f"expected the setting {register.must_be} {register.labels.get(register.must_be, '')}".rstrip()
        return Row(register.name, register.address, text, exact_text(measured.value), measured.unit, problem)

    try:
        return await device.run(f"try {register.name}", Priority.READING, work)
    except (BoardSilent, BoardMisbehaved, BreakerOpen, DeadlinePassed) as error:
        return Row(register.name, register.address, "", "", register.unit, str(error))
