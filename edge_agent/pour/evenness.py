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
from typing import Final

HOUR_MS: Final = 3_600_000

# A bill may be off by one percent, or by two counts, because a meter cannot show less than one at either end. Of both
# something is kept for the estimate, which errs as well: a valve that shuts 30 ms late is half a count.
TOLERANCE_SHARE: Final = 0.006
TOLERANCE_COUNTS: Final = 1.7
# A device does what it is told, and counts, when it has heard the question; its answer is here some ms later. An answer
# that takes longer than on a quiet line waited somewhere: on the way there, or on the way back.
QUICK_MS: Final = 30
# What a reading may lie beside the line: rounding is half a count, the rest is for a pump that sways.
BESIDE_SHARE: Final = 0.0075
BESIDE_COUNTS: Final = 1.5
# The first moments take part in the line only if they lie on it: air is out of a hose of a metre by then.
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
UNUSUAL_SHARE: Final = 0.15
# So many pours teach; the mean of their middle counts, so that disturbed ones are outvoted and the sway of a valve, of
# which each saw another part, evens out.
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
class Moment:
    """When something happened, and by how many ms that may be wrong to either side."""

    at_ms: int
    spread_ms: int = 0


def between(asked_ms: int, answered_ms: int) -> Moment:
    """When a device did what it was asked, of which no more is known than when it was asked and when it answered."""
    waited_ms = max(0, answered_ms - asked_ms - QUICK_MS)
    return Moment(asked_ms + waited_ms // 2, (waited_ms + 1) // 2)


@dataclass(frozen=True, slots=True)
class Point:
    """So many counts since the pour began, answered at a time; the count was true at some moment of the `took_ms`
    before it.
    """

    counts: int
    mono_ms: int
    took_ms: int = 0

    @property
    def moment(self) -> Moment:
        """When it was true."""
        return between(self.mono_ms - self.took_ms, self.mono_ms)


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
    overrun_ms = _middle([lesson.overrun_ms for lesson in known])
    if len(known) < LESSONS_MIN:
        return Habit(overrun_ms=overrun_ms, nominal=nominal)
    pace, lag_ms = _middle([lesson.pace for lesson in known]), _middle([lesson.lag_ms for lesson in known])
    return Habit(pace, lag_ms, overrun_ms)


def _middle(values: Sequence[int]) -> int:
    """The mean of the middle half: of three the median, of nine that of five."""
    beside = (len(values) + 1) // 4
    middle = sorted(values)[beside : len(values) - beside]
    return round(sum(middle) / len(middle))


def _is_a_valves(lesson: Lesson) -> bool:
    """Air in the meter looks like water before the valve has opened: many such pours must not become a habit."""
    return LAG_MS_MIN <= lesson.lag_ms <= LAG_MS_MAX and lesson.overrun_ms <= OVERRUN_MS_MAX


@dataclass(frozen=True, slots=True)
class Line:
    """The line through a pour's readings: `pace` and `pace_error` in counts per ms, through one point of it.

    `spread_ms`: by how much all of its readings together may be earlier or later than they are taken for.
    """

    pace: float
    pace_error: float
    mid_ms: float
    mid_counts: float
    spread_ms: float

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
    """The line through a pour's readings; None for a pour that is too short for one."""
    flowing = grown_part(trace)
    if not _is_enough(flowing):
        return None
    head = [point for point in flowing if point.mono_ms < flowing[0].mono_ms + HEAD_MS]
    whole = _least_squares(flowing)
    if _beside(head, whole) <= ROUNDING_COUNTS:
        return whole
    body = flowing[len(head) :]
    return _least_squares(body) if _is_enough(body) else None


def _is_enough(points: Sequence[Point]) -> bool:
    """Whether a line can be drawn through these."""
    if len(points) < LINE_POINTS:
        return False
    return points[-1].mono_ms - points[0].mono_ms >= LINE_MS and points[-1].counts - points[0].counts >= LINE_COUNTS


def _least_squares(points: Sequence[Point]) -> Line:
    """The line with the least squares, each in the measure of what its reading's count and time may be off by."""
    about = (points[-1].counts - points[0].counts) / (points[-1].mono_ms - points[0].mono_ms)
    rows = [(point.moment, point.counts) for point in points]
    shares = [1 / (SCATTER_COUNTS**2 + (about * moment.spread_ms) ** 2 / 3) for moment, _ in rows]
    known = list(zip(shares, rows, strict=True))
    weight = sum(shares)
    mid_ms = sum(share * moment.at_ms for share, (moment, _) in known) / weight
    mid_counts = sum(share * counts for share, (_, counts) in known) / weight
    spread_ms = sum(share * moment.spread_ms for share, (moment, _) in known) / weight
    square = sum(share * (moment.at_ms - mid_ms) ** 2 for share, (moment, _) in known)
    lean = sum(share * (moment.at_ms - mid_ms) * (counts - mid_counts) for share, (moment, counts) in known)
    return Line(lean / square, 1 / math.sqrt(square), mid_ms, mid_counts, spread_ms)


def beside(trace: Sequence[Point], line: Line) -> float:
    """How many counts the worst reading lies beside the line, met anywhere between its question and its answer."""
    return _beside(grown_part(trace), line)


def _beside(points: Sequence[Point], line: Line) -> float:
    return max(
        max(line.at(point.mono_ms - point.took_ms) - point.counts, point.counts - line.at(point.mono_ms), 0.0)
        for point in points
    )


def is_straight(trace: Sequence[Point], line: Line) -> bool:
    """Whether every reading lies on the line."""
    return beside(trace, line) <= max(BESIDE_COUNTS, grown_part(trace)[-1].counts * BESIDE_SHARE)


@dataclass(frozen=True, slots=True)
class Stay:
    """From when to when water had a way to the buyer.

    It ended when the relay shut the valve, or, if `dry`, before that by itself: since `ended` a probe has shown that
    there was no water, and until then some may have passed a rotor that stood.
    """

    opened: Moment
    ended: Moment
    dry: bool = False

    @property
    def open_ms(self) -> int:
        """For how long."""
        return self.ended.at_ms - self.opened.at_ms

    @property
    def spread_ms(self) -> int:
        """By how much that may be wrong."""
        return self.opened.spread_ms + self.ended.spread_ms


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a count cannot be believed: a sentence with a place for each of `counts`, which it tells as volumes."""

    sentence: str
    counts: tuple[float, ...] = ()

    def told(self, count_ml: float) -> str:
        """The sentence, of a meter of which one count is so much."""
        return self.sentence.format(*(f"{count * count_ml:.1f}" for count in self.counts))


def doubt(trace: Sequence[Point], counts: int, stay: Stay, known: Habit, run_on: Sequence[Point] = ()) -> Doubt | None:
    """Why the settled `counts` cannot be believed to be water for the buyer; None when they can.

    `run_on`: the readings after the order to shut, while the meter still grew.
    """
    line = line_through(trace)
    if line is None:
        return _doubt_of_a_glass(counts, stay, known)
    if not is_straight(trace, line):
        return Doubt("the pace jumped: a leak that came or went, or a rotor that stood")
    if known.pace is not None and not _about(line.per_hour, known.pace):
        return Doubt("{} ml/s flowed, usual are {}: a leak all the time, or another pump", _per_s(line, known.pace))
    if known.pace is None and known.nominal is not None and line.per_hour > known.nominal * (1 + UNUSUAL_SHARE):
        return Doubt("{} ml/s flowed, this new outlet is set to {}: perhaps a leak", _per_s(line, known.nominal))
    began_ms = stay.opened.at_ms + known.lag_ms
    early, error = line.at(began_ms), line.pace_error * (line.mid_ms - began_ms)
    error += line.pace * (line.spread_ms + stay.spread_ms)
    error += max(0.0, beside(trace, line) - ROUNDING_COUNTS)
    late = 0.0
    if known.pace is None:
        early = math.copysign(max(0.0, abs(early) - line.pace * LAG_SPREAD_MS), early)
    if stay.dry:
        seen = trace[-1].counts  # what came after that found another way, or the pump is back
        late = counts - seen
        error += max(LAST_COUNT, line.at(stay.ended.at_ms) - seen)
    elif known.pace is None:
        overrun = counts - line.at(stay.ended.at_ms)
        if not -1 <= overrun <= line.pace * OVERRUN_MS_MAX:
            if overrun < 0:
                return Doubt("{} ml too little came before the order to shut: a rotor that stood", (-overrun,))
            return Doubt("{} ml came after the order to shut, which no valve gives", (overrun,))
    else:
        ended_ms = stay.ended.at_ms + known.overrun_ms
        late = counts - line.at(ended_ms)
        if late > 0:
            late = max(0.0, counts - line.at(max(ended_ms, _ran_until_ms(run_on, line, stay))))
        error += line.pace_error * (ended_ms - line.mid_ms)
    # Air at the start and water that ended early must not make up for each other.
    return _doubt_of(max(early, late, early + late, key=abs), error, counts)


def _ran_until_ms(run_on: Sequence[Point], line: Line, stay: Stay) -> int:
    """Until when readings show that it ran on as before: a valve may hang a little longer than it usually does."""
    ran_ms = [point.moment.at_ms for point in run_on if _beside([point], line) <= ROUNDING_COUNTS]
    return min(max(ran_ms, default=stay.ended.at_ms), stay.ended.at_ms + OVERRUN_MS_MAX)


def _per_s(line: Line, per_hour: int) -> tuple[float, float]:
    return line.pace * 1000, per_hour * 1000 / HOUR_MS


def _doubt_of_a_glass(counts: int, stay: Stay, known: Habit) -> Doubt | None:
    """The same of a pour too small for a line: it is held against the outlet's usual pace."""
    if stay.dry and stay.open_ms <= 0:
        return _doubt_of(counts, 0, counts)
    if known.pace is None:
        return Doubt("the pour was too short for an outlet of which nothing is known")
    pace = known.pace / HOUR_MS
    if stay.dry:
        most = pace * (stay.open_ms - known.lag_ms + stay.spread_ms)
        return _doubt_of(max(counts, most - counts), 0, counts)
    beyond = counts - pace * (stay.open_ms + known.overrun_ms - known.lag_ms)
    return _doubt_of(beyond, counts * USUAL_SWAY + pace * stay.spread_ms, counts)


def _doubt_of(beyond: float, error: float, counts: int) -> Doubt | None:
    """`beyond`: how many counts more than the pace explains; `error`: how far off that estimate may be."""
    allowed = max(TOLERANCE_COUNTS, counts * TOLERANCE_SHARE)
    if abs(beyond) + error <= allowed:
        return None
    what = "more" if beyond > 0 else "less"
    sentence = f"the meter counted {{}} ml {what} than pace and time explain, give or take {{}}; {{}} may be off"
    return Doubt(sentence, (abs(beyond), error, allowed))


def _about(pace: int, usual: int) -> bool:
    return usual <= pace * (1 + UNUSUAL_SHARE) and pace <= usual * (1 + UNUSUAL_SHARE)
