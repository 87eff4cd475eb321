"""Where tickets are opened and closed: by conditions, in bulk, and by people, one at a time."""

from __future__ import annotations

from dataclasses import replace

from cloud.database import Work
from cloud.errors import FleetError
from cloud.tickets import store
from cloud.tickets.model import Condition, Ticket, advance
from shared.ids import mint_order_id

# Who closes a ticket when its condition is over.
SYSTEM = "system"


class TicketDesk:
    """The conditions that one unit of work met. The last word on a condition counts."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._said: dict[Condition, Ticket | None] = {}

    def open(self, condition: Condition, detail: str, *, subject: str = "") -> None:
        """There is a job to do; when its ticket is open already, that one stays as it is."""
        self._said[condition] = Ticket(
            tenant=condition.tenant,
            ticket=mint_ticket_id(),
            machine=condition.machine,
            code=condition.code,
            scope=condition.scope,
            state="open",
            detail=detail,
            subject=subject,
            assignee=None,
            opened_ms=self._work.now_ms,
            closed_ms=None,
            closed_by=None,
            resolution=None,
        )

    def clear(self, condition: Condition) -> None:
        """The condition is over: its ticket, if there is one, is done."""
        self._said[condition] = None

    async def write(self) -> None:
        """Write what was said."""
        over = [condition for condition, ticket in self._said.items() if ticket is None]
        await store.close_conditions(self._work, over, SYSTEM, "the condition is over")
        opened = [(ticket, condition) for condition, ticket in self._said.items() if ticket is not None]
        await store.open_tickets(self._work, opened)


def mint_ticket_id() -> str:
    """A new ticket id: as random as an order's."""
    return "t" + mint_order_id()[1:]


async def assign(work: Work, tenant: str, ticket: str, assignee: str) -> Ticket:
    """Give a ticket to somebody; FleetError: not_found, or conflict when it is closed."""
    found = await _ticket(work, tenant, ticket)
    changed = replace(found, state=advance(found, "assign"), assignee=assignee)
    await store.put_ticket(work, changed)
    return changed


async def close(work: Work, tenant: str, ticket: str, by: str, resolution: str) -> Ticket:
    """Say that a job is done, and how; FleetError: not_found, or conflict when it is closed."""
    found = await _ticket(work, tenant, ticket)
    changed = replace(found, state=advance(found, "close"), closed_ms=work.now_ms, closed_by=by, resolution=resolution)
    await store.put_ticket(work, changed)
    return changed


async def _ticket(work: Work, tenant: str, ticket: str) -> Ticket:
    found = await store.find_ticket(work, tenant, ticket)
    if found is None:
        raise FleetError("not_found", f"no ticket {ticket!r}", field="ticket")
    return found
