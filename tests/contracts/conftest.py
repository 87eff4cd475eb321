"""A settled world per kind of database, copied for every test."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from cloud.database import Database
from shared.clock import ManualClock
from tests.cloud.conftest import migrated_sqlite as migrated_sqlite
from tests.cloud.conftest import postgres as postgres
from tests.cloud.postgres import PostgresServer
from tests.contracts.making import settle
from tests.contracts.world import Settled, World, close_world, open_world, restore_sqlite

TEMPLATE = "template_world"


@pytest.fixture(scope="session")
def settled_sqlite(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Settled]:
    """A settled world in a SQLite file, ready to be copied."""
    file = tmp_path_factory.mktemp("world") / "world.db"
    shutil.copy(migrated_sqlite, file)
    return file, asyncio.run(settle(f"sqlite+aiosqlite:///{file}", file.parent))


@pytest.fixture(scope="session")
def settled_postgres(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Settled:
    """A settled world in the database `TEMPLATE`."""

    async def make() -> Settled:
        url = await postgres.create(TEMPLATE, template="template_fleet")
        return await settle(url, tmp_path_factory.mktemp("world"))

    return asyncio.run(make())


@pytest.fixture(params=["sqlite", "postgresql"])
def world_of(request: pytest.FixtureRequest) -> str:
    """The fixture that has a world of either kind of database."""
    return "sqlite_world" if request.param == "sqlite" else "postgres_world"


@pytest.fixture
async def sqlite_world(settled_sqlite: tuple[Path, Settled], tmp_path: Path) -> AsyncIterator[World]:
    """A world on SQLite."""
    template, settled = settled_sqlite
    file = tmp_path / "aisleflow.db"

    async def restore() -> None:
        restore_sqlite(template, file)

    await restore()
    database = Database.open(f"sqlite+aiosqlite:///{file}", clock=ManualClock(wall_ms=settled.wall_ms))
    world = await open_world(database, settled, tmp_path, restore)
    yield world
    await close_world(world)


@pytest.fixture
async def postgres_world(
    settled_postgres: Settled, postgres: PostgresServer, tmp_path: Path
) -> AsyncIterator[World]:
    """A world on PostgreSQL."""
    name = f"w{uuid4().hex}"

    async def restore() -> None:
        await postgres.drop(name)
        await postgres.create(name, template=TEMPLATE)

    await restore()
    database = Database.open(postgres.url(name), clock=ManualClock(wall_ms=settled_postgres.wall_ms))
    world = await open_world(database, settled_postgres, tmp_path, restore)
    yield world
    await close_world(world)
    await postgres.drop(name)


@pytest.fixture
def world(world_of: str, request: pytest.FixtureRequest) -> World:
    """A world on either kind of database."""
    opened: World = request.getfixturevalue(world_of)
    return opened
