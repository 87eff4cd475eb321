"""The order's table, cell by cell, and what its effects do to money."""

from __future__ import annotations

from typing import get_args

import pytest

from cloud.errors import IllegalEvent
from cloud.members.model import Posting
from cloud.orders.model import BIRTHS, MONEY, TRANSITIONS, Effect, Order, OrderEvent, OrderState, advance, posting

NOW = 1_000


def order(state: OrderState, member: str | None = "anna") -> Order:
    return Order(
        tenant="t1",
        order="o1",
        machine="m1",
        aisle="A1",
        goods="cola",
        price_fen=350,
        source="order",
        means="escrow",
        paid_fen=350,
        state=state,
        placed_ms=1,
        member=member,
    )


@pytest.mark.parametrize("state", get_args(OrderState))
@pytest.mark.parametrize("event", get_args(OrderEvent))
def test_every_cell_is_a_transition_or_raises_and_changes_nothing(state: OrderState, event: OrderEvent) -> None:
    before = order(state)
    if (state, event) in TRANSITIONS:
        after, effects = advance(before, event, NOW)
        assert (after.state, effects) == TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalEvent) as refused:
            advance(before, event, NOW)
        assert refused.value.data == {"state": state, "event": event}
    assert before == order(state)


def test_the_table_is_the_protocol_of_the_house() -> None:
    expected = {
        "held": {"claim", "expire", "cancel", "delivered", "failed", "unknown"},
        "claimed": {"delivered", "failed", "unknown", "write_off"},
        "review": {"decide_delivered", "decide_refunded"},
        "refunded": {"delivered", "failed", "unknown", "decide_delivered", "decide_refunded"},
    }
    by_state: dict[str, set[str]] = {}
    for state, event in TRANSITIONS:
        by_state.setdefault(state, set()).add(event)
    assert by_state == expected


def test_money_leaves_escrow_exactly_when_the_order_is_decided() -> None:
    undecided = {"held", "claimed", "review"}
    for (state, _), (after, effects) in TRANSITIONS.items():
        leaves = sum(1 for effect in effects if MONEY[effect][0] == "escrow")
        assert leaves == (1 if state in undecided and after not in undecided else 0)
        assert sum(1 for effect in effects if MONEY[effect][1] == "escrow") == 0


def test_a_delivered_order_never_becomes_another_one() -> None:
    assert not [event for state, event in TRANSITIONS if state == "delivered"]


def test_a_sale_at_the_machine_is_born_with_its_end() -> None:
    assert {(word, paid): state for (word, paid), (state, _) in BIRTHS.items()} == {
        ("delivered", True): "delivered",
        ("delivered", False): "delivered",
        ("failed", True): "review",
        ("failed", False): "refunded",
        ("unknown", True): "review",
        ("unknown", False): "review",
    }


@pytest.mark.parametrize(
    ("effect", "member", "expected"),
    [
        ("hold", "anna", ("wallet:anna", "escrow")),
        ("hold", None, ("cash:m1", "escrow")),
        ("capture", "anna", ("escrow", "revenue")),
        ("release", "anna", ("escrow", "wallet:anna")),
        ("release", None, ("escrow", "cash:m1")),
        ("sell", None, ("cash:m1", "revenue")),
        ("absorb_loss", "anna", ("shrinkage", "revenue")),
        ("refund", "anna", ("revenue", "wallet:anna")),
    ],
)
def test_where_each_effect_takes_the_money(effect: Effect, member: str | None, expected: tuple[str, str]) -> None:
    assert posting(order("held", member), effect, 350) == Posting(*expected, 350)


def test_the_end_is_dated_once() -> None:
    refunded, _ = advance(order("claimed"), "write_off", NOW)
    late, _ = advance(refunded, "delivered", NOW + 5)
    assert (refunded.ended_ms, late.ended_ms) == (NOW, NOW)
