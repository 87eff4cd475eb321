"""The cloud's database is lost, and an older one put back: machines tell again what it has forgotten."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from firmware_sim.demo.processes import python
from tests.acceptance.house import House, house, vending

LIMIT_S = 240


async def restored(folder: Path) -> str:
    """What an operator does before the services start again; what he reads."""
    command = python("-m", "cloud", "restored", "--data", str(folder))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    assert process.returncode == 0
    return told.decode()


def copy(source: Path, target: Path) -> None:
    """A database as it is at this moment, in another file."""
    for left in (target, target.with_name(f"{target.name}-wal"), target.with_name(f"{target.name}-shm")):
        left.unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


async def costs(here: House, fen: int) -> bool:
    """Whether this is the first aisle's price at the machine."""
    return bool((await here.panel("1-01"))["price_fen"] == fen)


@pytest.mark.timeout(LIMIT_S)
async def test_a_database_from_a_backup_learns_again_what_machines_did_since(tmp_path: Path) -> None:
    folder, backup = tmp_path / "stage", tmp_path / "backup.db"
    async with house(folder, vending("vm-1", motors=6)) as here:
        stage, database = here.stage, folder / "cloud" / "aisleflow.db"
        first = await here.press("1-02")
        await here.until_told()
        backed_up_fen = int((await here.panel("1-01"))["price_fen"])
        copy(database, backup)

        # The presses first: a machine is busy for a moment more than the cloud thinks, and turns a person away.
        since = [await here.press("1-02"), await here.press("1-03")]
        bought = (await here.buy("1-01"))["order"]["order"]
        planogram = await stage.api.get("/machines/vm-1/planogram")
        aisles = [aisle | {"price_fen": aisle["price_fen"] + 100} for aisle in planogram["aisles"]]
        await stage.api.put("/machines/vm-1/planogram", **planogram | {"aisles": aisles})
        await here.until(partial(costs, here, backed_up_fen + 100), "the machine has another price")
        await here.until_told()

        await stage.cloud.kill()
        copy(backup, database)
        assert "begins a new life" in await restored(folder / "cloud")
        await here.start_cloud()
        await stage.api.sign_in(**stage.sign_in)
        await here.until_told()

        for pressed in (first, *since):
            assert (await stage.api.get(f"/orders/{pressed['order']}"))["order"]["state"] == "delivered"
        (kept,) = [item for item in await stage.api.every("/quarantine") if bought in item["reason"]]
        assert "nobody placed it" in kept["reason"], "an order that only the lost database knew waits for a person"
        assert await here.account_fen("escrow") == 0

        await here.until(partial(costs, here, backed_up_fen), "the backup's configuration stands above the machine's")
        await here.buy("1-04")
