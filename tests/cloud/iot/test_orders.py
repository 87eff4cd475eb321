"""Chapter AD: the whole chain of an order, its money in step at every moment."""

from __future__ import annotations

import re

from cloud.purchases.model import STATES
from tests.cloud.iot.shop import BRAND, RECEIVER, Shop

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


async def test_prices_are_the_products_own_and_frozen(shop: Shop) -> None:
    order = await shop.order(
        {"product_id": "P1", "quantity": 2, "price": 0.01}, {"product_id": "P2", "quantity": 3, "price": 0.01}
    )
    assert re.fullmatch(r"20261120CLEA\d{12}", order)
    await shop.told("owner", "PUT", "/products/P1", {"price": 1, "name": "涨价"})
    told = await shop.told("anna", "GET", f"/orders/{order}")
    assert [(line["product_id"], line["quantity"], line["price"]) for line in told["content"]] == [
        ("P1", 2, 2980),
        ("P2", 3, 99.99),
    ]
    assert (told["amount"], told["freight"], told["install_cost"], told["deposit"]) == (6480.47, 20.5, 200, 0)
    assert (told["state"], told["status"], told["type"], told["user_id"]) == (0, "obligation", "商品", "anna")
    assert told["receiver"]["addr_deatil"] == told["receiver"]["address"] == RECEIVER["address"]
    assert told["payment"]["pay_tms"] == told["complete_tms"] == told["return"]["return_tms"] == ""
    assert (await shop.told("anna", "GET", f"/orders/D{order}"))["order_id"] == order


async def test_what_cannot_be_ordered(shop: Shop) -> None:
    for content in (
        [],
        [{"product_id": "P9", "quantity": 1}],
        [{"product_id": "R1", "quantity": 1}],
        [{"product_id": "P2", "quantity": 0}],
        [{"product_id": "P2", "quantity": 1_000}],
        [{"product_id": "P2", "quantity": 1, "period": "30d"}],
        [{"product_id": "P1", "quantity": 1, "period": "31d"}],
        [{"product_id": "P2", "quantity": 1}] * 51,
    ):
        assert await shop.status("anna", "POST", "/orders", {"content": content, "receiver": RECEIVER}) == 422, content
    assert await shop.status("anna", "POST", "/orders", {"content": [{"product_id": "P2", "quantity": 1}]}) == 422
    await shop.told("owner", "DELETE", "/products/P2")
    body = {"content": [{"product_id": "P2", "quantity": 1}], "receiver": {}}
    assert await shop.status("anna", "POST", "/orders", body) == 422
    for who in ("owner", "agent", "platform"):
        assert await shop.status(who, "POST", "/orders", body) == 403


async def test_each_sees_what_is_his(shop: Shop) -> None:
    order = await shop.order()
    for who, seen in (("anna", [order]), ("ben", []), ("owner", [order]), ("rival", []), ("rita", [])):
        assert [one["order_id"] for one in await shop.told(who, "GET", "/orders")] == seen, who
    assert [one["order_id"] for one in await shop.told("platform", "GET", "/orders")] == [order]
    for who in ("ben", "rival", "rita"):
        for path in ("", "/delivery", "/payment"):
            assert await shop.status(who, "GET", f"/orders/{order}{path}") in (403, 404)
    for who in ("ben", "rita"):
        for path in ("prepay/weixin", "status/confirm", "status/return", "status/close"):
            assert await shop.status(who, "POST", f"/orders/{order}/{path}") in (403, 404)
    assert await shop.status("", "GET", "/orders") == 401


async def test_asking_again_gives_the_same_open_payment(shop: Shop) -> None:
    order = await shop.order()
    first = await shop.told("anna", "POST", f"/orders/{order}/prepay/weixin")
    again = await shop.told("anna", "POST", f"/orders/{order}/prepay/weixin")
    assert first == again
    assert (first["amount"], first["pay_ch"]) == (99.99, "weixin")
    assert first["parameters"]["provider"] == "recording"
    card = await shop.told("anna", "POST", f"/orders/{order}/prepay/credit")
    assert card["bill_no"] != first["bill_no"]
    assert card["pay_ch"] == "tonglian"
    assert (await shop.told("anna", "POST", f"/orders/{order}/prepay/debit"))["pay_ch"] == "tonglian"
    assert await shop.status("owner", "POST", f"/orders/{order}/prepay/weixin") == 403
    await shop.pass_time(HOUR_MS)
    assert (await shop.told("anna", "POST", f"/orders/{order}/prepay/weixin"))["bill_no"] != first["bill_no"]


async def test_lists_are_windows(shop: Shop) -> None:
    orders = [await shop.order({"product_id": "P2", "quantity": count}) for count in (2, 3, 1)]
    told = await shop.told("anna", "GET", "/orders", sort="amount", order="desc")
    assert [one["order_id"] for one in told] == [orders[1], orders[0], orders[2]]
    assert [one["order_id"] for one in await shop.told("anna", "GET", "/orders")] == list(reversed(orders))
    page = await shop.ask("anna", "GET", "/orders", sort="order_id", limit=2, offset=1)
    assert page.json()["total"] == 3
    assert [one["order_id"] for one in page.json()["orders"]] == orders[1:]
    await shop.told("anna", "POST", f"/orders/{orders[0]}/status/close")
    assert [one["order_id"] for one in await shop.told("anna", "GET", "/orders", state=7)] == [orders[0]]
    assert [one["order_id"] for one in await shop.told("owner", "GET", "/orders", state="close")] == [orders[0]]
    states = [one["state"] for one in await shop.told("anna", "GET", "/orders", sort="state", order="desc")]
    assert states == [7, 0, 0]
    assert await shop.told("anna", "GET", "/orders", type="续租") == []
    assert await shop.status("anna", "GET", "/orders", sort="colour") == 400
    assert STATES.index("close") == 7
    assert told[0]["vid"] == BRAND
