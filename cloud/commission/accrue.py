"""What recommending earns, along the life of a purchase: noted, earned, taken back."""

from __future__ import annotations

from collections.abc import Sequence

from cloud.commission import store
from cloud.commission.model import Commission, advance
from cloud.database import Work
from cloud.members.browse import referrers_of
from cloud.members.ledger import Ledger
from cloud.members.model import REVENUE, Posting, commission


async def accrue(
    work: Work, tenant: str, purchase: str, buyer: str, unit: str | None, parts_fen: Sequence[int]
) -> list[Commission]:
    """Note what each level of the buyer's referrers will earn; where nobody stands, the company keeps the part."""
    referrers = await referrers_of(work, tenant, buyer, len(parts_fen)) if any(parts_fen) else []
    noted = [
        Commission(
            tenant=tenant,
            purchase=purchase,
            level=level,
            member=member,
            unit=unit,
            amount_fen=amount_fen,
            state="pending",
            created_ms=work.now_ms,
        )
        for level, (member, amount_fen) in enumerate(zip(referrers, parts_fen, strict=False), 1)
        if amount_fen
    ]
    await store.put_commissions(work, noted)
    return noted


async def earn(work: Work, ledger: Ledger, tenant: str, purchase: str) -> None:
    """The purchase is done: what was noted is the members' own."""
    earned = [advance(one, "earn", work.now_ms) for one in await store.commissions_of(work, tenant, purchase)]
    await store.put_commissions(work, earned)
    for one in earned:
        ledger.book(tenant, "commission", one.number, [Posting(REVENUE, commission(one.member), one.amount_fen)])


async def forfeit(work: Work, tenant: str, purchase: str) -> None:
    """The money goes back: what was noted is nothing."""
    void = [advance(one, "forfeit", work.now_ms) for one in await store.commissions_of(work, tenant, purchase)]
    await store.put_commissions(work, void)
