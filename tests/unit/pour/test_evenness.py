"""An open outlet gives water along one line; air, leaks and a rotor that stands bend it, or do not fit its ends."""

import random

import pytest

from edge_agent.pour import evenness
from edge_agent.pour.evenness import (
    Doubt,
    Habit,
    Lesson,
    Moment,
    Point,
    Stay,
    between,
    doubt,
    habit,
    is_straight,
    line_through,
)

LAG_MS, OVERRUN_MS = 60, 300
USUAL = 13.5 * 3_600
KNOWN = Habit(pace=round(USUAL), lag_ms=LAG_MS, overrun_ms=OVERRUN_MS)
OPENED_MS = 1_000


def poured(
    *paces: tuple[int, float], every_ms: int = 110, air: float = 0.0, phase: float = 0.5
) -> tuple[list[Point], int, int]:
    """A pour of (ms, counts per second) one after the other: its readings, its settled count, when it was shut."""
    trace, counts, now = [Point(0, OPENED_MS)], phase + air, float(OPENED_MS + LAG_MS)
    look_ms = now + 40
    for lasts_ms, pace in paces:
        end = now + lasts_ms
        while look_ms <= end:
            trace.append(Point(int(counts + pace * (look_ms - now) / 1000), round(look_ms)))
            look_ms += every_ms
        counts, now = counts + pace * lasts_ms / 1000, end
    return trace, int(counts + paces[-1][1] * OVERRUN_MS / 1000), round(now)


def stay(ended_ms: int, *, spread_ms: int = 0, dry: bool = False) -> Stay:
    return Stay(Moment(OPENED_MS, spread_ms), Moment(ended_ms), dry)


def judged(*paces: tuple[int, float], known: Habit = KNOWN, air: float = 0.0, missing: float = 0.0) -> Doubt | None:
    trace, counts, shut_ms = poured(*paces, air=air)
    return doubt(trace, round(counts - missing), stay(shut_ms), known)


@pytest.mark.parametrize("lasts_ms", [1_000, 3_000, 7_000, 30_000, 120_000])
@pytest.mark.parametrize("pace", [12.0, 13.5, 15.0])
def test_one_pace_is_believed(lasts_ms: int, pace: float) -> None:
    if lasts_ms > 1_000 or pace == 13.5:  # a glass too small to have a pace of its own is held against the usual one
        assert judged((lasts_ms, pace)) is None


def test_a_sway_of_the_pump_is_believed() -> None:
    assert judged(*[(1_000, 13.5), (1_000, 13.9), (1_000, 13.1)] * 10) is None


@pytest.mark.parametrize(("quiet_ms", "leak_ms"), [(4_000, 8_000), (15_000, 5_000), (29_000, 1_000)])
def test_a_leak_that_comes_or_goes_is_not(quiet_ms: int, leak_ms: int) -> None:
    rest_ms = max(0, 30_000 - quiet_ms - leak_ms)
    assert judged((quiet_ms, 13.5), (leak_ms, 20.0), (rest_ms, 13.5)) is not None
    assert judged((leak_ms, 20.0), (30_000, 13.5)) is not None


def test_a_leak_all_the_time_is_not() -> None:
    why = judged((30_000, 18.0))
    assert why is not None
    assert why.told(2.2) == "39.6 ml/s flowed, usual are 29.7: a leak all the time, or another pump"


@pytest.mark.parametrize("air", [3, 5, 11])
@pytest.mark.parametrize("lasts_ms", [4_000, 10_000, 20_000])
def test_counts_before_the_first_drop_are_not(air: float, lasts_ms: int) -> None:
    assert judged((lasts_ms, 13.5), air=air) is not None


@pytest.mark.parametrize("missing", [3, 10])
def test_a_rotor_that_stood_at_the_end_is_not(missing: float) -> None:
    assert judged((10_000, 13.5), missing=missing) is not None
    assert judged((10_000, 13.5), missing=-missing) is not None, "nor a valve that hung"


def test_a_rotor_that_stood_in_between_is_not() -> None:
    assert judged((10_000, 13.5), (1_000, 0), (10_000, 13.5)) is not None


def test_one_percent_of_a_large_pour_may_be_off() -> None:
    assert judged((100_000, 13.5), missing=7) is None
    assert judged((100_000, 13.5), missing=14) is not None


def test_an_order_whose_time_is_not_known_leaves_a_small_pour_in_doubt() -> None:
    trace, counts, shut_ms = poured((10_000, 13.5))
    assert doubt(trace, counts, stay(shut_ms, spread_ms=300), KNOWN) is not None
    trace, counts, shut_ms = poured((60_000, 13.5))
    assert doubt(trace, counts, stay(shut_ms, spread_ms=300), KNOWN) is None


def test_the_end_of_a_new_outlets_pour_is_believed_if_any_valve_shuts_so() -> None:
    assert judged((10_000, 13.5), known=Habit()) is None
    assert judged((10_000, 13.5), known=Habit(), missing=-12) is not None, "no valve hangs for more than a second"
    assert judged((10_000, 13.5), known=Habit(), missing=9) is not None, "nor shuts before it is told"


def test_the_start_of_a_new_outlets_pour_is_not_earlier_than_a_valve_opens() -> None:
    assert judged((10_000, 13.5), known=Habit(), air=4) is not None
    assert judged((1_000, 13.5), known=Habit()) is not None, "too small to have a pace"


def test_water_that_ended_by_itself_is_held_against_its_start() -> None:
    trace, _, dry_ms = poured((10_000, 13.5))
    assert doubt(trace, trace[-1].counts, stay(dry_ms, dry=True), KNOWN) is None
    trace, _, dry_ms = poured((10_000, 13.5), air=4)
    assert doubt(trace, trace[-1].counts, stay(dry_ms, dry=True), KNOWN) is not None


def test_what_is_counted_after_the_water_has_ended_is_not_believed() -> None:
    """The pump comes back while a leak still runs: the settled meter shows more than was seen of the pour."""
    trace, _, dry_ms = poured((10_000, 13.5))
    for more in (3, 30):
        assert doubt(trace, trace[-1].counts + more, stay(dry_ms, dry=True), KNOWN) is not None


@pytest.mark.parametrize(("lasts_ms", "asked_late_ms", "believed"), [(10_000, 300, False), (60_000, 300, True)])
def test_what_may_have_passed_a_standing_rotor_until_a_probe_was_asked_is_a_part_of_the_doubt(
    lasts_ms: int, asked_late_ms: int, believed: bool
) -> None:
    trace, _, dry_ms = poured((lasts_ms, 13.5))
    why = doubt(trace, trace[-1].counts, stay(dry_ms + asked_late_ms, dry=True), KNOWN)
    assert (why is None) == believed, why


def test_nothing_flowed_for_certain_if_a_probe_has_shown_it_soon() -> None:
    nothing = [Point(0, OPENED_MS), Point(0, OPENED_MS + 3_000)]
    for known in (KNOWN, Habit()):
        assert doubt(nothing, 0, stay(OPENED_MS - 20, dry=True), known) is None
    assert doubt(nothing, 0, stay(OPENED_MS + 100, dry=True), KNOWN) is None
    assert doubt(nothing, 0, stay(OPENED_MS + 500, dry=True), KNOWN) is not None, "a rotor may have stood"
    assert doubt(nothing, 0, stay(OPENED_MS + 100, dry=True), Habit()) is not None


def test_air_at_the_start_does_not_make_up_for_water_that_ended_early() -> None:
    trace, counts, shut_ms = poured((30_000, 13.5), air=8)
    assert doubt(trace, counts - 8, stay(shut_ms), KNOWN) is not None


def test_a_count_was_true_between_its_question_and_its_answer() -> None:
    trace, counts, shut_ms = poured((20_000, 13.5))
    late = [Point(at.counts, at.mono_ms + 300, 320) if number % 40 == 20 else at for number, at in enumerate(trace)]
    assert doubt(late, counts, stay(shut_ms), KNOWN) is None
    punctual = [Point(at.counts, at.mono_ms) for at in late]
    assert doubt(punctual, counts, stay(shut_ms), KNOWN) is not None


def test_a_doubt_is_told_in_millilitres() -> None:
    why = judged((10_000, 13.5), missing=-3)
    assert why is not None
    assert why.told(2.0).startswith("the meter counted 6.")
    assert "ml more than pace and time explain, give or take 0." in why.told(2.0)
    why = judged((10_000, 13.5), missing=3)
    assert why is not None
    assert "ml less than" in why.told(2.0)


@pytest.mark.parametrize(
    ("asked_ms", "answered_ms", "moment"),
    [(100, 100, Moment(100)), (100, 130, Moment(100)), (100, 231, Moment(150, 51))],
)
def test_a_device_acts_when_it_is_asked_or_nobody_knows_when(asked_ms: int, answered_ms: int, moment: Moment) -> None:
    assert between(asked_ms, answered_ms) == moment
    assert asked_ms <= moment.at_ms - moment.spread_ms + 1
    assert moment.at_ms + moment.spread_ms <= answered_ms


def test_the_first_moments_take_part_in_the_line_only_if_they_lie_on_it() -> None:
    sound, _, _ = poured((4_000, 13.5))
    airy, _, _ = poured((300, 27.0), (3_700, 13.5))
    of_sound, of_airy = line_through(sound), line_through(airy)
    assert of_sound is not None
    assert of_airy is not None
    assert of_sound.pace_error < of_airy.pace_error
    assert of_airy.pace * 1000 == pytest.approx(13.5, rel=0.02), "the air has not bent it"
    assert judged((300, 27.0), (3_700, 13.5)) is not None


def test_a_glass_has_a_line_if_it_flows_evenly_from_its_first_moment() -> None:
    trace, _, _ = poured((2_300, 27.0))
    line = line_through(trace)
    assert line is not None
    assert line.pace * 1000 == pytest.approx(27.0, rel=0.03)


def test_a_slow_meter_hides_air_only_as_far_as_it_makes_its_pour_doubtful() -> None:
    """All of its answers come late, so all of its readings may be earlier than they seem: that is no scatter."""
    trace, counts, shut_ms = poured((30_000, 13.5), air=5)
    slow = [Point(at.counts, at.mono_ms + 600, 610) for at in trace]
    assert doubt(slow, counts, stay(shut_ms), KNOWN) is not None


def test_a_late_reading_hardly_moves_the_line() -> None:
    trace, _, _ = poured((4_000, 13.5))
    late = [Point(at.counts, at.mono_ms + 150, 160) if number == 30 else at for number, at in enumerate(trace)]
    sound, moved = line_through(trace), line_through(late)
    assert sound is not None
    assert moved is not None
    assert moved.at(5_300) == pytest.approx(sound.at(5_300), abs=0.1)


def test_a_valve_that_hangs_a_little_is_believed_as_far_as_readings_show_it() -> None:
    trace, counts, shut_ms = poured((10_000, 13.5))
    more = 3
    ran_on = [Point(counts + number, shut_ms + OVERRUN_MS + round(1000 * number / 13.5)) for number in range(more)]
    assert doubt(trace, counts + more, stay(shut_ms), KNOWN) is not None
    assert doubt(trace, counts + more, stay(shut_ms), KNOWN, ran_on) is None
    stood = [Point(counts, shut_ms + OVERRUN_MS + 200)]
    assert doubt(trace, counts + more, stay(shut_ms), KNOWN, stood) is not None, "what then came is no run-on"


def test_any_phase_of_the_counter_and_any_reading_lost_is_believed() -> None:
    dice = random.Random(4)
    for _ in range(300):
        trace, counts, shut_ms = poured((dice.randint(4_000, 40_000), 13.5), phase=dice.random())
        kept = [point for point in trace if point.mono_ms == OPENED_MS or dice.random() > 0.3]
        assert doubt(kept, counts, stay(shut_ms), KNOWN) is None


def test_a_disturbed_lesson_is_outvoted_and_few_lessons_are_not_trusted() -> None:
    sound = Lesson(48_600, 50, 300)
    assert habit([Lesson(70_000, -400, 1_900), sound, sound, sound]) == Habit(48_600, 50, 300)
    assert habit([sound] * 9 + [Lesson(1, 1, 1)] * 90) == Habit(48_600, 50, 300)
    assert habit([sound, sound]) == Habit(overrun_ms=300)
    assert habit([]) == Habit()


def test_many_pours_with_air_do_not_become_a_habit() -> None:
    airy = [Lesson(48_600, -300, 300)] * 6
    assert habit([*airy, *[Lesson(48_600, 55, 300)] * 3]).lag_ms == 55
    assert habit(airy).pace is None


def test_a_trace_keeps_its_limit_and_its_line() -> None:
    trace: list[Point] = []
    for number in range(3 * evenness.POINTS_MAX):
        evenness.keep(trace, Point(number, 100 * number))
    assert len(trace) <= evenness.POINTS_MAX
    line = line_through(trace)
    assert line is not None
    assert line.per_hour == 36_000
    assert is_straight(trace, line)
