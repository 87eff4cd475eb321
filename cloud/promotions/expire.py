"""What time does to groups: one that did not come together has failed, and everybody in it gets his money back."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from cloud.database import Database, Work
from cloud.events import tell
from cloud.members.ledger import Ledger
from cloud.promotions import store
from cloud.promotions.gather import group_event
from cloud.promotions.model import Group, advance_group
from cloud.purchases.model import Deadlines
from cloud.purchases.steps import purchase_event, step
from cloud.purchases.store import lock_gathering, wait_no_more

# Groups of one unit of work; each may give back as many orders as it has seats.
BATCH_MAX = 10
# Deadlines are hours.
LOOK_EVERY_MS = 5_000


async def disband_due(work: Work, deadlines: Deadlines) -> int:
    """Give back what was paid in groups whose time is over, or whose promotion's is; answers how many there were."""
    due = await store.lock_due_groups(work, BATCH_MAX)
    for group in due:
        await _disband(work, group, deadlines)
    return len(due)


async def run(database: Database, deadlines: Deadlines) -> None:
    """Look for groups that are over until cancelled; several workers share the work."""
    while True:
        while await database.transact(partial(disband_due, deadlines=deadlines)) == BATCH_MAX:
            pass
        await database.clock.sleep_ms(LOOK_EVERY_MS)


async def _disband(work: Work, group: Group, deadlines: Deadlines) -> None:
    after = replace(group, state=advance_group(group, "expire"))
    await store.put_group(work, after)
    orders = await store.orders_in(work, after)
    await wait_no_more(work, after.tenant, orders)
    ledger = Ledger(work)
    gathered = await lock_gathering(work, after.tenant, orders)
    why = f"the group {group.group}"
    closed = [await step(work, ledger, one, "disband", deadlines, why) for one in gathered]
    await ledger.write()
    await tell(work, [group_event(after), *(purchase_event(one) for one in closed)])
