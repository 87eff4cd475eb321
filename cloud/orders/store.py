"""SQL of orders."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Table,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    func,
    select,
    tuple_,
)

from cloud.database import Work, metadata, record_of, row_of, tenant_column
from cloud.errors import FleetError
from cloud.orders.model import UNDECIDED, Order

orders = Table(
    "orders",
    metadata,
    tenant_column(),
    Column("order", Text, primary_key=True),
    Column("machine", Text, nullable=False),
    Column("aisle", Text, nullable=False),
    Column("goods", Text, nullable=False),
    Column("price_fen", BigInteger, nullable=False),
    Column("member", Text),
    Column("source", Text, nullable=False),
    Column("means", Text, nullable=False),
    Column("paid_fen", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("request_hash", Text),
    Column("placed_ms", BigInteger, nullable=False),
    Column("deadline_ms", BigInteger),
    Column("claimed_ms", BigInteger),
    Column("nonce", Text),
    Column("boot_id", Text),
    Column("ended_ms", BigInteger),
    Column("reason", Text),
    Column("delivered_aisle", Text),
    Column("written_off", Boolean, nullable=False),
    Column("decided_by", Text),
    Column("refunded_fen", BigInteger, nullable=False),
    Column("shop", Text),
    CheckConstraint("refunded_fen >= 0 AND refunded_fen <= paid_fen", name="refund_within_captured"),
    UniqueConstraint("tenant", "idempotency_key"),
    Index("ix_orders_machine", "tenant", "machine", "placed_ms"),
    Index("ix_orders_state", "tenant", "state", "deadline_ms"),
    Index("ix_orders_placed", "tenant", "placed_ms"),
    Index("ix_orders_ended", "tenant", "ended_ms"),
    # With what boards add up, so that a year of a shop is answered from the index alone.
    Index(
        "ix_orders_shop",
        "tenant",
        "shop",
        "ended_ms",
        postgresql_include=["state", "paid_fen", "refunded_fen", "machine", "goods"],
    ),
)

refunds = Table(
    "refunds",
    metadata,
    tenant_column(),
    Column("refund", Text, primary_key=True),
    Column("order", Text, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("decided_ms", BigInteger, nullable=False),
    CheckConstraint("amount_fen > 0", name="amount"),
    Index("ix_refunds_order", "tenant", "order"),
)

OrderKey = tuple[str, str]

# What may change in an order's life; the rest is written once.
_CHANGING = (
    "state",
    "claimed_ms",
    "nonce",
    "boot_id",
    "ended_ms",
    "reason",
    "delivered_aisle",
    "written_off",
    "decided_by",
    "refunded_fen",
)


def order_of(row: Any) -> Order:
    """An order from its row."""
    return record_of(Order, row)


async def find_orders(work: Work, keys: Collection[OrderKey]) -> dict[OrderKey, Order]:
    """The orders of (tenant, order) pairs, as far as they exist, locked until the work ends."""
    if not keys:
        return {}
    key = tuple_(orders.c.tenant, orders.c.order)
    query = select(orders).where(key.in_(sorted(keys))).order_by(*key.clauses).with_for_update()
    return {(row.tenant, row.order): order_of(row) for row in await work.rows(query)}


async def find_by_key(work: Work, tenant: str, idempotency_key: str) -> Order | None:
    """The order that was placed under this key, ever."""
    query = select(orders).where(and_(orders.c.tenant == tenant, orders.c.idempotency_key == idempotency_key))
    row = await work.row(query)
    return None if row is None else order_of(row)


async def add_orders(work: Work, new: Iterable[Order]) -> None:
    """Insert orders; one that is already there raises."""
    await work.insert(orders, [row_of(order) for order in new])


async def put_orders(work: Work, changed: Iterable[Order]) -> None:
    """Write orders that this Work has locked."""
    rows = []
    for order in changed:
        row = {f"new_{name}": getattr(order, name) for name in _CHANGING}
        rows.append({**row, "of": order.tenant, "which": order.order})
    if rows:
        here = and_(orders.c.tenant == bindparam("of"), orders.c.order == bindparam("which"))
        values = {name: bindparam(f"new_{name}", type_=orders.c[name].type) for name in _CHANGING}
        await work.execute(orders.update().where(here).values(**values), rows)


async def open_on_aisle(work: Work, tenant: str, machine: str, aisle: str) -> int:
    """How many orders may still take an item from this aisle."""
    here = and_(orders.c.tenant == tenant, orders.c.machine == machine, orders.c.aisle == aisle)
    return int(await work.scalar(select(func.count()).where(and_(here, orders.c.state.in_(["held", "claimed"])))))


async def lock_due(work: Work, state: str, column: str, before_ms: int, limit: int) -> Sequence[OrderKey]:
    """Orders in `state` whose time `column` is at or before `before_ms`; those another worker holds are left to it."""
    due = and_(orders.c.state == state, orders.c[column] <= before_ms)
    query = select(orders.c.tenant, orders.c.order).where(due).order_by(orders.c[column]).limit(limit)
    return [(row.tenant, row.order) for row in await work.rows(query.with_for_update(skip_locked=True))]


async def undecided_fen(work: Work, tenant: str) -> int:
    """What all undecided orders of a tenant have paid: the amount that escrow must hold."""
    query = select(func.coalesce(func.sum(orders.c.paid_fen), 0))
    return int(await work.scalar(query.where(and_(orders.c.tenant == tenant, orders.c.state.in_(UNDECIDED)))))


async def written_off_fen(work: Work, tenant: str, machine: str, since_ms: int) -> int:
    """What was written off for a machine since `since_ms`."""
    here = and_(orders.c.tenant == tenant, orders.c.machine == machine, orders.c.written_off)
    query = select(func.coalesce(func.sum(orders.c.paid_fen), 0))
    return int(await work.scalar(query.where(and_(here, orders.c.ended_ms >= since_ms))))


async def find_refund(work: Work, tenant: str, refund: str) -> Any:
    """The refund made under this reference, or None."""
    return await work.row(select(refunds).where(and_(refunds.c.tenant == tenant, refunds.c.refund == refund)))


async def add_refund(work: Work, row: dict[str, Any]) -> None:
    """Append one refund; its reference must be new."""
    await work.insert(refunds, [row])


async def machine_of_order(work: Work, tenant: str, order: str) -> str:
    """Which machine an order is for; FleetError(not_found)."""
    found = await work.scalar(select(orders.c.machine).where(and_(orders.c.tenant == tenant, orders.c.order == order)))
    if found is None:
        raise FleetError("not_found", f"no order {order!r}", field="order")
    return str(found)
