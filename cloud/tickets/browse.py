"""Looking at tickets."""

from __future__ import annotations

from sqlalchemy import select

from cloud.database import Work
from cloud.errors import FleetError
from cloud.paging import Ask, Page, page
from cloud.tickets.model import Ticket, TicketState
from cloud.tickets.store import tickets

_SHOWN = [tickets.c[name] for name in Ticket.__dataclass_fields__]


async def list_tickets(
    work: Work,
    tenant: str,
    ask: Ask,
    *,
    state: TicketState | None = None,
    machine: str | None = None,
    assignee: str | None = None,
    subject: str | None = None,
) -> Page[Ticket]:
    """Tickets of a tenant, newest first; sorted by opened_ms, machine or code on wish."""
    query = select(*_SHOWN).where(tickets.c.tenant == tenant)
    wanted = {"state": state, "machine": machine, "assignee": assignee, "subject": subject}
    query = query.where(*(tickets.c[name] == value for name, value in wanted.items() if value is not None))
    return await page(
        work,
        query,
        ask,
        sorts={"opened_ms": tickets.c.opened_ms, "machine": tickets.c.machine, "code": tickets.c.code},
        ties=(tickets.c.opened_ms.desc(), tickets.c.ticket),
        make=lambda row: Ticket(**row._mapping),
    )


async def ticket_of(work: Work, tenant: str, ticket: str) -> Ticket:
    """One ticket; FleetError not_found when the tenant has none of this id."""
    row = await work.row(select(*_SHOWN).where(tickets.c.tenant == tenant, tickets.c.ticket == ticket))
    if row is None:
        raise FleetError("not_found", f"there is no ticket {ticket!r}", field="ticket")
    return Ticket(**row._mapping)
