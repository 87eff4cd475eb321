"""What a database says once it was put back from a backup, on both databases."""

from __future__ import annotations

from sqlalchemy import func, select

from cloud import serials
from cloud.accounts.model import Tenant
from cloud.accounts.store import add_tenant, tokens
from cloud.database import Database, incarnation
from cloud.machines.planogram import current_config
from cloud.machines.store import commands
from cloud.restored import SKIPPED, TakenUp, take_up
from tests.cloud.fleet import CREDENTIALS, TENANT, open_shop, say, watermarks


async def test_machines_tell_again_numbers_are_skipped_and_everybody_signs_in_again(database: Database) -> None:
    device = await open_shop(database)
    token = {
        "tenant": TENANT,
        "token_hash": "h",
        "user": "u",
        "created_ms": 1,
        "expires_ms": 2**40,
        "audience": "native",
    }
    async with database.work() as work:
        await add_tenant(work, Tenant(TENANT, "Example", 1))
        before, config = await incarnation(work), await current_config(work, TENANT, "m1")
        assert config is not None
        assert await serials.next_serial(work, TENANT, "returns") == 1
        await work.insert(tokens, [token | {"holder": "user"}])

    async with database.work() as work:
        assert await take_up(work, CREDENTIALS) == TakenUp(tenants=1, machines=1)

    async with database.work() as work:
        after, anew = await incarnation(work), await current_config(work, TENANT, "m1")
        assert anew is not None
        assert (anew.version, anew.aisles) == (config.version + SKIPPED, config.aisles)
        assert await serials.next_serial(work, TENANT, "returns") == SKIPPED + 2
        assert await work.scalar(select(func.count()).select_from(tokens)) == 0
        asked = await work.rows(select(commands.c.state).where(commands.c.kind == "apply_config"))
    assert "waiting" in {row.state for row in asked}
    assert after != before
    (mark,) = watermarks(await say(database, device.hello()))
    assert mark.incarnation == after
