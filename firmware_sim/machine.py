"""One simulated machine: a line with boards, aisles, a purifier's devices, a cabinet - and the truth about it.

The agent under test must work out from a few bytes what happened. The machine knows: it counts every product that
really fell, and writes down every run. Tests and the demo compare the two.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from firmware_sim.boards.adh815 import Adh815, RunReport, Switches
from firmware_sim.faults import FAULTS, Faults, check_kind
from firmware_sim.line import Line, LineSettings, Station
from firmware_sim.modbus.slave import Slave
from firmware_sim.physics import Air, ClimateMode, CurrentLimits, Physics, Spiral, Trouble, Turn, plan_turn
from firmware_sim.purifier import DevicePlan, Purifier
from firmware_sim.timeline import Event, Timeline
from firmware_sim.water import Plumbing

# A year of a busy machine; older runs leave the log, their counts stay in the truth.
RUNS_KEPT = 200_000
SECOND_MS = 1000
# Asked in this order, so that one run has one trouble.
TROUBLES: tuple[Trouble, ...] = ("open_motor", "jam", "over_current", "no_stop")


Switch = Literal["on", "off", "once"]


@dataclass(slots=True)
class Run:
    """One line of the run log. Times in ms since the simulation began; `end_ms` is None while the motor turns.

    `partner` is the second motor of a double aisle. `cut` says that the power went before the run was over.
    """

    board: int
    motor: int
    partner: int | None
    start_ms: int
    end_ms: int | None = None
    fell: bool = False
    cut: bool = False


@dataclass(slots=True)
class _Turning:
    """A run in progress: the wheels, and what is still to come."""

    run: Run
    turns: list[Turn]
    planned: list[Event]


class Aisles:
    """The spirals wired to one board and the drop sensor under them: everything behind the board's connectors."""

    def __init__(
        self,
        board: int,
        spirals: Mapping[int, Spiral],
        timeline: Timeline,
        faults: Faults,
        rng: random.Random,
        physics: Physics,
        air: Air,
        log: deque[Run],
    ) -> None:
        self.spirals = spirals
        self.drop_seen: Callable[[], None] = lambda: None
        self.turning_started: Callable[[int], None] = lambda duration_ms: None
        self._board = board
        self._timeline = timeline
        self._faults = faults
        self._rng = rng
        self._physics = physics
        self._air = air
        self._log = log
        self._turning: _Turning | None = None

    def turn(self, motors: tuple[int, ...], limits: CurrentLimits, stopped: Callable[[RunReport], None]) -> None:
        """Two motors are one wide aisle: they turn together, what fails in one stops both, one product lies on both
        and is counted with the first."""
        turns = [self._plan(motor, limits) for motor in motors]
        duration_ms = max(turn.duration_ms for turn in turns)
        failed = [turn for turn in turns if turn.fault is not None]
        if failed:
            duration_ms = min(turn.duration_ms for turn in failed)
        run = Run(self._board, motors[0], motors[1] if len(motors) > 1 else None, self._timeline.now_ms)
        self._log.append(run)
        report = RunReport(
            fault=failed[0].fault if failed else None,
            max_ma=sum(turn.max_ma for turn in turns),
            avg_ma=sum(turn.avg_ma for turn in turns),
            run_ms=duration_ms,
        )
        turning = self._turning = _Turning(run, turns, [])
        drops = [turn.drop_after_ms for turn in turns]
        drop_after_ms = None if None in drops else max(drop for drop in drops if drop is not None)
        if drop_after_ms is not None:
            turning.planned.append(self._timeline.after(drop_after_ms, partial(self._tip, run)))
        turning.planned.append(self._timeline.after(duration_ms, partial(self._stop, report, stopped)))
        for motor in motors:
            if motor in self.spirals:
                self.spirals[motor].runs_accepted += 1
        self.turning_started(duration_ms)

    def _plan(self, motor: int, limits: CurrentLimits) -> Turn:
        spiral = self.spirals.get(motor)
        trouble = next((t for t in TROUBLES if self._faults.strikes(t, self._board, motor)), None)
        if spiral is None:
            trouble = "open_motor"  # nothing is wired to this place of the matrix
        return plan_turn(motor, spiral.angle if spiral else 0, self._physics, limits, trouble, self._rng)

    def _tip(self, run: Run) -> None:
        if self.spirals[run.motor].tip():
            run.fell = True
            self._timeline.after(self._physics.fall_ms, self._pass_sensor)

    def _pass_sensor(self) -> None:
        if not self.eye_blocked() and not self._faults.is_on("sensor_blind", self._board):
            self.drop_seen()

    def _stop(self, report: RunReport, stopped: Callable[[RunReport], None]) -> None:
        self._halt()
        stopped(report)

    def _halt(self) -> None:
        turning = self._turning
        if turning is None:
            return
        self._turning = None
        for event in turning.planned:
            event.cancel()
        turning.run.end_ms = self._timeline.now_ms
        for turn in turning.turns:
            if turn.motor in self.spirals:
                self.spirals[turn.motor].angle = turn.angle_at(self._timeline.now_ms - turning.run.start_ms)

    def cut_power(self) -> None:
        """The motors stop where they are; a product in the air goes on falling."""
        if self._turning is not None:
            self._turning.run.cut = True
        self._halt()

    def eye_blocked(self) -> bool:
        """Something stands in the drop sensor."""
        return self._faults.is_on("sensor_blocked", self._board)

    def probe_c(self) -> int:
        """The cabinet's temperature."""
        return self._air.probe_c(self._timeline.now_ms)

    def humidity(self) -> int:
        """The cabinet's humidity."""
        return self._air.humidity

    def door_open(self) -> bool:
        """The cabinet's door."""
        return self._air.door_open

    def regulate(self, mode: ClimateMode, setpoint_c: int) -> None:
        """Drive the cabinet's compressor or heater."""
        self._air.regulate(self._timeline.now_ms, mode, setpoint_c)


@dataclass(frozen=True, slots=True)
class BoardPlan:
    """How one board is built: its switches, and per motor (capacity, opening stock)."""

    address: int
    switches: Switches
    aisles: Mapping[int, tuple[int, int]]


class Machine:
    """Everything on one port. Pure: it acts when its timeline is turned, and speaks through `line.send`.

    `port_changed(connected)` and `door_changed(is_open)` tell the outside what to do with the port and the door's file.
    """

    def __init__(
        self,
        name: str,
        boards: list[BoardPlan],
        *,
        seed: int,
        physics: Physics,
        line: LineSettings,
        rates: Mapping[str, float],
        celsius: float = 25.0,
        devices: Sequence[DevicePlan] = (),
        plumbing: Plumbing | None = None,
    ) -> None:
        self.name = name
        self.timeline = Timeline()
        # A die for each use, so that one more frame on the line does not change which motor jams.
        dice = {use: random.Random(f"{seed}/{name}/{use}") for use in ("faults", "motors", "line", "resets", "water")}  # noqa: S311 - play, not secrets
        self.faults = Faults(self.timeline, dice["faults"])
        self.faults.changed = self._fault_changed
        self.air = Air(celsius)
        self.runs: deque[Run] = deque(maxlen=RUNS_KEPT)
        self.port_changed: Callable[[bool], None] = lambda connected: None
        self.door_changed: Callable[[bool], None] = lambda is_open: None
        self._resets = dice["resets"]
        self.aisles: dict[int, Aisles] = {}
        self.boards: dict[int, Adh815] = {}
        for plan in boards:
            spirals = {motor: Spiral(capacity, opening) for motor, (capacity, opening) in plan.aisles.items()}
            aisles = Aisles(
                plan.address, spirals, self.timeline, self.faults, dice["motors"], physics, self.air, self.runs
            )
            board = Adh815(plan.address, aisles, self.timeline, plan.switches)
            aisles.drop_seen = board.drop_seen
            aisles.turning_started = partial(self._maybe_reset, board)
            self.aisles[plan.address], self.boards[plan.address] = aisles, board
        self.purifier: Purifier | None = None
        if devices:
            self.purifier = Purifier(
                devices,
                plumbing or Plumbing(),
                timeline=self.timeline,
                faults=self.faults,
                air=self.air,
                rng=dice["water"],
            )
        stations: list[Station] = [*self.boards.values(), *self.devices(None)]
        self.line = Line(stations, self.timeline, self.faults, dice["line"], line)
        if self.purifier is not None:
            self.purifier.water.host_spoke_ms = lambda: self.line.host_spoke_ms
        self._ticking = False
        self.set_rates(rates)

    # --- faults of the whole machine ---------------------------------------------------------------------------------

    def set_rates(self, rates: Mapping[str, float]) -> None:
        """Replace the chances of all faults; see `Faults.set_rates`."""
        self.faults.set_rates(rates)
        wanted = any(FAULTS[kind].per == "second" and rate > 0 for kind, rate in rates.items())
        if wanted and not self._ticking:
            self._ticking = True
            self.timeline.after(SECOND_MS, self._tick)

    def _tick(self) -> None:
        """One second: an opportunity for everything that needs no occasion."""
        for kind, rate in self.faults.rates.items():
            if FAULTS[kind].per != "second" or rate == 0:
                continue
            for board in self._struck_by_the_second(kind):
                if not self.faults.is_on(kind, board) and self.faults.strikes(kind, board):
                    self._act(kind, board)
        self._ticking = any(FAULTS[kind].per == "second" for kind in self.faults.rates)
        if self._ticking:
            self.timeline.after(SECOND_MS, self._tick)

    def _struck_by_the_second(self, kind: str) -> Sequence[int | None]:
        """At what numbers this kind may strike; None is the machine as a whole."""
        scope = FAULTS[kind].scope
        if scope == "board":
            return list(self.boards)
        if scope == "device":
            return [slave.number for slave in self.devices(None)]
        return (None,) if scope != "water" or self.purifier is not None else ()

    def _act(self, kind: str, number: int | None) -> bool:
        """Faults that are over as soon as they happen; was this one of them?"""
        if kind == "brown_out":
            self.power_cycle()
        elif kind == "device_reset":
            for slave in self.devices(number):
                slave.restart()
        elif kind == "counter_reset":
            for slave in self.devices(number):
                slave.set_counter()
        else:
            return False
        return True

    def _fault_changed(self, kind: str) -> None:
        connected = not self.faults.is_on("unplugged")
        if kind == "unplugged" and connected != self.line.connected:
            self.line.connected = connected
            self.port_changed(connected)
        if self.purifier is not None:
            self.purifier.water.fault_changed()

    def _maybe_reset(self, board: Adh815, duration_ms: int) -> None:
        if self.faults.strikes("board_reset", board.address):
            self.timeline.after(self._resets.randint(0, duration_ms), board.restart)

    def fault(self, kind: str, switch: Switch, board: int | None = None, motor: int | None = None) -> None:
        """Switch one fault on or off, or let it happen once; `ValueError` for a kind or place that does not exist."""
        check_kind(kind)
        self._check_place(board, motor)
        if switch != "off" and self._act(kind, board):
            self.faults.struck[kind] += 1
        elif switch == "once":
            self.faults.once(kind, board, motor)
        elif switch == "on":
            self.faults.switch_on(kind, board, motor)
        else:
            self.faults.switch_off(kind, board, motor)

    def _check_place(self, board: int | None, motor: int | None) -> None:
        """`ValueError` unless there is such a place. A device stands for a board, and its outlets for motors."""
        if board is None:
            if motor is not None:
                raise ValueError(f"motor = {motor} without a board, expected both")
        elif self.purifier is not None and self.devices(board):
            valves = self.purifier.water.valves if board == self.purifier.relay_board else {}
            if motor is not None and motor not in valves:
                raise ValueError(f"outlet = {motor!r}, expected one of {sorted(valves)}")
        elif motor is not None:
            self.spiral(board, motor)
        else:
            self.board(board)

    def devices(self, number: int | None) -> list[Slave]:
        """The Modbus device with this number, or all of them for None."""
        return [] if self.purifier is None else self.purifier.numbered(number)

    def mend(self) -> None:
        """No fault strikes by chance any more, and what is broken now is mended."""
        self.set_rates({})
        self.faults.clear()

    # --- hands on the machine ----------------------------------------------------------------------------------------

    def board(self, address: int) -> Adh815:
        """The board with this address; `ValueError` names those that exist."""
        if address not in self.boards:
            raise ValueError(f"board = {address!r}, expected one of {sorted(self.boards)}")
        return self.boards[address]

    def spiral(self, board: int, motor: int) -> Spiral:
        """One aisle; `ValueError` if there is none at this place."""
        self.board(board)
        spirals = self.aisles[board].spirals
        if motor not in spirals:
            raise ValueError(f"motor = {motor!r}, expected one of board {board}: {min(spirals)} to {max(spirals)}")
        return spirals[motor]

    def power_cycle(self) -> None:
        """Every board and every device restarts."""
        for board in self.boards.values():
            board.restart()
        for slave in self.devices(None):
            slave.restart()

    def set_door(self, is_open: bool) -> None:
        """Open or shut the door."""
        self.air.open_door(self.timeline.now_ms, is_open)
        self.door_changed(is_open)

    def set_temperature(self, celsius: float) -> None:
        """Make the cabinet this warm; -40 and 120 break the sensor, see `Air.force`."""
        self.air.force(self.timeline.now_ms, celsius)
