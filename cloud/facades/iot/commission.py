"""Chapter AE: commission of those who recommended a buyer, three levels deep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from cloud.accounts.model import Permission, Reach
from cloud.accounts.units import unit_seen
from cloud.commission.browse import list_commissions, summary
from cloud.commission.model import STATES, Commission, CommissionState
from cloud.commission.withdraw import withdraw
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.iot.wire import (
    BRANDS,
    CUSTOMERS,
    OFFICES,
    PLATFORM,
    Asked,
    Listed,
    Money,
    Single,
    Told,
    Window,
    Yuan,
    allow,
    iso,
    yuan,
)
from cloud.payments.payout import PAYEE_CHARS_MAX
from cloud.providers.payment import PayoutWay


def _state(value: Any) -> Any:
    text = str(value)
    return STATES[int(text)] if text.isdecimal() and int(text) < len(STATES) else value


class CommissionWindow(Window):
    columns: ClassVar[Mapping[str, str]] = {
        "order_id": "purchase",
        "user_id": "member",
        "level": "level",
        "amount": "amount_fen",
        "state": "state",
        "create_tms": "created_ms",
        "settle_tms": "settled_ms",
        "vid": "tenant",
    }
    order_id: str | None = None
    user_id: str | None = None
    level: Annotated[int | None, Field(ge=1, le=3)] = None
    vid: str | None = None
    state: Annotated[CommissionState | None, BeforeValidator(_state, json_schema_input_type=int)] = None


class CommissionTold(Told):
    commission_id: str
    order_id: str
    user_id: str
    level: int
    amount: Money
    state: int
    status: CommissionState
    create_tms: str
    settle_tms: str


class Commissions(Listed):
    commission: list[CommissionTold]


class SummaryTold(Single):
    available: Money
    pending: Money


class WithdrawAsk(Asked):
    """Nothing is needed: all that is available goes to the WeChat that the user has bound."""

    amount: Annotated[Yuan | None, Field(description="Less than all that is available.")] = None
    way: Annotated[PayoutWay, Field(description="Where it arrives.")] = "weixin"
    payee: Annotated[str, Field(max_length=PAYEE_CHARS_MAX, description="The account there.")] = ""
    payee_name: Annotated[str, Field(max_length=60)] = ""


class WithdrawalTold(Single):
    payout_id: str
    amount: Money
    create_tms: str


async def list_commission(call: Call[Nothing, CommissionWindow]) -> Commissions:
    """Commissions (AE-01), newest first. `state`: 0 pending, 1 available, 2 taken back; `status` is its word."""
    found = await list_commissions(call.work, call.subject.reach, call.query.ask)
    return Commissions(total=found.total, commission=[_told(one) for one in found.items])


async def agent_commission(call: Call[Nothing, CommissionWindow]) -> Commissions:
    """Commissions of the purchases that an agent and those below it serve, newest first.

    The documentation tells of it and gives no path: an addition.
    """
    unit = await unit_seen(call.work, call.subject.reach, call.tenant, call.path["id"])
    found = await list_commissions(call.work, Reach(call.tenant, path=unit.path), call.query.ask)
    return Commissions(total=found.total, commission=[_told(one) for one in found.items])


async def commission_summary(call: Call[Nothing, Nothing]) -> SummaryTold:
    """What is available and still pending (AE-02): the user's own, or that of all whom the caller may see."""
    found = await summary(call.work, call.subject.reach)
    return SummaryTold(available=yuan(found.available_fen), pending=yuan(found.pending_fen))


async def withdraw_commission(call: Call[WithdrawAsk, Nothing]) -> WithdrawalTold:
    """Withdraw all that is available (AE-03), at least 30 s after the last time (403); paid out after the answer (202).

    Commission belongs to users: for the people who work here nothing is available.
    """
    if call.subject.level != "customer":
        raise FleetError("conflict", "0 fen are available: commission belongs to users", field="amount")
    body, member = call.body, call.subject.user
    withdrawal = await withdraw(
        call.work,
        call.parts.till,
        call.tenant,
        member,
        amount_fen=body.amount,
        way=body.way,
        payee=body.payee,
        payee_name=body.payee_name,
    )
    return WithdrawalTold(
        payout_id=withdrawal.payout, amount=yuan(withdrawal.amount_fen), create_tms=iso(withdrawal.at_ms)
    )


def _told(one: Commission) -> CommissionTold:
    return CommissionTold(
        commission_id=one.number,
        order_id=one.purchase,
        user_id=one.member,
        level=one.level,
        amount=yuan(one.amount_fen),
        state=STATES.index(one.state),
        status=one.state,
        create_tms=iso(one.created_ms),
        settle_tms=iso(one.settled_ms),
    )


OPERATIONS = (
    Operation("GET", "/commission", allow(BRANDS, Permission.LEDGER_READ), list_commission),
    Operation("GET", "/agents/{id}/commission", allow(OFFICES - PLATFORM, Permission.ORDERS_READ), agent_commission),
    Operation("GET", "/commission/summary", allow(OFFICES | CUSTOMERS, Permission.ORDERS_READ), commission_summary),
    Operation(
        "POST",
        "/commission",
        allow(OFFICES | CUSTOMERS, Permission.ORDERS_READ),
        withdraw_commission,
        changes="commission.withdraw",
        success=202,
    ),
)
