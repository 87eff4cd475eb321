"""The unit of work, the migrations, and the second lock between tenants."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError

import cloud.database
from cloud.catalog.store import goods
from cloud.database import Database, Work, incarnation
from cloud.migrations import is_current, migrate, whole_metadata
from tests.cloud.postgres import PostgresServer


def goods_row(tenant: str, name: str) -> dict[str, object]:
    return {
        "tenant": tenant,
        "goods": name,
        "name": name,
        "barcode": "",
        "price_fen": 350,
        "archived": False,
        "created_ms": 1,
        "changed_ms": 1,
    }


# SQLite tells nothing of an index on an expression: PostgreSQL's are compared.
@pytest.mark.filterwarnings("ignore:.*expression-based index")
async def test_migrations_make_exactly_the_tables_of_the_code(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), whole_metadata()))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    assert await is_current(database)


async def test_migrating_again_changes_nothing(database: Database, database_url: str) -> None:
    async with database.look() as work:
        before = await incarnation(work)
    await database.close()
    await migrate(database_url)
    async with database.look() as work:
        assert await incarnation(work) == before


async def test_a_work_that_raises_leaves_no_trace_and_tells_nobody(database: Database) -> None:
    told: list[str] = []

    async def fail(work: Work) -> None:
        await work.insert(goods, [goods_row("t1", "cola")])
        work.after_commit(lambda: told.append("committed"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.transact(fail, tenant="t1")
    async with database.look(tenant="t1") as work:
        assert await work.rows(select(goods)) == []
    assert told == []


async def test_a_look_cannot_write_on_postgresql(on_postgres: Database) -> None:
    with pytest.raises(DBAPIError, match="read-only"):
        async with on_postgres.look(tenant="t1") as work:
            await work.insert(goods, [goods_row("t1", "cola")])


async def test_a_collision_is_run_again_and_any_other_error_is_not(on_postgres: Database) -> None:
    runs = 0

    async def collide_twice(work: Work) -> int:
        nonlocal runs
        runs += 1
        if runs < 3:
            await work.execute(text("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"))
        return runs

    assert await on_postgres.transact(collide_twice) == 3

    async def broken(work: Work) -> None:
        nonlocal runs
        runs += 1
        await work.execute(text("SELECT 1 / 0"))

    with pytest.raises(DBAPIError):
        await on_postgres.transact(broken)
    assert runs == 4


async def test_without_the_filter_of_the_application_a_tenant_still_sees_only_its_rows(on_postgres: Database) -> None:
    async with on_postgres.work(tenant=None) as work:
        await work.insert(goods, [goods_row("t1", "cola"), goods_row("t2", "tea")])
    async with on_postgres.work(tenant="t1") as work:
        assert [row.goods for row in await work.rows(select(goods))] == ["cola"]
        assert await work.changed(goods.delete().where(goods.c.goods == "tea")) == 0
    with pytest.raises(DBAPIError, match="row-level security"):
        async with on_postgres.work(tenant="t1") as work:
            await work.insert(goods, [goods_row("t2", "water")])
    async with on_postgres.engine.connect() as connection:  # a connection that names no tenant at all
        assert (await connection.execute(select(goods))).all() == []


async def test_a_tenant_of_any_name_is_a_name_and_nothing_more(on_postgres: Database) -> None:
    name = "t1', true); SELECT set_config('aisleflow.tenant', '*"
    async with on_postgres.work(tenant=None) as work:
        await work.insert(goods, [goods_row("t1", "cola"), goods_row(name, "tea")])
    async with on_postgres.look(tenant=name) as work:
        assert [row.goods for row in await work.rows(select(goods))] == ["tea"]


async def test_a_connection_that_died_unused_is_replaced(
    on_postgres: Database, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud.database, "BELIEVED_MS", -1)
    async with on_postgres.look() as work:
        before = await work.scalar(text("SELECT pg_backend_pid()"))
    await postgres.admin(f"SELECT pg_terminate_backend({before}, 60000)")
    async with on_postgres.look() as work:
        assert await work.scalar(text("SELECT pg_backend_pid()")) != before


async def test_every_table_with_a_tenant_has_the_second_lock(on_postgres: Database) -> None:
    query = text(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relrowsecurity AND c.relforcerowsecurity"
    )
    async with on_postgres.look() as work:
        locked = {row.relname for row in await work.rows(query)}
    with_tenant = {table.name for table in whole_metadata().sorted_tables if "tenant" in table.primary_key.columns}
    assert with_tenant - locked == set()
    for name in with_tenant:
        assert next(iter(whole_metadata().tables[name].primary_key.columns)).name == "tenant"
