"""SQL of commissions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import BigInteger, CheckConstraint, Column, ColumnElement, Index, Table, Text, and_, func, select

from cloud.commission.model import Commission, Withdrawal
from cloud.database import Work, metadata, record_of, row_of, tenant_column

commissions = Table(
    "commissions",
    metadata,
    tenant_column(),
    Column("purchase", Text, primary_key=True),
    Column("level", BigInteger, primary_key=True, autoincrement=False),
    Column("member", Text, nullable=False),
    Column("unit", Text),
    Column("amount_fen", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("settled_ms", BigInteger),
    CheckConstraint("level BETWEEN 1 AND 3", name="level"),
    CheckConstraint("amount_fen > 0", name="amount"),
    Index("ix_commissions_created", "tenant", "created_ms", "purchase", "level"),
    Index("ix_commissions_member", "tenant", "member", "created_ms"),
    Index("ix_commissions_pending", "tenant", "state", "member"),
)

# Append-only: which payouts were commission, and when a member withdrew last.
commission_withdrawals = Table(
    "commission_withdrawals",
    metadata,
    tenant_column(),
    Column("payout", Text, primary_key=True),
    Column("member", Text, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    CheckConstraint("amount_fen > 0", name="amount"),
    Index("ix_commission_withdrawals_member", "tenant", "member", "at_ms"),
)


async def commissions_of(work: Work, tenant: str, purchase: str) -> list[Commission]:
    """What is earned of one purchase, locked, nearest level first."""
    here = and_(commissions.c.tenant == tenant, commissions.c.purchase == purchase)
    query = select(commissions).where(here).order_by(commissions.c.level).with_for_update()
    return [record_of(Commission, row) for row in await work.rows(query)]


async def put_commissions(work: Work, changed: Sequence[Commission]) -> None:
    """Insert or replace commissions."""
    await work.put(commissions, [row_of(one) for one in changed])


async def pending_fen(work: Work, condition: ColumnElement[bool]) -> int:
    """What is pending among the commissions of `condition`."""
    total = select(func.coalesce(func.sum(commissions.c.amount_fen), 0))
    return int(await work.scalar(total.where(condition, commissions.c.state == "pending")) or 0)


async def last_withdrawal_ms(work: Work, tenant: str, member: str) -> int | None:
    """When a member withdrew last."""
    of = commission_withdrawals.c
    newest = select(func.max(of.at_ms)).where(of.tenant == tenant, of.member == member)
    found = await work.scalar(newest)
    return None if found is None else int(found)


async def add_withdrawal(work: Work, withdrawal: Withdrawal) -> None:
    """Note a withdrawal."""
    await work.insert(commission_withdrawals, [row_of(withdrawal)])
