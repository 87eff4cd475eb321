"""Do purchases, rentals and commissions tell the same story as the ledger?"""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, func, literal, select

from cloud.commission.store import commission_withdrawals, commissions
from cloud.database import Work
from cloud.members.model import advances, commission, deposits, kind_of
from cloud.members.opening import OPENING
from cloud.members.store import ledger_accounts, ledger_postings
from cloud.payments.store import payment_refunds, payouts
from cloud.purchases.model import ADVANCED
from cloud.purchases.store import purchases
from cloud.rentals.model import HELD
from cloud.rentals.store import rentals


async def trade_drift(work: Work, tenant: str) -> int:
    """How far they are apart, in fen; 0, always.

    What was paid for a purchase that is not over lies in its advances, and nothing of one that is done; the deposit of
    a rental that has not ended lies in its own account; what was earned by recommending, here or before, and not
    withdrawn lies in the members' accounts.
    """
    return await _advances_off(work, tenant) + await _deposits_off(work, tenant) + await _commission_off(work, tenant)


async def _advances_off(work: Work, tenant: str) -> int:
    of = purchases.c
    account: ColumnElement[str] = literal(advances("")) + of.purchase
    paid = of.goods_fen + of.freight_fen + of.install_fen - _gone(tenant, account)
    waiting = and_(of.tenant == tenant, of.payment.is_not(None), of.state.in_(ADVANCED))
    done = and_(of.tenant == tenant, of.payment.is_not(None), of.state == "done", _held(tenant, account) != 0)
    off = func.coalesce(func.sum(func.abs(paid - _held(tenant, account))), 0)
    left = func.coalesce(func.sum(_held(tenant, account)), 0)
    return int(await work.scalar(select(off).where(waiting))) + int(await work.scalar(select(left).where(done)))


async def _deposits_off(work: Work, tenant: str) -> int:
    of = rentals.c
    account: ColumnElement[str] = literal(deposits("")) + of.rental
    off = func.coalesce(func.sum(func.abs(of.deposit_fen - _held(tenant, account))), 0)
    return int(await work.scalar(select(off).where(of.tenant == tenant, of.state.in_(HELD))))


async def _commission_off(work: Work, tenant: str) -> int:
    accounts = ledger_accounts.c
    kind = kind_of(commission(""))
    owed = select(func.coalesce(func.sum(accounts.balance_fen), 0)).where(
        accounts.tenant == tenant, accounts.kind == kind
    )
    of = commissions.c
    earned = select(func.coalesce(func.sum(of.amount_fen), 0)).where(of.tenant == tenant, of.state == "available")
    carried = and_(
        payouts.c.tenant == commission_withdrawals.c.tenant, payouts.c.payout == commission_withdrawals.c.payout
    )
    out = select(func.coalesce(func.sum(commission_withdrawals.c.amount_fen), 0)).join(payouts, carried)
    # A payout that its provider refused has come back.
    out = out.where(commission_withdrawals.c.tenant == tenant, payouts.c.state != "refused")
    # What members had earned where they came from.
    posted = ledger_postings.c
    brought = select(func.coalesce(func.sum(posted.amount_fen), 0)).where(
        posted.tenant == tenant, posted.entry.startswith(f"{OPENING}/{commission('')}", autoescape=True)
    )
    earned_fen = int(await work.scalar(earned)) + int(await work.scalar(brought))
    return abs(int(await work.scalar(owed)) - earned_fen + int(await work.scalar(out)))


def _held(tenant: str, account: ColumnElement[str]) -> ColumnElement[int]:
    """What an account holds; 0 when nothing was ever posted to it."""
    here = and_(ledger_accounts.c.tenant == tenant, ledger_accounts.c.account == account)
    return func.coalesce(select(ledger_accounts.c.balance_fen).where(here).scalar_subquery(), 0)


def _gone(tenant: str, account: ColumnElement[str]) -> ColumnElement[int]:
    """What was given back out of an account by hand, before the purchase was over."""
    here = and_(payment_refunds.c.tenant == tenant, payment_refunds.c.payment == purchases.c.payment)
    mine = and_(here, payment_refunds.c.account == account, payment_refunds.c.state != "refused")
    return select(func.coalesce(func.sum(payment_refunds.c.amount_fen), 0)).where(mine).scalar_subquery()
