"""SQL of tickets."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import BigInteger, Column, Index, Table, Text, UniqueConstraint, and_, select

from cloud.database import Work, metadata, row_of, tenant_column
from cloud.tickets.model import Condition, Ticket

tickets = Table(
    "tickets",
    metadata,
    tenant_column(),
    Column("ticket", Text, primary_key=True),
    Column("machine", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("state", Text, nullable=False),
    # "machine/code/scope" while the ticket is open and NULL afterwards: one condition has one open ticket.
    Column("open_key", Text),
    Column("detail", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("assignee", Text),
    Column("opened_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),
    Column("closed_by", Text),
    Column("resolution", Text),
    UniqueConstraint("tenant", "open_key"),
    Index("ix_tickets_opened", "tenant", "opened_ms"),
)


async def open_tickets(work: Work, wanted: Iterable[tuple[Ticket, Condition]]) -> None:
    """Insert tickets whose condition has none that is open."""
    await work.insert_new(tickets, [{**row_of(ticket), "open_key": what.open_key} for ticket, what in wanted])


async def close_conditions(work: Work, conditions: Collection[Condition], by: str, resolution: str) -> None:
    """Close what is open for `conditions`; nothing open is fine."""
    ended = {"state": "closed", "open_key": None, "closed_ms": work.now_ms, "closed_by": by, "resolution": resolution}
    for tenant in sorted({what.tenant for what in conditions}):
        keys = sorted(what.open_key for what in conditions if what.tenant == tenant)
        here = and_(tickets.c.tenant == tenant, tickets.c.open_key.in_(keys))
        await work.execute(tickets.update().where(here).values(**ended))


async def find_ticket(work: Work, tenant: str, ticket: str) -> Ticket | None:
    """One ticket, locked until the work ends."""
    query = select(*[column for column in tickets.c if column.name != "open_key"])
    row = await work.row(query.where(and_(tickets.c.tenant == tenant, tickets.c.ticket == ticket)).with_for_update())
    return None if row is None else Ticket(**row._mapping)


async def put_ticket(work: Work, ticket: Ticket) -> None:
    """Write a ticket that this Work has locked."""
    here = and_(tickets.c.tenant == ticket.tenant, tickets.c.ticket == ticket.ticket)
    key = {"open_key": None} if ticket.state == "closed" else {}
    await work.execute(tickets.update().where(here).values(**row_of(ticket), **key))
