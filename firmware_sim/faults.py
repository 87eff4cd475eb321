"""Everything that can go wrong, in one table, and the dice that decide when it does.

Three ways to make a fault happen, all seeded and all changeable while the simulator runs: a rate (the chance at each
opportunity of its kind), `on` (at every opportunity until switched off) and `once` (at the next opportunity).
Faults with a healing time last: they strike, stay for a seeded while, and mend themselves.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from firmware_sim.timeline import Event, Timeline

Scope = Literal["line", "board", "motor", "machine", "device", "outlet", "water"]
Opportunity = Literal["frame", "reply", "run", "second"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind: whom it strikes, at which opportunity, how often in the preset `all`, how long it lasts (ms)."""

    scope: Scope
    per: Opportunity
    rate: float
    heals_ms: tuple[int, int] | None
    meaning: str


# Rates of the preset `all` are for showing: on a machine that sells twice a minute something happens every half a
# minute or so, and most sales still succeed. Healing times are short enough for a ten-minute run to see both ends.
BOARD_FAULTS: Mapping[str, Fault] = {
    "noise": Fault("line", "frame", 0.01, None, "bytes of a frame are changed, or bytes come in that nobody sent"),
    "loss": Fault("line", "frame", 0.005, None, "bytes of a frame vanish"),
    "split": Fault("board", "reply", 0.1, None, "a reply comes in pieces, cut anywhere, with pauses between"),
    "late": Fault("board", "reply", 0.005, None, "a reply comes up to `late_ms` late, with the state it was made in"),
    "dead": Fault("board", "second", 0.002, (5_000, 20_000), "the board answers nothing and hears nothing"),
    "board_reset": Fault("board", "run", 0.01, None, "the board restarts while its motor turns; its result is lost"),
    "brown_out": Fault("machine", "second", 0.001, None, "the supply dips: every board on the line restarts"),
    "unplugged": Fault("machine", "second", 0.002, (3_000, 10_000), "the port vanishes, and comes back as a new one"),
    "jam": Fault(
        "motor", "run", 0.03, None, "the spiral sticks before the product is out: over-current, nothing falls"
    ),
    "over_current": Fault("motor", "run", 0.01, None, "the spiral sticks after the product has fallen"),
    "open_motor": Fault("motor", "run", 0.005, (60_000, 180_000), "the motor's plug is loose: open circuit, no motion"),
    "no_stop": Fault("motor", "run", 0.01, None, "the wheel slips: no stop signal; the product falls, or it does not"),
    "sensor_blocked": Fault("board", "second", 0.001, (10_000, 40_000), "something stands in the drop sensor"),
    "sensor_blind": Fault("board", "second", 0.0005, (20_000, 60_000), "the drop sensor looks healthy, sees nothing"),
}

# A Modbus device is placed like a board, by the slave number it has at the start; an outlet like a motor, by the number
# of the relay device and its relay. `run` is a valve's turn as well; `split`, `late` and `dead` strike devices too.
WATER_FAULTS: Mapping[str, Fault] = {
    "slow": Fault("device", "second", 0.001, (5_000, 20_000), "a device takes most of a second for every answer"),
    "exception": Fault("device", "reply", 0.005, None, "a device answers `busy` and does nothing"),
    "device_reset": Fault("device", "second", 0.0005, None, "a device restarts: deaf for a moment, relays fall"),
    "counter_reset": Fault("device", "second", 0.0003, None, "a meter's counter starts again from nothing"),
    "open_cable": Fault("device", "second", 0.0005, (10_000, 30_000), "a sensor's cable is open: its value is absurd"),
    "air": Fault("water", "run", 0.03, None, "air spins the meter when a valve opens: counts without water"),
    "meter_stuck": Fault("water", "second", 0.0003, (5_000, 20_000), "the meter's rotor stands: water without counts"),
    "meter_worn": Fault("water", "second", 0.0, (60_000, 180_000), "the meter's rotor is worn: 6 % too few counts"),
    "stuck_shut": Fault("outlet", "run", 0.01, (20_000, 60_000), "the valve does not open"),
    "stuck_open": Fault("outlet", "run", 0.005, (3_000, 10_000), "the valve does not shut"),
    "leak": Fault("water", "second", 0.0005, (5_000, 20_000), "water is lost behind the meter, which sees it"),
    "seep": Fault("water", "second", 0.001, (10_000, 60_000), "water is lost before the meter, and nothing sees it"),
    "no_feed": Fault("water", "second", 0.0005, (30_000, 120_000), "the mains are off: the tank is not refilled"),
    "no_pressure": Fault("water", "second", 0.0005, (3_000, 15_000), "the pump stands: valves open and nothing flows"),
    "bad_water": Fault("water", "second", 0.0003, (20_000, 60_000), "salt passes the membrane"),
}

FAULTS: Mapping[str, Fault] = {**BOARD_FAULTS, **WATER_FAULTS}
# What the water itself obeys for as long as it holds.
WATER_STATES = tuple(kind for kind, fault in WATER_FAULTS.items() if fault.scope == "water" and fault.heals_ms)

# A rate of 0 is for what no machine can notice within the minutes of a demo: it strikes by order only.
PRESETS: Mapping[str, Mapping[str, float]] = {
    "none": {},
    "all": {kind: fault.rate for kind, fault in FAULTS.items() if fault.rate},
}

# A place: board and motor, None for "all of them".
Place = tuple[int | None, int | None]


class Faults:
    """The faults of one machine: which are on, which wait to strike once, and how often the rest strike by chance.

    `struck` counts how often each kind has struck; `changed(kind)` is called when a fault begins or ends to hold.
    """

    def __init__(self, timeline: Timeline, rng: random.Random) -> None:
        self.rates: dict[str, float] = {}
        self.struck: dict[str, int] = dict.fromkeys(FAULTS, 0)
        self.changed: Callable[[str], None] = lambda kind: None
        self._timeline = timeline
        self._rng = rng
        # What holds now, with the event that will heal it; None holds until it is switched off.
        self._on: dict[tuple[str, Place], Event | None] = {}
        self._once: set[tuple[str, Place]] = set()

    def set_rates(self, rates: Mapping[str, float]) -> None:
        """Replace all rates; a kind that is not named does not strike by chance. `ValueError` names a wrong one."""
        for kind, rate in rates.items():
            check_kind(kind)
            if not 0 <= rate <= 1:
                raise ValueError(f"rate of {kind} = {rate}, expected 0 to 1")
        self.rates = dict(rates)

    def clear(self) -> None:
        """Switch everything off and mend everything; rates stay."""
        for kind in FAULTS:
            self.switch_off(kind)

    def switch_on(self, kind: str, board: int | None = None, motor: int | None = None) -> None:
        """Make `kind` happen at every opportunity at this place, until it is switched off."""
        check_kind(kind)
        self._begin(kind, (board, motor), None)

    def switch_off(self, kind: str, board: int | None = None, motor: int | None = None) -> None:
        """End `kind` at this place and at every place within, also where it waits to strike once."""
        check_kind(kind)
        for struck, place in [*self._on, *self._once]:
            if struck == kind and board in (None, place[0]) and motor in (None, place[1]):
                self._once.discard((kind, place))
                self._end(kind, place)

    def once(self, kind: str, board: int | None = None, motor: int | None = None) -> None:
        """Make `kind` happen at the next opportunity at this place; a lasting kind strikes at once and heals later."""
        check_kind(kind)
        if FAULTS[kind].heals_ms is not None:
            self._strike_and_heal(kind, (board, motor))
        else:
            self._once.add((kind, (board, motor)))

    def is_on(self, kind: str, board: int | None = None, motor: int | None = None) -> bool:
        """Does a lasting fault hold here now?"""
        return any((kind, place) in self._on for place in _covering(board, motor))

    def strikes(self, kind: str, board: int | None = None, motor: int | None = None) -> bool:
        """An opportunity for `kind`: does it strike here? A lasting kind that strikes stays on until it heals."""
        if self.is_on(kind, board, motor):
            return True
        for place in _covering(board, motor):
            if (kind, place) in self._once:
                self._once.discard((kind, place))
                self.struck[kind] += 1
                return True
        rate = self.rates.get(kind, 0.0)
        if rate == 0.0 or self._rng.random() >= rate:
            return False
        if FAULTS[kind].heals_ms is None:
            self.struck[kind] += 1
        else:
            self._strike_and_heal(kind, (board, motor))
        return True

    def _strike_and_heal(self, kind: str, place: Place) -> None:
        heals_ms = FAULTS[kind].heals_ms
        assert heals_ms is not None, f"{kind} does not last"
        heal = self._timeline.after(self._rng.randint(*heals_ms), partial(self._end, kind, place))
        self._begin(kind, place, heal)

    def _begin(self, kind: str, place: Place, heal: Event | None) -> None:
        self._end(kind, place)
        self._on[kind, place] = heal
        self.struck[kind] += 1
        self.changed(kind)

    def _end(self, kind: str, place: Place) -> None:
        if (kind, place) in self._on:
            heal = self._on.pop((kind, place))
            if heal is not None:
                heal.cancel()
            self.changed(kind)


def check_kind(kind: str) -> None:
    """`ValueError` unless there is such a fault."""
    if kind not in FAULTS:
        raise ValueError(f"fault kind = {kind!r}, expected one of {', '.join(FAULTS)}")


def _covering(board: int | None, motor: int | None) -> tuple[Place, ...]:
    """The place itself and every wider one."""
    return ((board, motor), (board, None), (None, None))
