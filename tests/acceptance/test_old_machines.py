"""Machines with a past: ten thousand sales without a network, a ledger file of yesterday, a clock in 1970."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from edge_agent.ledger import journal, stock
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.ledger.journal import AttemptPlan, Sale
from firmware_sim.demo.wire import Refused
from shared.clock import SystemClock
from shared.ids import AisleId, GoodsId, MachineId, OrderId
from shared.messages import Attempt, VendDelivered, VendFailed, VendUnknown
from tests.acceptance.house import STOCK, House, house, vending

pytestmark = pytest.mark.asyncio(loop_scope="module")

# A machine's place in the line after an outage follows from its name: this one is near the front.
OFFLINE = "vm-0141"
SALES = 10_000
SALES_OF_A_TRANSACTION = 250
# Every so many sales one jams before anything fell, and one is seen by nobody.
JAM_EVERY, UNSEEN_EVERY = 40, 1_000
PRICE_FEN = 250

YESTERDAY = "m-7"
STORED = Path(__file__).parents[1] / "ledger" / "files" / "schema-1.sql"
STORED_EPOCH = "e1stored00000000000ab"

LOST_BATTERY = "vm-1970"
WITHOUT_CLOCK = (str(Path(__file__).with_name("agent_without_clock.py")),)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def street(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Three machines; their agents catch up as fast as the cloud allows."""
    machines = (vending(OFFLINE), vending(YESTERDAY), vending(LOST_BATTERY, program=WITHOUT_CLOCK))
    async with house(tmp_path_factory.mktemp("old") / "stage", *machines, uplink={"facts_per_s": 1_000}) as here:
        yield here


def ledger_file(street: House, machine: str) -> Path:
    return street.stage.folder / machine / "data" / "ledger.sqlite"


def sell(conn: sqlite3.Connection, number: int, clock: SystemClock) -> str:
    """One sale from its intent to its fact, as a vend writes it; what became of it."""
    aisle = AisleId("1-00" if number % 2 else "1-01")
    sale = Sale(
        order=OrderId(f"off-{number:05d}"),
        aisle=aisle,
        goods=GoodsId("water-550"),
        price_fen=PRICE_FEN,
        source="button",
        means="coin",
        paid_fen=PRICE_FEN,
        config_version=1,
    )
    txn = journal.begin(conn, sale, AttemptPlan(aisle=aisle, board=1, motor=number % 2, last_motor_before=3), clock)
    terms: dict[str, Any] = {
        name: getattr(sale, name)
        for name in ("order", "aisle", "goods", "price_fen", "source", "means", "paid_fen", "config_version")
    }
    if number % UNSEEN_EVERY == 7:
        unseen = Attempt(txn=txn, aisle=aisle, outcome="unknown", result="ok", drop_seen=False)
        journal.end(conn, VendUnknown(**terms, txn=txn, attempts=(unseen,), reason="nothing_seen"), clock)
        return "review"
    if number % JAM_EVERY == 3:
        jam = Attempt(txn=txn, aisle=aisle, outcome="failed", result="over_current", drop_seen=False)
        journal.end(conn, VendFailed(**terms, txn=txn, attempts=(jam,), reason="jam"), clock)
        return "review"  # coins were taken: only a person can hand them back
    drop = Attempt(txn=txn, aisle=aisle, outcome="delivered", result="ok", drop_seen=True, run_time_ms=3_000)
    journal.end(conn, VendDelivered(**terms, txn=txn, attempts=(drop,)), clock)
    return "delivered"


async def sell_offline(path: Path) -> dict[str, str]:
    """Write the sales into the machine's ledger, as its agent would; what became of each."""
    clock = SystemClock()
    ends: dict[str, str] = {}

    def some(conn: sqlite3.Connection) -> None:
        for number in range(len(ends), min(len(ends) + SALES_OF_A_TRANSACTION, SALES)):
            ends[f"off-{number:05d}"] = sell(conn, number, clock)

    async with await LedgerDatabase.open(path, machine=MachineId(OFFLINE), clock=clock, software="offline") as ledger:
        for aisle in ("1-00", "1-01"):
            await ledger.write(
                lambda conn, aisle=aisle: stock.load(conn, AisleId(aisle), GoodsId("water-550"), SALES, clock)  # type: ignore[misc]
            )
        while len(ends) < SALES:
            await ledger.write(some)
    return ends


@pytest.mark.timeout(240)
async def test_ten_thousand_sales_without_a_network_arrive_once(street: House) -> None:
    agent = street.stage.agents[OFFLINE]
    await street.until_told(OFFLINE)
    revenue = await street.account_fen("revenue")
    await agent.stop()
    ends = await sell_offline(ledger_file(street, OFFLINE))
    delivered = list(ends.values()).count("delivered")
    assert len(ends) == SALES
    await agent.start()
    await street.until_selling(OFFLINE)

    async def some_came() -> bool:
        return await street.stage.api.count("/orders", machine=OFFLINE) > SALES // 4

    await street.until(some_came, "the first sales arrive")
    await street.kill_broker()

    async def all_came() -> bool:
        return (await street.stage.panels[OFFLINE].ask("status"))["facts_waiting"] == 0

    await street.until(all_came, f"{SALES} sales are confirmed", deadline_s=150)
    orders = await street.stage.api.every("/orders", machine=OFFLINE)
    assert {order["order"]: order["state"] for order in orders} == ends
    assert len(orders) == SALES
    assert await street.account_fen("revenue") - revenue == delivered * PRICE_FEN
    assert await street.account_fen("escrow") == (SALES - delivered) * PRICE_FEN
    assert (await street.stage.api.get("/ledger/drift"))["drift_fen"] == 0
    assert await street.stage.api.count("/quarantine", machine=OFFLINE) == 0
    for aisle in ("1-00", "1-01"):
        here, there = await street.panel(aisle, machine=OFFLINE), await street.aisle(aisle, machine=OFFLINE)
        assert (here["on_hand"], here["held"]) == (there["on_hand"], there["held"])
    on_hand = [(await street.aisle(aisle, machine=OFFLINE))["on_hand"] for aisle in ("1-00", "1-01")]
    assert sum(on_hand) == 2 * (SALES + STOCK) - delivered
    assert (await street.press("1-05", machine=OFFLINE))["state"] == "delivered"


async def test_a_ledger_file_of_yesterday_goes_on_where_it_was(street: House) -> None:
    agent, path = street.stage.agents[YESTERDAY], ledger_file(street, YESTERDAY)
    await street.until_told(YESTERDAY)
    await agent.stop()
    for file in path.parent.glob("ledger.sqlite*"):
        file.unlink()
    with closing(sqlite3.connect(path)) as stored:
        stored.executescript(STORED.read_text(encoding="utf-8"))
        ((next_seq,),) = stored.execute("SELECT next_seq FROM stream").fetchall()
    await agent.start()

    async def told() -> bool:
        streams = (await street.stage.api.get(f"/machines/{YESTERDAY}"))["streams"]
        applied = {stream["epoch"]: stream["applied"] for stream in streams}
        return applied.get(STORED_EPOCH, 0) >= next_seq - 1

    await street.until(told, "the cloud has what was in the file, and what it led to")
    status = await street.stage.panels[YESTERDAY].ask("status")
    assert status["epoch"] == STORED_EPOCH
    assert (await street.stage.panels[YESTERDAY].ask("order", order="o-sold"))["state"] == "delivered"
    facts = await street.stage.api.every(f"/machines/{YESTERDAY}/history")
    numbers = [fact["seq"] for fact in facts if fact["epoch"] == STORED_EPOCH]
    assert len(numbers) == len(set(numbers))
    assert {"epoch_began", "stock_loaded"} <= {fact["kind"] for fact in facts if fact["epoch"] == STORED_EPOCH}

    # A command to stop selling lay in the file, accepted and not yet carried out: now it is.
    with pytest.raises(Refused, match="not_selling"):
        await street.press("1-00", machine=YESTERDAY)
    await street.command("/selling", machine=YESTERDAY, selling=True, reason="looked after")
    # Its configuration was sealed with a key that is no more; the cloud sends the present one.
    await street.until_selling(YESTERDAY)
    await street.command("/aisles/1-00/load", machine=YESTERDAY, quantity=STOCK)
    runs = await street.runs(YESTERDAY)
    assert (await street.press("1-00", machine=YESTERDAY))["state"] == "delivered"
    assert (await street.buy("1-00", machine=YESTERDAY))["order"]["state"] == "delivered"
    assert await street.runs(YESTERDAY) == runs + 2
    await street.until_told(YESTERDAY)


async def test_a_machine_that_is_claimed_again_goes_on_with_its_ledger(street: House) -> None:
    """A new secret breaks every seal in the old file, also that of the configuration which is still the newest."""
    agent, home = street.stage.agents[OFFLINE], street.stage.folder / OFFLINE
    await street.until_told(OFFLINE)
    before = await street.stage.panels[OFFLINE].ask("status")
    await agent.stop()
    await street.stage.api.post(f"/machines/{OFFLINE}/revoke")
    credential = await street.stage.api.post(f"/machines/{OFFLINE}/claim")
    (home / "secret").write_text(credential["secret"])
    await agent.start()
    await street.until_selling(OFFLINE)
    status = await street.stage.panels[OFFLINE].ask("status")
    assert (status["epoch"], status["config_version"]) == (before["epoch"], before["config_version"])
    await street.buy("1-06", machine=OFFLINE)


async def test_a_machine_in_1970_sells_and_the_cloud_knows_when(street: House) -> None:
    began_ms = time.time_ns() // 1_000_000
    answer = await street.press("1-00", machine=LOST_BATTERY)
    assert answer["state"] == "delivered"
    story = await street.buy("1-02", machine=LOST_BATTERY)
    await street.until_told(LOST_BATTERY)
    facts = await street.stage.api.every(f"/machines/{LOST_BATTERY}/history", kind="vend_delivered")
    assert len(facts) == 2
    now_ms = time.time_ns() // 1_000_000
    for fact in facts:
        assert fact["clock_state"] == "unset"
        assert fact["wall_ms"] < 3_600_000
        assert began_ms <= fact["happened_ms"] <= fact["received_ms"] <= now_ms
    button = (await street.stage.api.get(f"/orders/{answer['order']}"))["order"]
    for order in (button, story["order"]):
        assert began_ms <= order["placed_ms"] <= order["ended_ms"] <= now_ms
