"""Do payments and ledger tell the same story?"""

from __future__ import annotations

from cloud.database import Work
from cloud.members.audit import balances_of
from cloud.members.model import LEAVING, channel, kind_of
from cloud.payments import store

_CHANNEL = kind_of(channel(""))
_LEAVING = kind_of(LEAVING)


async def payments_drift(work: Work, tenant: str) -> int:
    """How far the two are apart, in fen; 0, always.

    Per provider, captured less gone back or out is what the channel's account says it holds; what is underway lies in
    `leaving`; and each payment's sums are those of its refunds (one that differs counts as one fen).
    """
    held = await store.held_by_providers(work, tenant)
    booked = await balances_of(work, tenant, _CHANNEL)
    channels = sum(abs(held.get(name, 0) + booked.get(name, 0)) for name in held.keys() | booked.keys())
    leaving = sum((await balances_of(work, tenant, _LEAVING)).values())
    underway = await store.leaving_fen(work, tenant)
    return channels + abs(leaving - underway) + await store.sums_that_differ(work, tenant)
