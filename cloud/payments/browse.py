"""Looking at payments, payouts and callbacks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from cloud.database import Work, record_of
from cloud.errors import FleetError
from cloud.paging import Ask, Page, page
from cloud.payments import store
from cloud.payments.model import OPEN, PAID, OutgoingState, Payment, PaymentState, Payout, Refund
from cloud.payments.store import payment_callbacks, payment_refunds, payment_steps, payments, payouts
from cloud.providers.payment import Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFilter:
    """Which payments; None does not restrict. Times in ms: from `created_from_ms` on, before `created_before_ms`."""

    state: PaymentState | None = None
    channel: Channel | None = None
    provider: str | None = None
    purpose: str | None = None
    subject: str | None = None
    member: str | None = None
    created_from_ms: int | None = None
    created_before_ms: int | None = None


@dataclass(frozen=True, slots=True)
class StepSeen:
    """One line of a payment's story."""

    step: int
    at_ms: int
    what: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallbackSeen:
    """One callback and what was made of it. `times` counts repetitions."""

    callback: str
    provider: str
    payment: str | None
    verdict: str
    reason: str
    body: str
    times: int
    first_ms: int
    last_ms: int


async def payment_of(work: Work, tenant: str, payment: str) -> Payment:
    """One payment, or FleetError(not_found)."""
    found = await store.find_payment(work, tenant, payment)
    if found is None:
        raise FleetError("not_found", f"no payment {payment!r}", field="payment")
    return found


async def payments_for(work: Work, tenant: str, purpose: str, subject: str) -> list[Payment]:
    """Every payment for one thing, newest first."""
    return await store.payments_of(work, tenant, purpose, subject)


async def paid_payment(work: Work, tenant: str, purpose: str, subject: str) -> Payment | None:
    """The payment whose money came for a thing and is not all given back; None when there is none."""
    found = await store.payments_of(work, tenant, purpose, subject)
    return next((payment for payment in found if payment.state in PAID and payment.refundable_fen > 0), None)


async def last_channel(work: Work, tenant: str, member: str, before_ms: int) -> Channel | None:
    """The channel through which a member's money came last before a moment; None when it never did."""
    came = payments.c.tenant == tenant, payments.c.member == member, payments.c.captured_ms <= before_ms
    query = select(payments.c.channel).where(*came).order_by(payments.c.captured_ms.desc()).limit(1)
    found: Channel | None = await work.scalar(query)
    return found


async def list_payments(work: Work, tenant: str, wanted: PaymentFilter, ask: Ask) -> Page[Payment]:
    """Payments of a tenant, newest first; sorted by created_ms or captured_ms on wish."""
    query = select(payments).where(payments.c.tenant == tenant)
    names = ("state", "channel", "provider", "purpose", "subject", "member")
    exact = {name: getattr(wanted, name) for name in names}
    query = query.where(*(payments.c[name] == value for name, value in exact.items() if value is not None))
    if wanted.created_from_ms is not None:
        query = query.where(payments.c.created_ms >= wanted.created_from_ms)
    if wanted.created_before_ms is not None:
        query = query.where(payments.c.created_ms < wanted.created_before_ms)
    return await page(
        work,
        query,
        ask,
        sorts={"created_ms": payments.c.created_ms, "captured_ms": payments.c.captured_ms},
        ties=(payments.c.created_ms.desc(), payments.c.payment.desc()),
        make=store.payment_from,
    )


async def steps_of(work: Work, tenant: str, payment: str) -> list[StepSeen]:
    """A payment's story, oldest line first."""
    query = select(payment_steps).where(payment_steps.c.tenant == tenant, payment_steps.c.payment == payment)
    rows = await work.rows(query.order_by(payment_steps.c.step))
    return [StepSeen(row.step, row.at_ms, row.what, json.loads(row.detail)) for row in rows]


async def refunds_of(work: Work, tenant: str, payment: str) -> list[Refund]:
    """What was decided to go back of a payment, oldest first."""
    query = select(payment_refunds).where(payment_refunds.c.tenant == tenant, payment_refunds.c.payment == payment)
    rows = await work.rows(query.order_by(payment_refunds.c.decided_ms, payment_refunds.c.refund))
    return [store.refund_from(row) for row in rows]


async def callbacks_of(work: Work, tenant: str, payment: str) -> list[CallbackSeen]:
    """What its provider said of a payment unasked, oldest first."""
    shown = [payment_callbacks.c[name] for name in CallbackSeen.__dataclass_fields__]
    query = select(*shown).where(payment_callbacks.c.tenant == tenant, payment_callbacks.c.payment == payment)
    rows = await work.rows(query.order_by(payment_callbacks.c.first_ms, payment_callbacks.c.callback))
    return [record_of(CallbackSeen, row) for row in rows]


async def list_callbacks(work: Work, tenant: str, ask: Ask, *, verdict: str | None = None) -> Page[CallbackSeen]:
    """Callbacks of a tenant, newest first."""
    shown = [payment_callbacks.c[name] for name in CallbackSeen.__dataclass_fields__]
    query = select(*shown).where(payment_callbacks.c.tenant == tenant)
    if verdict is not None:
        query = query.where(payment_callbacks.c.verdict == verdict)
    return await page(
        work,
        query,
        ask,
        sorts={"first_ms": payment_callbacks.c.first_ms},
        ties=(payment_callbacks.c.first_ms.desc(), payment_callbacks.c.callback),
        make=lambda row: record_of(CallbackSeen, row),
    )


async def payout_of(work: Work, tenant: str, payout: str) -> Payout:
    """One payout, or FleetError(not_found)."""
    found = await store.find_payout(work, tenant, payout)
    if found is None:
        raise FleetError("not_found", f"no payout {payout!r}", field="payout")
    return found


async def list_payouts(
    work: Work, tenant: str, ask: Ask, *, state: OutgoingState | None = None, account: str | None = None
) -> Page[Payout]:
    """Payouts of a tenant, newest first; sorted by decided_ms on wish."""
    query = select(payouts).where(payouts.c.tenant == tenant)
    if state is not None:
        query = query.where(payouts.c.state == state)
    if account is not None:
        query = query.where(payouts.c.account == account)
    return await page(
        work,
        query,
        ask,
        sorts={"decided_ms": payouts.c.decided_ms},
        ties=(payouts.c.decided_ms.desc(), payouts.c.payout.desc()),
        make=store.payout_from,
    )


async def open_payments(work: Work, tenant: str, *, member: str | None = None) -> int:
    """How many payments of a tenant, or of one member, somebody may still make."""
    here = [payments.c.tenant == tenant, payments.c.state.in_(OPEN)]
    if member is not None:
        here.append(payments.c.member == member)
    return int(await work.scalar(select(func.count()).where(*here)))
