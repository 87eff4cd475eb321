"""What happened, in order, for those who watch: the dashboard's live stream and, later, webhooks.

Each tenant has one line of events with dense numbers. The counter's row is locked until the commit, so numbers become
visible in their order and a reader that resumes after number n misses nothing. Tell events last in a Work: the lock is
then short, and it is the last in the lock order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Table, Text, and_, delete, select

from cloud.database import Work, metadata, tenant_column

event_counters = Table(
    "event_counters",
    metadata,
    tenant_column(),
    Column("last", BigInteger, nullable=False),
)

events = Table(
    "events",
    metadata,
    tenant_column(),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

# One answer to a reader: a screen catches up in a few of these, and memory stays small.
READ_MAX = 500

# How long events can be resumed from: a long weekend. Facts and ledgers keep the truth; this is a view of it.
KEEP_MS = 4 * 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to `subject` (a machine, an order, ...), with the few figures a screen needs."""

    tenant: str
    kind: str
    subject: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """An event as it is read: `id` grows by one within the tenant."""

    id: int
    kind: str
    subject: str
    data: dict[str, Any]
    at_ms: int


async def tell(work: Work, told: Iterable[Event]) -> None:
    """Append `told` to their tenants' lines, in their order."""
    listed = list(told)
    if not listed:
        return
    wanted = Counter(event.tenant for event in listed)
    await work.insert_new(event_counters, [{"tenant": tenant, "last": 0} for tenant in sorted(wanted)])
    next_id: dict[str, int] = {}
    for tenant, count in sorted(wanted.items()):
        advance = event_counters.update().where(event_counters.c.tenant == tenant)
        last = await work.scalar(advance.values(last=event_counters.c.last + count).returning(event_counters.c.last))
        next_id[tenant] = last - count + 1
    rows = []
    for event in listed:
        rows.append(
            {
                "tenant": event.tenant,
                "id": next_id[event.tenant],
                "kind": event.kind,
                "subject": event.subject,
                "data": msgspec.json.encode(event.data).decode(),
                "at_ms": work.now_ms,
            }
        )
        next_id[event.tenant] += 1
    await work.insert(events, rows)


async def read_after(work: Work, tenant: str, after: int, limit: int = READ_MAX) -> Sequence[NumberedEvent]:
    """Events numbered above `after`, oldest first."""
    query = select(events).where(and_(events.c.tenant == tenant, events.c.id > after)).order_by(events.c.id)
    return [
        NumberedEvent(row.id, row.kind, row.subject, msgspec.json.decode(row.data), row.at_ms)
        for row in await work.rows(query.limit(min(limit, READ_MAX)))
    ]


async def last_id(work: Work, tenant: str) -> int:
    """The number of the tenant's newest event, 0 when there is none."""
    return int(await work.scalar(select(event_counters.c.last).where(event_counters.c.tenant == tenant)) or 0)


async def last_ids(work: Work) -> dict[str, int]:
    """The number of every tenant's newest event, as far as this work may see them."""
    return {row.tenant: row.last for row in await work.rows(select(event_counters))}


async def forget_old(work: Work) -> int:
    """Drop events that nobody can resume from any more; answers how many."""
    return await work.changed(delete(events).where(events.c.at_ms < work.now_ms - KEEP_MS))
