"""Looking at commissions."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, func, select, true

from cloud.accounts.model import Reach
from cloud.accounts.reach import within
from cloud.commission import store
from cloud.commission.model import Commission, Summary
from cloud.commission.store import commissions
from cloud.database import Work, record_of
from cloud.members.browse import account_balance
from cloud.members.model import commission
from cloud.members.store import ledger_accounts
from cloud.paging import Ask, Page, page


def _seen(reach: Reach) -> ColumnElement[bool]:
    return within(reach, tenant=commissions.c.tenant, unit=commissions.c.unit, member=commissions.c.member)


async def list_commissions(work: Work, reach: Reach, ask: Ask) -> Page[Commission]:
    """Commissions within reach, newest first."""
    of = commissions.c
    return await page(
        work,
        select(commissions).where(_seen(reach)),
        ask,
        sorts={
            "purchase": of.purchase,
            "level": of.level,
            "member": of.member,
            "amount_fen": of.amount_fen,
            "state": of.state,
            "created_ms": of.created_ms,
            "settled_ms": of.settled_ms,
            "tenant": of.tenant,
        },
        ties=(of.created_ms.desc(), of.purchase.desc(), of.level),
        make=lambda row: record_of(Commission, row),
    )


async def summary(work: Work, reach: Reach) -> Summary:
    """What is available and pending: a member's own, or that of everybody within reach.

    A unit sees what was earned of the purchases it served, less nothing: who withdrew what is between member and brand.
    """
    pending = await store.pending_fen(work, _seen(reach))
    if reach.member is not None and reach.tenant is not None:
        return Summary(await account_balance(work, reach.tenant, commission(reach.member)), pending)
    if reach.path:
        earned = select(func.coalesce(func.sum(commissions.c.amount_fen), 0))
        earned = earned.where(_seen(reach), commissions.c.state == "available")
        return Summary(int(await work.scalar(earned) or 0), pending)
    accounts = ledger_accounts.c
    mine = true() if reach.tenant is None else accounts.tenant == reach.tenant
    held = select(func.coalesce(func.sum(accounts.balance_fen), 0)).where(and_(mine, accounts.kind == "commission"))
    return Summary(int(await work.scalar(held) or 0), pending)
