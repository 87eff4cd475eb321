"""Does the ledger fit itself?"""

from __future__ import annotations

from cloud.database import Work
from cloud.members import store
from cloud.members.model import ESCROW


async def members_drift(work: Work, tenant: str) -> int:
    """The sum of |balance - fold of postings| in fen, plus one for every entry that moves nothing."""
    return await store.balance_drift(work, tenant) + await store.entries_without_postings(work, tenant)


async def escrow_fen(work: Work, tenant: str) -> int:
    """What lies in escrow."""
    return await store.balance_of(work, tenant, ESCROW)


async def held_fen(work: Work, tenant: str) -> int:
    """What lies in all accounts that must cover what leaves them: money of members, and on its way to somebody."""
    return await store.held_fen(work, tenant)


async def balances_of(work: Work, tenant: str, kind: str) -> dict[str, int]:
    """The balance of every account of a kind, by its owner."""
    return await store.balances_of_kind(work, tenant, kind)
