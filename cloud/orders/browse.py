"""Looking at orders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import and_, func, or_, select

from cloud.database import Work, record_of
from cloud.errors import FleetError
from cloud.orders.model import UNDECIDED, Order, OrderState
from cloud.orders.store import orders, refunds
from cloud.paging import LISTINGS_KEPT, Ask, Listing, Page
from shared.messages import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """Which orders; None does not restrict. Times in ms: from `placed_from_ms` on, before `placed_before_ms`."""

    state: OrderState | None = None
    machine: str | None = None
    member: str | None = None
    goods: str | None = None
    source: Source | None = None
    shop: str | None = None
    # Whether money was taken and the order has ended: delivered, or refunded.
    settled: bool = False
    placed_from_ms: int | None = None
    placed_before_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RefundSeen:
    """Money given back for an order that was delivered."""

    refund: str
    order: str
    amount_fen: int
    reason: str
    decided_by: str
    decided_ms: int


_SETTLED = or_(orders.c.state == "delivered", and_(orders.c.state == "refunded", orders.c.paid_fen > 0))


async def list_orders(work: Work, tenant: str, wanted: OrderFilter, ask: Ask) -> Page[Order]:
    """Orders of a tenant, newest first; sorted by placed_ms, ended_ms or price_fen on wish."""
    return await _listing(tenant, wanted).page(work, ask, lambda row: record_of(Order, row))


@lru_cache(maxsize=LISTINGS_KEPT)
def _listing(tenant: str, wanted: OrderFilter) -> Listing:
    query = select(orders).where(orders.c.tenant == tenant)
    exact = {name: getattr(wanted, name) for name in ("state", "machine", "member", "goods", "source", "shop")}
    query = query.where(*(orders.c[name] == value for name, value in exact.items() if value is not None))
    if wanted.settled:
        query = query.where(_SETTLED)
    if wanted.placed_from_ms is not None:
        query = query.where(orders.c.placed_ms >= wanted.placed_from_ms)
    if wanted.placed_before_ms is not None:
        query = query.where(orders.c.placed_ms < wanted.placed_before_ms)
    sorts = {"placed_ms": orders.c.placed_ms, "ended_ms": orders.c.ended_ms, "price_fen": orders.c.price_fen}
    # Orders are kept for ever, and only their states change.
    grows = wanted.state is None and not wanted.settled
    return Listing(query, sorts, (orders.c.placed_ms.desc(), orders.c.order.desc()), grows=grows)


async def order_of(work: Work, tenant: str, order: str) -> Order:
    """One order; FleetError not_found when the tenant has none of this id."""
    row = await work.row(select(orders).where(orders.c.tenant == tenant, orders.c.order == order))
    if row is None:
        raise FleetError("not_found", f"there is no order {order!r}", field="order")
    return record_of(Order, row)


async def refunds_of(work: Work, tenant: str, order: str) -> list[RefundSeen]:
    """What was given back for one order, in order of time."""
    shown = [refunds.c[name] for name in RefundSeen.__dataclass_fields__]
    query = select(*shown).where(refunds.c.tenant == tenant, refunds.c.order == order)
    return [record_of(RefundSeen, row) for row in await work.rows(query.order_by(refunds.c.decided_ms))]


async def open_orders(work: Work, tenant: str, *, member: str | None = None, machine: str | None = None) -> int:
    """How many orders of a tenant, a member or at a machine are not decided yet."""
    here = [orders.c.tenant == tenant, orders.c.state.in_(UNDECIDED)]
    wanted = {"member": member, "machine": machine}
    here += [orders.c[name] == value for name, value in wanted.items() if value is not None]
    return int(await work.scalar(select(func.count()).where(*here)))


async def count_settled(work: Work, tenant: str, shop: str) -> int:
    """How many orders of a shop have ended after money was taken."""
    here = orders.c.tenant == tenant, orders.c.shop == shop, _SETTLED
    return int(await work.scalar(select(func.count()).select_from(orders).where(*here)) or 0)
