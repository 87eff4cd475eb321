"""Tickets: jobs for people."""

from __future__ import annotations

from cloud.accounts.model import Permission
from cloud.facades.dialect import Call, Nothing, Operation, Wire
from cloud.facades.native.shapes import Id, Name, Note, PageFilter, PageOf, Told, page_of
from cloud.tickets import browse, desk
from cloud.tickets.model import TicketState


class TicketFilter(PageFilter):
    state: TicketState | None = None
    machine: Id | None = None
    assignee: Name | None = None
    subject: Id | None = None


class AssignAsk(Wire):
    assignee: Name


class CloseAsk(Wire):
    resolution: Note


class TicketTold(Told):
    """One job. `subject` is the order it is about, or empty; `scope` an aisle, an order, a board or the machine."""

    ticket: str
    machine: str
    code: str
    scope: str
    state: TicketState
    detail: str
    subject: str
    assignee: str | None
    opened_ms: int
    closed_ms: int | None
    closed_by: str | None
    resolution: str | None


async def list_tickets(call: Call[Nothing, TicketFilter]) -> PageOf[TicketTold]:
    """Tickets, newest first; sorted by opened_ms, machine or code on wish."""
    query = call.query
    found = await browse.list_tickets(
        call.work,
        call.tenant,
        query.ask,
        state=query.state,
        machine=query.machine,
        assignee=query.assignee,
        subject=query.subject,
    )
    return page_of(TicketTold.model_validate, found)


async def ticket_detail(call: Call[Nothing, Nothing]) -> TicketTold:
    """One ticket."""
    return TicketTold.model_validate(await browse.ticket_of(call.work, call.tenant, call.path["ticket"]))


async def assign_ticket(call: Call[AssignAsk, Nothing]) -> TicketTold:
    """Give a ticket to somebody."""
    assigned = await desk.assign(call.work, call.tenant, call.path["ticket"], call.body.assignee)
    return TicketTold.model_validate(assigned)


async def close_ticket(call: Call[CloseAsk, Nothing]) -> TicketTold:
    """Say that a job is done, and how."""
    closed = await desk.close(call.work, call.tenant, call.path["ticket"], call.subject.login, call.body.resolution)
    return TicketTold.model_validate(closed)


P = Permission
OPERATIONS = (
    Operation("GET", "/tickets", P.TICKETS_READ, list_tickets),
    Operation("GET", "/tickets/{ticket}", P.TICKETS_READ, ticket_detail),
    Operation("POST", "/tickets/{ticket}/assign", P.TICKETS_WORK, assign_ticket, changes="ticket.assign"),
    Operation("POST", "/tickets/{ticket}/close", P.TICKETS_WORK, close_ticket, changes="ticket.close"),
)
