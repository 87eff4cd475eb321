"""The hourly look at all ledgers finds one that is off, and names its tenant."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import text

from cloud.accounts.passwords import Passwords
from cloud.accounts.people import FIRST_TENANT, first_administrator
from cloud.database import Database
from cloud.processes import drift_of_all
from tests.cloud.fleet import open_shop


async def test_a_ledger_that_is_off_is_found_and_named(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    await first_administrator(database, Passwords(b"pepper"))
    await open_shop(database, tenant=FIRST_TENANT)
    assert await drift_of_all(database) == 0
    async with database.work(tenant=FIRST_TENANT) as work:
        await work.execute(text("UPDATE ledger_accounts SET balance_fen = balance_fen + 7 WHERE kind = 'wallet'"))
    with caplog.at_level(logging.ERROR, "cloud"):
        assert await drift_of_all(database) == 7
    assert f"tenant {FIRST_TENANT} is off by 7 fen" in caplog.text
