"""Goods that go back, and the categories by which they are found."""

from __future__ import annotations

import pytest

from cloud.accounts.units import find_unit
from cloud.catalog.browse import category_paths, list_goods
from cloud.catalog.categories import add_category, change_category, list_categories
from cloud.catalog.goods import add_goods, change_goods, goods_by_barcode
from cloud.database import Database
from cloud.errors import FleetError, IllegalEvent
from cloud.paging import Ask
from cloud.stock.browse import list_returns
from cloud.stock.model import RETURNS, finish
from cloud.stock.send_back import complete, scan
from tests.cloud.fleet import TENANT
from tests.cloud.vending.shop import SHOP, in_warehouse, open_shop


async def test_a_return_reaches_the_warehouse_once(database: Database) -> None:
    await open_shop(database)
    async with database.work(tenant=TENANT) as work:
        shop = await find_unit(work, TENANT, SHOP)
        first, second = [await scan(work, shop, "cola", 2, user="u1") for _ in range(2)]
    assert (first.number, second.number, first.address, first.person) == ("RI1", "RI2", "Corner 1", None)
    assert (await in_warehouse(database))["cola"] == 100
    for person in ("Ann", "Bob"):
        async with database.work(tenant=TENANT) as work:
            assert (await complete(work, TENANT, "RI1", person=person)).person == "Ann"
    assert (await in_warehouse(database))["cola"] == 102
    async with database.look(tenant=TENANT) as work:
        waiting = await list_returns(work, TENANT, SHOP, Ask(), state="waiting")
        assert [one.number for one in waiting.items] == ["RI2"]
        assert [one.number for one in (await list_returns(work, TENANT, SHOP, Ask())).items] == ["RI2", "RI1"]
    with pytest.raises(IllegalEvent):
        finish(finish(second, "Ann", 1), "Ann", 2)
    assert {state for state, _ in RETURNS} == {"waiting"}


async def test_only_known_goods_go_back(database: Database) -> None:
    await open_shop(database)
    for goods, quantity in (("nothing", 1), ("cola", 0)):
        with pytest.raises(FleetError):
            async with database.work(tenant=TENANT) as work:
                await scan(work, await find_unit(work, TENANT, SHOP), goods, quantity, user="u1")
    with pytest.raises(FleetError, match="no return 'RI9'"):
        async with database.work(tenant=TENANT) as work:
            await complete(work, TENANT, "RI9", person="Ann")


async def test_goods_are_found_by_either_level_of_their_categories(database: Database) -> None:
    await open_shop(database)
    async with database.work(tenant=TENANT) as work:
        await add_category(work, TENANT, "Drinks", category="VGC9")
        await add_category(work, TENANT, "Fizzy", category="VGC19", parent="VGC9")
        assert (await add_category(work, TENANT, "Snacks")).category == "VGC20"
        await change_goods(work, TENANT, "cola", categories=["VGC19", "VGC20"])
        await change_goods(work, TENANT, "tea", categories=["VGC9"])
        assert [one.category for one in await list_categories(work, TENANT)] == ["VGC9", "VGC19", "VGC20"]
    async with database.look(tenant=TENANT) as work:
        assert await category_paths(work, TENANT) == {"cola": ["VGC9", "VGC19", "VGC20"], "tea": ["VGC9"]}
        for category, expected in (("VGC9", ["cola", "tea"]), ("VGC19", ["cola"]), ("VGC20", ["cola"]), ("VGC1", [])):
            found = await list_goods(work, TENANT, Ask(), category=category)
            assert [one.goods for one in found.items] == expected, category
        known = await goods_by_barcode(work, TENANT, "690000000001")
        assert known is not None
        assert (known.goods, known.spec) == ("cola", "330 ml")
        assert await goods_by_barcode(work, TENANT, "") is None


@pytest.mark.parametrize("parent", ["VGC2", "VGC99", "VGC1"])
async def test_the_tree_has_two_levels(database: Database, parent: str) -> None:
    async with database.work(tenant=TENANT) as work:
        await add_category(work, TENANT, "One")
        await add_category(work, TENANT, "Two", parent="VGC1")
    with pytest.raises(FleetError) as refused:
        async with database.work(tenant=TENANT) as work:
            await change_category(work, TENANT, "VGC1", parent=parent)
    assert (refused.value.kind, refused.value.field) == ("invalid", "parent")


async def test_goods_in_a_category_that_is_none(database: Database) -> None:
    with pytest.raises(FleetError, match="no category 'VGC1'"):
        async with database.work(tenant=TENANT) as work:
            await add_goods(work, TENANT, "cola", "Cola", 300, categories=["VGC1"])
