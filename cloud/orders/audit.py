"""Does the money fit? Three sums that are zero in a sound ledger (I3)."""

from __future__ import annotations

from cloud.database import Work
from cloud.members.audit import escrow_fen, members_drift
from cloud.orders import store


async def ledger_drift(work: Work, tenant: str) -> int:
    """How far a tenant's ledger is off, in fen: balances against postings, empty entries, escrow against orders."""
    escrow = abs(await escrow_fen(work, tenant) - await store.undecided_fen(work, tenant))
    return escrow + await members_drift(work, tenant)
