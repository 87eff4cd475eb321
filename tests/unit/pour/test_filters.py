"""Filters: three timer modes, never younger over restarts and clock steps, quality with patience."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.pour.filters import (
    BAD_READINGS_MAX,
    HOUR_MS,
    Moment,
    Quality,
    Wear,
    condition,
    percent_left,
    powered_since,
    rejection_percent,
)
from shared.clock import ManualClock
from shared.ids import BootId
from shared.water import FilterSpec, TimerMode


def spec(mode: TimerMode = "both", *, litres_max: int | None = None) -> FilterSpec:
    return FilterSpec(
        position=1, name="PPC", timer_mode=mode, lifetime_hours=4320, worklife_hours=540, litres_max=litres_max
    )


@pytest.mark.parametrize(
    ("mode", "powered_h", "worked_h", "left"),
    [
        ("both", 0, 0, 100),
        ("both", 2160, 54, 50),
        ("both", 432, 270, 50),
        ("powered", 2160, 540, 50),
        ("working", 4320, 270, 50),
        ("both", 4319, 0, 1),
        ("both", 4320, 0, 0),
        ("working", 0, 999, 0),
    ],
)
def test_the_timer_mode_says_which_clock_counts(mode: TimerMode, powered_h: int, worked_h: int, left: int) -> None:
    assert percent_left(spec(mode), Wear(powered_h * HOUR_MS, worked_h * HOUR_MS)) == left


def test_litres_count_in_every_mode_when_they_are_limited() -> None:
    assert percent_left(spec("powered", litres_max=2000), Wear(poured_ml=1_500_000)) == 25
    assert percent_left(spec("powered"), Wear(poured_ml=1_500_000)) == 100


@pytest.mark.parametrize(
    ("powered_h", "expected"), [(0, "good"), (3844, "good"), (3888, "near_end"), (4319, "near_end"), (4320, "past_end")]
)
def test_the_condition_follows_from_what_is_left(powered_h: int, expected: str) -> None:
    assert condition(spec("powered"), Wear(powered_h * HOUR_MS)) == expected


WEARS = st.builds(Wear, st.integers(0, 10**11), st.integers(0, 10**11), st.integers(0, 10**10))


@given(WEARS, WEARS, st.sampled_from(["both", "powered", "working"]), st.none() | st.integers(1, 10_000))
def test_service_never_makes_a_filter_younger(a: Wear, b: Wear, mode: TimerMode, litres: int | None) -> None:
    later = Wear(a.powered_ms + b.powered_ms, a.worked_ms + b.worked_ms, a.poured_ml + b.poured_ml)
    assert percent_left(spec(mode, litres_max=litres), later) <= percent_left(spec(mode, litres_max=litres), a)


LIFE = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(0, 10_000_000)),
        st.tuples(st.just("wall"), st.integers(-(10**11), 10**11)),
        st.tuples(st.just("restart"), st.integers(0, 10_000)),
        st.tuples(st.just("reboot"), st.integers(0, 600_000)),
    ),
    max_size=40,
)


@given(LIFE)
def test_powered_hours_only_grow_and_the_wall_clock_does_not_touch_them(life: list[tuple[str, int]]) -> None:
    """`restart`: the agent alone dies and comes back. `reboot`: the machine does; both tick when they are up."""
    clock = ManualClock()
    mark: Moment | None = None
    counted = lived = boots = 0
    for what, amount in life:
        before = clock.mono_ms()
        match what:
            case "run" | "restart":
                clock.advance(amount)
                lived += clock.mono_ms() - before if mark else 0
            case "wall":
                clock.step_wall(amount)
            case "reboot":
                boots += 1
                clock.reboot(f"boot-{boots + 1}", mono_ms=amount)
                lived += amount if mark else 0
        now = Moment(BootId(clock.boot_id), clock.mono_ms())
        grown = powered_since(mark, now)
        assert grown >= 0
        counted, mark = counted + grown, now
        assert counted == lived


@pytest.mark.parametrize(
    ("before", "behind", "percent"), [(250, 10, 96), (0, 10, None), (250, None, None), (100, 120, 0)]
)
def test_rejection(before: int, behind: int | None, percent: int | None) -> None:
    assert rejection_percent(before, behind) == percent


def test_quality_changes_after_several_readings_and_back_well_inside_the_limit() -> None:
    quality = Quality()
    for _ in range(BAD_READINGS_MAX - 1):
        quality = quality.take(101, 100)
    assert quality.fit
    quality = quality.take(None, 100).take(101, 100)
    assert not quality.fit
    for _ in range(BAD_READINGS_MAX * 2):
        quality = quality.take(95, 100)
    assert not quality.fit, "95 is inside the limit, but not well inside"
    for _ in range(BAD_READINGS_MAX):
        quality = quality.take(90, 100)
    assert quality.fit


def test_a_good_reading_between_bad_ones_counts() -> None:
    quality = Quality()
    for ppm in (101, 101, 50) * 10:
        quality = quality.take(ppm, 100)
    assert quality.fit
