"""A purifier composed of Modbus devices: a relay board, a flow meter, and whatever probes there are.

What a relay board must have to open a valve is a timer of its own: this computer may die at any moment, and the valve
shuts all the same. What a meter must have is a count that only grows; it is believed when it can have grown so much.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Literal, TypeVar

from edge_agent.devices.modbus_device import ModbusDevice
from edge_agent.devices.modbus_profile import Measured, Meter, Relays
from edge_agent.devices.ports import Heard, Purifier, Totaliser, WaterReading
from edge_agent.devices.profile_file import load_profile
from edge_agent.errors import BoardMisbehaved, BoardSilent, LinkDown, NeverSent, SettingsWrong, Withheld
from edge_agent.links.backlog import Priority
from edge_agent.links.bus import Bus
from edge_agent.links.line import Line
from edge_agent.wire.modbus import Read
from shared.clock import Clock

T = TypeVar("T")

Role = Literal["valve", "meter", "tds_in", "tds_out", "level", "pressure", "temperature"]

# An order to open that is older than this is not carried out: whoever gave it has changed his mind.
OPEN_WAIT_MS_MAX = 1_000

# Shutting waits as long as the line can be busy with answers that are overdue: giving up early shuts nothing.
SHUT_WAIT_MS_MAX = 6_000

# Shutting twice is harmless, so it is asked again on a noisy line; opening is not.
SHUT_ASKED_MAX = 3

# A meter shows its count in steps: between two readings it may catch up with what had flowed before the first.
CATCHING_UP_MS = 1_000

_OFF = 0

# Pascals in a unit. A column of water of 1 mm presses with 9.80665 Pa, so depth and pressure are one quantity.
_PASCALS = {
    "Pa": Fraction(1),
    "kPa": Fraction(1_000),
    "MPa": Fraction(1_000_000),
    "mbar": Fraction(100),
    "bar": Fraction(100_000),
    "psi": Fraction("6894.757"),
    "kg/cm2": Fraction("98066.5"),
    "mm": Fraction("9.80665"),
    "mmH2O": Fraction("9.80665"),
    "cm": Fraction("98.0665"),
    "mH2O": Fraction("9806.65"),
}
_PPM = {"ppm": Fraction(1), "mg/L": Fraction(1)}
_TENTHS = {"degC": Fraction(10)}


@dataclass(frozen=True, slots=True)
class Answers:
    """How a role fills a field of `WaterReading`: which probe it asks, and what a unit counts in the field's own."""

    field: str
    probe: Literal["tds", "level", "pressure", "temperature"]
    units: Mapping[str, Fraction]
    per: Fraction = Fraction(1)


ANSWERS: dict[Role, Answers] = {
    "tds_in": Answers("tds_in_ppm", "tds", _PPM),
    "tds_out": Answers("tds_out_ppm", "tds", _PPM),
    "level": Answers("level_mm", "level", _PASCALS, _PASCALS["mm"]),
    "pressure": Answers("pressure_kpa", "pressure", _PASCALS, _PASCALS["kPa"]),
    "temperature": Answers("temperature_tenths_c", "temperature", _TENTHS),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One device as the settings name it. `profile`: a shipped name, or the path of a file."""

    bus: Bus
    name: str
    profile: str
    slave: int
    role: Role


def open_purifier(parts: Sequence[Part], clock: Clock) -> Purifier:
    """Compose a purifier. Nothing is sent yet.

    Raises SettingsWrong when the valve or the meter is missing, or when a profile cannot play its role.
    """
    devices = {
        part.role: ModbusDevice(part.bus, load_profile(part.profile), part.slave, clock, name=part.name)
        for part in parts
    }
    for role in ("valve", "meter"):
        if role not in devices:
            raise SettingsWrong(f"modbus.device: no device has role = {role!r}, a purifier needs one")
    probes = {role: device for role, device in devices.items() if role in ANSWERS}
    return Purifier(
        valve=RelayValve(devices["valve"]),
        meter=RegisterMeter(devices["meter"]),
        sensors=RegisterProbes(probes),
    )


class RelayValve:
    """A relay board as `WaterValve`."""

    def __init__(self, device: ModbusDevice) -> None:
        self._device = device
        self._relays = _relays(device)
        self._shuts = 0  # an order to open that waits behind a shut must not open afterwards

    async def open_for(self, relay: int, limit_ms: int) -> Heard:
        at = self._relays.flash_on + self._offset(relay)
        steps = limit_ms // self._relays.step_ms
        if not 1 <= steps <= self._relays.steps_max:
            most = self._relays.steps_max * self._relays.step_ms
            raise ValueError(f"limit_ms: {limit_ms}: expected {self._relays.step_ms} to {most} for {self._device.name}")
        shuts = self._shuts

        def open_it(line: Line, not_after: int) -> Heard:
            if self._shuts != shuts:
                raise Withheld(self._device.name, f"open relay {relay}", "an order to shut came after it")
            span = line.timed()
            self._device.slave.write_coil(line, at, steps, not_after)
            return Heard(span.asked_ms, span.answered_ms)

        return await self._device.run(f"open relay {relay}", Priority.ACTUATION, open_it, OPEN_WAIT_MS_MAX)

    async def shut(self, relay: int) -> Heard:
        return await self._shut(self._relays.coils + self._offset(relay), f"shut relay {relay}")

    async def shut_all(self) -> None:
        await self._shut(self._relays.all, "shut all relays")

    async def is_open(self, relay: int) -> bool:
        at = self._offset(relay)
        # All of them, so that one question serves, and its answer is a byte whichever relay is meant.
        read = Read(1, self._relays.coils, self._relays.count)

        def look(line: Line, not_after: int) -> bool:
            return self._device.slave.read(line, read, not_after)[at] == 1

        return await self._device.run(f"look at relay {relay}", Priority.SAFETY, look)

    async def _shut(self, address: int, name: str) -> Heard:
        self._shuts += 1

        first_ms = 0  # it may be asked again in another run of the job, and was perhaps heard in this one

        def shut_it(line: Line, not_after: int) -> Heard:
            nonlocal first_ms
            span = line.timed()
            try:
                self._write_off(line, address, not_after)
            finally:
                first_ms = first_ms or span.asked_ms
            return Heard(first_ms, span.answered_ms)

        return await self._device.run(name, Priority.ACTUATION, shut_it, SHUT_WAIT_MS_MAX)

    def _write_off(self, line: Line, address: int, not_after: int) -> None:
        for _ in range(SHUT_ASKED_MAX - 1):
            with suppress(BoardSilent):
                self._device.slave.write_coil(line, address, _OFF, not_after)
                return
        self._device.slave.write_coil(line, address, _OFF, not_after)

    def _offset(self, relay: int) -> int:
        if not 1 <= relay <= self._relays.count:
            raise ValueError(f"relay: {relay}: expected 1 to {self._relays.count} for {self._device.name}")
        return relay - 1


class RegisterMeter:
    """A counter behind registers as `FlowMeter`."""

    def __init__(self, device: ModbusDevice) -> None:
        self._device = device
        self._meter = _meter(device)
        names = [self._meter.whole] + ([self._meter.fraction] if self._meter.fraction else [])
        self._registers = [device.profile.named(name) for name in names]
        self._last: Totaliser | None = None  # the last count that was believed; touched on the bus's thread only

    @property
    def meter(self) -> str:
        return self._device.name

    @property
    def pulses_per_litre_milli(self) -> int:
        return self._meter.counts_per_litre_milli

    async def totaliser(self) -> Totaliser:
        return await self._device.run("count", Priority.SAFETY, self._believed)

    # --- on the bus's thread ---

    def _believed(self, line: Line, not_after: int) -> Totaliser:
        """A count that follows from the last one, or, if it does not, one that a second reading bears out.

        Two readings that agree with each other and not with the last count are a meter that was cleared or exchanged:
        that is the truth, and what it means for the bill is not decided here.
        """
        self._device.check_settings(line, not_after)
        count = self._count(line, not_after)
        if self._last is None or not self._follows(self._last, count):
            again = self._count(line, not_after)
            if not self._follows(count, again) and not (self._last and self._follows(self._last, again)):
                raise BoardMisbehaved(
                    self._device.slave.peer.name,
                    "count",
                    f"at most {self._meter.litres_per_minute_max} L/min between two readings, not {count} and {again}",
                    again.count.to_bytes(8, "big", signed=True),
                )
            count = again
        self._last = count
        return count

    def _count(self, line: Line, not_after: int) -> Totaliser:
        span = line.timed()
        measured = self._device.read_on(line, self._registers, not_after)
        took_ms = span.answered_ms - span.asked_ms
        total = sum((self._number(measured[register.name]) for register in self._registers), Fraction(0))
        return Totaliser(floor(total * self._meter.counts_per_unit), self._meter.modulus, span.answered_ms, took_ms)

    def _number(self, measured: Measured) -> Fraction:
        if not isinstance(measured.value, Fraction):
            expected = f"a count ({measured.problem})"
            raise BoardMisbehaved(self._device.slave.peer.name, "count", expected, b"")
        return measured.value

    def _follows(self, earlier: Totaliser, later: Totaliser) -> bool:
        """Whether a meter of this size can have counted from one to the other."""
        grown = later.count - earlier.count
        if self._meter.modulus is not None:
            grown %= self._meter.modulus
        passed_ms = later.mono_ms - earlier.mono_ms + CATCHING_UP_MS
        # Counts per minute, times 1000, against what came in so many milliseconds of 60000 a minute.
        most_milli_per_minute = self._meter.litres_per_minute_max * self._meter.counts_per_litre_milli
        return 0 <= grown * 1_000 * 60_000 <= passed_ms * most_milli_per_minute


class RegisterProbes:
    """All probes as `WaterSensors`. They are asked at the same time: one that is silent keeps no other waiting."""

    def __init__(self, devices: Mapping[Role, ModbusDevice]) -> None:
        self._asked = {role: (device, _probe(role, device)) for role, device in devices.items()}
        self.problems: dict[str, str] = {}  # why a probe gave nothing at its last reading, by role

    async def read(self) -> WaterReading:
        values = await asyncio.gather(*(self._read(role) for role in self._asked))
        return WaterReading(**{ANSWERS[role].field: value for role, value in zip(self._asked, values, strict=True)})

    async def _read(self, role: Role) -> int | None:
        device, name = self._asked[role]
        answers = ANSWERS[role]
        try:
            measured = (await device.read([device.profile.named(name)]))[name]
        except (LinkDown, BoardSilent, BoardMisbehaved, NeverSent) as error:
            self.problems[role] = str(error)
            return None
        if not isinstance(measured.value, Fraction) or measured.unit not in answers.units:
            self.problems[role] = measured.problem or f"{device.name}: {name} is in {measured.unit or 'no unit'}"
            return None
        self.problems.pop(role, None)
        return floor(measured.value * answers.units[measured.unit] / answers.per + Fraction(1, 2))


def _relays(device: ModbusDevice) -> Relays:
    return _fit(device, device.profile.relays, "valve", "a table [relays]")


def _meter(device: ModbusDevice) -> Meter:
    return _fit(device, device.profile.meter, "meter", "a table [meter]")


def _probe(role: Role, device: ModbusDevice) -> str:
    probe = ANSWERS[role].probe
    name: str | None = getattr(device.profile.probes, probe)
    return _fit(device, name, role, f"probes.{probe}")


def _fit(device: ModbusDevice, part: T | None, role: Role, needs: str) -> T:
    """What a profile has for its role."""
    if part is None:
        raise SettingsWrong(
            f"modbus.device: {device.name}: profile {device.profile.name!r} lacks {needs}, role {role!r} needs it"
        )
    return part
