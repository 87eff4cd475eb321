"""Does the money fit? Three sums that are zero in a sound ledger (I3)."""

from __future__ import annotations

from cloud.database import Work
from cloud.members.audit import escrow_fen, members_drift
from cloud.orders.store import undecided_fen as undecided_orders_fen
from cloud.water.store import undecided_fen as undecided_pours_fen


async def ledger_drift(work: Work, tenant: str) -> int:
    """How far a tenant's ledger is off, in fen: balances against postings, empty entries, escrow against what is open.

    Escrow holds the money of orders and of pours that are not decided yet, and nothing else.
    """
    undecided = await undecided_orders_fen(work, tenant) + await undecided_pours_fen(work, tenant)
    return abs(await escrow_fen(work, tenant) - undecided) + await members_drift(work, tenant)
