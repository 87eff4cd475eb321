"""SQL of payments, refunds, payouts, and of what providers said unasked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Row,
    Table,
    Text,
    UniqueConstraint,
    and_,
    case,
    func,
    select,
)

from cloud.database import Work, metadata, record_of, row_of, tenant_column
from cloud.payments.model import PAID, UNDERWAY, Payment, Payout, Refund

payments = Table(
    "payments",
    metadata,
    tenant_column(),
    Column("payment", Text, primary_key=True),
    # Whoever asks twice for the same gets the same payment.
    Column("reference", Text, nullable=False),
    Column("request_hash", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("member", Text),
    Column("channel", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("title", Text, nullable=False),
    Column("payer", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("captured_fen", BigInteger, nullable=False),
    Column("refunding_fen", BigInteger, nullable=False),
    Column("refunded_fen", BigInteger, nullable=False),
    Column("transaction", Text),
    Column("parameters", Text),
    Column("captured_ms", BigInteger),
    Column("ended_ms", BigInteger),
    Column("reason", Text),
    # How many lines its story has.
    Column("steps", BigInteger, nullable=False),
    CheckConstraint("amount_fen > 0", name="amount"),
    CheckConstraint("captured_fen IN (0, amount_fen)", name="captured_whole"),
    CheckConstraint(
        "refunding_fen >= 0 AND refunded_fen >= 0 AND refunding_fen + refunded_fen <= captured_fen",
        name="refunds_within_captured",
    ),
    UniqueConstraint("tenant", "reference"),
    # One transaction at a provider pays one payment.
    UniqueConstraint("tenant", "provider", "transaction"),
    Index("ix_payments_created", "tenant", "created_ms"),
    Index("ix_payments_captured", "tenant", "captured_ms"),
    Index("ix_payments_state", "tenant", "state", "created_ms"),
    Index("ix_payments_member", "tenant", "member", "created_ms"),
    Index("ix_payments_subject", "tenant", "purpose", "subject", "created_ms"),
)

# What happened to a payment, line by line. Append-only.
payment_steps = Table(
    "payment_steps",
    metadata,
    tenant_column(),
    Column("payment", Text, primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("what", Text, nullable=False),
    Column("detail", Text, nullable=False),
)

payment_refunds = Table(
    "payment_refunds",
    metadata,
    tenant_column(),
    Column("refund", Text, primary_key=True),
    Column("reference", Text, nullable=False),
    Column("payment", Text, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("account", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("decided_ms", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("transaction", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("ended_ms", BigInteger),
    CheckConstraint("amount_fen > 0", name="amount"),
    UniqueConstraint("tenant", "reference"),
    ForeignKeyConstraint(["tenant", "payment"], ["payments.tenant", "payments.payment"]),
    Index("ix_payment_refunds_payment", "tenant", "payment"),
    Index("ix_payment_refunds_state", "tenant", "state", "decided_ms"),
)

payouts = Table(
    "payouts",
    metadata,
    tenant_column(),
    Column("payout", Text, primary_key=True),
    Column("reference", Text, nullable=False),
    Column("request_hash", Text, nullable=False),
    Column("way", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("payee", Text, nullable=False),
    Column("payee_name", Text, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("account", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("decided_ms", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("transaction", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("parameters", Text),
    Column("ended_ms", BigInteger),
    CheckConstraint("amount_fen > 0", name="amount"),
    UniqueConstraint("tenant", "reference"),
    Index("ix_payouts_decided", "tenant", "decided_ms"),
    Index("ix_payouts_state", "tenant", "state", "decided_ms"),
    Index("ix_payouts_account", "tenant", "account", "decided_ms"),
)

# Every callback, once: believed or not. A replay counts up; nothing is dropped and nothing applied twice.
payment_callbacks = Table(
    "payment_callbacks",
    metadata,
    tenant_column(),
    # The provider and its number of the event; for one that cannot be believed, a hash of its bytes.
    Column("callback", Text, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("payment", Text),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("times", BigInteger, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Index("ix_payment_callbacks_first", "tenant", "first_ms"),
    Index("ix_payment_callbacks_verdict", "tenant", "verdict", "first_ms"),
    Index("ix_payment_callbacks_payment", "tenant", "payment"),
)


def payment_from(row: Row[Any]) -> Payment:
    """A row as a payment."""
    return record_of(Payment, row)


def refund_from(row: Row[Any]) -> Refund:
    """A row as a refund."""
    return record_of(Refund, row)


def payout_from(row: Row[Any]) -> Payout:
    """A row as a payout."""
    return record_of(Payout, row)


async def find_payment(work: Work, tenant: str, payment: str, *, lock: bool = False) -> Payment | None:
    """One payment; locked, others that change it wait for this work."""
    return await _payment(work, and_(payments.c.tenant == tenant, payments.c.payment == payment), lock=lock)


async def payment_by_reference(work: Work, tenant: str, reference: str) -> Payment | None:
    """The payment that was requested under `reference`."""
    return await _payment(work, and_(payments.c.tenant == tenant, payments.c.reference == reference))


async def payment_by_transaction(work: Work, tenant: str, provider: str, transaction: str) -> Payment | None:
    """The payment that was made by a provider's transaction."""
    here = and_(payments.c.provider == provider, payments.c.transaction == transaction)
    return await _payment(work, and_(payments.c.tenant == tenant, here))


async def payments_of(work: Work, tenant: str, purpose: str, subject: str) -> list[Payment]:
    """Every payment for one thing, newest first."""
    query = select(payments).where(
        payments.c.tenant == tenant, payments.c.purpose == purpose, payments.c.subject == subject
    )
    rows = await work.rows(query.order_by(payments.c.created_ms.desc(), payments.c.payment.desc()))
    return [payment_from(row) for row in rows]


async def _payment(work: Work, here: ColumnElement[bool], *, lock: bool = False) -> Payment | None:
    query = select(payments).where(here)
    row = await work.row(query.with_for_update() if lock else query)
    return None if row is None else payment_from(row)


async def put_payment(work: Work, payment: Payment) -> None:
    """Write a payment, new or changed."""
    await work.put(payments, [row_of(payment)])


async def add_step(work: Work, payment: Payment, what: str, detail: Mapping[str, Any]) -> None:
    """Write a line of a payment's story, numbered by its `steps`."""
    row = {
        "tenant": payment.tenant,
        "payment": payment.payment,
        "step": payment.steps,
        "at_ms": work.now_ms,
        "what": what,
        "detail": json.dumps(detail, ensure_ascii=False, sort_keys=True),
    }
    await work.insert(payment_steps, [row])


async def find_refund(work: Work, tenant: str, refund: str, *, lock: bool = False) -> Refund | None:
    """One refund."""
    query = select(payment_refunds).where(payment_refunds.c.tenant == tenant, payment_refunds.c.refund == refund)
    row = await work.row(query.with_for_update() if lock else query)
    return None if row is None else refund_from(row)


async def refund_by_reference(work: Work, tenant: str, reference: str) -> Refund | None:
    """The refund that was decided under `reference`."""
    query = select(payment_refunds).where(payment_refunds.c.tenant == tenant, payment_refunds.c.reference == reference)
    row = await work.row(query)
    return None if row is None else refund_from(row)


async def put_refund(work: Work, refund: Refund) -> None:
    """Write a refund, new or changed."""
    await work.put(payment_refunds, [row_of(refund)])


async def find_payout(work: Work, tenant: str, payout: str, *, lock: bool = False) -> Payout | None:
    """One payout."""
    query = select(payouts).where(payouts.c.tenant == tenant, payouts.c.payout == payout)
    row = await work.row(query.with_for_update() if lock else query)
    return None if row is None else payout_from(row)


async def payout_by_reference(work: Work, tenant: str, reference: str) -> Payout | None:
    """The payout that was decided under `reference`."""
    row = await work.row(select(payouts).where(payouts.c.tenant == tenant, payouts.c.reference == reference))
    return None if row is None else payout_from(row)


async def put_payout(work: Work, payout: Payout) -> None:
    """Write a payout, new or changed."""
    await work.put(payouts, [row_of(payout)])


# --- callbacks ---


async def keep_callback(work: Work, row: Mapping[str, Any]) -> bool:
    """Write a callback; when it is known, count it and answer False."""
    statement = work.upsert(payment_callbacks).values(row)
    again = {"times": payment_callbacks.c.times + 1, "last_ms": work.now_ms}
    upsert = statement.on_conflict_do_update(index_elements=["tenant", "callback"], set_=again)
    return int(await work.scalar(upsert.returning(payment_callbacks.c.times))) == 1


async def judge_callback(work: Work, tenant: str, callback: str, verdict: str, reason: str) -> None:
    """Write what was made of a kept callback."""
    here = and_(payment_callbacks.c.tenant == tenant, payment_callbacks.c.callback == callback)
    await work.execute(payment_callbacks.update().where(here).values(verdict=verdict, reason=reason))


async def knows_callback(work: Work, tenant: str, callback: str) -> bool:
    """Whether this callback came before."""
    query = select(payment_callbacks.c.callback)
    found = query.where(payment_callbacks.c.tenant == tenant, payment_callbacks.c.callback == callback)
    return await work.scalar(found) is not None


async def callbacks_since(work: Work, tenant: str, verdict: str, since_ms: int) -> int:
    """How many callbacks of a verdict came first since then."""
    query = select(func.count()).where(
        payment_callbacks.c.tenant == tenant,
        payment_callbacks.c.verdict == verdict,
        payment_callbacks.c.first_ms >= since_ms,
    )
    return int(await work.scalar(query))


# --- sums, for the audit ---


async def held_by_providers(work: Work, tenant: str) -> dict[str, int]:
    """By provider, in fen: what was captured less what is gone back or out."""
    captured = select(payments.c.provider, func.sum(payments.c.captured_fen).label("fen")).where(
        payments.c.tenant == tenant, payments.c.state.in_(PAID)
    )
    same = and_(payments.c.tenant == payment_refunds.c.tenant, payments.c.payment == payment_refunds.c.payment)
    back = (
        select(payments.c.provider, -func.sum(payment_refunds.c.amount_fen))
        .join(payments, same)
        .where(payment_refunds.c.tenant == tenant, payment_refunds.c.state == "done")
    )
    out = select(payouts.c.provider, -func.sum(payouts.c.amount_fen)).where(
        payouts.c.tenant == tenant, payouts.c.state == "done"
    )
    parts = (
        captured.group_by(payments.c.provider)
        .union_all(back.group_by(payments.c.provider), out.group_by(payouts.c.provider))
        .subquery()
    )
    rows = await work.rows(select(parts.c.provider, func.sum(parts.c.fen).label("fen")).group_by(parts.c.provider))
    return {row.provider: int(row.fen) for row in rows}


async def leaving_fen(work: Work, tenant: str) -> int:
    """The sum of refunds and payouts that are underway."""
    total = 0
    for table in (payment_refunds, payouts):
        query = select(func.coalesce(func.sum(table.c.amount_fen), 0))
        total += int(await work.scalar(query.where(table.c.tenant == tenant, table.c.state.in_(UNDERWAY))))
    return total


async def sums_that_differ(work: Work, tenant: str) -> int:
    """How many payments say of their refunds something else than the refunds themselves."""
    told = select(payments.c.payment, payments.c.refunded_fen.label("done"), payments.c.refunding_fen.label("underway"))
    told = told.where(payments.c.tenant == tenant, payments.c.refunded_fen + payments.c.refunding_fen > 0)
    amount, state = payment_refunds.c.amount_fen, payment_refunds.c.state
    found = select(
        payment_refunds.c.payment,
        -func.sum(case((state == "done", amount), else_=0)),
        -func.sum(case((state.in_(UNDERWAY), amount), else_=0)),
    )
    found = found.where(payment_refunds.c.tenant == tenant).group_by(payment_refunds.c.payment)
    both = told.union_all(found).subquery()
    wrong = (
        select(both.c.payment)
        .group_by(both.c.payment)
        .having((func.sum(both.c.done) != 0) | (func.sum(both.c.underway) != 0))
        .subquery()
    )
    return int(await work.scalar(select(func.count()).select_from(wrong)))
