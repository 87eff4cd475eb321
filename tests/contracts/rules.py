"""What the documentation says of an answer beyond its shape, each as an executable check with the sentence as its name.

A rule gets the answered payload, what was sent, and a way to ask more as the same caller.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import Any

from tests.contracts.shapes import fits

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """One answer and the request that it answers."""

    data: Any
    sent: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    # Ask another operation as the same caller: (id, body) -> payload; for a GET the mapping is the query.
    ask: Callable[[str, Mapping[str, Any]], Awaitable[Any]] | None = None

    async def of(self, operation: str, **sent: Any) -> Any:
        """The payload of another operation, asked by the same caller."""
        assert self.ask is not None
        return await self.ask(operation, sent)


Rule = Callable[[Told], Awaitable[None]]
RULES: dict[str, Rule] = {}


def rule(name: str) -> Callable[[Rule], Rule]:
    """Give a check the sentence by which the contracts name it."""

    def named(check: Rule) -> Rule:
        assert name not in RULES, f"two rules are called {name!r}"
        RULES[name] = check
        return check

    return named


def falling(rows: list[Any]) -> bool:
    """Whether no element is greater than the one before it."""
    return all(before >= after for before, after in pairwise(rows))


def yuan(value: float) -> Decimal:
    """A JSON number as exact money."""
    return Decimal(str(value))


# --- both: lists ---


@rule("a page is not longer than its size")
async def _(told: Told) -> None:
    assert len(_rows(told.data)) <= told.data["page_size"]


@rule("total counts at least the rows")
async def _(told: Told) -> None:
    if (told.data["page_no"] - 1) * told.data["page_size"] < told.data["total"]:
        assert told.data["total"] >= len(_rows(told.data))
    else:
        assert _rows(told.data) == []


def _rows(data: Row) -> list[Any]:
    return next(value for value in data.values() if isinstance(value, list))


# --- vending: devices ---


@rule("no device is in state 2")
async def _(told: Told) -> None:
    assert all(row["vendor_status"] != 2 for row in told.data["vendor_list"])


@rule("what is listed as out of stock is at 0")
async def _(told: Told) -> None:
    assert all(empty["goods_num"] == 0 for row in told.data["vendor_list"] for empty in row["stockout_list"])


@rule("a device without shortage lists nothing")
async def _(told: Told) -> None:
    assert all(
        row["stockout_list"] == [] for row in told.data["vendor_list"] if row["stock_num"] == row["out_num"] == 0
    )


@rule("devices are sorted as asked")
async def _(told: Told) -> None:
    column = {"2": "stock_num", "3": "out_num"}.get(str(told.sent.get("sort", "")))
    if column:
        assert falling([row[column] for row in told.data["vendor_list"]])


@rule("a page past the end still knows the total")
async def _(told: Told) -> None:
    first = await told.of("1.0")
    assert told.data["total"] == first["total"] > 0


# --- vending: aisles and records ---


@rule("an aisle without goods tells nothing about goods")
async def _(told: Told) -> None:
    silent = ("goods_name", "goods_spec", "goods_num", "goods_img", "goods_stock")
    assert all(row[name] is None for row in told.data["aisle_list"] if row["is_set"] == 0 for name in silent)


@rule("an aisle with goods holds between nothing and its capacity")
async def _(told: Told) -> None:
    for row in told.data["aisle_list"]:
        if row["is_set"] == 1:
            assert isinstance(row["goods_img"], list)
            assert fits("count", row["goods_num"])
            assert row["goods_num"] <= row["aisle_capacity"]


@rule("the list for restocking has configured aisles with room")
async def _(told: Told) -> None:
    if told.sent.get("normal") in (None, "", 0, "0"):
        assert all(row["is_set"] == 1 and row["goods_num"] < row["aisle_capacity"] for row in told.data["aisle_list"])


@rule("records come newest first")
async def _(told: Told) -> None:
    assert falling([row["record_time"] for row in told.data["list"]])


# --- vending: goods ---


@rule("a category counts what its goods have in stock")
async def _(told: Told) -> None:
    for row in told.data["list"]:
        assert row["all_num"] == sum(goods["goods_stock"] for goods in row["goods_list"])


@rule("all categories together are the goods of 4.4")
async def _(told: Told) -> None:
    figures = await told.of("4.4", shop_id="SH888")
    assert figures["goods_num"] == sum(row["all_num"] for row in told.data["list"])


@rule("the goods of 4.4 are all categories together")
async def _(told: Told) -> None:
    categories = await told.of("2.4", shop_id="SH888")
    assert told.data["goods_num"] == sum(row["all_num"] for row in categories["list"])


# --- vending: boards ---


def _segments(told: Told) -> list[Row]:
    return [row["list"] for row in told.data["time_list"] if row["list"]]


@rule("segments cover the day")
async def _(told: Told) -> None:
    hours = int(told.sent.get("time_cut", 2))
    labels = [f"{end % 24:02d}:00:00" for end in range(hours, 25, hours)]
    assert [row["time"] for row in told.data["time_list"]] == labels


@rule("an empty segment is empty and any other is whole")
async def _(told: Told) -> None:
    for segment in _segments(told):
        assert fits("money", segment["all_money"])
        assert fits("count", segment["order_num"])
        assert fits("count", segment["goods_num"])


@rule("the segments add up to the day")
async def _(told: Told) -> None:
    assert sum(yuan(segment["all_money"]) for segment in _segments(told)) == yuan(told.data["data"]["money"])
    assert sum(segment["order_num"] for segment in _segments(told)) == told.data["data"]["num"]


@rule("per order is the money by the orders")
async def _(told: Told) -> None:
    figures = told.data["data"]
    each = yuan(figures["money"]) / figures["num"] if figures["num"] else Decimal(0)
    assert yuan(figures["pre_money"]) == each.quantize(Decimal("0.01"), ROUND_HALF_UP)


@rule("rankings have at most five, the best first")
async def _(told: Told) -> None:
    for ranking in told.data["sort"].values():
        assert len(ranking) <= 5
        assert falling([row["all_money"] for row in ranking])


@rule("the days add up to the period")
async def _(told: Told) -> None:
    assert sum(yuan(row["all_money"]) for row in told.data["list"]) == yuan(told.data["data"]["money"])
    assert sum(row["order_num"] for row in told.data["list"]) == told.data["data"]["num"]


@rule("days rise and lie within what was asked")
async def _(told: Told) -> None:
    days = [row["day"] for row in told.data["list"]]
    assert days == sorted(set(days))
    if str(told.sent.get("time_type")) == "3":
        first, last = (
            int(str(told.sent.get(name, open_)).replace("-", "")) or open_
            for name, open_ in (("begin_day", 0), ("end_day", 99999999))
        )
        assert all(first <= day <= last for day in days)


@rule("my records are all records of 4.4")
async def _(told: Told) -> None:
    figures = await told.of("4.4", shop_id=told.sent["shop_id"])
    assert told.data["my_record_num"] == figures["record_all_num"]


@rule("all records are at least the returns")
async def _(told: Told) -> None:
    assert told.data["record_all_num"] >= told.data["return_num"]


# --- vending: returns and orders ---


@rule("returns are in the state that was asked for")
async def _(told: Told) -> None:
    if wanted := told.sent.get("return_status"):
        assert all(row["return_status"] == int(wanted) for row in told.data["list"])


@rule("returns are of the category that was asked for")
async def _(told: Told) -> None:
    if wanted := told.sent.get("category_id"):
        assert all(wanted in row["category_id"] for row in told.data["list"])


@rule("the id of the return is told")
async def _(told: Told) -> None:
    listed = await told.of("5.3", shop_id="SH888", return_status=1)
    assert told.data["return_id"] in [row["return_id"] for row in listed["list"]]


@rule("orders come newest first")
async def _(told: Told) -> None:
    assert falling([row["pay_time"] for row in told.data["order_list"]])


@rule("a row costs its price times its number")
async def _(told: Told) -> None:
    for row in told.data["info"]["goods_list"]:
        assert yuan(row["all_money"]) == yuan(row["goods_price"]) * row["goods_num"]


@rule("an order is the sum of its rows")
async def _(told: Told) -> None:
    info = told.data["info"]
    assert yuan(info["order_fee"]) == sum(yuan(row["all_money"]) for row in info["goods_list"])
    assert info["goods_all_num"] == sum(row["goods_num"] for row in info["goods_list"])


@rule("the order was paid when the list says")
async def _(told: Told) -> None:
    info = told.data["info"]
    listed = await told.of("6.1", shop_id=info["shop_id"])
    (row,) = [row for row in listed["order_list"] if row["vendor_order_id"] == info["vendor_order_id"]]
    assert (row["pay_time"], row["order_status"]) == (info["pay_time"], info["order_status"])


# --- vending: faults ---


@rule("a phone is listed once")
async def _(told: Told) -> None:
    phones = [row["person_phone"] for row in told.data["person_list"]]
    assert len(phones) == len(set(phones))


@rule("what is not dispatched has no handler")
async def _(told: Told) -> None:
    if str(told.sent.get("is_send")) == "0":
        assert all(row["deal_name"] is None for row in told.data["fault_list"])


@rule("faults come newest first")
async def _(told: Told) -> None:
    assert falling([row["fault_time"] for row in told.data["fault_list"]])


@rule("handling is not before the fault")
async def _(told: Told) -> None:
    info = told.data["fault_info"]
    assert info["now_time"] >= info["fault_time"]
    assert info["send_time"] is None or info["send_time"] >= info["fault_time"]


@rule("a dispatched fault says when and to whom")
async def _(told: Told) -> None:
    info = told.data["fault_info"]
    assert all(info[name] is not None for name in ("deal_name", "name_phone", "send_time"))


@rule("the fault happened when the list says")
async def _(told: Told) -> None:
    listed = await told.of("7.2", shop_id="SH888")
    (row,) = [row for row in listed["fault_list"] if row["fault_id"] == told.sent["fault_id"]]
    assert row["fault_time"] == told.data["fault_info"]["fault_time"]


@rule("a login opens a session")
async def _(told: Told) -> None:
    assert fits("text", told.data["token"])


# --- iot ---


@rule("limit and offset are windows of one list")
async def _(told: Told) -> None:
    name, rows = next((name, rows) for name, rows in told.data.items() if isinstance(rows, list))
    offset, limit = int(told.query.get("offset", 0)), int(told.query.get("limit", 10))
    assert len(rows) <= limit
    if "limit" in told.query and told.ask is not None:
        whole = await told.of("", **{**told.query, "limit": 100, "offset": 0})
        assert rows == whole[name][offset : offset + limit]


@rule("nobody sees a user whom he may not read")
async def _(told: Told) -> None:
    for row in told.data["users"]:
        assert (await told.of("AA-04", UID=row["uid"]))["uid"] == row["uid"]


@rule("an order number begins with the day")
async def _(told: Told) -> None:
    assert told.data["order_id"].startswith("20261120")


@rule("a ticket number begins with the day")
async def _(told: Told) -> None:
    assert told.data["ticket_id"].startswith("20261120")


@rule("a payment has a time and a number")
async def _(told: Told) -> None:
    assert fits("text", told.data["pay_tms"])
    assert fits("text", told.data["transaction_no"])


@rule("a return has its time")
async def _(told: Told) -> None:
    assert fits("text", told.data["return"]["return_tms"])


@rule("there is a signing record")
async def _(told: Told) -> None:
    assert len(told.data["signings"]) == 1
