"""Promotions: what they take off an order, to the fen; coupons that are used once; shares, advertisements."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloud.accounts.store import tokens
from cloud.machines.register import register
from cloud.promotions.model import (
    Item,
    Promotion,
    best_reduction,
    less,
    reduction_of,
)
from cloud.purchases.browse import open_purchases
from tests.cloud.iot.shop import BRAND, RECEIVER, RIVAL, Shop

HOUR_MS = 3_600_000


def promotion(**more: Any) -> Promotion:
    fields = {"promotion": "PM1", "kind": "reduction", "name": "", "begins_ms": 0, "created_ms": 0, "created_by": "x"}
    return Promotion(tenant="t1", **{**fields, **more})


OFFERS = st.builds(
    promotion,
    off_share=st.integers(0, 10_000),
    off_fen=st.integers(0, 5_000),
    from_fen=st.integers(0, 5_000),
    products=st.sampled_from([(), ("a",), ("a", "b"), ("z",)]),
)
ITEMS = st.lists(st.builds(Item, st.sampled_from(["a", "b", "c"]), st.integers(0, 10_000)), min_size=1, max_size=6)


@given(OFFERS, ITEMS)
def test_a_reduction_takes_off_only_what_is_there(offer: Promotion, items: list[Item]) -> None:
    taken_off = reduction_of(offer, items)
    for item, off in zip(items, taken_off, strict=True):
        assert 0 <= off <= item.amount_fen
        assert not off or not offer.products or item.product in offer.products
    fits = sum(item.amount_fen for item in items if not offer.products or item.product in offer.products)
    if fits >= offer.from_fen and fits:
        assert sum(taken_off) == min(fits, offer.off_fen or fits * offer.off_share // 10_000)
    else:
        assert sum(taken_off) == 0


@given(st.lists(OFFERS, max_size=5), OFFERS, ITEMS)
def test_the_best_reduction_and_a_coupon_leave_nothing_below_zero(
    running: list[Promotion], coupon: Promotion, items: list[Item]
) -> None:
    first = best_reduction(running, items)
    assert sum(first) == max([0, *(sum(reduction_of(one, items)) for one in running)])
    rest = less(items, first)
    assert all(item.amount_fen >= 0 for item in less(rest, reduction_of(coupon, rest)))


async def offer(shop: Shop, **more: Any) -> str:
    body = {"type": "coupon", "name": "spring", "off": 20, "full": 100, **more}
    found: str = (await shop.told("owner", "POST", "/promotions", body))["promotion_id"]
    return found


async def buy(shop: Shop, *, coupon: str = "", quantity: int = 2, who: str = "anna") -> dict[str, Any]:
    content = [{"product_id": "P2", "quantity": quantity}]
    body = {"content": content, "receiver": RECEIVER, "coupon_id": coupon}
    number = (await shop.told(who, "POST", "/orders", body))["order_id"]
    told: dict[str, Any] = await shop.told(who, "GET", f"/orders/{number}")
    return told


async def refused(shop: Shop, coupon: str, who: str = "anna", quantity: int = 2) -> int:
    body = {"content": [{"product_id": "P2", "quantity": quantity}], "receiver": RECEIVER, "coupon_id": coupon}
    return await shop.status(who, "POST", "/orders", body)


async def long_after(shop: Shop, ms: int) -> None:
    """Let more time pass than a token lives."""
    async with shop.database.work() as work:
        await work.execute(tokens.update().values(expires_ms=tokens.c.expires_ms + ms))
    await shop.pass_time(ms)


async def test_a_coupon_takes_its_part_off_one_order(shop: Shop) -> None:
    spring = await offer(shop)
    coupon = (await shop.told("anna", "POST", f"/promotions/{spring}/claim"))["coupon_id"]
    assert await shop.status("anna", "POST", f"/promotions/{spring}/claim") == 400
    assert await refused(shop, coupon, quantity=1) == 422  # 99.99 is less than 100
    assert await refused(shop, coupon, who="ben") == 422
    bought = await buy(shop, coupon=coupon)
    assert (bought["amount"], bought["discount"]) == (179.98, 20)
    assert await refused(shop, coupon) == 422
    (kept,) = await shop.told("anna", "GET", "/coupons")
    assert (kept["used"], kept["order_id"]) == (True, bought["order_id"])
    assert await shop.told("ben", "GET", "/coupons") == []
    bill = await shop.pay(bought["order_id"])
    assert bill
    assert await shop.state(bought["order_id"]) == "paid"
    assert await shop.drift() == 0
    await shop.deliver(bought["order_id"])
    await long_after(shop, 40 * 24 * HOUR_MS)
    await long_after(shop, 40 * 24 * HOUR_MS)
    assert await shop.state(bought["order_id"]) == "done"
    assert await shop.drift() == 0


async def test_an_order_that_nobody_paid_gives_its_coupon_back(shop: Shop) -> None:
    spring = await offer(shop)
    coupon = (await shop.told("anna", "POST", f"/promotions/{spring}/claim"))["coupon_id"]
    first = await buy(shop, coupon=coupon)
    await long_after(shop, 25 * HOUR_MS)
    assert await shop.state(first["order_id"]) == "close"
    (free,) = await shop.told("anna", "GET", "/coupons", used="false")
    assert (free["used"], free["order_id"]) == (False, "")
    second = await buy(shop, coupon=coupon)
    assert second["discount"] == 20
    assert await shop.told("anna", "GET", "/coupons", used="false") == []


async def test_two_orders_at_once_use_a_coupon_once(shop: Shop) -> None:
    spring = await offer(shop)
    coupon = (await shop.told("anna", "POST", f"/promotions/{spring}/claim"))["coupon_id"]
    statuses = await asyncio.gather(*(refused(shop, coupon) for _ in range(4)))
    assert sorted(statuses) == [201, 422, 422, 422]


async def test_the_best_reduction_is_taken_off_by_itself(shop: Shop) -> None:
    await offer(shop, type="reduction", off=5, full=0)
    best = await offer(shop, type="reduction", off=0, off_percent=12.5, full=0, products=["P2"])
    bought = await buy(shop)
    assert (bought["amount"], bought["discount"]) == (174.99, 24.99)
    await shop.told("owner", "PUT", f"/promotions/{best}", {"stopped": True})
    assert (await buy(shop))["discount"] == 5
    await shop.pass_time(HOUR_MS)
    assert await shop.drift() == 0


async def test_coupons_are_as_many_as_there_are(shop: Shop) -> None:
    few = await offer(shop, total=2, per_user=1)
    statuses = [await shop.status(who, "POST", f"/promotions/{few}/claim") for who in ("anna", "ben", "carl")]
    assert statuses == [201, 201, 400]
    given = await offer(shop, per_user=1)
    assert (await shop.told("owner", "POST", f"/promotions/{given}/give", {"user_id": "ben"}))["user_id"] == "ben"
    assert await shop.status("owner", "POST", f"/promotions/{given}/give", {"user_id": "rita"}) in (403, 404)
    assert await shop.status("rita", "POST", f"/promotions/{given}/claim") in (403, 404)
    later = await offer(shop, begin_tms="2026-12-01T00:00:00Z")
    assert await shop.status("anna", "POST", f"/promotions/{later}/claim") == 400


async def test_who_shares_earns_a_coupon_once_for_everybody_who_accepts(shop: Shop) -> None:
    shared = await offer(shop, type="share", per_user=0)
    told = await shop.told("ben", "POST", f"/promotions/{shared}/accept", {"user_id": "anna"})
    assert (told["shared_by"], told["accepted_by"]) == ("anna", "ben")
    for again in ("anna", "carl"):
        assert await shop.status("ben", "POST", f"/promotions/{shared}/accept", {"user_id": again}) == 400
    assert await shop.status("anna", "POST", f"/promotions/{shared}/accept", {"user_id": "anna"}) == 422
    assert len(await shop.told("anna", "GET", "/coupons")) == 1
    assert await shop.told("carl", "GET", "/coupons") == []


async def test_rules_that_cannot_hold_are_refused(shop: Shop) -> None:
    for wrong in (
        {"off": 0},
        {"off_percent": 10},
        {"off": 0, "off_percent": 101},
        {"off": "1.234"},
        {"off": "much"},
        {"end_tms": "2020-01-01T00:00:00Z"},
        {"type": "group", "group_size": 1},
        {"type": "lottery"},
    ):
        body = {"type": "coupon", "name": "spring", "off": 20, **wrong}
        assert await shop.status("owner", "POST", "/promotions", body) == 422, wrong
    for who in ("anna", "agent", "viewer"):
        assert await shop.status(who, "POST", "/promotions", {"type": "coupon", "name": "x", "off": 1}) == 403
    running = await offer(shop)
    await offer(shop, begin_tms="2026-12-01T00:00:00Z")
    assert [one["promotion_id"] for one in await shop.told("anna", "GET", "/promotions")] == [running]
    assert len(await shop.told("agent", "GET", "/promotions")) == 2
    assert await shop.told("rival", "GET", "/promotions") == []
    told = await shop.told("platform", "GET", f"/promotions/{running}", vid="clear")
    assert (told["off"], told["full"], told["running"]) == (20, 100, True)


async def test_advertisements_are_shown_where_and_while_the_brand_says(shop: Shop) -> None:
    shown = {"title": "Spring", "placement": "home", "image": "https://example.com/a.png"}
    first = (await shop.told("owner", "POST", "/advertisements", {**shown, "sequence": 2}))["ad_id"]
    on_m1 = {**shown, "device_id": "m1", "sequence": 1}
    assert await shop.status("owner", "POST", "/advertisements", on_m1) == 404
    await shop.database.transact(lambda work: register(work, BRAND, "大堂", machine="m1"))
    here = (await shop.told("owner", "POST", "/advertisements", on_m1))["ad_id"]
    later = {**shown, "begin_tms": "2026-12-01T00:00:00Z"}
    assert (await shop.told("owner", "POST", "/advertisements", later))["begin_tms"] == "2026-12-01T00:00:00Z"

    async def seen(who: str, **query: Any) -> list[str]:
        return [one["ad_id"] for one in await shop.told(who, "GET", "/advertisements", **query)]

    assert await seen("anna") == [here, first]
    assert await seen("anna", device_id="m2") == [first]
    assert await seen("anna", placement="screen") == []
    assert len(await seen("owner")) == 3
    assert await seen("rita") == []
    # A screen beside the machine, which nobody is signed in at.
    assert await seen("", vid=BRAND, device_id="m1", placement="home", shown="false") == [here, first]
    assert await seen("", vid=RIVAL, device_id="m1") == []
    assert await shop.status("", "GET", "/advertisements", device_id="m1") == 422
    await shop.told("owner", "PUT", f"/advertisements/{first}", {"stopped": True})
    assert await seen("anna") == [here]
    assert await shop.status("rival", "DELETE", f"/advertisements/{here}") in (403, 404)
    await shop.told("owner", "DELETE", f"/advertisements/{here}")
    assert await seen("anna") == []
    assert await shop.status("owner", "POST", "/advertisements", {"title": "x"}) == 422


async def test_an_order_given_back_as_a_whole_gives_its_coupon_back(shop: Shop) -> None:
    spring = await offer(shop)
    coupon = (await shop.told("anna", "POST", f"/promotions/{spring}/claim"))["coupon_id"]
    cancelled = (await buy(shop, coupon=coupon))["order_id"]
    await shop.pay(cancelled)
    assert await refused(shop, coupon) == 422
    await shop.told("owner", "POST", f"/orders/{cancelled}/status/close")
    (free,) = await shop.told("anna", "GET", "/coupons", used="false")
    assert free["order_id"] == ""

    # What is deleted unpaid holds neither its coupon nor its customer.
    deleted = (await buy(shop, coupon=coupon))["order_id"]
    await shop.told("platform", "DELETE", f"/orders/{deleted}")
    async with shop.database.look(tenant=BRAND) as work:
        assert await open_purchases(work, BRAND, member="anna") == 0

    returned = (await buy(shop, coupon=coupon))["order_id"]
    await shop.pay(returned)
    await give_back(shop, returned, {})
    (free,) = await shop.told("anna", "GET", "/coupons", used="false")
    assert free["coupon_id"] == coupon

    kept = (await buy(shop, coupon=coupon))["order_id"]
    await shop.pay(kept)
    await give_back(shop, kept, {"amount": 179.97})
    assert await shop.told("anna", "GET", "/coupons", used="false") == []
    assert await refused(shop, coupon) == 422, "a fen was kept, so something was bought with it"
    await shop.make_calls()
    assert await shop.drift() == 0


async def give_back(shop: Shop, order: str, body: dict[str, Any]) -> None:
    """Send an order, and have its goods and (so much of) its money go back."""
    await shop.deliver(order)
    await shop.told("anna", "POST", f"/orders/{order}/status/return")
    await shop.told("owner", "POST", f"/orders/{order}/status/consent")
    await shop.told("owner", "PUT", f"/orders/{order}/status/refund", body)
