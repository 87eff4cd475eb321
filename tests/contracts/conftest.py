"""A settled world per kind of database, copied for every test."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from cloud.database import Database
from shared.clock import ManualClock
from tests.cloud.conftest import migrated_sqlite as migrated_sqlite
from tests.cloud.conftest import postgres as postgres
from tests.cloud.postgres import PostgresServer
from tests.contracts.making import settle
from tests.contracts.world import Settled, World, open_world

_WORLD = "world"


@pytest.fixture(scope="session")
def settled_sqlite(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Settled]:
    """A settled world in a SQLite file, ready to be copied."""
    file = tmp_path_factory.mktemp("world") / "world.db"
    shutil.copy(migrated_sqlite, file)
    return file, asyncio.run(settle(f"sqlite+aiosqlite:///{file}", file.parent))


@pytest.fixture(scope="session")
def settled_postgres(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Settled:
    """A settled world in a PostgreSQL database that knows how to go back to it."""

    async def make() -> Settled:
        url = await postgres.create(_WORLD, template="template_fleet")
        settled = await settle(url, tmp_path_factory.mktemp("world"))
        await postgres.keep(_WORLD)
        return settled

    return asyncio.run(make())


Opening = Callable[[], AbstractAsyncContextManager[World]]


@pytest.fixture(params=["sqlite", "postgresql"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Opening:
    """How a world on either kind of database is opened; for tests that run an event loop of their own."""
    if request.param == "sqlite":
        template, settled = request.getfixturevalue("settled_sqlite")
        return partial(_sqlite_world, template, settled, tmp_path)
    server = request.getfixturevalue("postgres")
    return partial(_postgres_world, server, request.getfixturevalue("settled_postgres"), tmp_path)


@pytest.fixture
async def world(opening: Opening) -> AsyncIterator[World]:
    """A world on either kind of database."""
    async with opening() as opened:
        yield opened


@asynccontextmanager
async def _sqlite_world(template: Path, settled: Settled, folder: Path) -> AsyncIterator[World]:
    file = folder / "aisleflow.db"

    async def restore() -> None:
        for leftover in (f"{file}-wal", f"{file}-shm"):
            Path(leftover).unlink(missing_ok=True)
        shutil.copy(template, file)

    await restore()
    database = Database.open(f"sqlite+aiosqlite:///{file}", clock=ManualClock(wall_ms=settled.wall_ms))
    async with open_world(database, settled, folder, restore) as world:
        yield world


@asynccontextmanager
async def _postgres_world(server: PostgresServer, settled: Settled, folder: Path) -> AsyncIterator[World]:
    async def restore() -> None:
        await server.restore(_WORLD)

    await restore()
    database = Database.open(server.url(_WORLD), clock=ManualClock(wall_ms=settled.wall_ms))
    async with open_world(database, settled, folder, restore) as world:
        yield world
