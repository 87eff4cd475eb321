"""The ticket's table, cell by cell, and what holds however people and conditions follow each other."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.errors import IllegalEvent
from cloud.tickets.dispatching import Handler, send
from cloud.tickets.model import (
    ENDED,
    KINDS,
    OPEN,
    TRANSITIONS,
    Ticket,
    TicketEvent,
    TicketState,
    advance,
    kind_of,
)


def ticket(state: TicketState = "created", rating: int | None = None) -> Ticket:
    return Ticket("t1", "FD1", "fault", "m1", "jam", "A1", state, "stuck", "", 1, "system", rating=rating)


@pytest.mark.parametrize("state", get_args(TicketState))
@pytest.mark.parametrize("event", get_args(TicketEvent))
def test_every_cell_is_a_transition_or_raises_and_changes_nothing(state: TicketState, event: TicketEvent) -> None:
    before = ticket(state)
    if (state, event) in TRANSITIONS:
        assert advance(before, event) == TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalEvent) as refused:
            advance(before, event)
        assert refused.value.data == {"state": state, "event": event}
    assert before == ticket(state)


@given(st.lists(st.sampled_from(get_args(TicketEvent)), max_size=30))
def test_whatever_happens_a_ticket_ends_once_and_is_rated_once(events: list[TicketEvent]) -> None:
    now = ticket()
    ends = ratings = 0
    for event in events:
        try:
            after = advance(now, event)
        except IllegalEvent:
            continue
        ends += after in ENDED and now.state not in ENDED
        ratings += event == "rate"
        assert now.state not in ENDED or (event == "rate" and now.state == "finished")
        now = replace(now, state=after, rating=5 if event == "rate" else now.rating)
    assert ends <= 1
    assert ratings <= ends


@pytest.mark.parametrize("state", OPEN)
def test_from_every_open_state_there_is_a_way_to_the_end_and_to_a_handler(state: TicketState) -> None:
    assert advance(ticket(state), "finish") == "finished"
    assert advance(ticket(state), "condition_over") == "finished"
    sent = send(ticket(state), Handler("Li", "13900002001"), 9)
    assert (sent.state, sent.assignee, sent.dispatched_ms, sent.steps) == ("dispatched", "Li", 9, 1)


def test_what_was_given_up_still_names_who_was_there() -> None:
    sent = send(ticket(), Handler("Li", "13900002001", "u-li"), 9)
    back = replace(sent, state=advance(sent, "give_up"))
    assert (back.state, back.assignee) == ("created", "Li")
    assert send(back, Handler("Wang", ""), 10).assignee == "Wang"


def test_a_rated_ticket_is_not_rated_again() -> None:
    with pytest.raises(IllegalEvent, match="rated"):
        advance(ticket("finished", rating=4), "rate")


def test_conditions_know_what_kind_of_job_they_are() -> None:
    assert kind_of("filter_worn") == "maintenance"
    assert {kind_of(code) for code in ("low_stock", "vend_failed", "water_leak")} == {"fault"}
    assert KINDS == ("installation", "exchange", "return", "fault", "maintenance", "dismantling")
