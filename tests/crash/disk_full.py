"""One vend on a disk with a given room, for test_disk.py: prints what became of each as one line of JSON.

    python -m tests.crash.disk_full FOLDER FREE_BYTES...

FOLDER is on a small file system of its own. For each FREE_BYTES a ledger is begun with room; then a file fills the disk
up to FREE_BYTES, the intent is written, the rest is filled to the last byte, and the outcome must be written.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import sys
from pathlib import Path

from edge_agent.errors import DiskShort
from edge_agent.ledger import journal, stock
from edge_agent.ledger.database import LedgerDatabase
from shared.clock import ManualClock
from tests.ledger.vending import A1, delivered, dropped, load, open_database, plan, sale


def fill(folder: Path, name: str, leave_bytes: int) -> None:
    """Use up the disk until `leave_bytes` are free."""
    space = os.statvfs(folder)
    size = space.f_bavail * space.f_frsize - leave_bytes
    handle = os.open(folder / name, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        if size > 0:
            os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    finally:
        os.close(handle)


async def vend(database: LedgerDatabase, folder: Path) -> str:
    clock = ManualClock()
    try:
        txn = await database.write(lambda conn: journal.begin(conn, sale(), plan(), clock))
    except DiskShort:
        return "refused before motion"
    fill(folder, "last", 0)
    await database.write(lambda conn: journal.end(conn, delivered(sale(), dropped(txn)), clock), outcome=True)
    return "outcome written"


async def run(folder: Path, free_bytes: int) -> None:
    clock = ManualClock()
    async with await open_database(folder, clock) as database:
        await database.write(lambda conn: load(conn, clock))
        fill(folder, "ballast", free_bytes)
        may_sell = (await database.room()).may_sell
        became = await vend(database, folder)
        after = await database.room()
    for name in ("ballast", "last"):
        (folder / name).unlink(missing_ok=True)
    async with await open_database(folder, clock) as database:
        state = await database.read(lambda conn: journal.order(conn, sale().order))
        shelf = await database.read(lambda conn: stock.balance(conn, A1))
        findings = await database.integrity_check()
        room = await database.room()
    told = {
        "may_sell": may_sell,
        "became": became,
        "may_sell_after": after.may_sell,
        "state": state.state if state else None,
        "shelf": [shelf.on_hand, shelf.held],
        "findings": findings,
        "may_sell_when_freed": room.may_sell,
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    for size in sys.argv[2:]:
        data = Path(sys.argv[1]) / size
        asyncio.run(run(data, int(size)))
        shutil.rmtree(data)
