"""Everything between machine and database is killed while people buy: nothing is lost, nothing happens twice."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from random import Random

import pytest
import pytest_asyncio

from firmware_sim.demo.account import settled
from firmware_sim.demo.cast import GOODS
from tests.acceptance.house import House, house, vending
from tests.acceptance.traffic import Traffic
from tests.crash.processes import injected, need_strace

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Of broker and cloud each, at each broker. A machine waits longer after each lost connection: a third costs 15 s.
KILLS = 2
# With a busy neighbour on the other core; alone it takes a quarter of it.
LIMIT_S = 240
# Between two kills so many items fall, more or less: the moment is the dice's.
SOLD_BETWEEN = (2, 6)


@pytest_asyncio.fixture(params=["mosquitto", "amqtt"], loop_scope="module")
async def street(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Two machines at a broker that remembers nothing over its own death."""
    folder = tmp_path_factory.mktemp("crashes") / "stage"
    async with house(folder, vending("vm-1"), vending("vm-2"), broker=request.param) as here:
        yield here


@pytest.mark.timeout(LIMIT_S)
async def test_what_people_began_ends_once_whoever_is_killed(street: House) -> None:
    dice, traffic = Random(3), Traffic(street, seed=3)
    async with traffic.flowing():
        for _ in range(KILLS):
            for kill in (street.kill_broker, street.kill_cloud):
                await traffic.until_sold(dice.randint(*SOLD_BETWEEN))
                await kill()
        # The next sale shows the cloud what it has missed; a machine that sells no more would be asked a minute later.
        for machine in street.stage.panels:
            await street.until_told(machine, but=3)
    account = await street.balances()
    ends = await traffic.ends()
    assert set(ends.values()) <= {"delivered", "refunded"}, ends
    assert list(ends.values()).count("delivered") == account.delivered == sum(m.fell for m in account.machines)
    assert {press: ends[f"p{press}"] for press in traffic.presses} == traffic.presses
    assert account.review == 0
    for machine in street.stage.panels:
        await street.until_told(machine)


async def test_ingest_dies_between_its_commit_and_the_watermark(tmp_path_factory: pytest.TempPathFactory) -> None:
    need_strace()
    folder = tmp_path_factory.mktemp("commit") / "stage"
    async with house(folder, vending("vm-1")) as street:
        await settled(street.stage)
        # The first thing that the process sends after the commit is the watermark: it dies before that leaves.
        async with injected(street.stage.cloud.process.pid, "sendto", "signal=SIGKILL:when=1"):
            assert (await street.press("1-00", press="the-last"))["state"] == "delivered"
            async with asyncio.timeout(60):
                assert await street.stage.cloud.process.wait() == -9
        with closing(sqlite3.connect(folder / "cloud" / "aisleflow.db")) as books:
            assert books.execute('SELECT state FROM orders WHERE "order" = ?', ("pthe-last",)).fetchall() == [
                ("delivered",)
            ]
            assert books.execute("SELECT on_hand FROM stock_balances WHERE aisle = '1-00'").fetchall() == [(9,)]
        assert (await street.stage.panels["vm-1"].ask("status"))["facts_waiting"] > 0, "nobody told the machine"
        await street.start_cloud()
        await street.press("1-01")
        await street.until_told()
        assert await street.account_fen("revenue") == 2 * GOODS[0].price_fen  # the pair of aisles holds the first goods
        account = await street.balances()
        assert account.delivered == 2
