"""Water has one pace; air in the meter and a leak behind it have another for a while."""

import pytest

from edge_agent.pour.evenness import Evenness, Point


def poured(*paces: tuple[int, float], every_ms: int = 100, opens_ms: int = 100, usual: int | None = None) -> Evenness:
    """A pour of (duration ms, counts per second) one after the other."""
    found = Evenness(Point(0, 0), usual)
    now, counts = opens_ms, 0.0
    found = found.take(Point(0, 50))
    for duration_ms, pace in paces:
        end = now + duration_ms
        while now < end:
            now += every_ms
            counts += pace * every_ms / 1000
            found = found.take(Point(int(counts), now))
    return found


@pytest.mark.parametrize("pace", [5, 13.5, 40, 200])
def test_one_pace_is_even(pace: float) -> None:
    assert poured((40_000, pace)).is_even


def test_a_sway_of_the_pump_is_even() -> None:
    assert poured((10_000, 13.5), (10_000, 14.5), (10_000, 12.8)).is_even


@pytest.mark.parametrize("at_ms", [4_000, 15_000])
def test_a_leak_that_comes_or_goes_is_not(at_ms: int) -> None:
    assert not poured((at_ms, 13.5), (8_000, 20.0), (30_000 - at_ms, 13.5)).is_even
    assert not poured((at_ms, 20.0), (30_000, 13.5)).is_even


@pytest.mark.parametrize("air_ml", [15, 25])
def test_air_at_the_start_is_not(air_ml: int) -> None:
    spins_ms = round(air_ml / 30 * 1000)
    assert not poured((spins_ms, 27.0), (20_000, 13.5), every_ms=50, opens_ms=50).is_even


def test_a_pause_says_nothing() -> None:
    assert poured((10_000, 13.5), (2_000, 0), (10_000, 13.5)).is_even


def test_a_short_pour_says_nothing() -> None:
    assert poured((1_500, 13.5)).is_even
