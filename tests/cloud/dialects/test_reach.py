"""The one function that says what a caller may see."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from cloud.accounts import store
from cloud.accounts.model import PARENTS, Reach
from cloud.accounts.reach import sees_unit, within
from cloud.accounts.units import change_unit, open_unit, shops_seen
from cloud.database import Database
from cloud.errors import FleetError
from cloud.machines.register import register
from cloud.machines.store import machines


@pytest.mark.parametrize(
    ("reach", "seen"),
    [
        (Reach(None), {"m-none", "m-one", "m-two", "m-rival"}),
        (Reach("clear"), {"m-none", "m-one", "m-two"}),
        (Reach("clear", "/AG1/"), {"m-one"}),
        (Reach("clear", "/AG1/SH1/"), {"m-one"}),
        (Reach("clear", "/SH2/"), {"m-two"}),
        (Reach("clear", "/AG%/"), set()),
        (Reach("rival", "/AG1/"), set()),
        (Reach("clear", member="CU1"), set()),
    ],
)
async def test_rows_are_narrowed_to_what_a_caller_may_see(
    database: Database, brand: str, reach: Reach, seen: set[str]
) -> None:
    async with database.work() as work:
        for machine, shop, tenant in [
            ("m-none", None, "clear"),
            ("m-one", "SH1", "clear"),
            ("m-two", "SH2", "clear"),
            ("m-rival", "SH9", "rival"),
        ]:
            await register(work, tenant, machine, machine=machine)
            await work.execute(machines.update().where(machines.c.machine == machine).values(shop=shop))
    async with database.look() as work:
        condition = within(reach, tenant=machines.c.tenant, unit=machines.c.shop)
        assert {row.machine for row in await work.rows(select(machines.c.machine).where(condition))} == seen
        for machine, shop, tenant in [
            ("m-none", None, "clear"),
            ("m-one", "SH1", "clear"),
            ("m-rival", "SH9", "rival"),
        ]:
            assert await sees_unit(work, reach, tenant, shop) == (machine in seen)


async def test_units_stand_where_they_may(database: Database, brand: str) -> None:
    async with database.work(tenant=brand) as work:
        await open_unit(work, brand, "DL1", "dealer", "Dealer", parent="AG1")
        below = await open_unit(work, brand, "SH3", "shop", "Shop three", parent="DL1")
        assert below.path == "/AG1/DL1/SH3/"
        for kind, parent in [("agent", "AG1"), ("dealer", "DL1"), ("shop", "SH3")]:
            with pytest.raises(FleetError, match="cannot stand under"):
                await open_unit(work, brand, "new", kind, "New", parent=parent)  # type: ignore[arg-type]
        with pytest.raises(FleetError, match="exists already"):
            await open_unit(work, brand, "SH3", "shop", "Again")
        assert [unit.unit for unit in await shops_seen(work, Reach(brand, "/AG1/"), brand)] == ["SH3", "SH1"]
        await change_unit(work, brand, "SH3", disabled=True)
        assert [unit.unit for unit in await shops_seen(work, Reach(brand, "/AG1/"), brand)] == ["SH1"]
    assert set(PARENTS) == {"agent", "dealer", "shop"}


async def test_the_second_lock_holds_for_units(on_postgres: Database) -> None:
    async with on_postgres.work() as work:
        await open_unit(work, "one", "SH1", "shop", "Shop")
    async with on_postgres.look(tenant="two") as work:
        assert await work.rows(select(store.units)) == []
