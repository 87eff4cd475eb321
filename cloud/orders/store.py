"""SQL of orders."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Table, Text, UniqueConstraint

from cloud.database import metadata, tenant_column

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
    CheckConstraint("refunded_fen >= 0 AND refunded_fen <= paid_fen", name="refund_within_captured"),
    UniqueConstraint("tenant", "idempotency_key"),
    Index("ix_orders_machine", "tenant", "machine", "placed_ms"),
    Index("ix_orders_state", "tenant", "state", "deadline_ms"),
    Index("ix_orders_placed", "tenant", "placed_ms"),
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
