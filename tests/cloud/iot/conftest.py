"""The IoT dialect over a real database, asked without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from cloud.accounts import store
from cloud.accounts.model import Tenant
from cloud.database import Database
from cloud.facades.dialect import Parts
from cloud.settings import Settings
from tests.cloud.api.world import parts_of
from tests.cloud.iot.shop import Shop, open_shop
from tests.cloud.iot.world import Iot
from tests.cloud.shared_app import app_of


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Parts:
    """What the application is built from."""
    return parts_of(database, Settings(data=tmp_path, broker_port=9))


@pytest.fixture
async def client(parts: Parts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that nobody is signed in with."""
    transport = httpx2.ASGITransport(app_of(parts), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://cloud.test") as opened:
        yield opened


@pytest.fixture
async def shop(parts: Parts, client: httpx2.AsyncClient) -> Shop:
    """Two brands with products and customers."""
    return await open_shop(parts, client)


@pytest.fixture
async def iot(parts: Parts, client: httpx2.AsyncClient, database: Database) -> Iot:
    """The platform with its administrator, and two brands: acme and rival."""
    world = Iot(client, database, parts)
    async with database.work() as work:
        await store.add_tenant(work, Tenant("main", "Main", work.now_ms))
    await world.staff("admin", "main", "platform")
    await world.brand("acme")
    await world.brand("rival")
    return world
