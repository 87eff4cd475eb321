"""What time alone does to rentals: they lapse, and after the grace somebody is sent for the machine."""

from __future__ import annotations

from functools import partial

from cloud.database import Database, Work
from cloud.events import tell
from cloud.rentals import store
from cloud.rentals.begin import rental_event
from cloud.rentals.model import advance
from cloud.rentals.quit import fetch_machines

# Rentals of one unit of work.
BATCH_MAX = 200
# The machine itself stops in time; here a ticket and a list wait for it.
LOOK_EVERY_MS = 10_000


async def lapse_due(work: Work) -> int:
    """Running rentals whose end has passed are overdue; answers how many."""
    due = await store.lock_past_end(work, "running", work.now_ms, BATCH_MAX)
    lapsed = [advance(rental, "lapse", work.now_ms) for rental in due]
    await store.put_rentals(work, lapsed)
    await tell(work, [rental_event(rental, "rental.overdue") for rental in lapsed])
    return len(due)


async def dismantle_due(work: Work, grace_ms: int) -> int:
    """Overdue rentals whose grace has passed: somebody fetches the machine; answers how many."""
    due = await store.lock_past_end(work, "overdue", work.now_ms - grace_ms, BATCH_MAX)
    gone = [advance(rental, "dismantle", work.now_ms) for rental in due]
    await store.put_rentals(work, gone)
    await fetch_machines(work, gone, "its rental has ended and was not renewed in time")
    await tell(work, [rental_event(rental, "rental.dismantling") for rental in gone])
    return len(due)


async def run(database: Database, grace_ms: int) -> None:
    """Look for rentals past their end until cancelled; several workers share the work."""
    while True:
        while await database.transact(lapse_due) == BATCH_MAX:
            pass
        while await database.transact(partial(dismantle_due, grace_ms=grace_ms)) == BATCH_MAX:
            pass
        await database.clock.sleep_ms(LOOK_EVERY_MS)
