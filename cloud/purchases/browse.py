"""Looking at purchases."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, case, func, select

from cloud.accounts.model import Reach
from cloud.accounts.reach import unseen, within
from cloud.database import Work, one_of
from cloud.errors import FleetError
from cloud.paging import LISTINGS_KEPT, Ask, Listing, Page
from cloud.purchases.model import ENDED, STATES, Purchase, Receiver
from cloud.purchases.store import AMOUNT_FEN, purchase_from, purchases
from cloud.rentals.store import rentals

_SORTS: dict[str, ColumnElement[Any]] = {
    **{
        name: purchases.c[name]
        for name in ("state", "kind", "purchase", "member", "created_ms", "ended_ms", "memo", "tenant")
    },
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


@dataclass(frozen=True, slots=True)
class Behind:
    """What a job is about: an order, or a rental that came of one, and where the customer wants it done."""

    rental: str | None
    receiver: Receiver


async def behind(work: Work, subjects: Collection[tuple[str, str]]) -> dict[tuple[str, str], Behind]:
    """The orders and rentals of these numbers, each with its tenant, as far as there are any."""
    wanted = {one for one in subjects if one[1]}
    tenants, numbers = sorted({tenant for tenant, _ in wanted}), sorted({number for _, number in wanted})
    of, its = purchases.c, rentals.c
    ordered = select(of.tenant, of.purchase, of.receiver, of.purchase.label("subject"))
    rented = select(of.tenant, of.purchase, of.receiver, its.rental.label("subject"))
    rented = rented.join(rentals, and_(its.tenant == of.tenant, its.purchase == of.purchase))
    found: dict[tuple[str, str], Behind] = {}
    for query, column in ((ordered, of.purchase), (rented, its.rental)):
        for here in one_of(work, column, numbers):
            for row in await work.rows(query.where(of.tenant.in_(tenants), here)):
                rental = None if row.subject == row.purchase else row.subject
                receiver = msgspec.json.decode(row.receiver, type=Receiver)
                found[row.tenant, row.subject] = Behind(rental, receiver)
    return found
