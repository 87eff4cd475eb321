"""Was it all water, and all of it for the buyer? An outlet that is open gives water along one straight line.

    counts
      |                        ___  what the settled meter shows
      |                    .-'
      |                .-'|     |
      |            .-'    |overrun
      |        .-'        |
      |____.-'            |
      |lag|               |
     opened              shut     time

Everything that makes a count lie bends this line or does not fit its ends: air counts before water can have come, a
leak is a kink or a steeper line than the outlet ever had, a rotor that stands is a step or a count that ends too early.
So three questions, asked of the readings and of what the outlet's last pours taught (`Habit`):

    straight   does every reading lie on the line through all of them
    usual      is the line about as steep as the outlet's last ones
    complete   do the line's pace and the time between the relay's two answers explain the settled count: the pace times
               (open time - lag + overrun)

The last one is an estimate of the bill's error, and it has an uncertainty of its own: the pace of a short pour, an
outlet of which little is known, an order whose hour is not known. Only if both together stay within one percent, or
within two counts of the meter, is the pour certain. Whatever cannot be known makes it doubtful; nothing is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Final

HOUR_MS: Final = 3_600_000

# A bill may be off by one percent, or by two counts, because a meter cannot show less than one at either end. Of both
# something is kept for the estimate, which errs as well: a valve that shuts 30 ms late is half a count.
TOLERANCE_SHARE: Final = 0.006
TOLERANCE_COUNTS: Final = 1.7
# What a reading may lie beside the line: rounding is half a count, the rest is for a pump that sways.
BESIDE_SHARE: Final = 0.0075
BESIDE_COUNTS: Final = 1.5
# The first moments take no part in the line, though they are held against it: air is out of a hose of a metre by then.
HEAD_MS: Final = 1_000
# A line needs so much behind the head; a shorter pour is held against the usual pace.
LINE_MS: Final = 1_500
LINE_COUNTS: Final = 20
LINE_POINTS: Final = 8
# Rounding to whole counts scatters a reading by 1/sqrt(12) of a count.
SCATTER_COUNTS: Final = 0.29
# So much a sound reading lies beside its line; a line that is bent by more is off by as much at its ends.
ROUNDING_COUNTS: Final = 0.75
# Of a pour that ended by itself the last half count more or less is not seen.
LAST_COUNT: Final = 0.5
# Two pours of one outlet differ by as much in pace; further off is a leak all the time, or another pump.
USUAL_SWAY: Final = 0.02
UNUSUAL_SHARE: Final = 0.25
# So many pours teach; their medians count, so that a disturbed one is outvoted.
LESSONS_REMEMBERED: Final = 9
LESSONS_MIN: Final = 3
# A new outlet: valves open within 20 to 80 ms and shut within 20 to 60 (direct) or 100 to 600 (pilot), an answer comes
# some milliseconds after its deed. Until it is known better, its pours are believed if any valve could have made them.
LAG_GUESS_MS: Final = 50
LAG_SPREAD_MS: Final = 40
OVERRUN_GUESS_MS: Final = 200
OVERRUN_MS_MAX: Final = 800
# The relay's answer may come after the first drop, and a long dry hose may fill first.
LAG_MS_MIN: Final = -60
LAG_MS_MAX: Final = 400
# Five minutes at ten looks a second are fewer; of a longer pour every second point is dropped.
POINTS_MAX: Final = 4_096


@dataclass(frozen=True, slots=True)
class Point:
    """So many counts since the pour began, at a time; the count was true at some moment of the last `took_ms`."""

    counts: int
    mono_ms: int
    took_ms: int = 0


@dataclass(frozen=True, slots=True)
class Lesson:
    """One pour: counts per hour, ms from the order to open to the first drop, ms from the order to shut to the last."""

    pace: int
    lag_ms: int
    overrun_ms: int


@dataclass(frozen=True, slots=True)
class Habit:
    """What an outlet is known for, paces in counts per hour.

    While it is new, `pace` is None, the times are guesses, and `nominal` is what it was configured to give.
    """

    pace: int | None = None
    lag_ms: int = LAG_GUESS_MS
    overrun_ms: int = OVERRUN_GUESS_MS
    nominal: int | None = None


def habit(lessons: Sequence[Lesson], nominal: int | None = None) -> Habit:
    """What the last pours show, newest first; straight ones, believed or not, or a new pump would never be learned."""
    known = [lesson for lesson in lessons[:LESSONS_REMEMBERED] if _is_a_valves(lesson)]
    if not known:
        return Habit(nominal=nominal)
    overrun_ms = median_low([lesson.overrun_ms for lesson in known])
    if len(known) < LESSONS_MIN:
        return Habit(overrun_ms=overrun_ms, nominal=nominal)
    pace, lag_ms = median_low([lesson.pace for lesson in known]), median_low([lesson.lag_ms for lesson in known])
    return Habit(pace, lag_ms, overrun_ms)


def _is_a_valves(lesson: Lesson) -> bool:
    """Air in the meter looks like water before the valve has opened: many such pours must not become a habit."""
    return LAG_MS_MIN <= lesson.lag_ms <= LAG_MS_MAX and lesson.overrun_ms <= OVERRUN_MS_MAX


@dataclass(frozen=True, slots=True)
class Line:
    """The line through a pour's readings: `pace` and `pace_error` in counts per ms, through one point of it."""

    pace: float
    pace_error: float
    mid_ms: float
    mid_counts: float

    def at(self, mono_ms: float) -> float:
        """The count that the line has at a time."""
        return self.mid_counts + self.pace * (mono_ms - self.mid_ms)

    @property
    def per_hour(self) -> int:
        return round(self.pace * HOUR_MS)


def keep(trace: list[Point], point: Point) -> None:
    """Add a point to a trace that never grows beyond its limit."""
    if len(trace) >= POINTS_MAX:
        del trace[1::2]
    trace.append(point)


def grown_part(trace: Sequence[Point]) -> Sequence[Point]:
    """From the first reading that had grown to the last one that did: before and after it nothing is known to flow."""
    first = next((number for number, point in enumerate(trace) if point.counts > trace[0].counts), len(trace))
    last = len(trace)
    while last > first + 1 and trace[last - 1].counts == trace[last - 2].counts:
        last -= 1
    return trace[first:last]


def line_through(trace: Sequence[Point]) -> Line | None:
    """The line with the least squares; None for a pour that is too short for one."""
    flowing = grown_part(trace)
    body = [point for point in flowing if point.mono_ms >= flowing[0].mono_ms + HEAD_MS]
    if len(body) < LINE_POINTS:
        return None
    if body[-1].mono_ms - body[0].mono_ms < LINE_MS or body[-1].counts - body[0].counts < LINE_COUNTS:
        return None
    mid_ms = sum(point.mono_ms for point in body) / len(body)
    mid_counts = sum(point.counts for point in body) / len(body)
    square = sum((point.mono_ms - mid_ms) ** 2 for point in body)
    pace = sum((point.mono_ms - mid_ms) * (point.counts - mid_counts) for point in body) / square
    return Line(pace, SCATTER_COUNTS / math.sqrt(square), mid_ms, mid_counts)


def beside(trace: Sequence[Point], line: Line) -> float:
    """How many counts the worst reading lies beside the line, met anywhere between its question and its answer."""
    return max(
        max(line.at(point.mono_ms - point.took_ms) - point.counts, point.counts - line.at(point.mono_ms), 0.0)
        for point in grown_part(trace)
    )


def is_straight(trace: Sequence[Point], line: Line) -> bool:
    """Whether every reading lies on the line."""
    return beside(trace, line) <= max(BESIDE_COUNTS, grown_part(trace)[-1].counts * BESIDE_SHARE)


@dataclass(frozen=True, slots=True)
class Stay:
    """From when to when water had a way to the buyer; `spread_ms` is how far off these times may be.

    It ended when the relay shut the valve, or, if `dry`, before that by itself: since `ended_ms` a probe has shown that
    there was no water, and until then some may have passed a rotor that stood.
    """

    opened_ms: int
    ended_ms: int
    spread_ms: int = 0
    dry: bool = False


def doubt(trace: Sequence[Point], counts: int, stay: Stay, known: Habit) -> str | None:
    """Why the settled `counts` cannot be believed to be water for the buyer; None when they can."""
    line = line_through(trace)
    if line is None:
        return _doubt_of_a_glass(counts, stay, known)
    if not is_straight(trace, line):
        return "the pace jumped: a leak that came or went, or a rotor that stood"
    if known.pace is not None and not _about(line.per_hour, known.pace):
        return f"{line.per_hour} counts an hour, and this outlet's usual ones are {known.pace}: a leak all the time"
    if known.pace is None and known.nominal is not None and line.per_hour > known.nominal * (1 + UNUSUAL_SHARE):
        return f"{line.per_hour} counts an hour, and this new outlet was said to give {known.nominal}: perhaps a leak"
    began_ms = stay.opened_ms + known.lag_ms
    early, error = line.at(began_ms), line.pace_error * (line.mid_ms - began_ms) + line.pace * stay.spread_ms
    error += max(0.0, beside(trace, line) - ROUNDING_COUNTS)
    late = 0.0
    if known.pace is None:
        early = math.copysign(max(0.0, abs(early) - line.pace * LAG_SPREAD_MS), early)
    if stay.dry:
        seen = trace[-1].counts  # what came after that found another way, or the pump is back
        late = counts - seen
        error += max(LAST_COUNT, line.at(stay.ended_ms) - seen)
    elif known.pace is None:
        overrun = counts - line.at(stay.ended_ms)
        if not -1 <= overrun <= line.pace * OVERRUN_MS_MAX:
            return f"{overrun:+.1f} counts after the order to shut, which no valve gives"
    else:
        ended_ms = stay.ended_ms + known.overrun_ms
        late = counts - line.at(ended_ms)
        error += line.pace_error * (ended_ms - line.mid_ms)
    # Air at the start and water that ended early must not make up for each other.
    return _doubt_of(max(early, late, early + late, key=abs), error, counts)


def _doubt_of_a_glass(counts: int, stay: Stay, known: Habit) -> str | None:
    """The same of a pour too small for a line: it is held against the outlet's usual pace."""
    if stay.dry and stay.ended_ms <= stay.opened_ms:
        return _doubt_of(counts, 0, counts)
    if known.pace is None:
        return "the pour was too short for an outlet of which nothing is known"
    pace = known.pace / HOUR_MS
    if stay.dry:
        most = pace * (stay.ended_ms - stay.opened_ms - known.lag_ms + stay.spread_ms)
        return _doubt_of(max(counts, most - counts), 0, counts)
    beyond = counts - pace * (stay.ended_ms + known.overrun_ms - stay.opened_ms - known.lag_ms)
    return _doubt_of(beyond, counts * USUAL_SWAY + pace * stay.spread_ms, counts)


def _doubt_of(beyond: float, error: float, counts: int) -> str | None:
    """`beyond`: how many counts more than the pace explains; `error`: how far off that estimate may be."""
    allowed = max(TOLERANCE_COUNTS, counts * TOLERANCE_SHARE)
    if abs(beyond) + error <= allowed:
        return None
    return f"{beyond:+.1f} counts that no pace explains, give or take {error:.1f}: at most {allowed:.1f} may be off"


def _about(pace: int, usual: int) -> bool:
    return usual <= pace * (1 + UNUSUAL_SHARE) and pace <= usual * (1 + UNUSUAL_SHARE)
