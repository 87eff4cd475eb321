"""Was it water all the time? An outlet has one pace; air in the meter and a leak behind it have another for a while.

Three looks at the counts of a pour, each for what the others cannot see:

    windows    the pour is cut into windows of some counts; two whose paces differ by more than water does: a leak that
               came or went, a rotor that stood
    usual      the pace of the outlet's last pours; a window far from it: a leak that lasted from the first drop to the
               last
    head       counts in the first moments of a stretch that the pace of the rest (or the usual one, when there is no
               rest) does not explain: air, which is out of the hose before a window is over

A pause, when the valve fell shut on the way, ends a stretch and begins another. Readings that are missing are no pause.
The usual pace is learned from doubtful pours as well, so that a new pump is believed after some of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median_low
from typing import Final

HOUR_MS: Final = 3_600_000

# One count more or less in forty is 2.5 percent, well below what is looked for.
WINDOW_COUNTS: Final = 40
WINDOW_MS: Final = 1_000
# Pressure behind a pump sways by some percent; a hole in a hose is half as wide as an outlet.
UNEVEN_PERCENT: Final = 20
UNUSUAL_PERCENT: Final = 25
# A gap in which so many counts were due is a pause; before a pace is known, one of so many milliseconds.
PAUSE_COUNTS: Final = 4
PAUSE_MS: Final = 700
# The first moments of a stretch: air in a hose of a metre is out by then.
HEAD_MS: Final = 3_000
# What the head may have beyond its explanation: half a percent of the pour, but not less than two counts, by which it
# is uncertain anyway; explained by the usual pace, as much as two pours of one outlet differ.
AIR_PERMILLE: Final = 5
AIR_COUNTS_MIN: Final = 2
USUAL_SWAY_PERCENT: Final = 8
# The usual pace is the median of so many pours.
PACES_REMEMBERED: Final = 9
PACE_COUNTS_MIN: Final = 20


@dataclass(frozen=True, slots=True)
class Point:
    """So many counts since the pour began, at a time."""

    counts: int
    mono_ms: int


def usual_pace(paces: Sequence[int]) -> int | None:
    """The pace of an outlet by its last pours, newest first, in counts per hour; None for a new outlet."""
    known = paces[:PACES_REMEMBERED]
    return median_low(known) if known else None


@dataclass(frozen=True, slots=True)
class Evenness:
    """What is known of the pace so far. `start` is where this stretch began, `last` the newest growth."""

    start: Point
    usual: int | None = None
    window: Point | None = None
    last: Point | None = None
    head: Point | None = None
    quiet_ms: int = 0
    resting: bool = False
    slowest: int | None = None
    fastest: int | None = None
    air: bool = False

    def take(self, now: Point) -> Evenness:
        """One more look at the open valve."""
        last = self.last or self.start
        if now.counts == last.counts:
            resting = self.resting or (last.counts > self.start.counts and self._is_pause(now.mono_ms - last.mono_ms))
            return replace(self, quiet_ms=now.mono_ms, resting=resting)
        if self.resting:
            start = Point(last.counts, self.quiet_ms)
            air = self.air or self._began_with_air()
            return replace(self, start=start, window=now, last=now, head=None, resting=False, air=air)
        if self.window is None:
            return replace(self, window=now, last=now)
        head = self.head
        if head is None and now.mono_ms - self.start.mono_ms >= HEAD_MS:
            head = now
        if now.counts - self.window.counts < WINDOW_COUNTS or now.mono_ms - self.window.mono_ms < WINDOW_MS:
            return replace(self, last=now, head=head)
        pace = _pace(self.window, now)
        slowest = pace if self.slowest is None else min(self.slowest, pace)
        fastest = pace if self.fastest is None else max(self.fastest, pace)
        return replace(self, window=now, last=now, head=head, slowest=slowest, fastest=fastest)

    @property
    def is_even(self) -> bool:
        """Whether all that was counted may have been water for the buyer."""
        slowest, fastest = self.slowest, self.fastest
        if slowest is not None and fastest is not None:
            if _differ(slowest, fastest, UNEVEN_PERCENT):
                return False
            if self.usual is not None and (
                _differ(self.usual, fastest, UNUSUAL_PERCENT) or _differ(slowest, self.usual, UNUSUAL_PERCENT)
            ):
                return False
        return not self.air and not self._began_with_air()

    @property
    def pace(self) -> int | None:
        """The pace after the head, for the outlet to be known by; None when there was too little of it."""
        if self.head is None or self.last is None:
            return None
        grown = self.last.counts - self.head.counts
        if grown < PACE_COUNTS_MIN or self.last.mono_ms - self.head.mono_ms < WINDOW_MS:
            return None
        return _pace(self.head, self.last)

    def _is_pause(self, quiet_ms: int) -> bool:
        pace = self.slowest or self.usual
        return quiet_ms > PAUSE_MS if pace is None else pace * quiet_ms >= PAUSE_COUNTS * HOUR_MS

    def _began_with_air(self) -> bool:
        if self.last is None:
            return False
        if self.pace is not None and self.head is not None:
            head, pace = self.head, self.pace
            may_exceed = max(AIR_COUNTS_MIN, self.last.counts * AIR_PERMILLE // 1000)
        elif self.usual is not None:
            head, pace = self.last, self.usual
            may_exceed = AIR_COUNTS_MIN + (head.counts - self.start.counts) * USUAL_SWAY_PERCENT // 100
        else:
            return False
        explained = pace * (head.mono_ms - self.start.mono_ms) // HOUR_MS
        return head.counts - self.start.counts - explained > may_exceed


def _pace(start: Point, end: Point) -> int:
    return (end.counts - start.counts) * HOUR_MS // (end.mono_ms - start.mono_ms)


def _differ(low: int, high: int, percent: int) -> bool:
    return high * 100 > low * (100 + percent)
