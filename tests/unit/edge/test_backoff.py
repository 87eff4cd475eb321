"""Pauses grow, stay within their bounds and differ between machines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backoff import Backoff, spread_ms


@given(st.text(max_size=20), st.integers(1, 10_000), st.integers(0, 100_000))
def test_every_pause_is_within_its_doubling(seed: str, first_ms: int, more_ms: int) -> None:
    backoff = Backoff(seed, first_ms=first_ms, longest_ms=first_ms + more_ms)
    assert 0 <= backoff.next_ms() <= first_ms
    for attempt in range(1, 40):
        ceiling = min(first_ms * 2**attempt, first_ms + more_ms)
        assert ceiling // 2 <= backoff.next_ms() <= ceiling


def test_the_same_machine_repeats_itself_and_after_a_success_starts_short() -> None:
    first, second = Backoff("m-1"), Backoff("m-1")
    assert [first.next_ms() for _ in range(9)] == [second.next_ms() for _ in range(9)]
    first.reset()
    assert first.next_ms() <= 5_000


def test_a_thousand_machines_do_not_come_back_in_one_second() -> None:
    firsts = sorted(Backoff(f"m-{n}").next_ms() for n in range(1_000))
    fullest_second = max(sum(at <= other < at + 1_000 for other in firsts) for at in firsts)
    assert fullest_second < 300


def test_places_in_line_are_even() -> None:
    places = [spread_ms(f"m-{n}", 30_000) for n in range(1_000)]
    for begin in range(0, 30_000, 5_000):
        assert 110 < sum(begin <= place < begin + 5_000 for place in places) < 230


def test_bounds_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValueError, match="longest_ms 5"):
        Backoff("m-1", first_ms=10, longest_ms=5)
