"""Water behind the registers: mains, membrane, tank, pump, meter, valves - and where every drop of it went.

    mains --> membrane --> tank --> pump --> meter --> valves --> outlets
                 |                    |         |
               drain                 seep      leak

Nothing is made or lost: feed = tank + poured + leaked + drained, in whole microlitres. Between two events all flows are
constant, so the model integrates in large steps, and only when something changes or somebody looks (`settle`).

Every number stands in `Plumbing` or beside its constant with its source: [doc] published, [est] engineering estimate.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from firmware_sim.faults import WATER_STATES, Faults
from firmware_sim.form import expect
from firmware_sim.timeline import Timeline
from firmware_sim.valve import Opening, OutletPlan, Valve

UL_PER_ML = 1000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# Steps are short enough that a float switch acts in time, and long enough that a night costs nothing.
STEP_FLOWING_MS = 100
STEP_FILLING_MS = 1_000
# A year of a busy purifier; older openings leave the log, their volumes stay in the truth.
OPENINGS_KEPT = 200_000

# The pump's pressure falls as it gives more: a small diaphragm pump, kPa per ml/s [est].
DROOP_KPA = 0.5
# Holes through which water is lost, as outlets of this many ml/s [est]: `leak` behind the meter, `seep` before it.
LEAK_ML_PER_S = 15.0
SEEP_ML_PER_S = 3.0
# Permeate loses 3 % per degree below 25 [est].
COLD_LOSS_PER_C = 0.03
# The mains must press this much before the membrane gives anything: 45 psi in practice [doc].
MEMBRANE_LEAST_KPA = 310
# Ions creep through a resting membrane: ppm per hour of rest, at most so many, gone after some half litres [est].
CREEP_PPM_PER_H = 8.0
CREEP_PPM_MAX = 120.0
CREEP_LITRES = 0.5
# A new membrane holds back 96 % (90-98 [doc]); it loses 10 points over its life, and 15 more in the last quarter [est].
REJECTION_NEW = 0.96
REJECTION_LOST = 0.10
REJECTION_LOST_LATE = 0.15
# The mains' TDS swings by this share over two weeks [est].
FEED_SWING = 0.15
FEED_SWING_MS = 14 * DAY_MS
BAD_WATER_PPM = 180.0
# Air in the meter: the rotor spins twice as fast as the water goes, for so much false volume [est].
AIR_UL = (5_000, 25_000)
AIR_GAIN = 2
# What a worn rotor still shows; makers promise 1 to 3 % of drift a year [est].
WORN_GAIN = 0.94
# Below its range a turbine's reading falls off [doc]; from here on down [est].
METER_LEAST_ML_PER_S = 8.0


@dataclass(frozen=True, slots=True)
class Plumbing:
    """One purifier's pipes: volumes in ml, flows in ml/s, pressures in kPa.

    `meter_error_percent` is how far this meter's factor is off its type's factor. `membrane_worn` is the share of the
    membrane's life that is over at the start; `membrane_litres` is the permeate of a whole life.
    """

    outlets: tuple[OutletPlan, ...] = (OutletPlan(relay=1),)
    tank_ml: int = 20_000
    tank_opening_ml: int = 15_000
    tank_mm: int = 400
    tank_low_ml: int = 1_000  # the low float: below it the pump stops
    tank_refill_ml: int = 18_000  # below it the membrane starts, and runs until full
    pump_kpa: int = 276  # 40 psi, where the pressure switch cuts off [doc]
    feed_kpa: int = 400
    permeate_ml_per_s: float = 20.0  # 450 gallons a day
    drain_per_permeate: float = 1.0
    feed_tds_ppm: float = 250.0
    water_celsius: float = 20.0
    membrane_litres: int = 8_000
    membrane_worn: float = 0.1
    pulses_per_litre_milli: int = 450_000  # YF-S201 [doc]
    meter_error_percent: float = 0.0

    def __post_init__(self) -> None:
        relays = [outlet.relay for outlet in self.outlets]
        expect(bool(relays) and len(set(relays)) == len(relays), "outlets.relay", relays, "each outlet its own relay")
        floats = (self.tank_low_ml, self.tank_refill_ml, self.tank_ml)
        expect(0 < floats[0] < floats[1] < floats[2], "tank_low_ml, tank_refill_ml, tank_ml", floats, "a rising order")
        expect(0 <= self.tank_opening_ml <= self.tank_ml, "tank_opening_ml", self.tank_opening_ml, "at most tank_ml")
        expect(0 <= self.membrane_worn <= 1, "membrane_worn", self.membrane_worn, "0 to 1")
        expect(abs(self.meter_error_percent) <= 20, "meter_error_percent", self.meter_error_percent, "-20 to 20")
        for name in ("tank_mm", "pump_kpa", "permeate_ml_per_s", "membrane_litres", "pulses_per_litre_milli"):
            expect(getattr(self, name) > 0, name, getattr(self, name), "a value above 0")


def conductance(plumbing: Plumbing, ml_per_s: float) -> float:
    """Of an opening that gives so much when it is the only one."""
    return ml_per_s / math.sqrt(max(1.0, plumbing.pump_kpa - DROOP_KPA * ml_per_s))


@dataclass(slots=True)
class Pipe:
    """A flow into whole microlitres: what is left of a step's fraction is carried into the next."""

    total_ul: int = 0
    _carry: float = 0.0

    def carry(self, ul: float) -> int:
        """Let `ul` pass; how much of it is whole."""
        self._carry += ul
        whole = int(self._carry)
        self._carry -= whole
        self.total_ul += whole
        return whole


@dataclass(slots=True)
class Meter:
    """The rotor in the pipe: what it indicates is not quite what passed."""

    gain: float
    air_ul: int = 0
    indicated: Pipe = field(default_factory=Pipe)

    def turn(self, ul: float, ml_per_s: float, *, worn: bool = False) -> None:
        """`ul` pass at this flow; a worn rotor shows less of it."""
        below = min(1.0, ml_per_s / METER_LEAST_ML_PER_S)
        false = min(self.air_ul, int(ul * (AIR_GAIN - 1)))
        self.air_ul -= false
        self.indicated.carry(ul * self.gain * below * (WORN_GAIN if worn else 1) + false)


@dataclass(slots=True)
class Hole:
    """Where water is lost while the fault of this name holds."""

    fault: str
    conductance: float
    metered: bool
    lost: Pipe = field(default_factory=Pipe)

    def give(self, ul: float) -> int:
        """So much is lost; how much of it is whole microlitres."""
        return self.lost.carry(ul)


class Water:
    """The whole model. `relay(number, closed)` is all that the electric side can do to it."""

    def __init__(self, plumbing: Plumbing, timeline: Timeline, faults: Faults, rng: random.Random, board: int) -> None:
        """`board` is the number of the relay device, by which faults of outlets are placed."""
        self.plumbing = plumbing
        self.timeline, self.faults = timeline, faults
        self.host_spoke_ms: Callable[[], int] = lambda: timeline.now_ms
        self.meter = Meter(1 + plumbing.meter_error_percent / 100)
        self.tank_ul = plumbing.tank_opening_ml * UL_PER_ML
        self.feed, self.permeate, self.drained = Pipe(), Pipe(), Pipe()
        self.leak = Hole("leak", conductance(plumbing, LEAK_ML_PER_S), metered=True)
        self.seep = Hole("seep", conductance(plumbing, SEEP_ML_PER_S), metered=False)
        self.openings: deque[Opening] = deque(maxlen=OPENINGS_KEPT)
        self._membrane_worn, self._membrane_from_ul = plumbing.membrane_worn, 0
        self._rng = rng
        self.valves: Mapping[int, Valve] = {
            outlet.relay: Valve(outlet, conductance(plumbing, outlet.flow_ml_per_s), (board, outlet.relay), self, rng)
            for outlet in plumbing.outlets
        }
        # The faults that held when the volumes were last counted: what they do begins and ends at a count.
        self._holding: set[str] = set()
        self._at_ms = timeline.now_ms
        self._filling = False
        self._rested_since_ms = timeline.now_ms
        self._creep_ppm = 0.0
        self._creep_from_ul = 0

    # --- hands on it -------------------------------------------------------------------------------------------------

    def relay(self, number: int, closed: bool) -> None:
        """A relay has switched; one to which no valve is wired does nothing."""
        if number in self.valves:
            self.settle()
            self.valves[number].energise(closed)

    def fault_changed(self) -> None:
        """A fault begins or ends to hold: what came before it is counted first, and stuck valves may come free."""
        self.settle()
        self._holding = {kind for kind in WATER_STATES if self.faults.is_on(kind)}
        for valve in self.valves.values():
            valve.try_again()

    def change_membrane(self, worn: float) -> None:
        """Another membrane, of whose life this share is over."""
        self.settle()
        self._membrane_worn, self._membrane_from_ul = worn, self.permeate.total_ul

    def let_air_in(self) -> None:
        """An opening: perhaps the hose had run dry."""
        if self.faults.strikes("air"):
            self.meter.air_ul += self._rng.randint(*AIR_UL)

    def log(self, opening: Opening) -> None:
        """A valve opened."""
        self.openings.append(opening)

    def indicated_ul(self) -> int:
        """What the meter has shown in all."""
        return self.meter.indicated.total_ul

    def host_silent_ms(self) -> int:
        """For how long the host has said nothing."""
        return self.timeline.now_ms - self.host_spoke_ms()

    # --- what can be seen --------------------------------------------------------------------------------------------

    @property
    def pressure_kpa(self) -> float:
        """Behind the pump, with what flows now."""
        if not self._pumping:
            return 0.0
        return self.plumbing.pump_kpa - DROOP_KPA * self._flow(self._ways())

    @property
    def flow_ml_per_s(self) -> float:
        """Through the meter, now."""
        ways = self._ways()
        whole = sum(way.conductance for way in ways)
        return sum(self._flow(ways) * way.conductance / whole for way in ways if way.metered)

    @property
    def level_mm(self) -> float:
        """Water above the tank's bottom."""
        return self.tank_ul / UL_PER_ML * self.plumbing.tank_mm / self.plumbing.tank_ml

    @property
    def feed_tds_ppm(self) -> float:
        """Before the membrane."""
        swing = math.sin(2 * math.pi * self.timeline.now_ms / FEED_SWING_MS)
        return self.plumbing.feed_tds_ppm * (1 + FEED_SWING * swing)

    @property
    def tds_ppm(self) -> float:
        """Behind the membrane."""
        if "bad_water" in self._holding:
            return BAD_WATER_PPM
        litres = (self.permeate.total_ul - self._creep_from_ul) / UL_PER_ML / 1000
        return self.feed_tds_ppm * (1 - self.rejection) + self._creep_ppm * math.exp(-litres / CREEP_LITRES)

    @property
    def worn(self) -> float:
        """The share of the membrane's life that is over; may pass 1."""
        made_ul = self.permeate.total_ul - self._membrane_from_ul
        return self._membrane_worn + made_ul / UL_PER_ML / 1000 / self.plumbing.membrane_litres

    @property
    def rejection(self) -> float:
        """How much the membrane holds back, 0 to 1."""
        late = max(0.0, self.worn - 0.75) / 0.25
        return max(0.0, REJECTION_NEW - REJECTION_LOST * self.worn - REJECTION_LOST_LATE * late)

    @property
    def pulses(self) -> int:
        """What the meter has given since the simulation began."""
        return self.meter.indicated.total_ul * self.plumbing.pulses_per_litre_milli // 10**9

    # --- time --------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Bring every volume to this moment."""
        now_ms = self.timeline.now_ms
        while self._at_ms < now_ms:
            self._watch_float()
            flowing = self._pumping and bool(self._ways())
            if not flowing and not self._filling:
                self._at_ms = now_ms
                return
            step_ms = min(now_ms - self._at_ms, STEP_FLOWING_MS if flowing else STEP_FILLING_MS)
            self._give(step_ms)
            self._fill(step_ms)
            self._at_ms += step_ms

    def _give(self, ms: int) -> None:
        ways = self._ways()
        flow = self._flow(ways)
        whole = sum(way.conductance for way in ways)
        metered = 0.0
        for way in ways:
            share = flow * way.conductance / whole
            self.tank_ul -= way.give(share * ms)  # ml/s for ms are microlitres
            metered += share if way.metered else 0.0
        if metered > 0 and "meter_stuck" not in self._holding:
            self.meter.turn(metered * ms, metered, worn="meter_worn" in self._holding)

    def _fill(self, ms: int) -> None:
        rate = self._permeate_ml_per_s() if self._filling else 0.0
        made = self.permeate.carry(rate * ms)
        wasted = self.drained.carry(rate * ms * self.plumbing.drain_per_permeate)
        self.feed.total_ul += made + wasted
        self.tank_ul += made

    def _watch_float(self) -> None:
        full = self.tank_ul >= self.plumbing.tank_ml * UL_PER_ML
        low = self.tank_ul < self.plumbing.tank_refill_ml * UL_PER_ML
        fed = self._permeate_ml_per_s() > 0
        was = self._filling
        self._filling = fed and not full and (low or was)
        if self._filling and not was:
            rested_h = (self._at_ms - self._rested_since_ms) / HOUR_MS
            self._creep_ppm = min(CREEP_PPM_MAX, rested_h * CREEP_PPM_PER_H)
            self._creep_from_ul = self.permeate.total_ul
        if was and not self._filling:
            self._rested_since_ms = self._at_ms

    # --- hydraulics --------------------------------------------------------------------------------------------------

    @property
    def _pumping(self) -> bool:
        return self.tank_ul > self.plumbing.tank_low_ml * UL_PER_ML and "no_pressure" not in self._holding

    def _ways(self) -> list[Valve | Hole]:
        """Every way out of the pipe that is open now."""
        holes = [hole for hole in (self.leak, self.seep) if hole.fault in self._holding]
        return [*(valve for valve in self.valves.values() if valve.flowing), *holes]

    def _flow(self, ways: Sequence[Valve | Hole]) -> float:
        """Q = C sqrt(p) and p = p0 - d Q, solved for Q in ml/s."""
        if not self._pumping:
            return 0.0
        square = sum(way.conductance for way in ways) ** 2
        damped = square * DROOP_KPA
        return (math.sqrt(damped * damped + 4 * square * self.plumbing.pump_kpa) - damped) / 2

    def _permeate_ml_per_s(self) -> float:
        if "no_feed" in self._holding or self.plumbing.feed_kpa < MEMBRANE_LEAST_KPA:
            return 0.0
        cold = max(0.0, 25.0 - self.plumbing.water_celsius) * COLD_LOSS_PER_C
        clogged = 0.5 * min(1.0, self.worn)  # a membrane at its end gives half [est]
        return self.plumbing.permeate_ml_per_s * max(0.1, 1 - cold) * (1 - clogged)
