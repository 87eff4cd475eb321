"""Tickets: jobs for people."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from cloud.accounts.model import Permission, Reach
from cloud.facades.dialect import Call, Nothing, Operation, Wire
from cloud.facades.native.shapes import Id, Moment, Name, Note, PageFilter, PageOf, Told, page_of
from cloud.machines.register import machine_of
from cloud.members.wallet import member_of
from cloud.tickets import browse, create, handle
from cloud.tickets.model import PRIORITY_MAX, PRIORITY_MIN, PRIORITY_NORMAL, TicketKind, TicketState

Priority = Annotated[int, Field(ge=PRIORITY_MIN, le=PRIORITY_MAX)]
PHONE_CHARS_MAX = 32


class TicketFilter(PageFilter):
    state: TicketState | None = None
    kind: TicketKind | None = None
    machine: Id | None = None
    member: Id | None = None
    assignee: Name | None = None
    subject: Id | None = None


class CreateTicketAsk(Wire):
    kind: TicketKind
    detail: Note
    machine: Id | None = None
    member: Id | None = None
    priority: Priority = PRIORITY_NORMAL
    appointed_ms: Moment | None = None


class ApproveAsk(Wire):
    granted: bool
    detail: Note | None = None


class AssignAsk(Wire):
    """Somebody to send: one of our own people (`user`), or anybody by name and phone."""

    assignee: Name | None = None
    phone: Annotated[str, Field(max_length=PHONE_CHARS_MAX)] = ""
    user: Id | None = None


class NoteAsk(Wire):
    """How it goes; `waiting` for somebody's answer."""

    text: Note
    waiting: bool = False


class CloseAsk(Wire):
    resolution: Note


class TicketTold(Told):
    """One job. `subject` is the order or lease it is about, or empty; `scope` an aisle, a board, the machine ..."""

    ticket: str
    kind: TicketKind
    machine: str
    code: str
    scope: str
    state: TicketState
    detail: str
    subject: str
    member: str | None
    priority: int
    appointed_ms: int | None
    checked: bool | None
    checked_ms: int | None
    checked_by: str | None
    assignee: str | None
    assignee_phone: str
    assignee_user: str | None
    dispatched_ms: int | None
    reminders: int
    opened_ms: int
    opened_by: str
    closed_ms: int | None
    closed_by: str | None
    resolution: str | None
    rating: int | None
    rating_detail: str


class StepTold(Told):
    """One line of a ticket's history."""

    at_ms: int
    event: str
    state: TicketState
    person: str
    detail: str


class HistoryTold(Told):
    items: list[StepTold]


async def list_tickets(call: Call[Nothing, TicketFilter]) -> PageOf[TicketTold]:
    """Tickets, newest first; sorted by opened_ms, appointed_ms, priority, state, kind, machine or code on wish."""
    query = call.query
    wanted = browse.TicketFilter(
        states=None if query.state is None else (query.state,),
        kind=query.kind,
        machine=query.machine,
        member=query.member,
        assignee=query.assignee,
        subject=query.subject,
    )
    return page_of(TicketTold.model_validate, await browse.list_tickets(call.work, _reach(call), wanted, query.ask))


async def ticket_detail(call: Call[Nothing, Nothing]) -> TicketTold:
    """One ticket."""
    return TicketTold.model_validate(await browse.ticket_of(call.work, *_which(call)))


async def ticket_history(call: Call[Nothing, Nothing]) -> HistoryTold:
    """What happened to a ticket, step by step."""
    found = await browse.ticket_of(call.work, *_which(call))
    steps = await browse.history_of(call.work, call.tenant, found.ticket)
    return HistoryTold(items=[StepTold.model_validate(step) for step in steps])


async def create_ticket(call: Call[CreateTicketAsk, Nothing]) -> TicketTold:
    """Ask for a job, for a machine or a member or neither."""
    body = call.body
    if body.machine is not None:
        await machine_of(call.work, call.tenant, body.machine)
    if body.member is not None:
        await member_of(call.work, call.tenant, body.member)
    new = create.NewTicket(
        tenant=call.tenant,
        kind=body.kind,
        by=call.subject.login,
        detail=body.detail,
        machine=body.machine or "",
        member=body.member,
        priority=body.priority,
        appointed_ms=body.appointed_ms,
    )
    return TicketTold.model_validate(await create.create(call.work, new))


async def approve_ticket(call: Call[ApproveAsk, Nothing]) -> TicketTold:
    """Say whether a job is to be done; one that is not ends here."""
    granted, detail = call.body.granted, call.body.detail or ""
    told = await handle.approve(call.work, *_which(call), call.subject.login, granted=granted, detail=detail)
    return TicketTold.model_validate(told)


async def assign_ticket(call: Call[AssignAsk, Nothing]) -> TicketTold:
    """Send somebody; again: somebody else."""
    name, phone, user = call.body.assignee or "", call.body.phone, call.body.user
    told = await handle.dispatch(call.work, *_which(call), call.subject.login, name=name, phone=phone, user=user)
    return TicketTold.model_validate(told)


async def remind_ticket(call: Call[Nothing, Nothing]) -> TicketTold:
    """Urge whoever has it; several times within a minute count once."""
    return TicketTold.model_validate(await handle.remind(call.work, *_which(call), call.subject.login))


async def note_ticket(call: Call[NoteAsk, Nothing]) -> TicketTold:
    """Write down how it goes: a dispatched job is being worked on from then on, or waits for an answer."""
    text, waiting = call.body.text, call.body.waiting
    told = await handle.note(call.work, *_which(call), call.subject.login, text, waiting=waiting)
    return TicketTold.model_validate(told)


async def give_up_ticket(call: Call[CloseAsk, Nothing]) -> TicketTold:
    """Say that a job cannot be handled: it is to be dispatched anew."""
    told = await handle.give_up(call.work, *_which(call), call.subject.login, call.body.resolution)
    return TicketTold.model_validate(told)


async def close_ticket(call: Call[CloseAsk, Nothing]) -> TicketTold:
    """Say that a job is done, and how."""
    told = await handle.finish(call.work, *_which(call), call.subject.login, call.body.resolution)
    return TicketTold.model_validate(told)


def _reach(call: Call[Any, Any]) -> Reach:
    """This API is for people of one whole tenant."""
    return Reach(tenant=call.tenant)


def _which(call: Call[Any, Any]) -> tuple[Reach, str, str]:
    return _reach(call), call.tenant, call.path["ticket"]


P = Permission
OPERATIONS = (
    Operation("GET", "/tickets", P.TICKETS_READ, list_tickets),
    Operation("POST", "/tickets", P.TICKETS_WORK, create_ticket, changes="ticket.create", success=201),
    Operation("GET", "/tickets/{ticket}", P.TICKETS_READ, ticket_detail),
    Operation("GET", "/tickets/{ticket}/history", P.TICKETS_READ, ticket_history),
    Operation("POST", "/tickets/{ticket}/approve", P.TICKETS_WORK, approve_ticket, changes="ticket.approve"),
    Operation("POST", "/tickets/{ticket}/assign", P.TICKETS_WORK, assign_ticket, changes="ticket.assign"),
    Operation("POST", "/tickets/{ticket}/remind", P.TICKETS_WORK, remind_ticket, changes="ticket.remind"),
    Operation("POST", "/tickets/{ticket}/note", P.TICKETS_WORK, note_ticket, changes="ticket.note"),
    Operation("POST", "/tickets/{ticket}/give-up", P.TICKETS_WORK, give_up_ticket, changes="ticket.give_up"),
    Operation("POST", "/tickets/{ticket}/close", P.TICKETS_WORK, close_ticket, changes="ticket.close"),
)
