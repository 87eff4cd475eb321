"""A scenario: which machines there are, how they are built, and what goes wrong. Read from TOML.

    seed = 7                          # every die of the simulation follows from it
    speed = 1.0                       # simulated seconds per real second
    faults = "none"                   # or "all": the preset of faults.py
    rates = { jam = 0.2 }             # single chances on top of the preset

    [physics]                         # any field of physics.Physics
    turn_ms = 2500

    [[machine]]
    name = "vm-0001"
    port = "pty:ports/vm-0001"        # a symlink to a pseudo terminal, like /dev/serial/by-id; or "tcp:127.0.0.1:0"
    baud = 38400
    only_baud = false                 # true: a host that opens the terminal at another speed is not understood
    late_ms = 2500                    # how late a reply may be that the fault `late` strikes
    door = "ports/vm-0001.door"       # a file like a GPIO value: 0 shut, 1 open
    celsius = 8

    [[machine.board]]
    address = 1                       # 1 to 4 on one line
    motors = 60                       # motors 0 to 59, each with:
    stock = 8
    capacity = 10
    dialect = "815"                   # or "814e"
    poll = "13"                       # or "14", or "ack"
    drop_detection = false            # the mode the board starts in
    forgets_mode = false              # a restart brings that mode back

    [[machine.board.aisle]]           # one motor that differs
    motor = 5
    stock = 0
    capacity = 6

Paths are relative to the scenario file. An unknown key is an error, not a default.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from firmware_sim.boards.adh815 import DROP_DETECTION, Dialect, PollForm, Switches
from firmware_sim.faults import FAULTS, PRESETS
from firmware_sim.line import LineSettings
from firmware_sim.machine import BoardPlan, Machine
from firmware_sim.physics import Physics
from firmware_sim.ports import PORT_SPEC

T = TypeVar("T")

MOTORS_MAX = 100
ADDRESSES = range(1, 5)
# 9600 and 38400 in the field; the others are there for tests.
BAUDS = (1200, 9600, 19200, 38400, 57600, 115200)
# The host lives in real time: it may pause this long inside a frame, and it waits longer between two frames.
INTER_BYTE_GAP_MS = 15
# Above it a simulated second is shorter than the event loop's own grain.
SPEED_MAX = 1000.0


class ScenarioWrong(Exception):
    """The scenario cannot be used; names the file, the key, the value and what was expected."""


@dataclass(frozen=True, slots=True)
class AislePlan:
    """One motor that differs from its board's other motors; None keeps the board's value."""

    motor: int
    stock: int | None = None
    capacity: int | None = None


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """One `[[machine.board]]`."""

    address: int = 1
    motors: int = 10
    stock: int = 0
    capacity: int = 10
    dialect: Dialect = "815"
    poll: PollForm = "13"
    drop_detection: bool = False
    forgets_mode: bool = False
    aisle: tuple[AislePlan, ...] = ()

    def __post_init__(self) -> None:
        _expect(self.address in ADDRESSES, "address", self.address, "1 to 4")
        _expect(0 <= self.motors <= MOTORS_MAX, "motors", self.motors, f"0 to {MOTORS_MAX}")
        _expect(0 <= self.stock <= self.capacity, "stock", self.stock, f"0 to the capacity of {self.capacity}")
        for aisle in self.aisle:
            _expect(0 <= aisle.motor < self.motors, "aisle.motor", aisle.motor, f"0 to {self.motors - 1}")
            capacity, stock = self._of(aisle)
            _expect(0 <= stock <= capacity, "aisle.stock", stock, f"0 to the capacity of {capacity}")

    def _of(self, aisle: AislePlan) -> tuple[int, int]:
        capacity = self.capacity if aisle.capacity is None else aisle.capacity
        stock = min(self.stock, capacity) if aisle.stock is None else aisle.stock
        return capacity, stock

    def plan(self, physics: Physics, speed: float) -> BoardPlan:
        """What the machine is built from."""
        aisles = dict.fromkeys(range(self.motors), (self.capacity, self.stock))
        aisles |= {aisle.motor: self._of(aisle) for aisle in self.aisle}
        switches = Switches(
            dialect=self.dialect,
            poll=self.poll,
            mode=DROP_DETECTION if self.drop_detection else 0,
            forgets_mode=self.forgets_mode,
            boot_ms=physics.boot_ms,
            window_ms=physics.window_ms,
            gap_ms=round(INTER_BYTE_GAP_MS * max(speed, 1.0)),
        )
        return BoardPlan(self.address, switches, aisles)


@dataclass(frozen=True, slots=True)
class MachineSettings:
    """One `[[machine]]`."""

    name: str
    port: str
    board: tuple[BoardSettings, ...]
    baud: int = 38400
    only_baud: bool = False
    late_ms: int = 2500
    door: str | None = None
    celsius: float = 25.0

    def __post_init__(self) -> None:
        _expect(bool(self.name), "name", self.name, "a name")
        _expect(PORT_SPEC.fullmatch(self.port) is not None, "port", self.port, '"pty:PATH" or "tcp:HOST:PORT"')
        _expect(self.baud in BAUDS, "baud", self.baud, f"one of {', '.join(map(str, BAUDS))}")
        _expect(self.late_ms > 0, "late_ms", self.late_ms, "a time above 0 ms")
        addresses = [board.address for board in self.board]
        _expect(
            bool(addresses) and len(set(addresses)) == len(addresses),
            "board.address",
            addresses,
            "at least one board, each with its own address",
        )


@dataclass(frozen=True, slots=True)
class Scenario:
    """The whole file. `folder` is what its relative paths are relative to."""

    machine: tuple[MachineSettings, ...]
    seed: int = 0
    speed: float = 1.0
    faults: Literal["none", "all"] = "none"
    rates: Mapping[str, float] = field(default_factory=dict)
    physics: Physics = field(default_factory=Physics)
    folder: Path = Path()

    def __post_init__(self) -> None:
        _expect(0 < self.speed <= SPEED_MAX, "speed", self.speed, f"above 0, at most {SPEED_MAX:g}")
        names = [machine.name for machine in self.machine]
        _expect(
            bool(names) and len(set(names)) == len(names), "machine.name", names, "at least one machine, each name once"
        )
        for kind, rate in self.rates.items():
            _expect(kind in FAULTS, "rates", kind, f"one of {', '.join(FAULTS)}")
            _expect(0 <= rate <= 1, f"rates.{kind}", rate, "a chance from 0 to 1")

    def build(self) -> list[Machine]:
        """The machines, in their order, at rest at time 0."""
        rates = {**PRESETS[self.faults], **self.rates}
        return [
            Machine(
                settings.name,
                [board.plan(self.physics, self.speed) for board in settings.board],
                seed=self.seed,
                physics=self.physics,
                line=LineSettings(settings.baud, settings.late_ms),
                rates=rates,
                celsius=settings.celsius,
            )
            for settings in self.machine
        ]


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file; `ScenarioWrong` says where it is wrong."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioWrong(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioWrong(f"{path}: {error}") from error
    return scenario_from(table, source=str(path), folder=path.parent)


def scenario_from(table: Mapping[str, Any], *, source: str, folder: Path) -> Scenario:
    """Check a scenario given as a table; `source` is named in errors."""
    if "folder" in table:
        raise ScenarioWrong(f"{source}: folder is not a key of a scenario; paths are relative to the scenario file")
    return _read(Scenario, {**table, "folder": folder}, source, "")


def _expect(holds: bool, key: str, value: object, expected: str) -> None:
    if not holds:
        raise ValueError(f"{key} = {value!r}, expected {expected}")


def _read(cls: type[T], table: Mapping[str, Any], source: str, where: str) -> T:
    """Fill the frozen type `cls` from a TOML table: every key known, every type as annotated, nothing coerced."""
    hints = get_type_hints(cls)
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]  # every cls here is a dataclass
    for key in table:
        if key not in known:
            raise ScenarioWrong(f"{source}: unknown key {where}{key}, expected one of {', '.join(sorted(known))}")
    for key, one in known.items():
        if key not in table and one.default is MISSING and one.default_factory is MISSING:
            raise ScenarioWrong(f"{source}: {where}{key} is missing")
    values = {key: _value(hints[key], value, source, f"{where}{key}") for key, value in table.items()}
    try:
        return cls(**values)
    except ValueError as error:
        raise ScenarioWrong(f"{source}: {where}{error}") from error


def _value(hint: Any, value: Any, source: str, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(args[0], one, source, f"{where}[{number}]") for number, one in enumerate(value))
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__") and isinstance(value, dict):
        return _read(hint, value, source, f"{where}.")
    if origin is Mapping and isinstance(value, dict):
        return {key: _value(args[1], one, source, f"{where}.{key}") for key, one in value.items()}
    allowed = args if origin is Literal else ()
    if value in allowed:
        return value
    for plain in (hint, *args) if not allowed else ():
        if type(value) is plain or (isinstance(plain, type) and issubclass(plain, Path) and isinstance(value, Path)):
            return value
        if plain is float and type(value) is int:
            return float(value)
    expected = ", ".join(map(repr, allowed)) if allowed else getattr(hint, "__name__", str(hint))
    raise ScenarioWrong(f"{source}: {where} = {value!r}, expected {expected}")
