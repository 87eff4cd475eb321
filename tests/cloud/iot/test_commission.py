"""Chapter AE: what recommending earns: exact, pending until the order is done, taken back, withdrawn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.database import Database
from cloud.members.store import members
from cloud.products.model import WHOLE, Terms
from cloud.purchases.model import Line, commission_parts
from tests.cloud.iot.shop import BRAND, Shop

DAY_MS = 24 * 3_600_000


@pytest.fixture
async def chain(shop: Shop) -> Shop:
    """dora recommended carl, carl ben, and ben anna."""
    async with shop.database.work(tenant=BRAND) as work:
        for member, referrer in (("anna", "ben"), ("ben", "carl"), ("carl", "dora")):
            here = (members.c.tenant == BRAND) & (members.c.member == member)
            await work.execute(members.update().where(here).values(referrer=referrer))
    return shop


async def done(shop: Shop, *content: dict[str, Any]) -> str:
    order = await shop.order(*(content or ({"product_id": "P1", "quantity": 1},)))
    await shop.pay(order)
    await shop.deliver(order)
    await shop.told("anna", "POST", f"/orders/{order}/status/confirm")
    await shop.pass_time(7 * DAY_MS)
    return order


async def test_three_levels_earn_when_the_order_is_done(chain: Shop) -> None:
    order = await chain.order({"product_id": "P1", "quantity": 1})
    assert await chain.told("owner", "GET", "/commission") == []
    await chain.pay(order)
    told = await chain.told("owner", "GET", "/commission", sort="level")
    assert [(one["user_id"], one["level"], one["amount"], one["status"]) for one in told] == [
        ("ben", 1, 625.8, "pending"),
        ("carl", 2, 268.2, "pending"),
        ("dora", 3, 14.9, "pending"),
    ]
    assert told[0]["order_id"] == order
    assert await chain.told("ben", "GET", "/commission/summary") == {"available": 0, "pending": 625.8}
    assert await chain.told("owner", "GET", "/commission/summary") == {"available": 0, "pending": 908.9}
    await chain.deliver(order)
    await chain.told("anna", "POST", f"/orders/{order}/status/confirm")
    await chain.pass_time(7 * DAY_MS)
    assert await chain.told("ben", "GET", "/commission/summary") == {"available": 625.8, "pending": 0}
    assert await chain.told("anna", "GET", "/commission/summary") == {"available": 0, "pending": 0}
    assert await chain.told("owner", "GET", "/commission/summary") == {"available": 908.9, "pending": 0}
    assert await chain.held("revenue") == 310050 - 90890
    assert await chain.drift() == 0


async def test_what_is_given_back_earns_nothing(chain: Shop) -> None:
    order = await chain.order({"product_id": "P1", "quantity": 1})
    await chain.pay(order)
    await chain.told("owner", "POST", f"/orders/{order}/status/close")
    assert {one["state"] for one in await chain.told("owner", "GET", "/commission")} == {2}
    assert await chain.told("ben", "GET", "/commission/summary") == {"available": 0, "pending": 0}
    assert await chain.drift() == 0


async def test_all_that_is_available_is_withdrawn_once(chain: Shop) -> None:
    assert await chain.status("ben", "POST", "/commission/") == 400
    await done(chain)
    answer = await chain.ask("ben", "POST", "/commission/")
    assert answer.status_code == 202, answer.text
    assert answer.json()["data"]["amount"] == 625.8
    assert await chain.told("ben", "GET", "/commission/summary") == {"available": 0, "pending": 0}
    assert await chain.status("ben", "POST", "/commission") == 403
    assert await chain.held("leaving") == 62580
    await chain.make_calls()
    assert await chain.held("leaving") == 0
    assert await chain.drift() == 0
    await chain.pass_time(30_000)
    assert await chain.status("ben", "POST", "/commission") == 400
    assert await chain.status("carl", "POST", "/commission/", {"amount": 268.21}) == 400
    await chain.told("carl", "POST", "/commission/", {"amount": 100, "way": "bank", "payee": "6222-test"})
    assert await chain.told("carl", "GET", "/commission/summary") == {"available": 168.2, "pending": 0}
    for who in ("owner", "agent"):
        assert await chain.status(who, "POST", "/commission/") == 400
    await chain.make_calls()
    assert await chain.drift() == 0


async def test_two_who_withdraw_at_once_have_one_effect(chain: Shop) -> None:
    await done(chain)
    answers = await asyncio.gather(*(chain.ask("ben", "POST", "/commission/") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [202, 403, 403, 403]
    assert await chain.held("leaving") == 62580
    assert await chain.drift() == 0


async def test_each_sees_what_is_his(chain: Shop) -> None:
    await done(chain)
    for who in ("ben", "agent", "viewer"):
        assert await chain.status(who, "GET", "/commission") == 403
    assert await chain.told("rival", "GET", "/commission") == []
    assert await chain.told("rival", "GET", "/commission/summary") == {"available": 0, "pending": 0}
    assert await chain.told("rita", "GET", "/commission/summary") == {"available": 0, "pending": 0}
    assert await chain.told("agent", "GET", "/commission/summary") == {"available": 0, "pending": 0}
    assert len(await chain.told("platform", "GET", "/commission")) == 3
    assert [one["user_id"] for one in await chain.told("owner", "GET", "/commission", user_id="carl")] == ["carl"]
    assert [one["level"] for one in await chain.told("owner", "GET", "/commission", state=1, sort="amount")] == [
        3,
        2,
        1,
    ]
    assert await chain.status("owner", "GET", "/commission", sort="colour") == 400


async def test_fixed_amounts_are_for_each_piece(chain: Shop) -> None:
    terms = {"commis": {"enabled": True, "mode": "fixed", "config": [10, 2.5]}}
    await chain.told("owner", "PUT", "/products/P2/prof", terms)
    await chain.pay(await chain.order({"product_id": "P2", "quantity": 3}, {"product_id": "P1", "quantity": 1}))
    told = await chain.told("owner", "GET", "/commission", sort="level")
    assert [one["amount"] for one in told] == [655.8, 275.7, 14.9]


async def test_nobody_earns_twice_of_one_order(chain: Shop, database: Database) -> None:
    async with database.work(tenant=BRAND) as work:
        here = (members.c.tenant == BRAND) & (members.c.member == "carl")
        await work.execute(members.update().where(here).values(referrer="anna"))
    await chain.pay(await chain.order({"product_id": "P1", "quantity": 1}))
    assert [one["user_id"] for one in await chain.told("owner", "GET", "/commission", sort="level")] == ["ben", "carl"]


LEVELS = st.lists(st.integers(0, WHOLE // 3), max_size=3).map(tuple)
TERMS = st.builds(Terms, enabled=st.just(True), mode=st.just("ratio"), levels=LEVELS) | st.builds(
    Terms, enabled=st.booleans(), mode=st.just("fixed"), levels=st.lists(st.integers(0, 10**8), max_size=3).map(tuple)
)
LINES = st.builds(
    Line,
    product=st.just("P"),
    name=st.just("P"),
    quantity=st.integers(1, 999),
    price_fen=st.integers(0, 10**8),
    commission=TERMS,
)


@given(terms=TERMS, base_fen=st.integers(0, 10**10), quantity=st.integers(1, 999))
def test_parts_and_rest_are_the_whole(terms: Terms, base_fen: int, quantity: int) -> None:
    parts = terms.parts_of(base_fen, quantity)
    assert len(parts) == (len(terms.levels) if terms.enabled else 0)
    assert all(part >= 0 for part in parts)
    assert sum(parts) <= base_fen
    if terms.mode == "ratio" and parts:
        for part, share in zip(parts, terms.levels, strict=True):
            assert abs(part * WHOLE - base_fen * share) < WHOLE
        if sum(terms.levels) == WHOLE:
            assert sum(parts) == base_fen


@given(lines=st.lists(LINES, min_size=1, max_size=6).map(tuple))
def test_a_purchase_never_pays_out_more_than_its_goods(lines: tuple[Line, ...]) -> None:
    parts = commission_parts(lines)
    assert len(parts) <= 3
    assert 0 <= sum(parts) <= sum(line.goods_fen for line in lines)
