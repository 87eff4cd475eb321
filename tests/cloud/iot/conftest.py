"""The IoT dialect over a real database, asked without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from cloud.app import build_app
from cloud.database import Database
from cloud.facades.dialect import Parts
from cloud.settings import Settings
from tests.cloud.api.world import parts_of
from tests.cloud.iot.shop import Shop, open_shop


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Parts:
    """What the application is built from."""
    return parts_of(database, Settings(data=tmp_path, broker_port=9))


@pytest.fixture
async def client(parts: Parts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that nobody is signed in with."""
    transport = httpx2.ASGITransport(build_app(parts), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://cloud.test") as opened:
        yield opened


@pytest.fixture
async def shop(parts: Parts, client: httpx2.AsyncClient) -> Shop:
    """Two brands with products and customers."""
    return await open_shop(parts, client)
