"""One vend on a disk whose syncs begin to fail, for test_disk.py: prints how the outcome went.

    python -m tests.crash.disk_failing FOLDER

Run under strace, which lets a sync fail. An outcome that could not be made durable is tried again: it must not succeed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from edge_agent.errors import LedgerUnsafe
from edge_agent.ledger import journal
from shared.clock import ManualClock
from tests.ledger.vending import delivered, dropped, load, open_database, plan, sale


async def run(folder: Path) -> None:
    clock = ManualClock()
    fact = delivered(sale(), dropped(1))
    async with await open_database(folder, clock) as database:
        await database.write(lambda conn: load(conn, clock))
        await database.write(lambda conn: journal.begin(conn, sale(), plan(), clock))
        for _ in range(2):
            try:
                await database.write(lambda conn: journal.end(conn, fact, clock), outcome=True)
                sys.stdout.write("written\n")
                break
            except LedgerUnsafe as unsafe:
                sys.stdout.write(f"unsafe: {unsafe}\n")


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
