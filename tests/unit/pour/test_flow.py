"""Counts to millilitres: wrap, reset, any order of readings, learned overrun, calibration."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.devices.ports import Totaliser
from edge_agent.pour.evenness import Lesson, habit
from edge_agent.pour.flow import (
    PACES_COMPARED,
    SHIFT_PPM_MAX,
    SPREAD_PPM_MAX,
    CalibrationRefused,
    Factor,
    Flow,
    MeasuredPour,
    between,
    calibrate,
    drift_ppm,
    grown,
    overrun_ml,
    shift_ppm,
)

YF_S201 = Factor(450_000)
MODULI = st.sampled_from([2**16, 2**31, 2**32, 10**8])


def readings(first: int, steps: list[int], modulus: int | None, every_ms: int = 100) -> list[Totaliser]:
    """Readings of a meter that counts `steps`, one step between two of them."""
    found, count = [Totaliser(first, modulus, 1_000)], first
    for number, step in enumerate(steps, 1):
        count += step
        found.append(Totaliser(count if modulus is None else count % modulus, modulus, 1_000 + number * every_ms))
    return found


def fold(all_readings: list[Totaliser], first: Totaliser) -> Flow:
    found = Flow.begin(first, YF_S201, 30)
    for reading in all_readings:
        found = found.take(reading)
    return found


# At 30 ml/s a meter of 450 pulses counts 1.35 in 100 ms; four times that is still water.
STEPS = st.lists(st.integers(0, 5), max_size=80)


@given(MODULI, st.data(), STEPS)
def test_what_flowed_holds_over_a_wrap(modulus: int, data: st.DataObject, steps: list[int]) -> None:
    first = data.draw(st.integers(0, modulus - 1) | st.integers(modulus - 200, modulus - 1))
    line = readings(first, steps, modulus)
    found = fold(line[1:], line[0])
    assert found.counts == sum(steps)
    assert not found.broken
    proven = between(first, line[-1].count, modulus, YF_S201, at_most_ml=2_000)
    assert (proven.certain, proven.poured_ml) == (True, YF_S201.millilitres(sum(steps)))


@given(STEPS, st.randoms(use_true_random=False), st.booleans())
def test_lost_late_and_repeated_readings_change_nothing(steps: list[int], dice: random.Random, wraps: bool) -> None:
    modulus = 2**16
    line = readings(modulus - 20 if wraps else 5, steps, modulus)
    heard = [reading for reading in line[1:-1] if dice.random() < 0.7] * 2
    dice.shuffle(heard)
    assert fold([*heard, line[-1]], line[0]).counts == sum(steps)
    assert fold([line[-1], *heard], line[0]).counts == sum(steps)


@given(st.data(), STEPS, st.none() | MODULI, st.integers(0, 2**31))
def test_in_any_order_what_has_flowed_is_true_of_the_newest_reading(
    data: st.DataObject, steps: list[int], modulus: int | None, start: int
) -> None:
    """Any reading may come first, late, twice or never, and the counter may wrap anywhere between them."""
    first = start if modulus is None else start % modulus
    line = readings(first, steps, modulus)
    heard = data.draw(st.lists(st.sampled_from(line), max_size=40))
    true_at = {reading.mono_ms: sum(steps[:number]) for number, reading in enumerate(line)}
    found = Flow.begin(line[0], YF_S201, 30)
    for reading in heard:
        before, found = found, found.take(reading)
        assert found.counts == true_at[found.newest.mono_ms] >= before.counts
        assert found.newest.mono_ms == max(before.newest.mono_ms, reading.mono_ms)
    assert not found.broken


@given(st.data(), st.lists(st.integers(1, 3), min_size=1, max_size=20), st.integers(1_000, 2**31))
def test_in_any_order_a_reset_adds_nothing(data: st.DataObject, steps: list[int], first: int) -> None:
    line = readings(first, steps, 2**32)
    last_ms = line[-1].mono_ms
    cleared = [Totaliser(count, 2**32, last_ms + 100 * (count + 1)) for count in range(5)]
    found = Flow.begin(line[0], YF_S201, 30)
    for reading in data.draw(st.permutations([*line, *cleared])):
        found = found.take(reading)
        assert found.counts <= sum(steps)
        assert found.newest.mono_ms <= last_ms, "a count of the cleared meter is never taken for one of this pour"


@given(st.integers(1_000, 2**31), st.lists(st.integers(1, 3), min_size=5, max_size=20), st.integers(0, 100))
def test_a_reset_is_found_and_what_flowed_before_it_is_kept(first: int, steps: list[int], after: int) -> None:
    line = readings(first, steps, 2**32)
    last = line[-1].mono_ms
    reset = [Totaliser(after + step, 2**32, last + 100 * (step + 1)) for step in range(3)]
    found = fold([*line[1:], *reset], line[0])
    assert found.broken
    assert found.counts == sum(steps)
    assert not between(first, reset[-1].count, 2**32, YF_S201, at_most_ml=1_500).certain


def test_one_disturbed_reading_is_set_aside() -> None:
    line = readings(1_000, [1] * 20, None)
    disturbed = Totaliser(4_000_000, None, line[10].mono_ms + 1)
    found = fold([*line[1:11], disturbed, *line[11:]], line[0])
    assert not found.broken
    assert found.counts == 20


def test_a_meter_without_a_modulus_never_runs_backwards() -> None:
    assert grown(100, 99, None, 10**9) is None
    assert grown(99, 100, None, 10**9) == 1
    assert grown(2**32 - 1, 0, 2**32, 10) == 1


@given(st.integers(1, 10**9), st.integers(0, 10**6))
def test_millilitres_are_rounded_half_up_and_counts_up(milli: int, counts: int) -> None:
    factor = Factor(milli)
    ml = factor.millilitres(counts)
    assert abs(ml * milli - counts * 1_000_000) * 2 <= milli
    assert factor.counts(ml) * 1_000_000 >= ml * milli


def test_a_factor_is_above_zero() -> None:
    with pytest.raises(ValueError, match="pulses_per_litre_milli: 0"):
        Factor(0)


def test_the_pace_tells_when_the_target_comes() -> None:
    line = readings(0, [3] * 30, None)  # 3 counts in 100 ms: 66.7 ml/s
    found = fold(line[1:], line[0])
    assert found.ml_per_s() == pytest.approx(67, abs=1)
    left_ms = found.ms_until(1000)
    assert left_ms is not None
    assert left_ms == pytest.approx((1000 - 200) / 66.7 * 1000, rel=0.02)
    assert Flow.begin(line[0], YF_S201, 30).ms_until(1000) is None


@pytest.mark.parametrize("close_ms", [60, 200, 450])
def test_a_litre_is_within_one_percent_after_ten_pours(close_ms: int) -> None:
    """A valve that shuts late, ten percent more or less; the outlet learns by how much."""
    dice = random.Random(close_ms)
    learned: list[int] = []
    errors = []
    for _ in range(60):
        pace = dice.uniform(27, 33)
        taught = habit([Lesson(1, 0, overrun_ms) for overrun_ms in learned])
        overrun = overrun_ml(int(pace), taught.overrun_ms)
        late = close_ms * dice.uniform(0.9, 1.1)
        poured = 1000 - overrun + pace * late / 1000
        learned.insert(0, round((poured - (1000 - overrun)) * 1000 / int(pace)))
        errors.append(abs(poured - 1000))
    assert max(errors[10:]) <= 10
    assert max(errors[10:]) < max(errors[0], 3)


RUNS = [MeasuredPour(counts=460, measured_ml=1000), MeasuredPour(counts=462, measured_ml=1000)]


def test_a_calibration_is_the_mean_of_its_runs_with_their_spread() -> None:
    found = calibrate(RUNS, YF_S201)
    assert found.factor == Factor(461_000)
    assert found.runs == 2
    assert found.spread_ppm == 2_000 * 1_000_000 // 461_000
    assert drift_ppm(RUNS[0], YF_S201) == 22_000
    assert abs(drift_ppm(RUNS[0], found.factor)) < 3_000


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([], "none was measured"),
        ([MeasuredPour(230, 499)], "measured_ml: 499"),
        ([MeasuredPour(0, 1000)], "check the meter"),
        ([MeasuredPour(450, 1000), MeasuredPour(470, 1000)], f"expected {SPREAD_PPM_MAX / 10_000:.0f} % or less"),
        ([MeasuredPour(900, 1000)], "more than 30 %"),
    ],
)
def test_a_careless_calibration_is_refused(runs: list[MeasuredPour], words: str) -> None:
    with pytest.raises(CalibrationRefused, match=words):
        calibrate(runs, YF_S201)


def paces(pace: int, many: int = PACES_COMPARED) -> list[int]:
    """Pours of one outlet, within three percent."""
    dice = random.Random(pace)
    return [round(pace * dice.uniform(0.97, 1.03)) for _ in range(many)]


def test_a_meter_that_wears_shows_slower_water_in_every_outlet() -> None:
    worn = [(paces(50_000), paces(47_000)), (paces(80_000), paces(75_000))]
    assert shift_ppm(worn) == pytest.approx(-60_000, abs=10_000)
    clogged = [(paces(50_000), paces(40_000)), (paces(80_000), paces(80_500))]
    assert abs(shift_ppm(clogged) or 0) < SHIFT_PPM_MAX
    assert shift_ppm([(paces(50_000), paces(60_000)), (paces(80_000), paces(70_000))]) == 0
    assert shift_ppm([(paces(50_000), paces(47_000, 48))]) is None
    assert shift_ppm([]) is None


def test_a_sound_meter_is_no_drift() -> None:
    for seed in range(200):
        dice = random.Random(seed)
        first, last = ([round(50_000 * dice.uniform(0.97, 1.03)) for _ in range(PACES_COMPARED)] for _ in range(2))
        found = shift_ppm([(first, last)])
        assert found is not None
        assert abs(found) < SHIFT_PPM_MAX
