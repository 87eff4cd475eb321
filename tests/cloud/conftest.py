"""Every test of the cloud that asks for `database` runs twice: on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cloud.database import Database
from cloud.migrations import migrate
from shared.clock import ManualClock
from tests.cloud.postgres import PostgresServer, postgres_server

# Noon of a working day (2026-11-20 12:00 in China), so that "today" has hours on both sides.
NOON_MS = 1_795_147_200_000


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server, with `template_fleet` migrated and ready to be copied, and `fleet` to be used in turns."""
    with postgres_server() as server:
        url = asyncio.run(server.create("template_fleet"))
        asyncio.run(migrate(url))
        asyncio.run(server.create("fleet", template="template_fleet"))
        asyncio.run(server.keep("fleet"))
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, ready to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture
def clock() -> ManualClock:
    """The cloud's clock, turned by the test."""
    return ManualClock(wall_ms=NOON_MS)


@pytest.fixture
async def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """A fresh migrated SQLite database."""
    shutil.copy(migrated_sqlite, tmp_path / "aisleflow.db")
    return f"sqlite+aiosqlite:///{tmp_path / 'aisleflow.db'}"


@pytest.fixture
async def postgres_url(postgres: PostgresServer) -> str:
    """A migrated PostgreSQL database in which nobody has been."""
    await postgres.restore("fleet", disconnect=True)
    return postgres.url("fleet")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh migrated database of either kind."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
async def database(database_url: str, clock: ManualClock) -> AsyncIterator[Database]:
    """An open database of either kind."""
    opened = Database.open(database_url, clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
async def on_postgres(postgres_url: str, clock: ManualClock) -> AsyncIterator[Database]:
    """An open PostgreSQL database, for what only a server with many writers can show."""
    opened = Database.open(postgres_url, clock=clock)
    yield opened
    await opened.close()
