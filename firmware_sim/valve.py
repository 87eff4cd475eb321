"""A solenoid valve at an outlet: it follows its coil late, and sometimes not at all.

    shut --coil on--> opening --open_ms--> open --coil off--> closing --close_ms--> shut

Water flows while it is open and while it is closing: that is the overrun that a host must learn. A pilot valve needs
pressure to open.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol

from firmware_sim.faults import Faults
from firmware_sim.form import expect
from firmware_sim.timeline import Event, Timeline

# A pilot valve lifts with 0.2-1 bar [doc].
PILOT_LEAST_KPA = 30
# How soon the model looks again whether there is pressure; a coil that is on lifts the pilot when it comes.
PILOT_TRIES_MS = 200
# Two openings of one valve differ a little in flow [est].
FLOW_SPREAD = 0.03


class Motion(Enum):
    """Where the plunger is."""

    SHUT = "shut"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class OutletPlan:
    """One outlet: its relay (from 1), what it gives alone in ml/s, and its valve's times in ms with their spread.

    Opening takes 20-80 ms, closing 20-60 ms (direct) or 100-600 ms (pilot) [est].
    """

    relay: int
    flow_ml_per_s: float = 30.0
    valve: Literal["direct", "pilot"] = "pilot"
    open_ms: int = 50
    close_ms: int = 300
    jitter_percent: int = 10

    def __post_init__(self) -> None:
        expect(1 <= self.relay <= 32, "relay", self.relay, "1 to 32")
        expect(0 < self.flow_ml_per_s <= 200, "flow_ml_per_s", self.flow_ml_per_s, "above 0, at most 200")
        expect(0 <= self.jitter_percent <= 50, "jitter_percent", self.jitter_percent, "0 to 50")
        expect(self.open_ms > 0 and self.close_ms > 0, "open_ms, close_ms", (self.open_ms, self.close_ms), "above 0")


@dataclass(slots=True)
class Opening:
    """One line of the log: from the coil's pull to the last drop. Times in ms since the simulation began, volumes in
    microlitres; `shut_ms` is None while water flows. `unasked_ul` passed although the coil was off and the valve should
    have shut: it stuck. `indicated_ul` is what the meter showed meanwhile, other outlets and leaks included.
    """

    relay: int
    began_ms: int
    coil_off_ms: int | None = None
    shut_ms: int | None = None
    through_ul: int = 0
    unasked_ul: int = 0
    indicated_ul: int = 0
    host_silent_ms: int = 0  # how long the host had said nothing when it shut


class Basin(Protocol):
    """What a valve needs of the water around it."""

    timeline: Timeline
    faults: Faults

    @property
    def pressure_kpa(self) -> float:
        """Before the valve."""

    def settle(self) -> None:
        """Count what flowed until now."""

    def let_air_in(self) -> None:
        """See `Water.let_air_in`."""

    def log(self, opening: Opening) -> None:
        """A new line of the log."""

    def indicated_ul(self) -> int:
        """The meter's whole indication."""

    def host_silent_ms(self) -> int:
        """For how long the host has said nothing."""


class Valve:
    """One valve; `energise` is its coil. Behind the meter, like every outlet."""

    metered = True

    def __init__(
        self, plan: OutletPlan, conductance: float, place: tuple[int, int], basin: Basin, rng: random.Random
    ) -> None:
        """`place` is where its faults strike: the relay device's number, and the relay's."""
        self.plan = plan
        self.motion = Motion.SHUT
        self.coil_on = False
        self.through_ul = 0
        self.unasked_ul = 0
        self.times_opened = 0
        self.silent_longest_ms = 0
        self.opening: Opening | None = None
        self.conductance = conductance
        self._usual_conductance = conductance
        self._place, self._basin, self._rng = place, basin, rng
        self._timeline, self._faults = basin.timeline, basin.faults
        self._moving: Event | None = None
        self._indicated_before_ul = 0
        self._carry = 0.0

    @property
    def flowing(self) -> bool:
        """Is there a way through?"""
        return self.motion in (Motion.OPEN, Motion.CLOSING)

    def energise(self, on: bool) -> None:
        """The coil's current is switched; the basin has settled."""
        if on == self.coil_on:
            return
        self.coil_on = on
        if on:
            self._pull()
        else:
            self._release()

    def try_again(self) -> None:
        """A fault has changed, or the pressure: what was held may move now."""
        if self.coil_on and self.motion is Motion.SHUT and not self._faults.is_on("stuck_shut", *self._place):
            self._stop_moving()
            self._pull()
        elif not self.coil_on and self.motion is Motion.OPEN and not self._faults.is_on("stuck_open", *self._place):
            self._begin_closing()

    def _pull(self) -> None:
        if self.flowing:  # still closing, or stuck: it goes on
            self._stop_moving()
            self.motion = Motion.OPEN
            assert self.opening is not None, "what flows was opened"
            self.opening.coil_off_ms = None
            return
        if self.motion is not Motion.SHUT or self._faults.strikes("stuck_shut", *self._place):
            return
        if self.plan.valve == "pilot" and self._basin.pressure_kpa < PILOT_LEAST_KPA:
            self._moving = self._timeline.after(PILOT_TRIES_MS, self.try_again)
            return
        self.motion = Motion.OPENING
        self._moving = self._timeline.after(self._jittered(self.plan.open_ms), self._opened)

    def _opened(self) -> None:
        self._basin.settle()
        self._basin.let_air_in()
        self.conductance = self._usual_conductance * (1 + self._rng.uniform(-FLOW_SPREAD, FLOW_SPREAD))
        self.motion = Motion.OPEN
        self.times_opened += 1
        self._indicated_before_ul = self._basin.indicated_ul()
        self.opening = Opening(self.plan.relay, self._timeline.now_ms)
        self._basin.log(self.opening)

    def _release(self) -> None:
        if not self.flowing:
            self._stop_moving()
            self.motion = Motion.SHUT
        elif self.motion is Motion.OPEN:
            if self.opening is not None:
                self.opening.coil_off_ms = self._timeline.now_ms
            if not self._faults.strikes("stuck_open", *self._place):
                self._begin_closing()

    def _begin_closing(self) -> None:
        self.motion = Motion.CLOSING
        self._moving = self._timeline.after(self._jittered(self.plan.close_ms), self._shut)

    def _shut(self) -> None:
        self._basin.settle()
        self.motion = Motion.SHUT
        opening, self.opening = self.opening, None
        assert opening is not None, "what shuts was open"
        opening.shut_ms = self._timeline.now_ms
        opening.indicated_ul = self._basin.indicated_ul() - self._indicated_before_ul
        opening.host_silent_ms = self.silent_now_ms(opening)
        self.silent_longest_ms = max(self.silent_longest_ms, opening.host_silent_ms)

    def silent_now_ms(self, opening: Opening) -> int:
        """How long it has been open since the host's last word (or since it opened, if that is later)."""
        return min(self._basin.host_silent_ms(), self._timeline.now_ms - opening.began_ms)

    def _stop_moving(self) -> None:
        if self._moving is not None:
            self._moving.cancel()

    def _jittered(self, ms: int) -> int:
        spread = ms * self.plan.jitter_percent / 100
        return max(1, round(ms + self._rng.uniform(-spread, spread)))

    def give(self, ul: float) -> int:
        """So much flows through; how much of it is whole microlitres."""
        self._carry += ul
        whole = int(self._carry)
        self._carry -= whole
        self.through_ul += whole
        assert self.opening is not None, "only an open valve gives"
        self.opening.through_ul += whole
        if not self.coil_on and self.motion is Motion.OPEN:
            self.unasked_ul += whole
            self.opening.unasked_ul += whole
        return whole
