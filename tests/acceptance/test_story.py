"""The acceptance story, over each broker and on each database: what people do with machines, and that it adds up.

Each chapter uses aisles of its own on one machine and ends with an account that balances: the cloud's money and stock
against what the simulator saw fall.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import nullcontext

import httpx2
import pytest
import pytest_asyncio

from firmware_sim.demo.cast import GOODS
from firmware_sim.demo.wire import Refused
from tests.acceptance.house import STOCK, House, frozen, house, vending
from tests.cloud.postgres import postgres_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Long enough for a claim on a busy computer, short enough to wait for its end.
ORDER_DEADLINE_MS = 6_000
HOUR_MS = 3_600_000


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["mosquitto and SQLite", "amqtt and PostgreSQL"], ids=str.split
)
async def street(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A machine with 24 aisles in pairs of the same goods."""
    broker, _, database = request.param.partition(" and ")
    folder = tmp_path_factory.mktemp(broker) / "stage"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AISLEFLOW_ORDER_DEADLINE_MS", str(ORDER_DEADLINE_MS))
        if database == "SQLite":
            async with house(folder, vending("vm-1", motors=24), broker=broker) as here:
                yield here
            return
        with postgres_server() as server:
            options = ("--database-url", await server.create("fleet"))
            async with house(folder, vending("vm-1", motors=24), broker=broker, cloud=options) as here:
                yield here


def price(aisle: int) -> int:
    """What the goods of an aisle cost at first."""
    return GOODS[aisle // 2].price_fen


async def test_an_order_in_the_app_is_delivered_and_settled(street: House) -> None:
    before, revenue = await street.wallet_fen(), await street.account_fen("revenue")
    order = await street.order("1-00", key="the-first")
    assert await street.wallet_fen() == before - price(0)
    story = await street.ended(order)
    assert (story["order"]["state"], story["order"]["delivered_aisle"]) == ("delivered", "1-00")
    whats = [moment["what"] for moment in story["timeline"]]
    assert whats[:2] == ["placed", "claimed"]
    assert {"delivered", "vend_delivered"} <= set(whats)
    assert [attempt["outcome"] for attempt in story["attempts"]] == ["delivered"]
    assert [(posting["from_account"], posting["to_account"]) for posting in story["postings"]] != []

    assert await street.order("1-00", key="the-first") == order, "the same key is the same order"
    street.tally.orders_placed -= 1
    assert await street.runs() == 1
    assert await street.wallet_fen() == before - price(0)
    assert await street.account_fen("revenue") == revenue + price(0)
    assert await street.account_fen("escrow") == 0
    assert (await street.aisle("1-00"))["on_hand"] == STOCK - 1
    ended_ms = story["order"]["ended_ms"]
    hours = await street.stage.api.get("/reports/sales-by-hour", from_ms=ended_ms - HOUR_MS, before_ms=ended_ms + 1)
    assert sum(hour["delivered"] for hour in hours["items"]) == 1
    await street.balances()


async def test_a_button_sale_is_known_to_the_cloud_from_its_fact(street: House) -> None:
    revenue = await street.account_fen("revenue")
    answer = await street.press("1-02", price(2), press="coin-1")
    assert answer["state"] == "delivered"
    assert await street.press("1-02", price(2), press="coin-1") == answer, "asked again, not sold again"
    await street.until_told()
    (sale,) = [one for one in await street.stage.api.every("/orders", source="button") if one["aisle"] == "1-02"]
    assert (sale["order"], sale["state"], sale["means"], sale["paid_fen"]) == (
        answer["order"],
        "delivered",
        "coin",
        price(2),
    )
    assert await street.account_fen("revenue") == revenue + price(2)
    await street.balances()


async def test_a_jam_sells_from_the_twin_aisle(street: House) -> None:
    before = await street.wallet_fen()
    async with street.trouble("jam", 4):
        story = await street.buy("1-04")
    assert [(attempt["aisle"], attempt["outcome"]) for attempt in story["attempts"]] == [
        ("1-04", "failed"),
        ("1-04", "failed"),
        ("1-05", "delivered"),
    ]
    assert story["order"]["delivered_aisle"] == "1-05"
    assert await street.wallet_fen() == before - price(4)
    await street.until_told()
    locked = await street.aisle("1-04")
    assert (locked["locked"], locked["lock_reason"]) == (True, "jam")
    with pytest.raises(Refused, match="closed"):
        await street.order("1-04")
    await street.command("/aisles/1-04/lock", locked=False, reason="freed")
    assert (await street.buy("1-04"))["order"]["delivered_aisle"] == "1-04"
    await street.balances()


async def test_when_both_aisles_jam_the_money_comes_back(street: House) -> None:
    before = await street.wallet_fen()
    async with street.trouble("jam", 6, 7):
        story = await street.buy("1-06", "refunded")
    assert story["order"]["reason"] == "jam"
    assert len(story["attempts"]) == 3
    assert [ticket["code"] for ticket in story["tickets"]] == ["vend_failed"]
    assert await street.wallet_fen() == before
    await street.balances()


@pytest.mark.parametrize("fell", [True, False])
async def test_what_nobody_saw_waits_for_a_person_and_the_stock_follows(street: House, fell: bool) -> None:
    """A blind sensor and an empty spiral look alike to the machine; a person opens the door and looks."""
    aisle, motor = ("1-08", 8) if fell else ("1-10", 10)
    before = await street.wallet_fen()
    if not fell:
        await street.stage.sim.unload("vm-1", 1, motor, STOCK)
    async with street.trouble("sensor_blind") if fell else nullcontext():
        story = await street.buy(aisle, "review")
    assert [(attempt["outcome"], attempt["drop_seen"]) for attempt in story["attempts"]] == [("unknown", False)]
    assert await street.account_fen("escrow") == price(motor)
    assert (await street.panel(aisle))["held"] == 1
    await street.until_told()
    assert (await street.aisle(aisle))["lock_reason"] == "nothing_seen"

    order = story["order"]["order"]
    decided = await street.stage.api.post(f"/reviews/{order}/decision", delivered=fell, reason="looked")
    assert decided["state"] == ("delivered" if fell else "refunded")
    assert await street.wallet_fen() == (before - price(motor) if fell else before)

    async def followed() -> bool:
        row = await street.panel(aisle)
        return (row["held"], row["on_hand"]) == (0, STOCK - fell)

    await street.until(followed, "the machine's stock follows the decision")
    if not fell:
        await street.command(f"/aisles/{aisle}/count", counted=0)
    await street.command(f"/aisles/{aisle}/lock", locked=False, reason="looked")
    await street.until_told()
    assert (await street.aisle(aisle))["on_hand"] == (STOCK - 1 if fell else 0)
    # A sale that is seen ends the row of missed drops: the next chapter's sensor is not suspected for this one's.
    await street.buy("1-22")
    await street.balances()


async def test_an_order_that_its_machine_does_not_claim_is_refunded_at_once(street: House) -> None:
    before, runs = await street.wallet_fen(), await street.runs()
    with frozen(street.stage.agents["vm-1"]):
        order = await street.order("1-12")
        assert await street.wallet_fen() == before - price(12)
        story = await street.ended(order)
    assert (story["order"]["state"], story["order"]["reason"]) == ("refunded", "expired")
    assert story["order"]["ended_ms"] - story["order"]["placed_ms"] < 2 * ORDER_DEADLINE_MS
    assert await street.wallet_fen() == before

    # The offers that waited for the machine reach it now; whatever it says to them, the order stays as it is.
    await street.until_selling()
    await street.buy("1-13")
    assert await street.runs() == runs + 1
    assert (await street.ended(order))["order"]["state"] == "refunded"
    await street.balances()


async def test_stock_is_loaded_and_counted_by_command(street: House) -> None:
    await street.stage.sim.unload("vm-1", 1, 14, 5)
    await street.command("/aisles/1-14/count", counted=STOCK - 5)
    assert (await street.panel("1-14"))["on_hand"] == STOCK - 5
    await street.stage.sim.load("vm-1", 1, 14, 2)
    await street.command("/aisles/1-14/load", quantity=2)
    await street.until_told()
    assert (await street.panel("1-14"))["on_hand"] == (await street.aisle("1-14"))["on_hand"] == STOCK - 3
    kinds = {one["kind"] for one in await street.stage.api.every("/machines/vm-1/stock", aisle="1-14")}
    assert {"load", "count"} <= kinds
    await street.balances()


async def test_a_new_price_reaches_the_machine_and_the_next_sale_has_it(street: House) -> None:
    version = (await street.stage.api.get("/machines/vm-1/prices"))["version"]
    new = price(16) + 55
    decided = await street.stage.api.put("/machines/vm-1/prices", version=version, prices={"1-16": new})

    async def arrived() -> bool:
        status = await street.stage.panels["vm-1"].ask("status")
        return bool(status["config_version"] == decided["version"])

    await street.until(arrived, "the machine acts on the new prices")
    with pytest.raises(Refused, match="costs"):
        await street.press("1-16", price(16))
    assert (await street.press("1-16", new))["state"] == "delivered"
    before = await street.wallet_fen()
    assert (await street.buy("1-16"))["order"]["paid_fen"] == new
    assert await street.wallet_fen() == before - new
    with pytest.raises(Refused, match="409"):
        await street.stage.api.put("/machines/vm-1/prices", version=version, prices={"1-16": 1})
    await street.balances()


async def test_an_aisle_and_a_machine_are_closed_and_opened_from_afar(street: House) -> None:
    await street.command("/aisles/1-18/lock", locked=True, reason="wet")
    await street.command("/aisles/1-19/lock", locked=True, reason="wet")
    with pytest.raises(Refused, match="aisle_closed"):
        await street.press("1-18")
    with pytest.raises(Refused, match="409"):
        await street.order("1-18")
    for aisle in ("1-18", "1-19"):
        await street.command(f"/aisles/{aisle}/lock", locked=False)
    await street.buy("1-18")

    await street.command("/selling", selling=False, reason="stocktaking")
    with pytest.raises(Refused, match="not_selling"):
        await street.press("1-18")
    await street.until_told()
    with pytest.raises(Refused, match="503"):
        await street.order("1-18")
    await street.command("/selling", selling=True, reason="done")
    await street.until_selling()
    await street.buy("1-18")
    await street.balances()


async def test_history_and_events_tell_a_sale_while_it_happens(street: House) -> None:
    heard: list[tuple[str, str]] = []
    token = (await street.stage.api.sign_in(**street.stage.sign_in))["token"]
    url = f"{street.stage.api.url}/api/v1/events"
    async with (
        httpx2.AsyncClient(timeout=60) as http,
        http.stream("GET", url, headers={"Authorization": f"Bearer {token}"}) as stream,
    ):
        lines = stream.aiter_lines()
        assert (await anext(lines)).startswith(":"), "the stream stands before anything happens"
        order = await street.order("1-20")
        async with asyncio.timeout(60):
            kind = ""
            async for line in lines:
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data" and json.loads(value)["subject"] == order:
                    heard.append((kind, json.loads(value)["state"]))
                if kind == "order.delivered" and not line:
                    break
    assert heard == [("order.placed", "held"), ("order.claimed", "claimed"), ("order.delivered", "delivered")]
    facts = await street.stage.api.every("/machines/vm-1/history", kind="vend_delivered")
    (told,) = [fact for fact in facts if fact["order"] == order]
    assert (told["body"]["aisle"], told["clock_state"] != "unset") == ("1-20", True)
    sequence = [fact["seq"] for fact in facts]
    assert sequence == sorted(sequence, reverse=True)
    await street.balances()


async def test_the_account_of_the_whole_story(street: House) -> None:
    account = await street.balances()
    assert account.delivered > 10
    assert account.review == 0
    assert account.money_in_escrow_fen == 0
