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
    speed = 1.0                       # by default the scenario's; water flows as fast as its host's limits are set
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

    [[machine.modbus]]                # a Modbus device on the same line
    device = "waveshare-relay-8ch"    # a file of modbus/devices
    slave = 10
    name = "valves"                   # by default the device's
    baud = 38400                      # by default the line's

    [[machine.modbus]]
    device = "qdy30a-level"
    slave = 11
    sees = "pressure"                 # what it is plumbed to, by default the first that the device's file names
    word_order = "high"               # of 32-bit values; by default the device's
    count = 0                         # where its counter starts
    settings = { unit = 10 }          # what hosts have written into it before

    [machine.water]                   # any field of water.Plumbing
    tank_ml = 20_000

    [[machine.water.outlets]]         # any field of valve.OutletPlan
    relay = 1
    flow_ml_per_s = 30

Paths are relative to the scenario file. An unknown key is an error, not a default.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from firmware_sim.boards.adh815 import DROP_DETECTION, Dialect, PollForm, Switches
from firmware_sim.faults import FAULTS, PRESETS
from firmware_sim.form import ScenarioWrong as ScenarioWrong
from firmware_sim.form import expect, fill
from firmware_sim.line import LineSettings
from firmware_sim.machine import BoardPlan, Machine
from firmware_sim.modbus.spec import Sees, WordOrder, load_device
from firmware_sim.physics import Physics
from firmware_sim.ports import PORT_SPEC
from firmware_sim.purifier import DevicePlan
from firmware_sim.water import Plumbing

MOTORS_MAX = 100
ADDRESSES = range(1, 5)
SLAVES = range(1, 248)
# 9600 and 38400 in the field; the others are there for tests.
BAUDS = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
# The host lives in real time: it may pause this long inside a frame, and it waits longer between two frames.
INTER_BYTE_GAP_MS = 15
# Above it a simulated second is shorter than the event loop's own grain.
SPEED_MAX = 1000.0


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
        expect(self.address in ADDRESSES, "address", self.address, "1 to 4")
        expect(0 <= self.motors <= MOTORS_MAX, "motors", self.motors, f"0 to {MOTORS_MAX}")
        expect(0 <= self.stock <= self.capacity, "stock", self.stock, f"0 to the capacity of {self.capacity}")
        for aisle in self.aisle:
            expect(0 <= aisle.motor < self.motors, "aisle.motor", aisle.motor, f"0 to {self.motors - 1}")
            capacity, stock = self._of(aisle)
            expect(0 <= stock <= capacity, "aisle.stock", stock, f"0 to the capacity of {capacity}")

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
class ModbusSettings:
    """One `[[machine.modbus]]`; None keeps what the device's file or the line says."""

    device: str
    slave: int
    name: str | None = None
    baud: int | None = None
    sees: Sees | None = None
    word_order: WordOrder | None = None
    count: int = 0
    settings: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        spec = load_device(self.device)
        expect(self.slave in SLAVES, "slave", self.slave, "1 to 247")
        expect(self.baud is None or self.baud in BAUDS, "baud", self.baud, f"one of {', '.join(map(str, BAUDS))}")
        expect(self.sees in (None, *spec.sees), "sees", self.sees, f"one of {', '.join(spec.sees)}")
        expect(0 <= self.count < 2**32, "count", self.count, "a 32-bit count")
        known = sorted({row.setting for row in spec.register if row.setting})
        for key in self.settings:
            expect(key in known, "settings", key, f"one of {', '.join(known)}")

    @property
    def called(self) -> str:
        """Its name."""
        return self.name or self.device

    def plan(self, line_baud: int, speed: float) -> DevicePlan:
        """What the purifier is built from."""
        spec = load_device(self.device)
        return DevicePlan(
            name=self.called,
            spec=spec,
            slave=self.slave,
            baud=self.baud or line_baud,
            sees=self.sees or spec.sees[0],
            word_order=self.word_order or spec.word_order,
            count=self.count,
            settings=dict(self.settings),
            gap_ms=round(INTER_BYTE_GAP_MS * max(speed, 1.0)),
        )


@dataclass(frozen=True, slots=True)
class MachineSettings:
    """One `[[machine]]`."""

    name: str
    port: str
    board: tuple[BoardSettings, ...] = ()
    modbus: tuple[ModbusSettings, ...] = ()
    water: Plumbing = field(default_factory=Plumbing)
    baud: int = 38400
    only_baud: bool = False
    late_ms: int = 2500
    door: str | None = None
    celsius: float = 25.0
    speed: float | None = None

    def __post_init__(self) -> None:
        expect(
            self.speed is None or 0 < self.speed <= SPEED_MAX, "speed", self.speed, f"above 0, at most {SPEED_MAX:g}"
        )
        expect(bool(self.name), "name", self.name, "a name")
        expect(PORT_SPEC.fullmatch(self.port) is not None, "port", self.port, '"pty:PATH" or "tcp:HOST:PORT"')
        expect(self.baud in BAUDS, "baud", self.baud, f"one of {', '.join(map(str, BAUDS))}")
        expect(self.late_ms > 0, "late_ms", self.late_ms, "a time above 0 ms")
        addresses = [board.address for board in self.board]
        expect(
            bool(addresses or self.modbus) and len(set(addresses)) == len(addresses),
            "board.address",
            addresses,
            "at least one board, each with its own address",
        )
        slaves = [*addresses, *(device.slave for device in self.modbus)]
        expect(len(set(slaves)) == len(slaves), "modbus.slave", slaves, "each board and device its own address")
        names = [device.called for device in self.modbus]
        expect(len(set(names)) == len(names), "modbus.name", names, "each device its own name")


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
        expect(0 < self.speed <= SPEED_MAX, "speed", self.speed, f"above 0, at most {SPEED_MAX:g}")
        names = [machine.name for machine in self.machine]
        expect(
            bool(names) and len(set(names)) == len(names), "machine.name", names, "at least one machine, each name once"
        )
        for kind, rate in self.rates.items():
            expect(kind in FAULTS, "rates", kind, f"one of {', '.join(FAULTS)}")
            expect(0 <= rate <= 1, f"rates.{kind}", rate, "a chance from 0 to 1")

    def speed_of(self, machine: MachineSettings) -> float:
        """Simulated seconds per real second of one machine."""
        return self.speed if machine.speed is None else machine.speed

    def build(self) -> list[Machine]:
        """The machines, in their order, at rest at time 0."""
        rates = {**PRESETS[self.faults], **self.rates}
        return [
            Machine(
                settings.name,
                [board.plan(self.physics, self.speed_of(settings)) for board in settings.board],
                seed=self.seed,
                physics=self.physics,
                line=LineSettings(settings.baud, settings.late_ms),
                rates=rates,
                celsius=settings.celsius,
                devices=[device.plan(settings.baud, self.speed_of(settings)) for device in settings.modbus],
                plumbing=settings.water,
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
    return fill(Scenario, {**table, "folder": folder}, source, "")
