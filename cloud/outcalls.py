"""Calls to the world outside that must not be lost: written inside a Work, made after its commit, repeated until done.

A refund at a payment provider, the question what became of a payment, a message with a code: each is a line in one
table, named by its kind and its subject, and the subject's own row says what is to be asked. A worker leases the lines
that are due, commits the lease, and then calls. A crash between the two delays a call; a lease that runs out makes it
twice. Both are harmless, because whoever is called knows our id and does nothing twice.

A call ends when its handler answers None. A handler that must ask again answers in how many ms. One that cannot reach
the other side raises, and is called again after a pause that doubles. Tries are bounded: after the last one `give_up`
makes a person's job of it. Nothing is decided by running out of patience.

The table is the truth and is polled; `wake` only shortens the wait of a worker in the same process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import BigInteger, Column, ColumnElement, Index, Table, Text, and_, select

from cloud.database import Database, Work, metadata, tenant_column
from cloud.errors import FleetError

log = logging.getLogger("cloud.outcalls")

outcalls = Table(
    "outcalls",
    metadata,
    tenant_column(),
    Column("kind", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("next_ms", BigInteger, nullable=False),
    Column("tries", BigInteger, nullable=False),
    Index("ix_outcalls_due", "next_ms"),
)

# Calls made at the same time: a provider that hangs holds up seven others at most, and each for one time-out.
LEASE_MAX = 8
# A call that has not ended by then is made again by whoever looks; longer than any adapter's own time-outs together.
LEASE_MS = 120_000
# The first pause after a failure, and the longest: an outage of an evening costs about twenty calls.
RETRY_FIRST_MS = 2_000
RETRY_MAX_MS = 3_600_000
# How often the table is asked when nobody wakes the worker: other processes write into it, too.
POLL_MS = 500


@dataclass(frozen=True, slots=True)
class Outcall:
    """One call to make; `tries` counts this one."""

    tenant: str
    kind: str
    subject: str
    tries: int


@dataclass(frozen=True, slots=True)
class Handler:
    """How calls of one kind are made, and what happens when `tries_max` were not enough (`detail` says why)."""

    call: Callable[[Database, Outcall], Awaitable[int | None]]
    give_up: Callable[[Database, Outcall, str], Awaitable[None]]
    tries_max: int


Handlers = Mapping[str, Handler]

# Workers of this process that want to know about new lines.
_wakers: set[Callable[[], None]] = set()


async def enqueue(work: Work, tenant: str, kind: str, subject: str, *, after_ms: int = 0) -> None:
    """Make this call once the work is committed and `after_ms` have passed; one that waits already begins anew."""
    await enqueue_all(work, tenant, kind, [subject], after_ms=after_ms)


async def enqueue_all(work: Work, tenant: str, kind: str, subjects: Collection[str], *, after_ms: int = 0) -> None:
    """As `enqueue`, for many subjects of one kind."""
    due = {"tenant": tenant, "kind": kind, "next_ms": work.now_ms + after_ms, "tries": 0}
    await work.put(outcalls, [{**due, "subject": subject} for subject in subjects])
    work.after_commit(wake)


async def withdraw(work: Work, tenant: str, kind: str, subject: str) -> None:
    """Make this call no more; an unknown one is fine."""
    await work.execute(outcalls.delete().where(_line(tenant, kind, subject)))


def wake() -> None:
    """Tell the workers of this process that lines are due."""
    for waker in tuple(_wakers):
        waker()


async def lease(work: Work, kinds: Collection[str]) -> list[Outcall]:
    """Take the calls of these kinds that are due."""
    due = select(outcalls).where(outcalls.c.next_ms <= work.now_ms, outcalls.c.kind.in_(kinds))
    due = due.order_by(outcalls.c.next_ms).limit(LEASE_MAX)
    taken = []
    for row in await work.rows(due.with_for_update(skip_locked=True)):
        call = Outcall(row.tenant, row.kind, row.subject, row.tries + 1)
        values = {"next_ms": work.now_ms + LEASE_MS, "tries": call.tries}
        await work.execute(outcalls.update().where(_line(row.tenant, row.kind, row.subject)).values(values))
        taken.append(call)
    return taken


async def make_due(database: Database, handlers: Handlers) -> int:
    """Make the calls that are due, once; answers how many there were."""
    calls = await database.transact(partial(lease, kinds=handlers.keys()))
    made = [_make(database, handlers[call.kind], call) for call in calls]
    for error in await asyncio.gather(*made, return_exceptions=True):
        if error is not None:
            raise error
    return len(calls)


async def run(database: Database, handlers: Handlers) -> None:
    """Make what is due until cancelled; raises what the database raises."""
    woken = asyncio.Event()
    _wakers.add(woken.set)
    try:
        while True:
            woken.clear()
            while await make_due(database, handlers) == LEASE_MAX:
                pass
            try:
                async with asyncio.timeout(POLL_MS / 1000):
                    await woken.wait()
            except TimeoutError:
                continue
    finally:
        _wakers.discard(woken.set)


def pause_ms(tries: int) -> int:
    """How long to wait after so many tries that failed."""
    return min(RETRY_FIRST_MS << min(tries - 1, 20), RETRY_MAX_MS)


async def _make(database: Database, handler: Handler, call: Outcall) -> None:
    try:
        again_ms = await handler.call(database, call)
        detail = "it is still not done"
    except FleetError as error:
        again_ms, detail = pause_ms(call.tries), error.detail
        log.warning("outcalls: %s %s, try %d: %s", call.kind, call.subject, call.tries, detail)
    except Exception:
        # A mistake of ours, or the database is away. One call that cannot be made must not keep back all others.
        again_ms, detail = pause_ms(call.tries), "it failed here; the log knows how"
        log.exception("outcalls: %s %s, try %d", call.kind, call.subject, call.tries)
    if again_ms is not None and call.tries >= handler.tries_max:
        await handler.give_up(database, call, detail)
        again_ms = None
    await database.transact(lambda work: _put_off(work, call, again_ms), tenant=call.tenant)


async def _put_off(work: Work, call: Outcall, again_ms: int | None) -> None:
    # Somebody may have asked for the call anew meanwhile (tries is 0 again): that one stands.
    mine = and_(_line(call.tenant, call.kind, call.subject), outcalls.c.tries == call.tries)
    if again_ms is None:
        await work.execute(outcalls.delete().where(mine))
    else:
        await work.execute(outcalls.update().where(mine).values(next_ms=work.now_ms + again_ms))


def _line(tenant: str, kind: str, subject: str) -> ColumnElement[bool]:
    return and_(outcalls.c.tenant == tenant, outcalls.c.kind == kind, outcalls.c.subject == subject)
