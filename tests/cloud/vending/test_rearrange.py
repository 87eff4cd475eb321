"""One aisle changed by hand: other goods, off sale, fewer items; planogram, stock and warehouse follow together."""

from __future__ import annotations

from typing import Any

import pytest

from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.machines.aisles import aisles_of
from cloud.machines.planogram import current_config, put_config
from cloud.standing import AisleSeen, aisles_seen
from cloud.stock.rearrange import rearrange
from shared.messages import AisleConfig
from tests.cloud.fleet import CREDENTIALS, TENANT, new_machine
from tests.cloud.vending.shop import Shelf, fill, in_warehouse, open_shop


async def change(database: Database, aisle: str, **wish: Any) -> None:
    async def use(work: Work) -> None:
        await rearrange(work, CREDENTIALS, TENANT, aisle, user="u1", person="Ann", **wish)

    await database.transact(use, tenant=TENANT)


async def seen(database: Database, aisle: str) -> AisleSeen:
    async with database.look(tenant=TENANT) as work:
        return next(one for one in await aisles_seen(work, TENANT, ["m1"]) if one.id == aisle)


async def filled(database: Database) -> Shelf:
    shelf = await open_shop(database)
    await fill(database, ("AI1", 6))
    await shelf.obey()
    return shelf


async def test_fewer_are_taken_out_and_reach_the_warehouse_when_the_machine_says_so(database: Database) -> None:
    shelf = await filled(database)
    await change(database, "AI1", remaining=2)
    assert (await seen(database, "AI1")).there == 2
    assert (await in_warehouse(database))["cola"] == 94, "not yet: the machine has not confirmed it"
    await shelf.obey()
    assert ((await seen(database, "AI1")).confirmed, shelf.on_hand["A1"]) == (2, 2)
    assert (await in_warehouse(database))["cola"] == 98


async def test_what_does_not_come_out_is_not_in_the_warehouse(database: Database) -> None:
    shelf = await filled(database)
    await change(database, "AI1", remaining=0)
    await shelf.obey(refuse=True)
    assert (await seen(database, "AI1")).there == 6
    assert (await in_warehouse(database))["cola"] == 94


async def test_more_comes_from_the_warehouse(database: Database) -> None:
    shelf = await filled(database)
    await change(database, "AI1", remaining=10)
    assert (await in_warehouse(database))["cola"] == 90
    await shelf.obey()
    assert (await seen(database, "AI1")).confirmed == 10


async def test_other_goods_replace_what_lies_there(database: Database) -> None:
    shelf = await filled(database)
    await change(database, "AI1", goods="tea", remaining=3)
    found = await seen(database, "AI1")
    assert (found.goods, found.goods_name, found.there) == ("tea", "Tea", 3)
    async with database.look(tenant=TENANT) as work:
        config = await current_config(work, TENANT, "m1")
    assert config is not None
    assert (config.version, config.aisles[0].goods, config.aisles[0].price_fen) == (2, "tea", 400)
    await shelf.obey()
    assert (await seen(database, "AI1")).confirmed == 3
    assert await in_warehouse(database) == {"cola": 100, "tea": 7}


async def test_off_sale_empties_the_aisle_and_another_call_configures_it_again(database: Database) -> None:
    shelf = await filled(database)
    await change(database, "AI1", off_sale=True, goods="tea", remaining=4)
    found = await seen(database, "AI1")
    assert (found.for_sale, found.there) == (False, 0)
    await shelf.obey()
    assert await in_warehouse(database) == {"cola": 100, "tea": 10}
    await change(database, "AI1", off_sale=True)
    assert await shelf.obey() == 0, "it was off sale already"
    with pytest.raises(FleetError, match="no goods are configured"):
        await change(database, "AI1", remaining=1)
    await change(database, "AI1", goods="cola")
    await shelf.obey()
    found = await seen(database, "AI1")
    assert (found.for_sale, found.goods, found.there) == (True, "cola", 0)


@pytest.mark.parametrize(
    ("aisle", "wish", "kind"),
    [
        ("AI1", {"remaining": 11}, "invalid"),
        ("AI1", {"remaining": -1}, "invalid"),
        ("AI1", {"goods": "nothing"}, "invalid"),
        ("AI1", {"goods": "tea", "remaining": 10}, None),
        ("AI99", {"remaining": 1}, "not_found"),
    ],
)
async def test_what_cannot_be_is_refused_whole(
    database: Database, aisle: str, wish: dict[str, Any], kind: str | None
) -> None:
    shelf = await filled(database)
    if kind is None:
        await change(database, aisle, **wish)
        assert await shelf.obey() == 3
        return
    with pytest.raises(FleetError) as refused:
        await change(database, aisle, **wish)
    assert refused.value.kind == kind
    assert await shelf.obey() == 0


async def test_an_aisle_keeps_its_id_for_ever(database: Database) -> None:
    """Kept as it came where it has the form, minted otherwise; never given to another one."""
    await open_shop(database)

    async def lay_out(*names: str) -> dict[str, str]:
        layout = [
            AisleConfig(aisle=name, board=1, motor=motor, goods="cola", price_fen=1, capacity=5)
            for motor, name in enumerate(names)
        ]
        async with database.work(tenant=TENANT) as work:
            await put_config(work, CREDENTIALS, TENANT, "m1", layout, "tests")
            return {one.aisle: one.id for one in await aisles_of(work, TENANT, "m1") if one.listed}

    assert await lay_out("A1", "AI59", "B1") == {"A1": "AI1", "AI59": "AI59", "B1": "AI60"}
    assert await lay_out("B1") == {"B1": "AI60"}
    with pytest.raises(FleetError, match="no aisle 'AI1'"):
        await change(database, "AI1", remaining=0)
    assert await lay_out("A1", "C1") == {"A1": "AI1", "C1": "AI61"}
    # A name that is another machine's id is minted anew.
    await new_machine(database, "m2", aisles=1)
    async with database.work(tenant=TENANT) as work:
        layout = [AisleConfig(aisle="AI59", board=1, motor=9, goods="cola", price_fen=1, capacity=5)]
        await put_config(work, CREDENTIALS, TENANT, "m2", layout, "tests")
        assert {one.id for one in await aisles_of(work, TENANT, "m2")} == {"AI62", "AI63"}
