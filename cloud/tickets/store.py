"""SQL of tickets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Table,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    or_,
    select,
)

from cloud.accounts.model import Reach
from cloud.accounts.reach import within
from cloud.database import Work, metadata, record_of, row_of, tenant_column
from cloud.machines.reach import about_machines
from cloud.tickets.model import Condition, Step, Ticket

tickets = Table(
    "tickets",
    metadata,
    tenant_column(),
    Column("ticket", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    # "" for jobs that are about no machine, or about none yet.
    Column("machine", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("state", Text, nullable=False),
    # "machine/code/scope" until the ticket ends and NULL afterwards: one condition has one open ticket.
    Column("open_key", Text),
    Column("detail", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("opened_by", Text, nullable=False),
    Column("member", Text),
    Column("unit", Text),
    Column("priority", BigInteger, nullable=False),
    Column("appointed_ms", BigInteger),
    Column("checked", Boolean),
    Column("checked_ms", BigInteger),
    Column("checked_by", Text),
    Column("assignee", Text),
    Column("assignee_phone", Text, nullable=False),
    Column("assignee_user", Text),
    Column("dispatched_ms", BigInteger),
    Column("reminders", BigInteger, nullable=False),
    Column("reminded_ms", BigInteger),
    Column("closed_ms", BigInteger),
    Column("closed_by", Text),
    Column("resolution", Text),
    Column("rating", BigInteger),
    Column("rated_ms", BigInteger),
    Column("rating_detail", Text, nullable=False),
    Column("steps", BigInteger, nullable=False),
    UniqueConstraint("tenant", "open_key"),
    CheckConstraint("rating IS NULL OR (rating >= 1 AND rating <= 5)", name="rating"),
    CheckConstraint("priority >= 1 AND priority <= 3", name="priority"),
    Index("ix_tickets_opened", "tenant", "opened_ms"),
    Index("ix_tickets_state", "tenant", "state", "opened_ms"),
    Index("ix_tickets_machine", "tenant", "machine", "opened_ms"),
    Index("ix_tickets_member", "tenant", "member", "opened_ms"),
    Index("ix_tickets_subject", "tenant", "subject"),
    Index("ix_tickets_assignee_user", "tenant", "assignee_user", "opened_ms"),
)

# Append-only: what happened to a ticket, step by step.
ticket_steps = Table(
    "ticket_steps",
    metadata,
    tenant_column(),
    Column("ticket", Text, primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("detail", Text, nullable=False),
    ForeignKeyConstraint(["tenant", "ticket"], ["tickets.tenant", "tickets.ticket"]),
)

SHOWN = [tickets.c[name] for name in Ticket.__dataclass_fields__]


def seen(reach: Reach) -> ColumnElement[bool]:
    """The condition that a ticket is within reach: it is about a machine that is, or it stands there itself."""
    itself = within(reach, tenant=tickets.c.tenant, unit=tickets.c.unit, member=tickets.c.member)
    if not reach.path:
        return itself
    return or_(itself, about_machines(reach, tenant=tickets.c.tenant, machine=tickets.c.machine))


async def open_already(work: Work, conditions: Collection[Condition]) -> dict[tuple[str, str], int]:
    """Of these conditions, the (tenant, open_key) of those that have a ticket that has not ended, and its priority."""
    found: dict[tuple[str, str], int] = {}
    for tenant in sorted({what.tenant for what in conditions}):
        keys = sorted(what.open_key for what in conditions if what.tenant == tenant)
        here = and_(tickets.c.tenant == tenant, tickets.c.open_key.in_(keys))
        rows = await work.rows(select(tickets.c.open_key, tickets.c.priority).where(here))
        found |= {(tenant, row.open_key): row.priority for row in rows}
    return found


async def held_by_conditions(work: Work, conditions: Collection[Condition]) -> list[Ticket]:
    """The open tickets of these conditions, locked."""
    found: list[Ticket] = []
    for tenant in sorted({what.tenant for what in conditions}):
        keys = sorted(what.open_key for what in conditions if what.tenant == tenant)
        here = and_(tickets.c.tenant == tenant, tickets.c.open_key.in_(keys))
        found += [record_of(Ticket, row) for row in await work.rows(select(*SHOWN).where(here).with_for_update())]
    return found


async def put_worsened(work: Work, worse: Sequence[Ticket]) -> None:
    """Write what `worsened` changes of tickets that this Work has locked."""
    here = and_(tickets.c.tenant == bindparam("of"), tickets.c.ticket == bindparam("which"))
    change = (
        tickets.update()
        .where(here)
        .values(detail=bindparam("told"), priority=bindparam("urgency"), steps=bindparam("taken"))
    )
    rows = [
        {"of": one.tenant, "which": one.ticket, "told": one.detail, "urgency": one.priority, "taken": one.steps}
        for one in worse
    ]
    if rows:
        await work.execute(change, rows)


async def open_tickets(work: Work, wanted: Sequence[tuple[Ticket, Condition]]) -> set[tuple[str, str]]:
    """Insert tickets whose condition has none that is open; answers the (tenant, ticket) of those that were new."""
    if not wanted:
        return set()
    rows = [{**row_of(ticket), "open_key": what.open_key} for ticket, what in wanted]
    new = work.upsert(tickets).on_conflict_do_nothing().returning(tickets.c.tenant, tickets.c.ticket)
    return {(row.tenant, row.ticket) for row in await work.execute(new, rows)}


async def close_conditions(work: Work, conditions: Collection[Condition], by: str, resolution: str) -> list[Step]:
    """Close what is open for `conditions`, nothing being fine; answers the step of each, which is not written yet."""
    ended = {"state": "finished", "open_key": None, "closed_ms": work.now_ms, "closed_by": by, "resolution": resolution}
    taken: list[Step] = []
    for tenant in sorted({what.tenant for what in conditions}):
        keys = sorted(what.open_key for what in conditions if what.tenant == tenant)
        here = and_(tickets.c.tenant == tenant, tickets.c.open_key.in_(keys))
        change = tickets.update().where(here).values(**ended, steps=tickets.c.steps + 1)
        taken += [
            Step(tenant, row.ticket, row.steps, work.now_ms, "condition_over", "finished", by, resolution)
            for row in await work.rows(change.returning(tickets.c.ticket, tickets.c.steps))
        ]
    return taken


async def add_steps(work: Work, steps: Iterable[Step]) -> None:
    """Append to the histories of tickets."""
    await work.insert(ticket_steps, [row_of(step) for step in steps])


async def steps_of(work: Work, tenant: str, ticket: str) -> list[Step]:
    """The history of one ticket, from its beginning."""
    query = select(ticket_steps).where(ticket_steps.c.tenant == tenant, ticket_steps.c.ticket == ticket)
    return [record_of(Step, row) for row in await work.rows(query.order_by(ticket_steps.c.step))]


async def find_ticket(work: Work, reach: Reach, tenant: str, ticket: str, *, lock: bool = False) -> Ticket | None:
    """One ticket within reach; locked, others wait until the work ends."""
    query = select(*SHOWN).where(tickets.c.tenant == tenant, tickets.c.ticket == ticket, seen(reach))
    row = await work.row(query.with_for_update() if lock else query)
    return None if row is None else record_of(Ticket, row)


async def find_open(work: Work, condition: Condition) -> Ticket | None:
    """The ticket of a condition that has not ended."""
    here = and_(tickets.c.tenant == condition.tenant, tickets.c.open_key == condition.open_key)
    row = await work.row(select(*SHOWN).where(here))
    return None if row is None else record_of(Ticket, row)


async def put_ticket(work: Work, ticket: Ticket, *, ended: bool) -> None:
    """Write a ticket that this Work has locked; one that has ended makes room for the next of its condition."""
    here = and_(tickets.c.tenant == ticket.tenant, tickets.c.ticket == ticket.ticket)
    await work.execute(tickets.update().where(here).values(**row_of(ticket), **({"open_key": None} if ended else {})))
