"""The tables of purchases, rentals and commissions, and a long random walk that leaves the ledger in step."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, get_args

import pytest
from sqlalchemy import func, select

from cloud.commission import model as commission
from cloud.errors import IllegalEvent
from cloud.payments.store import payments
from cloud.purchases import model as purchase
from cloud.purchases.model import Deadlines, Purchase, Receiver
from cloud.rentals import model as rental
from cloud.rentals.model import DAY_MS, Rental, begun, renewed
from tests.cloud.iot.shop import BRAND, Shop

NOW_MS = 1_800_000_000_000


def a_purchase(state: purchase.PurchaseState) -> Purchase:
    return Purchase(
        tenant="t",
        purchase="1",
        kind="goods",
        state=state,
        member="m",
        unit=None,
        lines=(),
        goods_fen=100,
        freight_fen=0,
        install_fen=0,
        deposit_fen=0,
        receiver=Receiver(),
        created_ms=0,
    )


def a_rental(**values: Any) -> Rental:
    given = {"state": "agreed", "bought_days": 30, "prepaid_ml": 0, **values}
    return Rental(
        tenant="t",
        rental="r",
        purchase="1",
        product="p",
        name="P",
        member="m",
        unit=None,
        minimum_ml_per_day=0,
        deposit_fen=0,
        payment=None,
        created_ms=0,
        **given,
    )


@pytest.mark.parametrize("state", purchase.STATES)
@pytest.mark.parametrize("event", get_args(purchase.PurchaseEvent))
def test_a_purchase_takes_only_the_steps_of_its_table(state: Any, event: Any) -> None:
    before = a_purchase(state)
    if (state, event) not in purchase.TRANSITIONS:
        with pytest.raises(IllegalEvent):
            purchase.advance(before, event, NOW_MS, Deadlines())
        return
    after, effects = purchase.advance(before, event, NOW_MS, Deadlines(confirm_ms=7))
    assert (after.state, effects) == purchase.TRANSITIONS[state, event]
    assert (after.ended_ms is not None) == (after.state in purchase.ENDED)
    assert (after.due_ms is not None) == (after.state in purchase.BY_TIME)
    if after.state == "delivered":
        assert after.due_ms == NOW_MS + 7


def test_every_way_out_settles_the_money_and_what_was_recommended() -> None:
    for (before, _), (after, effects) in purchase.TRANSITIONS.items():
        if after in purchase.ENDED and before != "obligation":
            assert ("settle" in effects) != ("repay" in effects)
        # As long as a group gathers, nobody is promised anything for having recommended it.
        if after in purchase.ENDED and before not in ("obligation", "gathering"):
            assert ("earn" in effects) != ("forfeit" in effects)
        assert before not in purchase.ENDED


@pytest.mark.parametrize("state", rental.STATES)
@pytest.mark.parametrize("event", get_args(rental.RentalEvent))
def test_a_rental_takes_only_the_steps_of_its_table(state: Any, event: Any) -> None:
    if (state, event) not in rental.TRANSITIONS:
        with pytest.raises(IllegalEvent):
            rental.advance(a_rental(state=state), event, NOW_MS)
        return
    after = rental.advance(a_rental(state=state), event, NOW_MS)
    assert after.state == rental.TRANSITIONS[state, event]
    assert (after.ended_ms is not None) == (after.state == "ended")


@pytest.mark.parametrize("state", commission.STATES)
@pytest.mark.parametrize("event", get_args(commission.CommissionEvent))
def test_a_commission_is_settled_once(state: Any, event: Any) -> None:
    one = commission.Commission(
        tenant="t", purchase="1", level=1, member="m", unit=None, amount_fen=1, state=state, created_ms=0
    )
    if state != "pending":
        with pytest.raises(IllegalEvent):
            commission.advance(one, event, NOW_MS)
        return
    assert commission.advance(one, event, NOW_MS).settled_ms == NOW_MS


def test_a_period_begins_where_the_last_one_ends_or_today() -> None:
    running = begun(a_rental(), "m1", NOW_MS)
    assert running.ends_ms == NOW_MS + 30 * DAY_MS
    early = renewed(running, 90, 0, NOW_MS + DAY_MS)
    assert early.ends_ms == NOW_MS + 120 * DAY_MS
    overdue = replace(running, state="overdue")
    late = renewed(overdue, 30, 0, NOW_MS + 100 * DAY_MS)
    assert (late.state, late.ends_ms) == ("running", NOW_MS + 130 * DAY_MS)
    waiting = renewed(a_rental(), 90, 0, NOW_MS)
    assert begun(waiting, "m1", NOW_MS).ends_ms == NOW_MS + 120 * DAY_MS
    metered = begun(a_rental(bought_days=0, prepaid_ml=500_000), "m1", NOW_MS)
    more = renewed(metered, 0, 500_000, NOW_MS)
    assert (more.ends_ms, more.prepaid_ml, more.plan().mode) == (None, 1_000_000, "metered_rental")


async def test_whatever_is_asked_in_whatever_order_the_ledger_stays_in_step(shop: Shop) -> None:
    chance = random.Random(20261120)
    orders: list[str] = []
    bills: list[str] = []
    accepted = 0
    for _ in range(260):
        order = chance.choice(orders) if orders else ""
        action = chance.randrange(10)
        if len(orders) < 10 and (action == 0 or not orders):
            line: dict[str, Any] = {"product_id": chance.choice(["P1", "P2"]), "quantity": chance.randrange(1, 4)}
            if line["product_id"] == "P1" and chance.random() < 0.5:
                line["period"] = "30d"
            orders.append(await shop.order(line))
            continue
        if action in (1, 2):
            way = chance.choice(["weixin", "credit"])
            answer = await shop.ask("anna", "POST", f"/orders/{order}/prepay/{way}")
            if answer.status_code == 201:
                bills.append(answer.json()["data"]["bill_no"])
        elif action in (3, 4) and bills:
            await shop.settle(bills.pop(chance.randrange(len(bills))))
            continue
        elif action == 5:
            await shop.make_calls()
            continue
        else:
            who, method, path = chance.choice(
                [
                    ("owner", "POST", "delivery"),
                    ("owner", "POST", "delivery"),
                    ("anna", "POST", "status/confirm"),
                    ("ben", "POST", "status/return"),
                    ("anna", "POST", "status/return"),
                    ("owner", "POST", "status/consent"),
                    ("owner", "PUT", "status/refund"),
                    ("owner", "POST", "status/close"),
                ]
            )
            answer = await shop.ask(who, method, f"/orders/{order}/{path}", {})
        assert answer.status_code in (201, 400, 403), answer.text
        accepted += answer.status_code == 201
    assert accepted > 20
    assert await shop.drift() == 0
    await shop.pass_time(30 * DAY_MS)
    await shop.pass_time(30 * DAY_MS)
    assert await shop.drift() == 0
    gone = func.sum(payments.c.refunding_fen + payments.c.refunded_fen)
    async with shop.database.look(tenant=BRAND) as work:
        captured, back = (await work.rows(select(func.sum(payments.c.captured_fen), gone)))[0]
    assert 0 < back <= captured
