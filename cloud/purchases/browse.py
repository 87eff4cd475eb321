"""Looking at purchases."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, case, func, select

from cloud.accounts.model import Reach
from cloud.accounts.reach import unseen, within
from cloud.database import Work
from cloud.errors import FleetError
from cloud.paging import LISTINGS_KEPT, Ask, Listing, Page
from cloud.purchases.model import ENDED, STATES, Purchase
from cloud.purchases.store import AMOUNT_FEN, purchase_from, purchases

_SORTS: dict[str, ColumnElement[Any]] = {
    **{name: purchases.c[name] for name in ("state", "kind", "purchase", "member", "created_ms", "ended_ms", "memo")},
    # The state's place in the chain.
    "place": case({state: place for place, state in enumerate(STATES)}, value=purchases.c.state),
    "amount_fen": AMOUNT_FEN,
}


def _seen(reach: Reach) -> ColumnElement[bool]:
    return within(reach, tenant=purchases.c.tenant, unit=purchases.c.unit, member=purchases.c.member)


async def list_purchases(work: Work, reach: Reach, ask: Ask) -> Page[Purchase]:
    """Purchases within reach, newest first."""
    return await _listing(reach).page(work, ask, purchase_from)


@lru_cache(maxsize=LISTINGS_KEPT)
def _listing(reach: Reach) -> Listing:
    query = select(purchases).where(_seen(reach), purchases.c.deleted_ms.is_(None))
    return Listing(query, _SORTS, (purchases.c.created_ms.desc(), purchases.c.purchase.desc()))


async def purchase_seen(work: Work, reach: Reach, purchase: str) -> Purchase:
    """One purchase within reach; FleetError not_found, or gone when it was deleted."""
    row = await work.row(select(purchases).where(_seen(reach), purchases.c.purchase == purchase))
    if row is None:
        raise unseen(reach, f"order {purchase!r}", "order")
    found = purchase_from(row)
    if found.deleted_ms is not None:
        raise FleetError("gone", f"the order {purchase!r} was deleted", field="order")
    return found


async def open_purchases(work: Work, tenant: str, *, member: str | None = None) -> int:
    """How many purchases of a tenant, or of a member, have not ended."""
    here = [purchases.c.tenant == tenant, purchases.c.state.not_in(ENDED)]
    if member is not None:
        here.append(purchases.c.member == member)
    return int(await work.scalar(select(func.count()).where(*here)))
