"""SQL of stock."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, Text

from cloud.database import metadata, tenant_column

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
