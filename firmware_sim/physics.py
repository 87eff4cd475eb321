"""Motors, spirals, falling products and the air in the cabinet.

A spiral is a wheel with one product per turn. Its angle counts from home (0) to home again (1000, thousandths of a
turn); the product in front falls at `drop_angle`. A healthy run ends at home. A run that stalls, or whose board loses
power, leaves the wheel where it is, and the next run finishes the turn. If that turn's product is already out, home is
so near that its signal falls into the switch's blanking time (0.9 s after leaving home on a documented two-wire
machine), and the wheel goes on to the next home. So a finished run turns out one product, and never two.

Every number stands in `Physics` with its source: [doc] published, [cap] measured on a real board, [est] an engineering
estimate. All can be set in the scenario.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

FULL_TURN = 1000

MotorFault = Literal["over_current", "open", "no_stop_signal"]
# What is wrong with a motor in one run; `jam` stalls before the product is out, `over_current` after it.
Trouble = Literal["jam", "over_current", "open_motor", "no_stop"]


@dataclass(frozen=True, slots=True)
class Physics:
    """The machine's mechanics. Times in ms, currents in mA, angles in thousandths of a turn."""

    turn_ms: int = 3000  # one turn takes 2-4 s [est]
    turn_spread_ms: int = 300  # two motors of one batch differ by a tenth [est]
    drop_angle: int = 850  # the product tips over shortly before home [est]
    fall_ms: int = 428  # sqrt(2h/g) for a fall of 0.9 m to the curtain
    window_ms: int = 1000  # the board watches 0.5-2 s after the motor has stopped [est]
    loaded_ma: int = 300  # 24 V gear motors draw 150-500 mA [est]; 145 on average without load [cap]
    inrush_ma: int = 600  # 300-900 mA [est]; 324 at most on a bench motor [cap]
    stall_ma: int = 1480  # the example of the protocol's integrators
    stall_avg_ma: int = 920  # the same example
    stall_ms: int = 300  # an over-current is believed after this long [est]
    open_ms: int = 200  # an open circuit is believed after 100-300 ms [est]
    open_ma: int = 12  # below the 20 mA that count as "no motor" [doc]
    stop_timeout_ms: int = 5000  # a missing stop signal ends a run after 3-10 s [est]
    boot_ms: int = 800  # a board that was reset is deaf while it starts [est]; longer than a fall, so that no
    # product of the run before is seen in the next one

    def __post_init__(self) -> None:
        for name in ("turn_ms", "fall_ms", "window_ms", "stall_ms", "open_ms", "stop_timeout_ms", "boot_ms"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} = {getattr(self, name)}, expected a time above 0 ms")
        if not 0 < self.drop_angle < FULL_TURN:
            raise ValueError(f"drop_angle = {self.drop_angle}, expected 1 to {FULL_TURN - 1} thousandths of a turn")
        if not 0 <= self.turn_spread_ms < self.turn_ms:
            raise ValueError(f"turn_spread_ms = {self.turn_spread_ms}, expected 0 to below turn_ms ({self.turn_ms})")
        longest_ms = (2 * FULL_TURN - self.drop_angle) * (self.turn_ms + self.turn_spread_ms) // FULL_TURN
        if longest_ms >= self.stop_timeout_ms:
            raise ValueError(f"stop_timeout_ms = {self.stop_timeout_ms}, expected above the longest run ({longest_ms})")
        if self.fall_ms >= min(self.window_ms, self.boot_ms):
            raise ValueError(f"fall_ms = {self.fall_ms}, expected below window_ms and boot_ms")


@dataclass(frozen=True, slots=True)
class CurrentLimits:
    """What a board takes for too much and for no motor, in mA (boards let both be set)."""

    over_ma: int = 1200  # 800-1500 [est]
    open_ma: int = 20  # [doc]


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of one motor, decided when it starts; a power cut may still end it early.

    `drop_after_ms` is when a product tips over if there is one, None when the wheel does not get that far.
    """

    motor: int
    start_angle: int
    end_angle: int
    turn_ms: int
    duration_ms: int
    drop_after_ms: int | None
    fault: MotorFault | None
    max_ma: int
    avg_ma: int

    def angle_at(self, elapsed_ms: int) -> int:
        """Where the wheel stands `elapsed_ms` after the start; home is 0."""
        travelled = elapsed_ms * FULL_TURN // self.turn_ms
        return min(self.end_angle, self.start_angle + travelled) % FULL_TURN


@dataclass(slots=True)
class Spiral:
    """One aisle's wheel and what is on it. `opening + loaded - removed - fell == remaining`, always."""

    capacity: int
    opening: int
    angle: int = 0
    loaded: int = 0
    removed: int = 0
    fell: int = 0
    runs_accepted: int = 0
    remaining: int = field(init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.opening <= self.capacity:
            raise ValueError(f"stock = {self.opening}, expected 0 to the capacity of {self.capacity}")
        self.remaining = self.opening

    def load(self, quantity: int) -> None:
        """Put products in; `ValueError` when they do not fit."""
        if not 0 < quantity <= self.capacity - self.remaining:
            raise ValueError(f"quantity = {quantity}, expected 1 to {self.capacity - self.remaining} (the free places)")
        self.loaded += quantity
        self.remaining += quantity

    def unload(self, quantity: int) -> None:
        """Take products out by hand; `ValueError` when there are not so many."""
        if not 0 < quantity <= self.remaining:
            raise ValueError(f"quantity = {quantity}, expected 1 to {self.remaining} (what is in the aisle)")
        self.removed += quantity
        self.remaining -= quantity

    def tip(self) -> bool:
        """The wheel passes the drop angle: True if something was there to fall."""
        if self.remaining == 0:
            return False
        self.fell += 1
        self.remaining -= 1
        return True


def plan_turn(
    motor: int,
    angle: int,
    physics: Physics,
    limits: CurrentLimits,
    trouble: Trouble | None,
    rng: random.Random,
) -> Turn:
    """Decide how a run of `motor` goes that starts with its wheel at `angle`."""
    turn_ms = physics.turn_ms + rng.randint(-physics.turn_spread_ms, physics.turn_spread_ms)
    drop_angle = physics.drop_angle if angle < physics.drop_angle else FULL_TURN + physics.drop_angle
    home = drop_angle - physics.drop_angle + FULL_TURN
    end_angle = _end_angle(trouble, angle, drop_angle, home, rng)
    travel_ms = -(-(end_angle - angle) * turn_ms // FULL_TURN)
    stalls = trouble in ("jam", "over_current")
    fault: MotorFault | None = None
    duration_ms = travel_ms
    if trouble == "open_motor":
        fault, duration_ms = "open", physics.open_ms
    elif stalls and physics.stall_ma >= limits.over_ma:
        fault, duration_ms = "over_current", travel_ms + physics.stall_ms
    elif trouble is not None:  # a slipping wheel, or a stall below the board's limit: only time ends the run
        fault, duration_ms = "no_stop_signal", max(travel_ms, physics.stop_timeout_ms)
    max_ma, avg_ma = _currents(physics, trouble, stalls, rng)
    return Turn(
        motor=motor,
        start_angle=angle,
        end_angle=end_angle,
        turn_ms=turn_ms,
        duration_ms=duration_ms,
        drop_after_ms=-(-(drop_angle - angle) * turn_ms // FULL_TURN) if end_angle >= drop_angle else None,
        fault=fault,
        max_ma=max_ma,
        avg_ma=avg_ma,
    )


def _end_angle(trouble: Trouble | None, angle: int, drop_angle: int, home: int, rng: random.Random) -> int:
    if trouble is None:
        return home
    if trouble == "open_motor":
        return angle
    if trouble == "over_current" or (trouble == "no_stop" and rng.random() < 0.5):
        return rng.randint(drop_angle, home - 1)
    return rng.randint(angle, drop_angle - 1)


def _currents(physics: Physics, trouble: Trouble | None, stalls: bool, rng: random.Random) -> tuple[int, int]:
    if trouble == "open_motor":
        return physics.open_ma, physics.open_ma * 2 // 3
    if stalls:
        return physics.stall_ma, physics.stall_avg_ma
    # A sixth to either side: the load differs with the product and its place on the spiral [est].
    return _around(physics.inrush_ma, rng), _around(physics.loaded_ma, rng)


def _around(value: int, rng: random.Random) -> int:
    return value + rng.randint(-value // 6, value // 6)


# The probe's two ways to fail, as the board reports them.
PROBE_OPEN_C = -40
PROBE_SHORTED_C = 120

HOUR_MS = 3_600_000
AMBIENT_C = 25.0
# Degrees per hour, the middle of an estimated range each.
COOLING_C_PER_H = 7.0
HEATING_C_PER_H = 10.0
WARMING_CLOSED_C_PER_H = 2.0
# An open door lets the room in with a time constant of ten minutes; near the start that is a sixth of the way a minute.
DOOR_TIME_CONSTANT_H = 1 / 6

ClimateMode = Literal["ambient", "cool", "heat"]


class Air:
    """The temperature in the cabinet: drifts to the room's, is pulled to the set point, follows the open door.

    Humidity is constant: nothing in the protocol sets it.
    """

    def __init__(self, celsius: float = AMBIENT_C, humidity: int = 55) -> None:
        self.humidity = humidity
        self.door_open = False
        self._mode: ClimateMode = "ambient"
        self._setpoint_c = celsius
        self._celsius = celsius
        self._probe_c: int | None = None
        self._at_ms = 0

    def regulate(self, now_ms: int, mode: ClimateMode, setpoint_c: int) -> None:
        """The board was told to cool, to heat, or to do nothing."""
        self._move(now_ms)
        self._mode, self._setpoint_c = mode, setpoint_c

    def force(self, now_ms: int, celsius: float) -> None:
        """Make it this warm now; -40 and 120 break the probe instead, and any other value mends it."""
        self._move(now_ms)
        if celsius in (PROBE_OPEN_C, PROBE_SHORTED_C):
            self._probe_c = int(celsius)
        else:
            self._probe_c, self._celsius = None, celsius

    def open_door(self, now_ms: int, is_open: bool) -> None:
        """The door was opened or shut."""
        self._move(now_ms)
        self.door_open = is_open

    def probe_c(self, now_ms: int) -> int:
        """What the board's sensor says, in whole degrees."""
        self._move(now_ms)
        return self._probe_c if self._probe_c is not None else round(self._celsius)

    def celsius(self, now_ms: int) -> float:
        """What a sensor of its own says; it knows nothing of the board's broken probe."""
        self._move(now_ms)
        return self._celsius

    def _move(self, now_ms: int) -> None:
        hours = (now_ms - self._at_ms) / HOUR_MS
        self._at_ms = now_ms
        if self.door_open:
            self._celsius += (AMBIENT_C - self._celsius) * min(1.0, hours / DOOR_TIME_CONSTANT_H)
            return
        target_c, rate = AMBIENT_C, WARMING_CLOSED_C_PER_H
        if self._mode == "cool" and self._celsius > self._setpoint_c:
            target_c, rate = self._setpoint_c, COOLING_C_PER_H
        elif self._mode == "heat" and self._celsius < self._setpoint_c:
            target_c, rate = self._setpoint_c, HEATING_C_PER_H
        elif self._mode != "ambient":
            return  # at the set point the regulator holds it there
        step = min(abs(target_c - self._celsius), rate * hours)
        self._celsius += step if target_c > self._celsius else -step
