"""The pour's table, cell by cell; what its effects do to money; what a plan has used up."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.errors import IllegalEvent
from cloud.members.model import ESCROW, Posting
from cloud.water.model import (
    BIRTHS,
    DAY_MS,
    TRANSITIONS,
    UNDECIDED,
    FilterState,
    Pour,
    PourEffect,
    PourEvent,
    PourState,
    WaterState,
    advance,
    outlet_price,
    parted,
    posting,
    used_ml,
    why_no_sale,
)
from edge_agent.pour import plan as edge
from shared.water import ServicePlan
from tests.cloud.water.tap import purifier

NOW = 1_000


def pour(state: PourState = "claimed", **more: object) -> Pour:
    known: dict[str, object] = {
        "tenant": "t1",
        "order": "o1",
        "machine": "w1",
        "outlet": "normal",
        "asked_ml": 1_500,
        "price_fen_per_litre": 37,
        "source": "order",
        "means": "escrow",
        "paid_fen": 56,
        "placed_ms": 1,
        "member": "anna",
    }
    return Pour(state=state, **(known | more))  # type: ignore[arg-type]


@pytest.mark.parametrize("state", get_args(PourState))
@pytest.mark.parametrize("event", get_args(PourEvent))
def test_every_cell_is_a_transition_or_raises_and_changes_nothing(state: PourState, event: PourEvent) -> None:
    before = pour(state)
    if (state, event) in TRANSITIONS:
        after, effects = advance(before, event, NOW)
        assert (after.state, effects) == TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalEvent) as refused:
            advance(before, event, NOW)
        assert refused.value.data == {"state": state, "event": event}
    assert before == pour(state)


def test_the_table_is_the_protocol_of_the_house() -> None:
    machine = {"flowed", "dry", "uncertain"}
    expected = {
        "held": {"claim", "expire", "cancel"} | machine,
        "claimed": {"write_off"} | machine,
        "review": {"decide_flowed", "decide_dry"},
        "refunded": {"decide_flowed", "decide_dry"} | machine,
    }
    by_state: dict[str, set[str]] = {}
    for state, event in TRANSITIONS:
        by_state.setdefault(state, set()).add(event)
    assert by_state == expected


def escrow_change(effects: tuple[PourEffect, ...], told: Pour) -> int:
    moves = [posting(told, effect) for effect in effects]
    return sum(move.amount_fen * ((move.to_account == ESCROW) - (move.from_account == ESCROW)) for move in moves)


@given(charged=st.integers(min_value=0, max_value=56))
def test_escrow_holds_all_or_nothing_of_a_pour(charged: int) -> None:
    """Whatever is charged, a pour that leaves the undecided states takes all of its money out of escrow."""
    for (state, _), (after, effects) in TRANSITIONS.items():
        told = pour(charged_fen=charged if after == "poured" else 0)
        assert escrow_change(effects, told) == 56 * ((after in UNDECIDED) - (state in UNDECIDED))
    for after, effects in BIRTHS.values():
        told = pour(charged_fen=charged if after == "poured" else 0, member=None)
        assert escrow_change(effects, told) == 56 * (after in UNDECIDED)


def test_effects_name_the_accounts() -> None:
    told = pour(charged_fen=40)
    assert posting(told, "hold") == Posting("wallet:anna", "escrow", 56)
    assert posting(told, "capture") == Posting("escrow", "revenue", 40)
    assert posting(told, "release") == Posting("escrow", "wallet:anna", 16)
    assert posting(told, "absorb_loss") == Posting("shrinkage", "revenue", 40)
    assert posting(replace(told, member=None), "sell") == Posting("cash:w1", "revenue", 40)


@given(
    asked=st.integers(min_value=1, max_value=20_000),
    poured=st.integers(min_value=0, max_value=30_000),
    price=st.integers(min_value=0, max_value=2_000),
    spare=st.integers(min_value=-500, max_value=500),
)
def test_what_is_owed_is_what_flowed_within_what_was_asked_and_paid(
    asked: int, poured: int, price: int, spare: int
) -> None:
    paid = max(0, edge.hold_fen(asked, price) + spare)
    told = pour(asked_ml=asked, price_fen_per_litre=price, paid_fen=paid)
    owed = told.owed_fen(poured)
    assert 0 <= owed <= paid
    assert owed <= edge.hold_fen(asked, price)
    if poured <= asked and spare >= 0:
        assert abs(owed * 1000 - poured * price) <= 500
        assert owed == edge.charged_fen(poured, price, edge.hold_fen(asked, price))
    sold, given_away = parted(told, poured)
    assert sold + given_away == poured
    assert 0 <= sold <= asked
    assert (sold > 0) == (owed > 0)


@given(
    days=st.dictionaries(st.integers(min_value=0, max_value=12), st.integers(min_value=0, max_value=9_000)),
    minimum=st.integers(min_value=0, max_value=4_000),
    today=st.integers(min_value=0, max_value=12),
)
def test_the_office_counts_a_plan_as_the_machine_does(days: dict[int, int], minimum: int, today: int) -> None:
    began = 5_000
    plan = ServicePlan(plan="p", mode="metered_rental", began_wall_ms=began, prepaid_ml=100, minimum_ml_per_day=minimum)
    past = {day: ml for day, ml in days.items() if day <= today}
    usage = edge.Usage("p")
    for day in sorted(past):
        usage = usage.at(plan, edge.ServiceTime(began + day * DAY_MS)).poured(past[day])
    now = began + today * DAY_MS + 77
    assert used_ml(plan, past, now) == usage.at(plan, edge.ServiceTime(now)).used_ml


def test_only_a_vending_plan_makes_a_pour_cost_money() -> None:
    assert outlet_price(purifier(), "normal") == 37
    assert outlet_price(purifier(), "cold") is None
    for mode in ("sale", "timed_rental", "metered_rental", "test"):
        rented = purifier(ServicePlan(plan="p2", mode=mode, ends_wall_ms=NOW))  # type: ignore[arg-type]
        assert outlet_price(rented, "hot") == 0


def test_why_a_purifier_gives_no_water() -> None:
    old = {2: FilterState("t1", "w1", 2, "RO membrane", "past_end", 0, NOW)}
    unknown_place = {9: FilterState("t1", "w1", 9, "left over", "past_end", 0, NOW)}
    foul = WaterState("t1", "w1", False, 300, 180, "TDS", NOW)
    assert why_no_sale(purifier(), {}, None, None, NOW) == []
    assert why_no_sale(purifier(), unknown_place, None, None, NOW) == []
    assert why_no_sale(purifier(), old, foul, None, NOW) == ["filter_past_end", "unfit"]
    assert why_no_sale(purifier(stop_when_unfit=False), old, foul, None, NOW) == []
    rented = purifier(ServicePlan(plan="p2", mode="timed_rental", ends_wall_ms=NOW))
    assert why_no_sale(rented, {}, None, None, NOW - 1) == []
    assert why_no_sale(rented, {}, None, None, NOW) == ["plan_ended"]
    assert why_no_sale(rented, {}, None, 0, NOW - 1) == ["plan_used_up"]
    assert why_no_sale(rented, {}, None, 1, NOW - 1) == []
