"""The application over a real database, asked without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from cloud.database import Database
from cloud.facades.dialect import Parts
from cloud.settings import Settings
from tests.cloud.api.world import Business, open_business, parts_of
from tests.cloud.shared_app import app_of

# Nobody answers there: readiness must say so and nothing else may notice.
NO_BROKER_PORT = 9


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Parts:
    """What the application is built from."""
    return parts_of(database, Settings(data=tmp_path, broker_port=NO_BROKER_PORT))


@pytest.fixture
async def client(parts: Parts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that nobody is signed in with."""
    transport = httpx2.ASGITransport(app_of(parts), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://cloud.test") as opened:
        yield opened


@pytest.fixture
async def acme(database: Database) -> Business:
    """A tenant."""
    return await open_business(database, "acme")


@pytest.fixture
async def rival(database: Database) -> Business:
    """Another tenant."""
    return await open_business(database, "rival")


def bearer(token: str) -> dict[str, str]:
    """The header of a signed-in caller."""
    return {"Authorization": f"Bearer {token}"}
