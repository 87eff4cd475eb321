"""Tickets: jobs for people. Asked for by users, opened by what happens, dispatched, finished and rated.

The documentation has the list, the summary and the creation; what it tells of without a path stands below
`/tickets/TID`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from cloud.accounts.brands import brand_letters, day_of_number, tenant_of_number
from cloud.accounts.model import Permission, Reach
from cloud.accounts.people import tenant_named
from cloud.database import Work
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.iot.orders_shapes import ReceiverTold, own_number, receiver_told
from cloud.facades.iot.wire import (
    BRANDS,
    CUSTOMERS,
    OFFICES,
    Asked,
    Figure,
    Listed,
    Moment,
    Single,
    Told,
    Window,
    allow,
    iso,
)
from cloud.members.wallet import member_of
from cloud.purchases.browse import Behind, behind, purchase_seen
from cloud.purchases.model import Purchase, Receiver
from cloud.tickets import browse, handle
from cloud.tickets.create import NewTicket, create
from cloud.tickets.desk import PREFIX
from cloud.tickets.model import (
    ASKED_BY_CUSTOMERS,
    KINDS,
    PRIORITY_MAX,
    PRIORITY_MIN,
    PRIORITY_NORMAL,
    RATING_MAX,
    RATING_MIN,
    Step,
    Ticket,
    TicketKind,
    TicketState,
)
from cloud.water.devices import device_seen

# The documentation names the steps without numbers; they count from 1 in its order. A refusal is a result of approval.
STATUSES: dict[int, tuple[TicketState, ...]] = {
    1: ("created",),
    2: ("approved", "rejected"),
    3: ("dispatched",),
    4: ("working",),
    5: ("waiting",),
    6: ("finished",),
}
_STATUS_OF = {state: number for number, states in STATUSES.items() for state in states}
# The kinds count from 1 in its order as well.
TYPES: dict[int, TicketKind] = dict(enumerate(KINDS, start=1))
_TYPE_OF = {kind: number for number, kind in TYPES.items()}

DETAIL_CHARS_MAX = 500
Detail = Annotated[str, Field(max_length=DETAIL_CHARS_MAX)]
Id = Annotated[str, Field(max_length=48)]


def _kind_named(value: object) -> object:
    """The kind that a number means; anything else stays and is refused by the shape."""
    return TYPES.get(int(str(value)), value) if str(value).isdecimal() else value


Kind = Annotated[TicketKind, BeforeValidator(_kind_named)]

# The day, the four letters of the brand, a number of twelve digits; clients may write a T before it.
_NUMBER = re.compile(r"(\d{8})([A-Z]{4})(\d{12})")


def number_of(ticket: Ticket, code: str) -> str:
    """How a ticket is called here: the day on which it was opened, the brand's letters, its own number.

    A ticket that came with an id of another form keeps it.
    """
    own = ticket.ticket.removeprefix(PREFIX)
    if own == ticket.ticket or not own.isdecimal():
        return ticket.ticket
    return f"{day_of_number(ticket.opened_ms)}{code}{int(own):012}"


class Approval(Told):
    check_result: bool
    check_tms: str
    check_usr: str


class Ratings(Told):
    rate_value: int
    rate_tms: str
    rate_detail: str


class Dispatch(Told):
    """Who goes; all of it empty before somebody was sent."""

    name: str
    mobile: str
    uid: str
    send_tms: str


class TicketTold(Single):
    """One ticket. `type` and `status` count from 1 in the order of the documentation."""

    top: ClassVar[tuple[str, ...]] = ("ticket_id",)
    status: int
    type: int
    ticket_id: str
    detail: str
    create_tms: str
    appoint_tms: str
    user_id: str
    device_id: str
    approval: Approval
    ratings: Ratings
    priority: int
    order_id: str
    rental_id: str
    receiver: Annotated[ReceiverTold, Field(description="Where it is to be done, from the order behind it.")]
    dispatch: Dispatch
    reminders: int
    finish_tms: str
    remark: str
    vid: str

    @classmethod
    def of(cls, ticket: Ticket, code: str, about: Behind | None) -> TicketTold:
        """A ticket in the words of this dialect; `about` is the order or rental behind it."""
        rental = about is not None and about.rental is not None
        return cls(
            status=_STATUS_OF[ticket.state],
            type=_TYPE_OF[ticket.kind],
            ticket_id=number_of(ticket, code),
            detail=ticket.detail,
            create_tms=iso(ticket.opened_ms),
            appoint_tms=iso(ticket.appointed_ms),
            user_id=ticket.member or "",
            device_id=ticket.machine,
            approval=Approval(
                check_result=bool(ticket.checked), check_tms=iso(ticket.checked_ms), check_usr=ticket.checked_by or ""
            ),
            ratings=Ratings(
                rate_value=ticket.rating or 0, rate_tms=iso(ticket.rated_ms), rate_detail=ticket.rating_detail
            ),
            priority=ticket.priority,
            order_id="" if rental else ticket.subject,
            rental_id=ticket.subject if rental else "",
            receiver=receiver_told(about.receiver if about is not None else Receiver()),
            dispatch=Dispatch(
                name=ticket.assignee or "",
                mobile=ticket.assignee_phone,
                uid=ticket.assignee_user or "",
                send_tms=iso(ticket.dispatched_ms),
            ),
            reminders=ticket.reminders,
            finish_tms=iso(ticket.closed_ms),
            remark=ticket.resolution or "",
            vid=ticket.tenant,
        )


class TicketsTold(Listed):
    tickets: list[TicketTold]


class StepTold(Told):
    step: int
    tms: str
    event: str
    status: int
    usr: str
    detail: str

    @classmethod
    def of(cls, step: Step) -> StepTold:
        """One line of a history."""
        return cls(
            step=step.step,
            tms=iso(step.at_ms),
            event=step.event,
            status=_STATUS_OF[step.state],
            usr=step.person,
            detail=step.detail,
        )


class HistoryTold(Listed):
    steps: list[StepTold]


class SummaryTold(Single):
    """How many tickets there are; the keys of the two are the numbers of the documentation."""

    total: int
    by_status: dict[str, int]
    by_type: dict[str, int]


class TicketsAsk(Window):
    columns: ClassVar[dict[str, str]] = {
        "status": "state",
        "type": "kind",
        "ticket_id": "ticket",
        "create_tms": "opened_ms",
        "appoint_tms": "appointed_ms",
        "finish_tms": "closed_ms",
        "user_id": "member",
        "device_id": "machine",
        "order_id": "subject",
        "rental_id": "subject",
        "priority": "priority",
        "vid": "tenant",
    }
    # They are sorted by their numbers and filtered by what those mean: no plain equality.
    wanted_status: Annotated[Figure | None, Field(alias="status")] = None
    wanted_type: Annotated[Kind | None, Field(alias="type")] = None
    user_id: Id | None = None
    device_id: Id | None = None
    # The number is put together of a ticket's own one: no plain equality either.
    wanted_ticket: Annotated[Id | None, Field(alias="ticket_id")] = None
    order_id: Id | None = None
    rental_id: Id | None = None
    priority: Figure | None = None
    vid: Id | None = None


class CreateAsk(Asked):
    """`user_id` is for staff; a user asks in his own name. `vid` is for the platform, where no device says it."""

    type: Kind
    detail: Detail = ""
    device_id: Id = ""
    user_id: Id = ""
    order_id: Id = ""
    vid: Id = ""
    priority: Annotated[int, Field(ge=PRIORITY_MIN, le=PRIORITY_MAX)] = PRIORITY_NORMAL
    appoint_tms: Moment = None


class ApprovalAsk(Asked):
    check_result: bool
    detail: Detail = ""


class DispatchAsk(Asked):
    """One of the brand's people by `uid`, or anybody by `name` and `mobile`."""

    uid: Id = ""
    name: Annotated[str, Field(max_length=100)] = ""
    mobile: Annotated[str, Field(max_length=32)] = ""


class NoteAsk(Asked):
    """How it goes; `waiting` for somebody's answer."""

    detail: Annotated[str, Field(min_length=1, max_length=DETAIL_CHARS_MAX)]
    waiting: bool = False


class FinishAsk(Asked):
    """`done` false: it cannot be handled, and somebody else is to be sent."""

    remark: Detail = ""
    done: bool = True


class RateAsk(Asked):
    rate_value: Annotated[int, Field(ge=RATING_MIN, le=RATING_MAX)]
    rate_detail: Detail = ""


async def list_tickets(call: Call[Nothing, TicketsAsk]) -> TicketsTold:
    """Tickets, newest first."""
    return await _list(call)


async def list_own_tickets(call: Call[Nothing, TicketsAsk]) -> TicketsTold:
    """The caller's own tickets, newest first: what a user asked for; for agents, dealers and shops, what is theirs.

    An addition: the documentation shows the list to platform and brands only.
    """
    return await _list(call)


async def ticket_summary(call: Call[Nothing, Nothing]) -> SummaryTold:
    """The tickets that the caller may see, counted in all, by status and by type."""
    counts = await browse.count_tickets(call.work, call.subject.reach)
    by_status = {number: sum(counts.by_state.get(state, 0) for state in states) for number, states in STATUSES.items()}
    return SummaryTold(
        total=counts.total,
        by_status={str(number): count for number, count in by_status.items()},
        by_type={str(number): counts.by_kind.get(kind, 0) for number, kind in TYPES.items()},
    )


async def create_ticket(call: Call[CreateAsk, Nothing]) -> TicketTold:
    """Ask for a job. Users ask for an exchange, a return or a repair of their own devices; staff for any kind."""
    body, subject = call.body, call.subject
    if subject.level == "customer" and body.type not in ASKED_BY_CUSTOMERS:
        raise FleetError("forbidden", f"users do not ask for the type {_TYPE_OF[body.type]}", field="type")
    tenant = await _tenant(call)
    order = await _order(call, tenant)
    new = NewTicket(
        tenant=tenant,
        kind=body.type,
        by=subject.user,
        detail=body.detail,
        machine=body.device_id,
        subject=order.purchase if order is not None else "",
        member=await _member(call, tenant, order),
        unit=subject.unit.unit if subject.unit is not None else None,
        priority=body.priority,
        appointed_ms=body.appoint_tms,
    )
    return await _told(call.work, await create(call.work, new))


async def read_ticket(call: Call[Nothing, Nothing]) -> TicketTold:
    """One ticket. An addition to the documented operations."""
    return await _told(call.work, await browse.ticket_of(call.work, *await _which(call)))


async def ticket_history(call: Call[Nothing, Nothing]) -> HistoryTold:
    """What happened to a ticket, step by step. An addition to the documented operations."""
    found = await browse.ticket_of(call.work, *await _which(call))
    steps = [StepTold.of(step) for step in await browse.history_of(call.work, found.tenant, found.ticket)]
    return HistoryTold(total=len(steps), steps=steps)


async def approve_ticket(call: Call[ApprovalAsk, Nothing]) -> TicketTold:
    """Say whether the job is to be done; one that is not ends here. An addition to the documented operations."""
    body = call.body
    changed = await handle.approve(
        call.work, *await _which(call), call.subject.user, granted=body.check_result, detail=body.detail
    )
    return await _told(call.work, changed)


async def dispatch_ticket(call: Call[DispatchAsk, Nothing]) -> TicketTold:
    """Send somebody; again: somebody else. An addition to the documented operations."""
    body = call.body
    changed = await handle.dispatch(
        call.work, *await _which(call), call.subject.user, name=body.name, phone=body.mobile, user=body.uid or None
    )
    return await _told(call.work, changed)


async def note_ticket(call: Call[NoteAsk, Nothing]) -> TicketTold:
    """Write down how it goes: a dispatched job is in progress from then on, or waits for a response.

    An addition to the documented operations.
    """
    body = call.body
    changed = await handle.note(call.work, *await _which(call), call.subject.user, body.detail, waiting=body.waiting)
    return await _told(call.work, changed)


async def remind_ticket(call: Call[Nothing, Nothing]) -> TicketTold:
    """Urge whoever has it; several times within a minute count once. An addition to the documented operations."""
    return await _told(call.work, await handle.remind(call.work, *await _which(call), call.subject.user))


async def finish_ticket(call: Call[FinishAsk, Nothing]) -> TicketTold:
    """Say that the job is done, and how; or that it cannot be handled. An addition to the documented operations."""
    take = handle.finish if call.body.done else handle.give_up
    return await _told(call.work, await take(call.work, *await _which(call), call.subject.user, call.body.remark))


async def rate_ticket(call: Call[RateAsk, Nothing]) -> TicketTold:
    """What the user thinks of a finished job, once. An addition to the documented operations."""
    body = call.body
    changed = await handle.rate(
        call.work, *await _which(call), call.subject.user, body.rate_value, detail=body.rate_detail
    )
    return await _told(call.work, changed)


async def _list(call: Call[Nothing, TicketsAsk]) -> TicketsTold:
    query = call.query
    wanted = browse.TicketFilter(
        states=None if query.wanted_status is None else STATUSES.get(query.wanted_status, ()),
        kind=query.wanted_type,
    )
    if query.wanted_ticket is not None:
        return await _list_one(call, wanted, query.wanted_ticket)
    found = await browse.list_tickets(call.work, call.subject.reach, wanted, query.ask)
    return TicketsTold(total=found.total, tickets=await _all_told(call.work, found.items))


async def _list_one(call: Call[Nothing, TicketsAsk], wanted: browse.TicketFilter, number: str) -> TicketsTold:
    """The list, narrowed to the ticket of one number."""
    try:
        _, tenant, ticket = await _which(call, number)
    except FleetError:
        return TicketsTold(total=0, tickets=[])
    ask = call.query.ask
    ask = replace(ask, equals={**ask.equals, "tenant": tenant, "ticket": ticket})
    found = await browse.list_tickets(call.work, call.subject.reach, wanted, ask)
    return TicketsTold(total=found.total, tickets=await _all_told(call.work, found.items))


async def _all_told(work: Work, tickets: Sequence[Ticket]) -> list[TicketTold]:
    codes = await brand_letters(work, {ticket.tenant for ticket in tickets})
    about = await behind(work, {(ticket.tenant, ticket.subject) for ticket in tickets})
    return [
        TicketTold.of(ticket, codes[ticket.tenant], about.get((ticket.tenant, ticket.subject))) for ticket in tickets
    ]


async def _told(work: Work, ticket: Ticket) -> TicketTold:
    (told,) = await _all_told(work, [ticket])
    return told


async def _which(call: Call[Any, Any], number: str | None = None) -> tuple[Reach, str, str]:
    """Reach, tenant and own id of a ticket, the path's or `number`: named by its number or by the id it came with."""
    named = (number or call.path["tid"]).removeprefix("T")
    parts = _NUMBER.fullmatch(named)
    if parts is None:
        return call.subject.reach, call.tenant, named
    tenant = await tenant_of_number(call.work, named) if call.subject.level == "platform" else call.tenant
    if tenant is None:
        raise FleetError("not_found", f"there is no ticket {named!r}", field="ticket_id")
    ticket = f"{PREFIX}{int(parts[3])}"
    found = await browse.ticket_of(call.work, call.subject.reach, tenant, ticket)
    if number_of(found, (await brand_letters(call.work, {tenant}))[tenant]) != named:
        raise FleetError("not_found", f"there is no ticket {named!r}", field="ticket_id")
    return call.subject.reach, tenant, ticket


async def _tenant(call: Call[CreateAsk, Nothing]) -> str:
    """Whose job it is: the brand of the device, which the caller has to see, else that of the caller."""
    subject = call.subject
    if call.body.device_id:
        return (await device_seen(call.work, subject.reach, call.body.device_id)).machine.tenant
    if subject.level == "platform" and call.body.vid:
        return (await tenant_named(call.work, call.body.vid)).tenant
    return subject.tenant


async def _order(call: Call[CreateAsk, Nothing], tenant: str) -> Purchase | None:
    """The order that it is about, which the caller has to see; also with the letter that front ends put before it."""
    named = call.body.order_id
    if not named:
        return None
    found = await purchase_seen(call.work, call.subject.reach, own_number(named))
    if found.tenant != tenant:
        raise FleetError("invalid", "the order and the device are of two brands", field="order_id")
    return found


async def _member(call: Call[CreateAsk, Nothing], tenant: str, order: Purchase | None) -> str | None:
    """For whom it is: the customer who asks, or whom staff name, or whose order it is."""
    if call.subject.level == "customer":
        return call.subject.user
    if not call.body.user_id:
        return order.member if order is not None else None
    found = await member_of(call.work, tenant, call.body.user_id)
    if order is not None and order.member != found.member:
        raise FleetError("invalid", f"the order {order.purchase} is somebody else's", field="order_id")
    return found.member


OPERATIONS = (
    Operation("GET", "/tickets", allow(BRANDS, Permission.TICKETS_READ), list_tickets),
    Operation("GET", "/tickets/summary", allow(OFFICES | CUSTOMERS, Permission.TICKETS_READ), ticket_summary),
    Operation("GET", "/tickets/mine", allow(OFFICES | CUSTOMERS, Permission.TICKETS_READ), list_own_tickets),
    Operation(
        "POST",
        "/tickets",
        allow(OFFICES | CUSTOMERS, Permission.TICKETS_WORK),
        create_ticket,
        changes="ticket.create",
        success=201,
    ),
    Operation("GET", "/tickets/{tid}", allow(OFFICES | CUSTOMERS, Permission.TICKETS_READ), read_ticket),
    Operation("GET", "/tickets/{tid}/history", allow(OFFICES | CUSTOMERS, Permission.TICKETS_READ), ticket_history),
    *(
        Operation(
            "POST",
            f"/tickets/{{tid}}/{verb}",
            allow(levels, Permission.TICKETS_WORK),
            does,
            changes=f"ticket.{verb}",
            success=201,
        )
        for verb, levels, does in (
            ("approve", OFFICES, approve_ticket),
            ("dispatch", OFFICES, dispatch_ticket),
            ("remind", OFFICES | CUSTOMERS, remind_ticket),
            ("note", OFFICES | CUSTOMERS, note_ticket),
            ("finish", OFFICES, finish_ticket),
            ("rate", CUSTOMERS, rate_ticket),
        )
    ),
)
