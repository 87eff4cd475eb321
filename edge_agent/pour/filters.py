"""How long a filter cartridge still serves: powered hours, working hours and litres.

The two clocks count durations by the boot clock and nothing else, so setting the wall clock makes no cartridge older or
younger. What was counted is kept in the ledger as sums that only grow (the ledger refuses a smaller one), so a restart
makes none younger either; it loses no time, because the mark of the last tick says where to go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from shared.ids import BootId
from shared.water import FilterSpec

Condition = Literal["good", "near_end", "past_end"]

HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time of one boot."""

    boot_id: BootId
    mono_ms: int


def powered_since(mark: Moment | None, now: Moment) -> int:
    """Milliseconds for which the machine has had power since `mark`; never negative.

    Within one boot it is the difference. After another boot at least this whole boot has passed, and what the last one
    did after the mark is not known: too little is counted, never too much.
    """
    if mark is None or mark.boot_id != now.boot_id:
        return 0 if mark is None else now.mono_ms
    return max(0, now.mono_ms - mark.mono_ms)


@dataclass(frozen=True, slots=True)
class Wear:
    """What one cartridge has served since it was put in."""

    powered_ms: int = 0
    worked_ms: int = 0
    poured_ml: int = 0


def percent_left(spec: FilterSpec, wear: Wear) -> int:
    """How much of its life is left, 0 to 100, rounded up: by the measure that ends it first.

    The timer mode says which clocks count; litres count in every mode when the configuration sets them.
    """
    shares = []
    if spec.timer_mode in ("both", "powered"):
        shares.append((wear.powered_ms, spec.lifetime_hours * HOUR_MS))
    if spec.timer_mode in ("both", "working"):
        shares.append((wear.worked_ms, spec.worklife_hours * HOUR_MS))
    if spec.litres_max is not None:
        shares.append((wear.poured_ml, spec.litres_max * 1000))
    return min(_percent(used, whole) for used, whole in shares)


def condition(spec: FilterSpec, wear: Wear) -> Condition:
    """good, near_end (order a new one) or past_end."""
    left = percent_left(spec, wear)
    if left == 0:
        return "past_end"
    return "near_end" if left <= spec.warn_percent else "good"


def rejection_percent(tds_in_ppm: int | None, tds_out_ppm: int | None) -> int | None:
    """How much of what is dissolved the membrane holds back; None without both readings. New ones hold 90 to 98 %."""
    if not tds_in_ppm or tds_out_ppm is None:
        return None
    return max(0, 100 - tds_out_ppm * 100 // tds_in_ppm)


def _percent(used: int, whole: int) -> int:
    # Rounded up, so that 0 means past the end and nothing else. A life of 0 hours is over at once.
    return max(0, -(-(whole - used) * 100 // whole)) if whole > 0 else 0


# --- fitness of the water ---

# After a pause ions have crept through the membrane, and the first litre reads high without anything being wrong.
FLUSH_ML: Final = 1000
# One reading beside a bubble is no reason to stop a sale.
BAD_READINGS_MAX: Final = 3
# Fit again only well inside the limit, or the verdict would flicker at its edge.
FIT_AGAIN_PERCENT: Final = 90


@dataclass(frozen=True, slots=True)
class Quality:
    """Whether the water is fit to be given, and how many readings in a row say otherwise."""

    fit: bool = True
    contrary: int = 0

    def take(self, tds_out_ppm: int | None, tds_ppm_max: int) -> Quality:
        """The verdict after one more reading of flushed water; a silent probe changes nothing."""
        if tds_out_ppm is None:
            return self
        limit = tds_ppm_max if self.fit else tds_ppm_max * FIT_AGAIN_PERCENT // 100
        if (tds_out_ppm <= limit) == self.fit:
            return Quality(self.fit)
        if self.contrary + 1 < BAD_READINGS_MAX:
            return Quality(self.fit, self.contrary + 1)
        return Quality(not self.fit)
