"""The world that the samples speak about: two brands with their units, people, machines and goods, on one platform.

It is made once per kind of database and copied for every test, so each case meets it as it was: `rewind`. What the
world holds is what the documented samples name, under invented names: shop SH888 with the devices VI107, VI64, VI119
and VI453, shop SH21 with VI210, another brand with SH901; customers anna and ben, and one of the other brand.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from cloud.app import build_app
from cloud.database import Database
from cloud.machines.credentials import Credentials
from cloud.settings import Settings
from shared.clock import ManualClock
from tests.cloud.api.world import SERVER_SECRET, parts_of
from tests.cloud.conftest import NOON_MS
from tests.contracts.machines import Machines
from tests.contracts.talk import SPEECHES, Talk

# Nobody answers there: nothing that is tested here may notice.
_NO_BROKER_PORT = 9

BRAND, RIVAL, PLATFORM = "13900000000", "13900000009", "platform"
PASSWORD = "morning-dew-2026"


def md5(text: str) -> str:
    """What older clients send in the place of a password."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


# What the contracts call by name, beside what the world's making adds.
NAMES: dict[str, Any] = {
    "password": PASSWORD,
    "password_md5": md5(PASSWORD),
    "other_password_md5": md5("evening-dew-2026"),
    "keeper_name": "立春",
    # NOON_MS is noon of this day in China.
    "today": 20261120,
    "yesterday": 20261119,
}


@dataclass(frozen=True, slots=True)
class Settled:
    """A world at rest: what a test needs to go on where its making ended."""

    names: Mapping[str, Any]
    # Headers by which somebody is known, per dialect and caller.
    callers: Mapping[str, Mapping[str, Mapping[str, str]]]
    # How many facts each machine has told.
    told: Mapping[str, int]
    wall_ms: int


@dataclass
class World:
    """A world in use."""

    database: Database
    app: FastAPI
    client: httpx2.AsyncClient
    settled: Settled
    # Puts the database back to how it was settled.
    restore: Callable[[], Awaitable[None]]
    machines: Machines = field(init=False)

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.machines = Machines(self.database, Credentials(SERVER_SECRET), self.settled.told)

    @property
    def clock(self) -> ManualClock:
        """The clock of the whole world."""
        assert isinstance(self.database.clock, ManualClock)
        return self.database.clock

    async def rewind(self) -> None:
        """Everything as it was settled."""
        await self.database.close()
        await self.restore()
        self._begin()

    def talk(self, dialect: str) -> Talk:
        """A client of one dialect."""
        return Talk(SPEECHES[dialect], self.client, self.settled.callers[dialect], self.settled.names, self)


async def open_world(database: Database, settled: Settled, data: Path, restore: Callable[[], Awaitable[None]]) -> World:
    """The application over a settled world."""
    app = build_app(parts_of(database, Settings(data=data, broker_port=_NO_BROKER_PORT)))
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    client = httpx2.AsyncClient(transport=transport, base_url="http://cloud.test")
    return World(database, app, client, settled, restore)


async def close_world(world: World) -> None:
    """Give everything back."""
    await world.client.aclose()
    await world.database.close()


def restore_sqlite(template: Path, file: Path) -> None:
    """Put a copy of `template` in the place of `file`."""
    for leftover in (f"{file}-wal", f"{file}-shm"):
        Path(leftover).unlink(missing_ok=True)
    shutil.copy(template, file)
