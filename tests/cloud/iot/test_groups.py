"""Buying together: everybody pays as he joins; the group comes together, or every fen goes back by itself."""

from __future__ import annotations

import asyncio
import random
from typing import Any, get_args

import pytest
from sqlalchemy import func, select

from cloud.database import Work
from cloud.errors import IllegalEvent
from cloud.payments.capture import apply_report
from cloud.payments.store import find_payment, payments
from cloud.promotions.model import GROUP_TRANSITIONS, Group, GroupEvent, GroupState, advance_group
from cloud.promotions.store import group_members, promotion_groups
from cloud.providers.recording import RECORDING, settled
from cloud.purchases.store import AMOUNT_FEN, purchases
from tests.cloud.iot.shop import BRAND, RECEIVER, Shop

HOUR_MS = 3_600_000
EVERYBODY = ("anna", "ben", "carl", "dora")


@pytest.mark.parametrize("state", get_args(GroupState))
@pytest.mark.parametrize("event", get_args(GroupEvent))
def test_every_cell_of_a_group_is_a_transition_or_raises(state: GroupState, event: GroupEvent) -> None:
    group = Group(
        tenant="t1", group="GB1", promotion="PM1", leader="a", state=state, size=2, joined=1, opened_ms=0, deadline_ms=1
    )
    if (state, event) in GROUP_TRANSITIONS:
        assert advance_group(group, event) == GROUP_TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalEvent):
            advance_group(group, event)


async def offer(shop: Shop, **more: Any) -> str:
    body = {"type": "group", "name": "together", "off": 20, "group_size": 2, "group_hours": 2, "per_user": 0, **more}
    found: str = (await shop.told("owner", "POST", "/promotions", body))["promotion_id"]
    return found


def basket(product: str = "P2", quantity: int = 1) -> dict[str, Any]:
    return {"content": [{"product_id": product, "quantity": quantity}], "receiver": RECEIVER}


async def opened(shop: Shop, promotion: str, who: str = "anna", product: str = "P2") -> tuple[str, str]:
    """A group and its leader's order."""
    told = await shop.told(who, "POST", f"/promotions/{promotion}/groups", basket(product))
    return told["group_id"], told["order_id"]


async def joined(shop: Shop, group: str, who: str, product: str = "P2") -> str:
    """An order in a group."""
    number: str = (await shop.told(who, "POST", f"/groups/{group}/join", basket(product)))["order_id"]
    return number


async def begun(shop: Shop, order: str, who: str) -> str:
    """A payment that somebody may make."""
    bill: str = (await shop.told(who, "POST", f"/orders/{order}/prepay/weixin"))["bill_no"]
    return bill


async def money_comes(shop: Shop, bill: str) -> None:
    """The provider says that somebody paid, whatever became of the payment here; it may say so again."""

    async def use(work: Work) -> None:
        payment = await find_payment(work, BRAND, bill, lock=True)
        assert payment is not None, "it was begun"
        await apply_report(work, shop.parts.till, payment, settled(bill, payment.amount_fen), RECORDING)

    await shop.database.transact(use, tenant=BRAND)


async def group_state(shop: Shop, group: str) -> tuple[str, int]:
    told = await shop.told("anna", "GET", f"/groups/{group}")
    return told["state"], told["joined"]


async def test_everybody_pays_and_the_last_one_sends_all_orders_on_their_way(shop: Shop) -> None:
    for who, referrer in (("ben", "carl"),):
        await shop.told("owner", "PUT", f"/users/{who}", {"rid": referrer})
    group, first = await opened(shop, await offer(shop), product="P1")
    assert await group_state(shop, group) == ("forming", 0)
    await shop.pay(first)
    told = await shop.told("anna", "GET", f"/orders/{first}")
    assert (told["state"], told["status"], told["discount"], told["payment"]["status"]) == (9, "gathering", 20, "paid")
    assert await group_state(shop, group) == ("forming", 1)
    for step in ("delivery", "status/close", "status/consent"):  # the group decides
        assert await shop.status("owner", "POST", f"/orders/{first}/{step}", {"company": "x"}) == 400
    for step in ("status/close", "status/return", "status/confirm", "prepay/weixin"):
        assert await shop.status("anna", "POST", f"/orders/{first}/{step}") == 400
    assert await shop.told("owner", "GET", "/tickets") == []
    second, third = await joined(shop, group, "ben", "P1"), await joined(shop, group, "dora")
    await shop.pay(second, "ben")
    assert await group_state(shop, group) == ("formed", 2)
    assert [await shop.state(one) for one in (first, second, third)] == ["paid", "paid", "obligation"]
    assert {one["order_id"] for one in await shop.told("owner", "GET", "/tickets")} == {first, second}
    assert [one["order_id"] for one in await shop.told("owner", "GET", "/commission")] == [second]
    assert await shop.status("carl", "POST", f"/groups/{group}/join", basket()) == 400
    await shop.pass_time(1)
    assert await shop.state(third) == "close"
    await shop.deliver(first)
    assert await shop.drift() == 0


async def test_a_rental_in_a_group_is_agreed_when_the_group_is_full(shop: Shop) -> None:
    body = {"content": [{"product_id": "P1", "quantity": 1, "period": "30d"}], "receiver": RECEIVER}
    told = await shop.told("anna", "POST", f"/promotions/{await offer(shop)}/groups", body)
    await shop.pay(told["order_id"])
    assert await shop.told("anna", "GET", "/rentals") == []
    await shop.pay(await joined(shop, told["group_id"], "ben"), "ben")
    (rental,) = await shop.told("anna", "GET", "/rentals")
    assert (rental["status"], await shop.held(f"deposits:{rental['rental_id']}")) == ("agreed", 50_000)
    assert await shop.drift() == 0


@pytest.mark.parametrize("end", ["time", "stopped", "ended"])
async def test_a_group_that_does_not_come_together_gives_everything_back(end: str, shop: Shop) -> None:
    promotion = await offer(shop, group_size=3)
    group, first = await opened(shop, promotion)
    second, third = await joined(shop, group, "ben"), await joined(shop, group, "carl")
    await shop.pay(first)
    await shop.pay(second, "ben")
    late = await begun(shop, third, "carl")
    ends = {"stopped": {"stopped": True}, "ended": {"end_tms": "2026-11-20T04:00:01Z"}}
    if end in ends:
        await shop.told("owner", "PUT", f"/promotions/{promotion}", ends[end])
        await shop.pass_time(1_000)
    else:
        await shop.pass_time(2 * HOUR_MS)
    assert await group_state(shop, group) == ("failed", 2)
    assert [await shop.state(one) for one in (first, second, third)] == ["close"] * 3
    assert (await shop.told("anna", "GET", f"/orders/{first}"))["payment"]["status"] == "refunded"
    await money_comes(shop, late)
    await shop.make_calls()
    assert [await shop.payment_states(one) for one in (first, second, third)] == [["refunded"]] * 3
    assert await shop.status("dora", "POST", f"/groups/{group}/join", basket()) == 400
    assert [one["group_id"] for one in await shop.told("ben", "GET", "/groups", state="failed")] == [group]
    assert await shop.drift() == 0


async def test_of_two_who_pay_at_once_for_the_last_seat_one_has_it(shop: Shop) -> None:
    group, first = await opened(shop, await offer(shop))
    orders = {who: await joined(shop, group, who) for who in ("ben", "carl", "dora")}
    await shop.pay(first)
    bills = [await begun(shop, order, who) for who, order in orders.items()]
    await asyncio.gather(*(money_comes(shop, bill) for bill in bills * 2))
    await shop.pass_time(1)
    assert await group_state(shop, group) == ("formed", 2)
    assert sorted([await shop.state(one) for one in orders.values()]) == ["close", "close", "paid"]
    states = [await shop.payment_states(one) for one in orders.values()]
    assert sorted(states) == [["captured"], ["refunded"], ["refunded"]]
    assert await shop.drift() == 0


async def test_money_that_comes_before_anybody_saw_that_the_time_is_over_goes_back(shop: Shop) -> None:
    group, first = await opened(shop, await offer(shop, group_hours=1))
    second = await joined(shop, group, "ben")
    await shop.pay(first)
    bill = await begun(shop, second, "ben")
    shop.database.clock.advance(HOUR_MS)  # type: ignore[attr-defined]
    await money_comes(shop, bill)
    assert await group_state(shop, group) == ("failed", 1)
    await shop.pass_time(1)
    assert [await shop.payment_states(one) for one in (first, second)] == [["refunded"]] * 2
    assert await shop.drift() == 0


async def test_a_seat_is_had_once_and_as_many_as_there_are(shop: Shop) -> None:
    once = await offer(shop, per_user=1, total=3)
    group, first = await opened(shop, once)
    assert await shop.status("anna", "POST", f"/groups/{group}/join", basket()) == 400
    assert await shop.status("anna", "POST", f"/promotions/{once}/groups", basket()) == 400
    assert (
        await shop.status("ben", "POST", f"/promotions/{once}/groups", basket()) == 400
    )  # of three seats two are gone
    await shop.told("anna", "POST", f"/orders/{first}/status/close")
    again = await joined(shop, group, "anna")
    await shop.pay(again)
    assert await group_state(shop, group) == ("forming", 1)
    await shop.pass_time(2 * HOUR_MS)
    other, _ = await opened(shop, once, "ben")
    assert (await group_state(shop, other))[0] == "forming"
    many = await offer(shop)
    assert len({(await opened(shop, many))[0] for _ in range(2)}) == 2
    for who in ("rita", "owner"):
        assert await shop.status(who, "POST", f"/promotions/{many}/groups", basket()) in (403, 404)
    assert await shop.status("rita", "GET", f"/groups/{group}") in (403, 404)


async def test_what_a_group_takes_nothing_off_is_no_seat(shop: Shop) -> None:
    await shop.told("owner", "POST", "/products", {"prod_id": "P3", "name": "水", "price": 5})
    narrow = await offer(shop, products=["P2"], full=100)
    path = f"/promotions/{narrow}/groups"
    for wrong in (basket("P3", 100), basket("P2"), basket("P9"), {"content": [], "receiver": RECEIVER}, {}):
        assert await shop.status("anna", "POST", path, wrong) == 422, wrong
    assert await shop.status("anna", "POST", f"/promotions/{await offer(shop)}/groups", basket("P3")) == 422
    assert await shop.told("anna", "GET", "/orders") == []
    assert await shop.told("anna", "GET", "/groups") == []
    told = await shop.told("anna", "POST", path, basket("P2", 2))
    assert told["amount"] == 179.98


# What happens now and then.
EVENTS = {"open": 2, "join": 5, "begin": 8, "pay": 8, "cancel": 1, "wait": 2, "stop": 0.5}


@pytest.mark.parametrize("seed", range(3, 6))
async def test_in_whatever_order_things_happen_only_full_groups_keep_money(seed: int, shop: Shop) -> None:
    """What was captured is what full groups kept and what went back, to the fen, whoever pays when and how often."""
    chance = random.Random(seed)
    offers = [await offer(shop, group_size=size, group_hours=1) for size in (2, 3)]
    groups: list[str] = []
    orders: list[tuple[str, str]] = []
    bills: list[str] = []
    for _ in range(100):
        who = chance.choice(EVERYBODY)
        match chance.choices(list(EVENTS), list(EVENTS.values()))[0]:
            case "open":
                answer = await shop.ask(who, "POST", f"/promotions/{chance.choice(offers)}/groups", basket())
                if answer.status_code == 201:
                    groups.append(answer.json()["group_id"])
                    orders.append((answer.json()["order_id"], who))
            case "join" if groups:
                answer = await shop.ask(who, "POST", f"/groups/{chance.choice(groups[-2:])}/join", basket())
                if answer.status_code == 201:
                    orders.append((answer.json()["order_id"], who))
            case "begin" if orders:
                order, buyer = chance.choice(orders[-6:])
                way = chance.choice(["weixin", "credit"])
                answer = await shop.ask(buyer, "POST", f"/orders/{order}/prepay/{way}")
                if answer.status_code == 201:
                    bills.append(answer.json()["data"]["bill_no"])
            case "pay" if bills:
                some = chance.choices(bills[-6:], k=chance.randint(1, 3))
                await asyncio.gather(*(money_comes(shop, bill) for bill in some), shop.do_due())
            case "cancel" if orders:
                order, buyer = chance.choice(orders[-6:])
                await shop.ask(buyer, "POST", f"/orders/{order}/status/close")
            case "wait":
                await shop.pass_time(chance.choice([1, 1, 15 * 60_000]))
            case "stop":
                stopped = {"stopped": chance.random() < 0.2}
                await shop.told("owner", "PUT", f"/promotions/{chance.choice(offers)}", stopped)
    await shop.pass_time(2 * HOUR_MS)
    await shop.pass_time(25 * HOUR_MS)
    assert await shop.drift() == 0
    async with shop.database.look(tenant=BRAND) as work:
        group, seat, payment = promotion_groups.c, group_members.c, payments.c
        went_fen = payment.refunded_fen + payment.refunding_fen
        taken = select(func.sum(payment.captured_fen).label("captured"), func.sum(went_fen).label("back"))
        (money,) = await work.rows(taken)
        formed = select(group.group).where(group.state == "formed")
        seats = select(seat.purchase).where(seat.group.in_(formed), seat.paid_ms.is_not(None))
        kept = int(
            await work.scalar(select(func.coalesce(func.sum(AMOUNT_FEN), 0)).where(purchases.c.purchase.in_(seats)))
        )
        assert min(kept, money.back) > 0, "a walk in which nothing happens proves nothing"
        assert money.captured == kept + money.back
        assert {row.state for row in await work.rows(select(purchases.c.state))} == {"paid", "close"}
        assert {row.state for row in await work.rows(select(group.state))} == {"formed", "failed"}
        for row in await work.rows(select(promotion_groups)):
            paid = select(func.count()).where(seat.group == row.group, seat.paid_ms.is_not(None))
            assert row.joined == await work.scalar(paid) <= row.size
