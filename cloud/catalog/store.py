"""SQL of goods."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Table, Text

from cloud.database import metadata, tenant_column

goods = Table(
    "goods",
    metadata,
    tenant_column(),
    Column("goods", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("barcode", Text, nullable=False),
    Column("price_fen", BigInteger, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
)
