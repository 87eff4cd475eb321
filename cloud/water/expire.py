"""What time alone does to pours: the same as to orders, under the same policy."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from cloud.database import Database, Work
from cloud.orders.books import Books
from cloud.orders.expire import BATCH_MAX, CAP_PERIOD_MS, LOOK_EVERY_MS, WriteOffPolicy
from cloud.tickets.model import Condition
from cloud.water import store
from cloud.water.grant import expire
from cloud.water.model import advance
from cloud.water.pours import Pours


async def expire_due(work: Work) -> int:
    """Refund unclaimed pours whose deadline has passed; answers how many."""
    due = await store.lock_due(work, "held", "deadline_ms", work.now_ms, BATCH_MAX)
    pours = await Pours.open(Books(work), due)
    for tenant, order in due:
        expire(pours, pours.require(tenant, order))
    await pours.write()
    await pours.books.write()
    return len(due)


async def write_off_due(work: Work, policy: WriteOffPolicy) -> int:
    """Refund claimed pours that stayed without a word, as far as the policy's cap allows; answers how many.

    Pours have a cap of their own, as large as that of the orders.
    """
    due = await store.lock_due(work, "claimed", "claimed_ms", work.now_ms - policy.after_ms, BATCH_MAX)
    pours = await Pours.open(Books(work), due)
    spent: dict[tuple[str, str], int] = {}
    done = 0
    for tenant, key in due:
        pour = pours.require(tenant, key)
        where = (tenant, pour.machine)
        if where not in spent:
            spent[where] = await store.written_off_fen(work, *where, work.now_ms - CAP_PERIOD_MS)
        if spent[where] + pour.paid_fen > policy.cap_fen:
            detail = f"pour {pour.order} has no outcome, and the day's {policy.cap_fen} fen are used up"
            pours.books.desk.open(Condition(*where, "write_off_cap", "machine"), detail)
            continue
        spent[where] += pour.paid_fen
        gone, effects = advance(pour, "write_off", work.now_ms)
        gone = replace(gone, written_off=True, reason="written_off")
        pours.put(gone)
        pours.pay(gone, effects, note="written off by policy")
        pours.tell(gone, "pour.written_off")
        done += 1
    await pours.write()
    await pours.books.write()
    return done


async def run(database: Database, policy: WriteOffPolicy | None = None) -> None:
    """Look for due pours until cancelled; several workers share the work."""
    while True:
        while await database.transact(expire_due) == BATCH_MAX:
            pass
        if policy is not None:
            await database.transact(partial(write_off_due, policy=policy))
        await database.clock.sleep_ms(LOOK_EVERY_MS)
