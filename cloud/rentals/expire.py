"""What time alone does to rentals: they lapse, and after the grace somebody is sent for the machine."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from cloud.database import Database, Work
from cloud.events import tell
from cloud.rentals import store
from cloud.rentals.begin import rental_event
from cloud.rentals.browse import litres_left
from cloud.rentals.model import advance
from cloud.rentals.quit import fetch_machines

# Rentals of one unit of work.
BATCH_MAX = 200
# The machine itself stops in time; here a ticket and a list wait for it.
LOOK_EVERY_MS = 10_000
# What is left of the litres is reckoned from what flowed, rental by rental: seldom, and few at a time.
MEASURE_EVERY_MS = 3_600_000
METERED_MAX = 50

# Tenant and rental: where a walk through all of them stands.
Place = tuple[str, str]


async def lapse_due(work: Work) -> int:
    """Running rentals whose end has passed are overdue; answers how many."""
    due = await store.lock_past_end(work, "running", work.now_ms, BATCH_MAX)
    lapsed = [advance(rental, "lapse", work.now_ms) for rental in due]
    await store.put_rentals(work, lapsed)
    await tell(work, [rental_event(rental, "rental.overdue") for rental in lapsed])
    return len(due)


async def lapse_used_up(work: Work, after: Place | None = None) -> Place | None:
    """Running rentals whose litres are used up are overdue; answers where to go on, None at the end."""
    some = await store.lock_metered(work, after, METERED_MAX)
    empty = [rental for rental in some if await litres_left(work, rental) == 0]
    # Overdue from now on, so that the grace begins with it.
    lapsed = [replace(advance(rental, "lapse", work.now_ms), ends_ms=work.now_ms) for rental in empty]
    await store.put_rentals(work, lapsed)
    await tell(work, [rental_event(rental, "rental.overdue") for rental in lapsed])
    return (some[-1].tenant, some[-1].rental) if len(some) == METERED_MAX else None


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
    measured_ms = 0
    while True:
        if database.clock.wall_ms() - measured_ms >= MEASURE_EVERY_MS:
            measured_ms, after = database.clock.wall_ms(), None
            while after := await database.transact(partial(lapse_used_up, after=after)):
                pass
        while await database.transact(lapse_due) == BATCH_MAX:
            pass
        while await database.transact(partial(dismantle_due, grace_ms=grace_ms)) == BATCH_MAX:
            pass
        await database.clock.sleep_ms(LOOK_EVERY_MS)
