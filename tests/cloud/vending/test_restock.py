"""Goods on their way from the warehouse into a machine: taken once, confirmed by the machine, given back if refused."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Table, func, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from cloud.database import Database
from cloud.errors import FleetError
from cloud.machines.commands import command_states
from cloud.paging import Ask
from cloud.standing import aisles_seen
from cloud.stock.browse import list_restocks
from cloud.stock.model import REPEAT_MS
from cloud.stock.restock import Filled, restock
from cloud.stock.store import restocks, warehouse_balances, warehouse_movements
from cloud.stock.warehouse import receive, take
from shared.clock import ManualClock
from shared.messages import CommandAnswered
from tests.cloud.fleet import CREDENTIALS, TENANT, new_machine, pressed, say
from tests.cloud.vending.shop import SHOP, fill, in_warehouse, open_shop


async def there(database: Database) -> dict[str, tuple[int, int]]:
    """Per aisle of m1: what is expected in it, and what the machine has confirmed."""
    async with database.look(tenant=TENANT) as work:
        return {aisle.id: (aisle.there, aisle.confirmed) for aisle in await aisles_seen(work, TENANT, ["m1"])}


async def test_the_machine_confirms_what_was_loaded(database: Database) -> None:
    shelf = await open_shop(database)
    number = await fill(database, ("AI1", 3), ("AI2", 4), ("AI1", 2))
    assert number == "VR1"
    assert await in_warehouse(database) == {"cola": 91, "tea": 10}
    assert await there(database) == {"AI1": (5, 0), "AI2": (4, 0), "AI3": (0, 0)}

    assert await shelf.obey() == 2
    assert await there(database) == {"AI1": (5, 5), "AI2": (4, 4), "AI3": (0, 0)}
    async with database.look(tenant=TENANT) as work:
        (seen,) = (await list_restocks(work, TENANT, SHOP, Ask())).items
        assert (seen.restock.person, seen.restock.machine) == ("Ann", "m1")
        assert [(ask.aisle, ask.goods, ask.quantity) for ask in seen.asks] == [("A1", "cola", 5), ("A2", "cola", 4)]
        states = await command_states(work, TENANT, [ask.command for ask in seen.asks])
        assert set(states.values()) == {"done"}
    # What is sold afterwards is the machine's word, as ever.
    await say(database, shelf.device.fact(pressed("b1")))
    assert (await there(database))["AI1"] == (4, 4)


async def test_what_the_machine_refuses_goes_back_once(database: Database) -> None:
    shelf = await open_shop(database)
    await fill(database, ("AI1", 3))
    assert (await in_warehouse(database))["cola"] == 97
    await shelf.obey(refuse=True)
    assert (await in_warehouse(database))["cola"] == 100
    assert (await there(database))["AI1"] == (0, 0)
    # Heard again, from a machine with a new ledger: no second time.
    async with database.look(tenant=TENANT) as work:
        (seen,) = (await list_restocks(work, TENANT, SHOP, Ask())).items
        moved = await work.scalar(select(func.count()).select_from(warehouse_movements))
    await say(database, shelf.device.fact(CommandAnswered(command=seen.asks[0].command, done=False)))
    assert (await in_warehouse(database))["cola"] == 100
    async with database.look(tenant=TENANT) as work:
        assert await work.scalar(select(func.count()).select_from(warehouse_movements)) == moved


async def test_the_same_request_again_is_the_same_restock(database: Database, clock: ManualClock) -> None:
    shelf = await open_shop(database)
    first = await fill(database, ("AI1", 1), ("AI2", 1))
    clock.advance(REPEAT_MS)
    assert await fill(database, ("AI2", 1), ("AI1", 1)) == first
    assert await shelf.obey() == 2
    assert await fill(database, ("AI1", 1), ("AI2", 1)) == first, "also after the machine has answered"
    assert (await in_warehouse(database))["cola"] == 98
    # Somebody else's, another quantity, or a later round are restocks of their own.
    assert await fill(database, ("AI1", 1), ("AI2", 1), person="Bob") == "VR2"
    assert await fill(database, ("AI1", 2)) == "VR3"
    clock.advance(1)
    assert await fill(database, ("AI1", 1), ("AI2", 1)) == "VR4"
    assert (await in_warehouse(database))["cola"] == 92


async def test_a_second_round_after_a_sale_is_a_restock_of_its_own(database: Database) -> None:
    shelf = await open_shop(database)
    await fill(database, ("AI1", 1))
    await shelf.obey()
    await say(database, shelf.device.fact(pressed("b1")))
    shelf.on_hand["A1"] -= 1
    assert await fill(database, ("AI1", 1)) == "VR2"
    await shelf.obey(refuse=True)
    assert await fill(database, ("AI1", 1)) == "VR3", "the machine would not have it: it may be said again"
    assert (await in_warehouse(database))["cola"] == 98


async def test_two_who_ask_at_once_load_once(on_postgres: Database) -> None:
    shelf = await open_shop(on_postgres)
    made = await asyncio.gather(*(fill(on_postgres, ("AI1", 4)) for _ in range(6)))
    assert len(set(made)) == 1
    assert await shelf.obey() == 1
    assert (await in_warehouse(on_postgres))["cola"] == 96


@pytest.mark.parametrize(
    ("rows", "goods", "kind"),
    [
        ([("AI1", 11)], "cola", "invalid"),
        ([("AI2", 5), ("AI1", 6), ("AI1", 5)], "cola", "invalid"),
        ([("AI1", 0)], "cola", "invalid"),
        ([], "cola", "invalid"),
        ([("AI1", -1)], "cola", "invalid"),
        ([("AI1", 1)], "tea", "invalid"),
        ([("AI9", 1)], "cola", "not_found"),
    ],
)
async def test_all_rows_or_none(database: Database, rows: list[tuple[str, int]], goods: str, kind: str) -> None:
    shelf = await open_shop(database)
    with pytest.raises(FleetError) as refused:
        await fill(database, *rows, goods=goods)
    assert refused.value.kind == kind
    assert await in_warehouse(database) == {"cola": 100, "tea": 10}
    assert await shelf.obey() == 0


async def test_nothing_is_taken_that_is_not_there(database: Database) -> None:
    await open_shop(database)
    async with database.work(tenant=TENANT) as work:
        await take(work, TENANT, SHOP, {"cola": 96}, source="elsewhere", person="setup")
    with pytest.raises(FleetError, match="4 of 'cola' are in the warehouse") as refused:
        await fill(database, ("AI1", 5))
    assert refused.value.kind == "conflict"
    # The database keeps it, whatever the code forgets.
    with pytest.raises((IntegrityError, DBAPIError)):
        async with database.work(tenant=TENANT) as work:
            await work.execute(warehouse_balances.update().values(on_hand=-1))
    assert (await in_warehouse(database))["cola"] == 4


async def test_a_machine_in_no_shop_has_no_warehouse(database: Database) -> None:
    await open_shop(database)
    await new_machine(database, "m2")
    filled = [Filled("AI4", "cola", 1)]
    with pytest.raises(FleetError, match="stands in no shop"):
        async with database.work(tenant=TENANT) as work:
            await restock(work, CREDENTIALS, TENANT, "m2", filled, user="u1", person="Ann")


async def test_a_delivery_is_booked_once(database: Database) -> None:
    await open_shop(database)
    for _ in range(2):
        async with database.work(tenant=TENANT) as work:
            assert await receive(work, TENANT, SHOP, "tea", 5, reference="note-7", person="Ann") == 15


@pytest.mark.parametrize("table", [warehouse_movements, restocks], ids=lambda table: str(table.name))
async def test_histories_only_grow(database: Database, table: Table) -> None:
    await open_shop(database)
    await fill(database, ("AI1", 1))
    for change in (table.delete(), table.update().values(person="somebody else")):
        with pytest.raises(DBAPIError, match="append-only"):
            async with database.work(tenant=TENANT) as work:
                await work.execute(change)


async def test_balances_are_sums(database: Database) -> None:
    shelf = await open_shop(database)
    await fill(database, ("AI1", 3), ("AI3", 10))
    await shelf.obey()
    columns = warehouse_movements.c
    query = select(columns.goods, func.sum(columns.quantity).label("sum")).group_by(columns.goods)
    async with database.look(tenant=TENANT) as work:
        sums = {row.goods: int(row.sum) for row in await work.rows(query)}
    assert sums == await in_warehouse(database)
