"""SQL of suppliers."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKeyConstraint, Index, Table, Text

from cloud.database import metadata, tenant_column

suppliers = Table(
    "suppliers",
    metadata,
    tenant_column(),
    Column("supplier", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("contact", Text, nullable=False),
    # By which they sign in; the password's hash is NULL until one is set.
    Column("mobile", Text, nullable=False),
    Column("password_hash", Text),
    Column("certified", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Index("ix_suppliers_mobile", "mobile"),
)

supplied_goods = Table(
    "supplied_goods",
    metadata,
    tenant_column(),
    Column("supplier", Text, primary_key=True),
    Column("goods", Text, primary_key=True),
    Column("spec", Text, nullable=False),
    Column("price_fen", BigInteger, nullable=False),
    CheckConstraint("price_fen >= 0", name="price"),
    ForeignKeyConstraint(["tenant", "supplier"], ["suppliers.tenant", "suppliers.supplier"]),
    Index("ix_supplied_goods_goods", "tenant", "goods"),
)
