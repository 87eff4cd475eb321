"""The pour table: every pair is legal or raises, ends are ends, and the gravest reason closes the valve."""

import itertools
from dataclasses import replace

import pytest

from edge_agent.pour.transitions import (
    CLOSES,
    DRY_KPA,
    DRY_MM,
    ENDS,
    REASONS,
    TABLE,
    Bounds,
    Event,
    IllegalEvent,
    Look,
    State,
    closing_event,
    diagram,
    follow,
    stall_is_proven,
)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_pair_is_in_the_table_or_raises(state: State, event: Event) -> None:
    if (state, event) in TABLE:
        assert follow(state, event) is TABLE[state, event]
    else:
        with pytest.raises(IllegalEvent, match=f"{event} cannot happen"):
            follow(state, event)


def test_an_end_has_no_way_out_and_every_other_state_reaches_one() -> None:
    assert not [pair for pair in TABLE if pair[0] in ENDS]
    for state in set(State) - ENDS:
        reached = {state}
        while more := {after for (before, _), after in TABLE.items() if before in reached} - reached:
            reached |= more
        assert reached & ENDS, state


def test_an_open_valve_is_left_only_through_closing() -> None:
    for state in (State.OPENING, State.FLOWING):
        assert {after for (before, _), after in TABLE.items() if before is state} == {State.FLOWING, State.CLOSING}


def test_closing_is_left_only_by_a_relay_that_is_shut() -> None:
    assert {event for state, event in TABLE if state is State.CLOSING} == {Event.SHUT, Event.RAN_OUT}


def test_an_end_for_certain_needs_a_meter_that_stands_still_or_an_order_that_never_left() -> None:
    ways = {pair for pair, after in TABLE.items() if after is State.ENDED}
    assert ways == {(State.SETTLING, Event.STILL), (State.READY, Event.NEVER_OPENED)}


def test_everything_that_closes_has_a_reason() -> None:
    assert set(CLOSES) <= REASONS.keys()


FINE = Look(flowed_ml=500, open_for_ms=10_000, since_growth_ms=100, since_reading_ms=100)
BOUNDS = Bounds(
    asked_ml=1000, overrun_ml=20, volume_ml_max=5000, time_ms_max=60_000, stall_ms=3000, meter_silence_ms=1000
)


@pytest.mark.parametrize(
    ("change", "event"),
    [
        ({}, None),
        ({"flowed_ml": 979}, None),
        ({"flowed_ml": 980}, Event.TARGET),
        ({"flowed_ml": 5000}, Event.MAX_VOLUME),
        ({"stop_asked": True}, Event.STOPPED),
        ({"open_for_ms": 59_999}, None),
        ({"open_for_ms": 60_000}, Event.MAX_TIME),
        ({"since_growth_ms": 2999}, None),
        ({"since_growth_ms": 3000}, Event.STALLED),
        ({"since_reading_ms": 1000}, Event.METER_LOST),
        ({"meter_sane": False}, Event.METER_LOST),
        # the gravest first
        ({"meter_sane": False, "flowed_ml": 5000, "stop_asked": True}, Event.METER_LOST),
        ({"flowed_ml": 980, "stop_asked": True, "since_growth_ms": 3000}, Event.TARGET),
        ({"stop_asked": True, "open_for_ms": 60_000, "since_growth_ms": 3000}, Event.STOPPED),
    ],
)
def test_why_a_valve_is_shut(change: dict[str, object], event: Event | None) -> None:
    assert closing_event(replace(FINE, **change), BOUNDS) is event  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kpa", "mm", "proven"),
    [
        (None, None, False),
        (DRY_KPA, DRY_MM, False),
        (DRY_KPA - 1, None, True),
        (250, DRY_MM - 1, True),
        (250, 300, False),
    ],
)
def test_a_stall_is_proven_by_another_sensor_alone(kpa: int | None, mm: int | None, proven: bool) -> None:
    assert stall_is_proven(kpa, mm) is proven


def test_the_diagram_shows_every_transition() -> None:
    printed = diagram()
    for (state, event), after in TABLE.items():
        assert f"{state} --> {after}: {event}" in printed
