"""What time alone does to purchases: unpaid ones close, sent ones arrive, kept ones are done."""

from __future__ import annotations

from functools import partial

from cloud.database import Database, Work
from cloud.events import tell
from cloud.members.ledger import Ledger
from cloud.purchases import store
from cloud.purchases.model import BY_TIME, Deadlines
from cloud.purchases.steps import purchase_event, step

# Purchases of one unit of work; each may book a handful of entries.
BATCH_MAX = 100
# Deadlines are hours and days.
LOOK_EVERY_MS = 5_000


async def pass_due(work: Work, deadlines: Deadlines) -> int:
    """Do what time does to purchases whose time has come; answers how many there were."""
    due = await store.lock_due(work, BATCH_MAX)
    ledger = Ledger(work)
    after = [await step(work, ledger, one, BY_TIME[one.state], deadlines, "system") for one in due]
    await ledger.write()
    await tell(work, [purchase_event(one) for one in after])
    return len(due)


async def run(database: Database, deadlines: Deadlines) -> None:
    """Look for due purchases until cancelled; several workers share the work."""
    while True:
        while await database.transact(partial(pass_due, deadlines=deadlines)) == BATCH_MAX:
            pass
        await database.clock.sleep_ms(LOOK_EVERY_MS)
