"""What time alone does to orders: unclaimed ones go back, and, by policy, claimed ones without a word are written off.

A written-off order was claimed, so it may still be delivered: the money given back is then a loss. That is why the
policy is off by default and capped per machine and day (I7).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from cloud.database import Database, Work
from cloud.orders import store
from cloud.orders.books import Books
from cloud.orders.grant import expire
from cloud.orders.model import advance
from cloud.tickets.model import Condition

# Orders of one unit of work: locks are held for some ten milliseconds.
BATCH_MAX = 200
# How often we look: a buyer waits for the refund in front of the machine.
LOOK_EVERY_MS = 1_000
# The cap of the policy holds for any period of this length.
CAP_PERIOD_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class WriteOffPolicy:
    """Give up on a claimed order after `after_ms`, up to `cap_fen` per machine in any 24 hours."""

    after_ms: int
    cap_fen: int


async def expire_due(work: Work) -> int:
    """Refund unclaimed orders whose deadline has passed; answers how many."""
    due = await store.lock_due(work, "held", "deadline_ms", work.now_ms, BATCH_MAX)
    books = await Books.open(work, orders=due)
    for tenant, order in due:
        expire(books, books.require(tenant, order))
    await books.write()
    return len(due)


async def write_off_due(work: Work, policy: WriteOffPolicy) -> int:
    """Refund claimed orders that stayed without a word, as far as the cap allows; answers how many."""
    due = await store.lock_due(work, "claimed", "claimed_ms", work.now_ms - policy.after_ms, BATCH_MAX)
    books = await Books.open(work, orders=due)
    spent: dict[tuple[str, str], int] = {}
    done = 0
    for tenant, key in due:
        order = books.require(tenant, key)
        where = (tenant, order.machine)
        if where not in spent:
            spent[where] = await store.written_off_fen(work, *where, work.now_ms - CAP_PERIOD_MS)
        if spent[where] + order.paid_fen > policy.cap_fen:
            detail = f"{order.order} has no outcome, and the day's {policy.cap_fen} fen are used up"
            books.desk.open(Condition(*where, "write_off_cap", "machine"), detail)
            continue
        spent[where] += order.paid_fen
        gone, effects = advance(order, "write_off", work.now_ms)
        gone = replace(gone, written_off=True, reason="written_off")
        books.put(gone)
        books.pay(gone, effects, note="written off by policy")
        books.tell(gone, "order.written_off")
        done += 1
    await books.write()
    return done


async def run(database: Database, policy: WriteOffPolicy | None = None) -> None:
    """Look for due orders until cancelled; several workers share the work."""
    while True:
        while await database.transact(expire_due) == BATCH_MAX:
            pass
        if policy is not None:
            await database.transact(partial(write_off_due, policy=policy))
        await database.clock.sleep_ms(LOOK_EVERY_MS)
