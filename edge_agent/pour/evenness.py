"""Was it water all the time? A pump gives one pace; air in the meter and a leak behind it give another for a while.

The pour is cut into windows of at least `WINDOW_COUNTS` counts and `WINDOW_MS`. When the paces of two windows differ by
more than water does, nobody can say which of them was what the buyer got. A pause (the valve fell shut) ends a window
and says nothing; readings that are missing are no pause. Air comes in the first moments and may be over before a window
is: it shows as more counts in the head of the pour than the pace of the rest explains.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

# One count more or less in forty is 2.5 percent, well below what is looked for.
WINDOW_COUNTS: Final = 40
WINDOW_MS: Final = 1_000
# Pressure behind a pump sways by some percent; a hole in a hose is half as wide as an outlet.
UNEVEN_PERCENT: Final = 20
# No counts for so long is a pause: ten looks, or three counts of a slow outlet.
PAUSE_MS: Final = 700
# The first moments of a pour: air in a hose of a metre is out by then.
HEAD_MS: Final = 3_000
# What air may fake before somebody looks at it: half a percent of the pour, but not less than two counts, by which the
# head of a pour is uncertain anyway.
AIR_PERMILLE: Final = 5
AIR_COUNTS_MIN: Final = 2


@dataclass(frozen=True, slots=True)
class Point:
    """So many counts since the pour began, at a time."""

    counts: int
    mono_ms: int


@dataclass(frozen=True, slots=True)
class Evenness:
    """The slowest and the fastest window so far, in counts per hour (an integer fine enough for any meter)."""

    opened_ms: int
    window: Point | None = None
    last: Point | None = None
    head: Point | None = None
    slowest: int | None = None
    fastest: int | None = None
    resting: bool = False
    paused: bool = False

    def take(self, now: Point) -> Evenness:
        """One more look at the open valve."""
        last = self.last
        if last is None or self.window is None:
            return replace(self, window=now, last=now)
        if now.counts == last.counts:
            return replace(self, resting=True) if now.mono_ms - last.mono_ms > PAUSE_MS else self
        if self.resting:
            return replace(self, window=now, last=now, resting=False, paused=self.paused or last.counts > 0)
        head = self.head
        if head is None and now.mono_ms - self.opened_ms >= HEAD_MS:
            head = now
        counts, elapsed_ms = now.counts - self.window.counts, now.mono_ms - self.window.mono_ms
        if counts < WINDOW_COUNTS or elapsed_ms < WINDOW_MS:
            return replace(self, last=now, head=head)
        pace = _pace(counts, elapsed_ms)
        return replace(
            self,
            window=now,
            last=now,
            head=head,
            slowest=pace if self.slowest is None else min(self.slowest, pace),
            fastest=pace if self.fastest is None else max(self.fastest, pace),
        )

    @property
    def is_even(self) -> bool:
        """Whether all that was counted may have been water for the buyer."""
        slowest, fastest = self.slowest, self.fastest
        if slowest is not None and fastest is not None and fastest * 100 > slowest * (100 + UNEVEN_PERCENT):
            return False
        return self.paused or not self._began_with_air()

    def _began_with_air(self) -> bool:
        head, last = self.head, self.last
        if head is None or last is None or last.mono_ms - head.mono_ms < WINDOW_MS:
            return False
        pace = _pace(last.counts - head.counts, last.mono_ms - head.mono_ms)
        explained = pace * (head.mono_ms - self.opened_ms) // 3_600_000
        return head.counts - explained > max(AIR_COUNTS_MIN, last.counts * AIR_PERMILLE // 1000)


def _pace(counts: int, elapsed_ms: int) -> int:
    return counts * 3_600_000 // elapsed_ms
