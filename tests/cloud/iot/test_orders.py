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


async def test_an_order_goes_through_its_whole_chain(shop: Shop) -> None:
    order = await shop.order({"product_id": "P1", "quantity": 1})
    assert await shop.status("owner", "POST", f"/orders/{order}/delivery", {"company": "x"}) == 400
    bill = await shop.pay(order)
    paid = await shop.told("anna", "GET", f"/orders/{order}/payment")
    assert (paid["pay_ch"], paid["bill_no"], paid["status"]) == ("weixin", bill, "paid")
    assert paid["pay_tms"] == "2026-11-20T04:00:00Z"
    assert paid["transaction_no"] == f"recording-{bill}"
    assert await shop.status("anna", "POST", f"/orders/{order}/prepay/weixin") == 400
    assert await shop.status("anna", "POST", f"/orders/{order}/status/confirm") == 400
    delivery = {"company": "快快", "tracking_num": "KK1", "delivery_clerk": "小暑", "delivery_tms": "20261121"}
    await shop.told("operator", "POST", f"/orders/{order}/delivery", delivery)
    await shop.told("owner", "PUT", f"/orders/{order}/delivery", {"tracking_num": "KK2"})
    told = await shop.told("anna", "GET", f"/orders/{order}/delivery")
    assert told == {**delivery, "tracking_num": "KK2", "delivery_tms": "2026-11-21T00:00:00Z"}
    assert await shop.status("anna", "PUT", f"/orders/{order}/delivery", {"company": "x"}) == 403
    assert await shop.status("owner", "POST", f"/orders/{order}/status/confirm") == 403
    await shop.told("anna", "POST", f"/orders/{order}/status/confirm")
    assert (await shop.told("anna", "GET", f"/orders/{order}"))["state"] == 3
    assert await shop.drift() == 0
    await shop.pass_time(7 * DAY_MS)
    told = await shop.told("anna", "GET", f"/orders/{order}")
    assert (told["state"], told["complete_tms"]) == (8, "2026-11-27T04:00:00Z")
    assert await shop.drift() == 0
    assert await shop.held("revenue") == 310050
    assert await shop.status("anna", "POST", f"/orders/{order}/status/return") == 400


async def test_goods_go_back_and_so_does_the_money(shop: Shop) -> None:
    order = await shop.order({"product_id": "P1", "quantity": 1})
    await shop.pay(order, way="debit")
    await shop.deliver(order)
    await shop.told("anna", "POST", f"/orders/{order}/status/confirm")
    await shop.told("anna", "POST", f"/orders/{order}/status/return")
    assert (await shop.told("anna", "GET", f"/orders/{order}"))["return"]["return_tms"] == "2026-11-20T04:00:00Z"
    assert await shop.status("owner", "PUT", f"/orders/{order}/status/refund") == 400
    for who in ("anna", "agent", "operator"):
        assert await shop.status(who, "POST", f"/orders/{order}/status/consent") == 403
    await shop.told("owner", "POST", f"/orders/{order}/status/consent")
    assert await shop.status("owner", "PUT", f"/orders/{order}/status/refund", {"amount": 3100.51}) == 422
    await shop.told("owner", "POST", f"/orders/{order}/status/refund", {"amount": 3000})
    assert await shop.status("owner", "PUT", f"/orders/{order}/status/refund") == 400
    await shop.make_calls()
    told = await shop.told("anna", "GET", f"/orders/{order}")
    assert (told["state"], told["refunded"], told["payment"]["status"]) == (6, 3000, "refunded")
    assert await shop.payment_states(order) == ["partly_refunded"]
    assert await shop.held("revenue") == 10050
    assert await shop.drift() == 0


async def test_time_closes_what_nobody_pays_and_late_money_goes_back(shop: Shop) -> None:
    order = await shop.order()
    bill = (await shop.told("anna", "POST", f"/orders/{order}/prepay/weixin"))["bill_no"]
    await shop.pass_time(25 * HOUR_MS)
    assert await shop.state(order) == "close"
    await shop.settle_late(bill)
    await shop.make_calls()
    assert await shop.payment_states(order) == ["refunded"]
    assert await shop.state(order) == "close"
    assert await shop.drift() == 0


async def test_an_order_is_paid_once(shop: Shop) -> None:
    order = await shop.order()
    wechat = (await shop.told("anna", "POST", f"/orders/{order}/prepay/weixin"))["bill_no"]
    card = (await shop.told("anna", "POST", f"/orders/{order}/prepay/credit"))["bill_no"]
    await shop.settle(card)
    await shop.settle(wechat)
    await shop.make_calls()
    assert sorted(await shop.payment_states(order)) == ["captured", "refunded"]
    assert (await shop.told("anna", "GET", f"/orders/{order}"))["payment"]["bill_no"] == card
    assert await shop.drift() == 0


async def test_what_is_sent_arrives_by_time(shop: Shop) -> None:
    order = await shop.order()
    await shop.pay(order)
    await shop.deliver(order)
    await shop.pass_time(15 * DAY_MS)
    assert await shop.state(order) == "received"
    await shop.pass_time(7 * DAY_MS)
    assert await shop.state(order) == "done"


async def test_a_brand_that_cannot_deliver_gives_everything_back(shop: Shop) -> None:
    order = await shop.order()
    await shop.pay(order)
    assert await shop.status("anna", "POST", f"/orders/{order}/status/close") == 400
    await shop.told("owner", "POST", f"/orders/{order}/status/close")
    await shop.make_calls()
    assert await shop.state(order) == "close"
    assert await shop.payment_states(order) == ["refunded"]
    assert await shop.drift() == 0


async def test_what_costs_nothing_is_paid_at_once(shop: Shop) -> None:
    await shop.told("owner", "POST", "/products", {"prod_id": "P0", "name": "预约", "type": 2, "price": 0})
    order = await shop.order({"product_id": "P0", "quantity": 1})
    told = await shop.told("anna", "GET", f"/orders/{order}")
    assert (told["status"], told["type"], told["amount"]) == ("paid", "预约", 0)
    assert await shop.drift() == 0


async def test_deleted_orders_are_gone_for_good(shop: Shop) -> None:
    order = await shop.order()
    for who in ("anna", "owner"):
        assert await shop.status(who, "DELETE", f"/orders/{order}") == 403
    await shop.told("platform", "DELETE", f"/orders/{order}")
    assert await shop.status("anna", "GET", f"/orders/{order}") == 410
    assert await shop.status("anna", "POST", f"/orders/{order}/prepay/weixin") == 410
    assert await shop.told("anna", "GET", "/orders") == []
    paid = await shop.order()
    await shop.pay(paid)
    assert await shop.status("platform", "DELETE", f"/orders/{paid}") == 400


async def test_of_a_user_who_left_orders_keep_no_address(shop: Shop) -> None:
    order = await shop.order()
    await shop.told("anna", "POST", f"/orders/{order}/status/close")
    await shop.told("platform", "DELETE", "/users/anna")
    told = await shop.told("owner", "GET", f"/orders/{order}")
    assert set(told["receiver"].values()) == {""}
    assert (told["memo"], told["user_id"], told["amount"]) == ("", "anna", 99.99)


async def test_installation_is_a_job_for_somebody(shop: Shop) -> None:
    order = await shop.order({"product_id": "P1", "quantity": 2})
    assert await shop.told("owner", "GET", "/tickets") == []
    await shop.pay(order)
    (ticket,) = await shop.told("owner", "GET", "/tickets")
    assert (ticket["type"], ticket["user_id"], ticket["order_id"]) == (1, "anna", order)
    assert {name: ticket["receiver"][name] for name in RECEIVER} == RECEIVER
    await shop.told("owner", "POST", f"/orders/{order}/status/close")
    (ticket,) = await shop.told("owner", "GET", "/tickets")
    assert ticket["status"] == 6
