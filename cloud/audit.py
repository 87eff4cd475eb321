"""Does the money fit? Sums that are zero in a sound ledger (I3)."""

from __future__ import annotations

from cloud.database import Work
from cloud.members.audit import escrow_fen, members_drift
from cloud.orders.store import undecided_fen as undecided_orders_fen
from cloud.payments.audit import payments_drift
from cloud.purchases.audit import trade_drift
from cloud.water.store import undecided_fen as undecided_pours_fen


async def ledger_drift(work: Work, tenant: str) -> int:
    """How far a tenant's ledger is off, in fen: balances against postings, empty entries, escrow against what is open.

    Escrow holds the money of orders and of pours that are not decided yet, and nothing else. What came through payment
    providers and went back or out is what their accounts say, and what it was paid for says so too.
    """
    undecided = await undecided_orders_fen(work, tenant) + await undecided_pours_fen(work, tenant)
    escrow = abs(await escrow_fen(work, tenant) - undecided)
    through_providers = await payments_drift(work, tenant) + await trade_drift(work, tenant)
    return escrow + await members_drift(work, tenant) + through_providers
