"""SQL of stock."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import BigInteger, Column, Index, Table, Text, select, tuple_

from cloud.database import Work, metadata, row_of, tenant_column
from cloud.stock.model import Balance, Movement

# Append-only: a trigger refuses every change. `source` is the fact that moved it ("epoch.seq").
stock_movements = Table(
    "stock_movements",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("aisle", Text, nullable=False),
    Column("goods", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("on_hand_delta", BigInteger, nullable=False),
    Column("held_delta", BigInteger, nullable=False),
    Column("person", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("ix_stock_movements_at", "tenant", "machine", "at_ms"),
)

stock_balances = Table(
    "stock_balances",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("aisle", Text, primary_key=True),
    Column("goods", Text, nullable=False),
    Column("on_hand", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
)

AisleKey = tuple[str, str, str]


async def find_balances(work: Work, aisles: Collection[AisleKey], *, lock: bool) -> dict[AisleKey, Balance]:
    """The balances of (tenant, machine, aisle) triples, as far as they exist."""
    if not aisles:
        return {}
    key = tuple_(stock_balances.c.tenant, stock_balances.c.machine, stock_balances.c.aisle)
    query = select(stock_balances).where(key.in_(sorted(aisles))).order_by(*key.clauses)
    rows = await work.rows(query.with_for_update() if lock else query)
    return {(row.tenant, row.machine, row.aisle): Balance(**row._mapping) for row in rows}


async def add_movements(work: Work, movements: Iterable[Movement]) -> None:
    """Append movements; one that is already there raises."""
    await work.insert(stock_movements, [row_of(movement) for movement in movements])


async def put_balances(work: Work, balances: Iterable[Balance]) -> None:
    """Write the balances of aisles that this Work has locked, or is the first to write."""
    rows = [row_of(balance) for balance in balances]
    if rows:
        new = work.upsert(stock_balances)
        changed = {name: new.excluded[name] for name in ("goods", "on_hand", "held")}
        await work.execute(new.on_conflict_do_update(index_elements=["tenant", "machine", "aisle"], set_=changed), rows)
