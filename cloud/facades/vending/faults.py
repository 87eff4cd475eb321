"""Chapter 7: faults, and the people who are sent to them. A fault is a ticket for repair that is about a machine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, Field

from cloud import standing
from cloud.accounts.model import STAFF, Allowed, Permission
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.vending.devices import Status, status_of
from cloud.facades.vending.wire import (
    ZERO_IS_NONE,
    Asked,
    Id,
    PageAsked,
    Search,
    Told,
    reach,
    seconds,
    seconds_or_none,
    shop_seen,
    shortage_of,
)
from cloud.machines.browse import keepers_of
from cloud.tickets import handle
from cloud.tickets.browse import TicketFilter, list_tickets, ticket_of
from cloud.tickets.model import ENDED, OPEN, Ticket, TicketState

# 1 nobody handles it, 2 somebody does, 3 it is over.
DealStatus = Literal[1, 2, 3]
_HANDLED = frozenset({"dispatched", "working", "waiting"})
# What devices and their aisles show by themselves, as short or out of stock.
_SHOWN_ELSEWHERE = ("low_stock",)


def faults_of(
    shop: str, *, states: tuple[TicketState, ...] | None, sent: bool | None = None, search: str | None = None
) -> TicketFilter:
    """The faults of a shop's devices."""
    return TicketFilter(kind="fault", shop=shop, states=states, sent=sent, search=search, but_codes=_SHOWN_ELSEWHERE)


def deal_status_of(ticket: Ticket) -> DealStatus:
    """How far it is."""
    if ticket.state in ENDED:
        return 3
    return 2 if ticket.state in _HANDLED else 1


class PeopleAsk(Asked):
    shop_id: Id


class PersonTold(Told):
    vendor_person: str
    person_phone: str


class PeopleTold(Told):
    person_list: list[PersonTold]


async def get_vendor_person(call: Call[PeopleAsk, Nothing]) -> PeopleTold:
    """Who looks after the devices of a shop; each phone once."""
    shop = await shop_seen(call, call.body.shop_id)
    found = await keepers_of(call.work, call.tenant, shop.unit)
    return PeopleTold(person_list=[PersonTold(vendor_person=name, person_phone=phone) for name, phone in found])


class FaultsAsk(PageAsked):
    shop_id: Id
    is_send: Annotated[int, Field(ge=0, le=1)] | None = None
    deal_status: Annotated[int | None, Field(ge=1, le=3), ZERO_IS_NONE] = None
    vendor_name: Search | None = None


class FaultTold(Told):
    fault_id: str
    fault_time: int
    vendor_id: str
    vendor_num: str
    vendor_name: str
    address: str
    vendor_status: Status
    deal_name: str | None
    deal_status: DealStatus
    # What is wrong, in a word and in a sentence.
    fault_code: str
    fault_detail: str

    @classmethod
    def of(cls, ticket: Ticket, machine: standing.MachineStanding) -> FaultTold:
        return cls(
            fault_id=ticket.ticket,
            fault_time=seconds(ticket.opened_ms),
            vendor_id=ticket.machine,
            vendor_num=machine.number,
            vendor_name=machine.name,
            address=machine.place,
            vendor_status=status_of(machine),
            deal_name=ticket.assignee,
            deal_status=deal_status_of(ticket),
            fault_code=ticket.code,
            fault_detail=ticket.detail,
        )


class FaultsTold(Told):
    fault_list: list[FaultTold]
    total: int
    page_size: int
    page_no: int


async def get_fault_list(call: Call[FaultsAsk, Nothing]) -> FaultsTold:
    """The faults of a shop's devices, newest first; every filter is optional, and all of them hold.

    `deal_status` 1 and 2 are those that are not over, 3 those that are. `vendor_name` is found in the device's name and
    number and in who was sent.
    """
    body = call.body
    shop = await shop_seen(call, body.shop_id)
    over = tuple(sorted(ENDED))
    wanted = faults_of(
        shop.unit,
        states=None if body.deal_status is None else over if body.deal_status == 3 else OPEN,
        sent=None if body.is_send is None else body.is_send == 1,
        search=body.vendor_name,
    )
    found = await list_tickets(call.work, reach(call), wanted, body.ask())
    machines = await _machines(call, {ticket.machine for ticket in found.items})
    return FaultsTold(
        fault_list=[FaultTold.of(ticket, machines[ticket.machine]) for ticket in found.items],
        total=found.total,
        page_size=found.page_size,
        page_no=found.page,
    )


class DispatchAsk(Asked):
    fault_id: Id
    deal_name: Annotated[str, Field(min_length=1, max_length=100)]
    # The documented name of the phone number is `name`.
    name: Annotated[str, Field(max_length=40, validation_alias=AliasChoices("name", "name_phone", "person_phone"))] = ""


async def is_send_fault(call: Call[DispatchAsk, Nothing]) -> None:
    """Send somebody to a fault: `deal_name` with the phone number `name`. Again: somebody else."""
    body = call.body
    await handle.dispatch(
        call.work, reach(call), call.tenant, body.fault_id, call.subject.login, name=body.deal_name, phone=body.name
    )


class FaultAsk(Asked):
    fault_id: Id


async def is_reminder(call: Call[FaultAsk, Nothing]) -> None:
    """Urge whoever was sent to a fault; counted, and nothing else changes."""
    await handle.remind(call.work, reach(call), call.tenant, call.body.fault_id, call.subject.login)


class FaultInfo(FaultTold):
    name_phone: str | None
    send_time: int | None
    now_time: int
    deal_remark: str | None
    reminder_num: int


class FaultInfoTold(Told):
    fault_info: FaultInfo


async def get_fault_info(call: Call[FaultAsk, Nothing]) -> FaultInfoTold:
    """How far a fault is: who was sent when, and whether it is over. `now_time` is now, or when it was over."""
    ticket = await ticket_of(call.work, reach(call), call.tenant, call.body.fault_id)
    machine = (await _machines(call, {ticket.machine})).get(ticket.machine)
    if machine is None:
        raise FleetError("not_found", f"{ticket.ticket!r} is about no device", field="fault_id")
    return FaultInfoTold(
        fault_info=FaultInfo(
            **FaultTold.of(ticket, machine).model_dump(),
            name_phone=ticket.assignee_phone or None,
            send_time=seconds_or_none(ticket.dispatched_ms),
            now_time=seconds(call.work.now_ms if ticket.closed_ms is None else ticket.closed_ms),
            deal_remark=ticket.resolution,
            reminder_num=ticket.reminders,
        )
    )


async def fault_detail(call: Call[FaultAsk, Nothing]) -> FaultInfoTold:
    """The same as get_fault_info. On this path the flag is_reminder reads, and reminds nobody."""
    return await get_fault_info(call)


class DealAsk(Asked):
    fault_id: Id
    deal_remark: Annotated[str, Field(max_length=500)] = ""
    # 1 it cannot be handled, 3 it is done.
    deal_status: Annotated[int, Field(ge=1, le=3)]


async def save_deal(call: Call[DealAsk, Nothing]) -> None:
    """Say what became of a fault: done (3), or it cannot be handled (1) and waits for somebody else.

    A fault that is over stays as it is.
    """
    work, body, which = call.work, call.body, (reach(call), call.tenant, call.body.fault_id)
    if body.deal_status == 2:
        raise FleetError("invalid", "2 is no result: 1 it cannot be handled, 3 it is done", field="deal_status")
    ticket = await ticket_of(work, *which)
    if ticket.state in ENDED:
        return
    if body.deal_status == 3:
        await handle.finish(work, *which, call.subject.login, body.deal_remark)
    elif ticket.state in _HANDLED:
        await handle.give_up(work, *which, call.subject.login, body.deal_remark)
    else:
        await handle.note(work, *which, call.subject.login, body.deal_remark)


async def _machines(
    call: Call[FaultsAsk, Nothing] | Call[FaultAsk, Nothing], wanted: set[str]
) -> dict[str, standing.MachineStanding]:
    return dict(await standing.standings_of(call.work, call.tenant, wanted, shortage_at=await shortage_of(call)))


P = Permission
READ, WORK = Allowed(STAFF, P.TICKETS_READ), Allowed(STAFF, P.TICKETS_WORK)
OPERATIONS = (
    Operation("POST", "/vendor_get.php", Allowed(STAFF, P.MACHINES_READ), get_vendor_person, flag="get_vendor_person"),
    Operation("POST", "/fault_get.php", READ, get_fault_list, flag="get_fault_list"),
    Operation("POST", "/fault_save.php", WORK, is_send_fault, changes="ticket.assign", flag="is_send_fault"),
    Operation("POST", "/fault_save.php", WORK, is_reminder, changes="ticket.remind", flag="is_reminder"),
    Operation("POST", "/fault_get.php", READ, fault_detail, flag="is_reminder"),
    Operation("POST", "/fault_get.php", READ, get_fault_info, flag="get_fault_info"),
    Operation("POST", "/fault_save.php", WORK, save_deal, changes="ticket.close", flag="save_deal"),
)
