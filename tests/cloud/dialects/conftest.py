"""A brand with an agent, two shops and staff in each place, and the application that serves all dialects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from cloud.accounts import store
from cloud.accounts.model import Role, Tenant, User
from cloud.accounts.passwords import Passwords, pepper_of
from cloud.accounts.units import open_unit
from cloud.database import Database, Work
from cloud.facades.dialect import Parts
from cloud.members.store import put_sign_in
from cloud.members.wallet import join
from cloud.settings import Settings
from tests.cloud.api.world import SERVER_SECRET, parts_of
from tests.cloud.shared_app import app_of

PASSWORD = "correct horse 7"
PHONES = {"owner": "13900000001", "clerk": "13900000002", "agent": "13900000003", "rival": "13900000009"}
MEMBER_PHONE = "13800000001"


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Parts:
    """What the application is built from; two hosts stand for dialects."""
    hosts = "vending.test=vending, iot.test=iot"
    return parts_of(database, Settings(data=tmp_path, broker_port=9, hosts=hosts))


@pytest.fixture
async def client(parts: Parts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that nobody is signed in with."""
    transport = httpx2.ASGITransport(app_of(parts), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://cloud.test") as opened:
        yield opened


@pytest.fixture
async def brand(database: Database) -> str:
    """Brand "clear" with agent AG1, shop SH1 below it and shop SH2 beside it, and another brand."""
    sent = await Passwords(pepper_of(SERVER_SECRET)).hash_sent(PASSWORD)
    async with database.work() as work:
        for tenant in ("clear", "rival"):
            await store.add_tenant(work, Tenant(tenant, tenant.title(), work.now_ms))
        await open_unit(work, "clear", "AG1", "agent", "Agent one")
        await open_unit(work, "clear", "SH1", "shop", "Shop one", parent="AG1", logo="one.png")
        await open_unit(work, "clear", "SH2", "shop", "Shop two")
        await open_unit(work, "rival", "SH9", "shop", "Shop nine")
        await _staff(work, "clear", "owner", "owner", None, sent)
        await _staff(work, "clear", "clerk", "technician", "SH1", sent)
        await _staff(work, "clear", "agent", "operator", "AG1", sent)
        await _staff(work, "rival", "rival", "owner", None, sent)
        await join(work, "clear", "CU1", "Ann", MEMBER_PHONE)
        await put_sign_in(work, "clear", MEMBER_PHONE, "CU1", sent)
    return "clear"


async def _staff(work: Work, tenant: str, name: str, role: Role, unit: str | None, sent: str) -> None:
    user = User(tenant, f"u-{name}", name, name.title(), role, False, False, work.now_ms, unit, PHONES[name])
    assert await store.add_user(work, user, "no hash of any password", sent)
