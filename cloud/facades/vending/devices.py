"""Chapter 1: devices, and which of them lack goods."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from cloud import standing
from cloud.accounts.model import STAFF, Allowed, Permission
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.fields import ONE_OR_MANY
from cloud.facades.vending.wire import (
    ZERO_IS_NONE,
    Asked,
    Id,
    PageAsked,
    Search,
    Told,
    machine_seen,
    reach,
    shop_seen,
    shortage_of,
)
from cloud.tickets.browse import ticket_of
from cloud.tickets.create import ask_for_stock

# 1 normal, 2 broken (no device is ever told to be), 3 short, 4 out of stock.
Status = Literal[1, 3, 4]
_STATUS: dict[standing.Standing, Status] = {"normal": 1, "short": 3, "out": 4}
_SORTS = {1: None, 2: "-short", 3: "-out"}
WantedStatus = Annotated[int, Field(ge=1, le=4)]
# Some programs write a list into a form with commas.
_LISTED = BeforeValidator(
    lambda value: re.split(" *, *", value) if isinstance(value, str) and "[" not in value else value
)


def status_of(one: standing.MachineStanding) -> Status:
    """How a device stands, in this dialect's number."""
    return _STATUS[one.standing]


class VendorsAsk(PageAsked):
    vendor_name: Search | None = None
    sort: Annotated[int | None, Field(ge=1, le=3), ZERO_IS_NONE] = None
    vendor_status_list: Annotated[list[WantedStatus] | None, Field(max_length=20), ONE_OR_MANY, _LISTED] = None
    shop_id: Id | None = None


class EmptyAisle(Told):
    aisle_name: str
    goods_num: int
    goods_name: str


class VendorTold(Told):
    vendor_id: str
    vendor_name: str
    vendor_num: str
    address: str
    shop_id: str | None
    vendor_status: Status
    stock_num: int
    out_num: int
    stockout_list: list[EmptyAisle]

    @classmethod
    def of(cls, one: standing.MachineStanding) -> VendorTold:
        return cls(
            vendor_id=one.machine,
            vendor_name=one.name,
            vendor_num=one.number,
            address=one.place,
            shop_id=one.shop,
            vendor_status=status_of(one),
            stock_num=one.short,
            out_num=one.out,
            stockout_list=[
                EmptyAisle(aisle_name=aisle.name, goods_num=0, goods_name=aisle.goods_name) for aisle in one.empty
            ],
        )


class VendorsTold(Told):
    vendor_list: list[VendorTold]
    total: int
    page_size: int
    page_no: int


async def get_vendor_list(call: Call[VendorsAsk, Nothing]) -> VendorsTold:
    """Devices of all shops that the session sees, or of one, with their aisles that are short or empty.

    `sort` 1 is by id (distances are the client's), 2 the most short aisles first, 3 the most empty ones first.
    """
    body = call.body
    if body.shop_id is not None:
        await shop_seen(call, body.shop_id)
    wanted = standing.StandingFilter(
        shop=body.shop_id,
        search=body.vendor_name,
        standings=frozenset(name for name, number in _STATUS.items() if number in body.vendor_status_list)
        if body.vendor_status_list
        else None,
    )
    found = await standing.list_standings(
        call.work,
        reach(call),
        call.tenant,
        wanted,
        body.ask(_SORTS[body.sort or 1]),
        shortage_at=await shortage_of(call),
    )
    return VendorsTold(
        vendor_list=[VendorTold.of(one) for one in found.items],
        total=found.total,
        page_size=found.page_size,
        page_no=found.page,
    )


class NoticeAsk(Asked):
    # A device, or a fault of it.
    vendor_id: Id


class NoticeTold(Told):
    fault_id: str


async def save_vendor_status(call: Call[NoticeAsk, Nothing]) -> NoticeTold:
    """Somebody noticed that a device has nothing left: it is out of stock, and one fault is open, until it is filled.

    Saying so again changes nothing. The id of a fault stands for its device.
    """
    machine = await _device_or_its_fault(call)
    opened = await ask_for_stock(call.work, call.tenant, machine, by=call.subject.login)
    return NoticeTold(fault_id=opened.ticket)


async def _device_or_its_fault(call: Call[NoticeAsk, Nothing]) -> str:
    which = call.body.vendor_id
    try:
        return (await machine_seen(call, which)).machine
    except FleetError:
        about = (await ticket_of(call.work, reach(call), call.tenant, which)).machine
        if not about:
            raise
        return about


P = Permission
OPERATIONS = (
    Operation("POST", "/vendor_get.php", Allowed(STAFF, P.MACHINES_READ), get_vendor_list, flag="get_vendor_list"),
    Operation(
        "POST",
        "/vendor_save.php",
        Allowed(STAFF, P.TICKETS_WORK),
        save_vendor_status,
        changes="machine.out_of_stock",
        flag="save_vendor_status",
    ),
)
