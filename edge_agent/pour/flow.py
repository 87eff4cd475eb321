"""From the counts of a flow meter to millilitres: over wrap and reset, in any order of readings, with what it learns.

A meter's count only grows, and wraps to 0 at its modulus when it has one. So what flowed is the newest count minus the
first, and no reading in between matters: lost, repeated and late ones change nothing. The exceptions are the ways in
which a counter lies, and each is found by asking whether water could have done it:

    it is lower than before, and no wrap explains it    the meter was reset
    it grew faster than the outlet can give             a disturbed reading, or air spinning the rotor

One such reading is set aside. When the next one confirms it, the flow is `broken`: its volume is what was counted
before, and nobody can prove the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median_low
from typing import Final

from edge_agent.devices.ports import Totaliser

# An outlet gives its nominal flow within the pressure that a house has. Four times as much is not water.
IMPLAUSIBLE_FACTOR: Final = 4
# One count may fall just before and one just after a reading, and a slow bus delays the answer but not its time stamp.
SLACK_ML: Final = 20
# Readings from which the pace is taken: less than two seconds at ten looks a second, so that one count more or less
# matters little, and a change of pressure is still seen in time.
PACE_READINGS: Final = 18


@dataclass(frozen=True, slots=True)
class Factor:
    """How many counts make a litre, times 1000: 450 pulses per litre are 450000."""

    pulses_per_litre_milli: int

    def __post_init__(self) -> None:
        if self.pulses_per_litre_milli <= 0:
            raise ValueError(f"pulses_per_litre_milli: {self.pulses_per_litre_milli} is not above 0")

    def millilitres(self, counts: int) -> int:
        """The volume of so many counts, rounded half up."""
        return (counts * 2_000_000 + self.pulses_per_litre_milli) // (2 * self.pulses_per_litre_milli)

    def counts(self, millilitres: int) -> int:
        """How many counts a volume makes at least, rounded up."""
        return -(-millilitres * self.pulses_per_litre_milli // 1_000_000)


def grown(before: int, now: int, modulus: int | None, at_most: int) -> int | None:
    """Counts from `before` to `now` over a wrap; None when it would be more than `at_most`, or backwards."""
    counts = now - before if modulus is None else (now - before) % modulus
    return counts if 0 <= counts <= at_most else None


@dataclass(frozen=True, slots=True)
class Flow:
    """What has passed the meter since `first`. `last_growth_ms`: when the count was last seen to change.

    `pace` holds the newest readings that count, oldest first; the last of them is the newest.
    """

    factor: Factor
    nominal_ml_per_s: int
    first: Totaliser
    pace: tuple[Totaliser, ...]
    counts: int = 0
    last_growth_ms: int = 0
    suspect: Totaliser | None = None
    broken: bool = False

    @classmethod
    def begin(cls, first: Totaliser, factor: Factor, nominal_ml_per_s: int) -> Flow:
        """Count from `first` on."""
        return cls(factor, nominal_ml_per_s, first, (first,), last_growth_ms=first.mono_ms)

    @property
    def newest(self) -> Totaliser:
        return self.pace[-1]

    @property
    def millilitres(self) -> int:
        """What has flowed; when `broken`, what had flowed before that."""
        return self.factor.millilitres(self.counts)

    def take(self, reading: Totaliser) -> Flow:
        """Take one more reading. One that is older than the newest changes nothing."""
        if self.broken or reading.mono_ms <= self.newest.mono_ms:
            return self
        counts = self._plausible(self.newest, reading)
        if counts is not None:
            growth_ms = reading.mono_ms if counts else self.last_growth_ms
            pace = (*self.pace, reading)[-PACE_READINGS:]
            return replace(self, pace=pace, counts=self.counts + counts, last_growth_ms=growth_ms, suspect=None)
        if self.suspect is None or self._plausible(self.suspect, reading) is None:
            return self if self._is_older_suspect(reading) else replace(self, suspect=reading)
        return replace(self, broken=True)

    def ml_per_s(self) -> int:
        """The pace of the last readings; 0 while nothing flows."""
        oldest, newest = self.pace[0], self.newest
        elapsed_ms = newest.mono_ms - oldest.mono_ms
        counts = grown(oldest.count, newest.count, newest.modulus, self.counts)
        if not counts or elapsed_ms <= 0:
            return 0
        return self.factor.millilitres(counts) * 1000 // elapsed_ms

    def ms_until(self, target_ml: int) -> int | None:
        """How long after the newest reading `target_ml` will have flowed at this pace; None while nothing flows."""
        pace = self.ml_per_s()
        return None if pace == 0 else max(0, target_ml - self.millilitres) * 1000 // pace

    def _plausible(self, before: Totaliser, now: Totaliser) -> int | None:
        elapsed_ms = now.mono_ms - before.mono_ms
        ml = self.nominal_ml_per_s * IMPLAUSIBLE_FACTOR * elapsed_ms // 1000 + SLACK_ML
        return grown(before.count, now.count, now.modulus, self.factor.counts(ml))

    def _is_older_suspect(self, reading: Totaliser) -> bool:
        return self.suspect is not None and reading.mono_ms <= self.suspect.mono_ms


@dataclass(frozen=True, slots=True)
class Volume:
    """What the meter proves between two counts; `certain` is false when they prove nothing."""

    poured_ml: int
    certain: bool


def between(before: int, after: int, modulus: int | None, factor: Factor, at_most_ml: int) -> Volume:
    """The volume between the counts of an intent and of a settled meter, whoever watched in between or not.

    `at_most_ml` is what can have flowed: what was asked for, and what the valve's own timer lets through after a death.
    """
    counts = grown(before, after, modulus, factor.counts(at_most_ml))
    return Volume(0, certain=False) if counts is None else Volume(factor.millilitres(counts), certain=True)


def overrun_ml(pace_ml_per_s: int, overrun_ms: int) -> int:
    """What still flows after the order to shut, at this pace."""
    return pace_ml_per_s * overrun_ms // 1000


# --- calibration ---

# Runs that lie further apart than this say more about the person who measures than about the meter.
SPREAD_PPM_MAX: Final = 20_000
# A factor this far from the maker's own is a wrong meter or a wrong jug, not a worn rotor.
FACTOR_CHANGE_MAX_PERCENT: Final = 30
# The reading of a kitchen scale and the last drops weigh little in half a litre.
MEASURED_ML_MIN: Final = 500
# Past this a meter is to be calibrated anew: makers promise 1 to 3 % of drift a year.
DRIFT_PPM_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class MeasuredPour:
    """What the meter counted of one pour, and what a person measured of it."""

    counts: int
    measured_ml: int


class CalibrationRefused(ValueError):
    """The runs cannot make a factor; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A factor from measured pours. `spread_ppm`: how far the runs lay apart, in millionths of the factor."""

    factor: Factor
    spread_ppm: int
    runs: int


def calibrate(runs: Sequence[MeasuredPour], default: Factor) -> Calibration:
    """The factor that the measured pours show; raises `CalibrationRefused` with the value and what was expected."""
    if not runs:
        raise CalibrationRefused("runs: none was measured, expected one or more pours")
    for run in runs:
        if run.measured_ml < MEASURED_ML_MIN:
            raise CalibrationRefused(f"measured_ml: {run.measured_ml} is little, expected {MEASURED_ML_MIN} or more")
        if run.counts <= 0:
            raise CalibrationRefused(f"counts: the meter counted {run.counts} in {run.measured_ml} ml: check the meter")
    each = [run.counts * 1_000_000 // run.measured_ml for run in runs]
    total = sum(run.counts for run in runs) * 1_000_000 // sum(run.measured_ml for run in runs)
    spread = (max(each) - min(each)) * 1_000_000 // total
    if spread > SPREAD_PPM_MAX:
        raise CalibrationRefused(
            f"spread: the runs lie {spread / 10_000:.1f} % apart, expected {SPREAD_PPM_MAX / 10_000:.0f} % or less:"
            " measure again, with the same jug on level ground"
        )
    if abs(total - default.pulses_per_litre_milli) * 100 > default.pulses_per_litre_milli * FACTOR_CHANGE_MAX_PERCENT:
        raise CalibrationRefused(
            f"factor: {total / 1000:.1f} counts per litre is more than {FACTOR_CHANGE_MAX_PERCENT} % from the maker's"
            f" {default.pulses_per_litre_milli / 1000:.1f}: check the meter's model and what was measured"
        )
    return Calibration(Factor(total), spread, len(runs))


def drift_ppm(run: MeasuredPour, factor: Factor) -> int:
    """How much more (or, negative, less) the meter shows than truly flowed, in millionths."""
    shown = factor.millilitres(run.counts)
    return (shown - run.measured_ml) * 1_000_000 // run.measured_ml


# --- drift, seen without a person ---

# A relay's timer is a clock, so an outlet's pace is a measure of the meter: pump and valve give what they gave when the
# meter was calibrated. Two pours differ by some percent, so medians of many are compared, and a shift of this size in
# each outlet is not chance. It is the meter, or a flow that really changed: a measured pour tells which.
PACES_COMPARED: Final = 49
SHIFT_PPM_MAX: Final = 30_000


def shift_ppm(outlets: Sequence[tuple[Sequence[int], Sequence[int]]]) -> int | None:
    """By how much all outlets became quicker (or, negative, slower) since the meter's factor was set, in millionths.

    Each outlet: the paces of its first pours with this factor, and of its last ones. The outlet that moved least
    counts: a worn meter shows in all of them, a clogged tap in one. None while no outlet has poured enough to tell.
    """
    shifts = [
        (median_low(last) - median_low(first)) * 1_000_000 // median_low(first)
        for first, last in outlets
        if len(first) >= PACES_COMPARED and len(last) >= PACES_COMPARED
    ]
    if not shifts:
        return None
    if min(shifts) < 0 < max(shifts):
        return 0
    return min(shifts, key=abs)
