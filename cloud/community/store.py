"""SQL of communities."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKeyConstraint, Index, Table, Text, UniqueConstraint

from cloud.database import metadata, tenant_column

communities = Table(
    "communities",
    metadata,
    tenant_column(),
    Column("community", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    # Who answers residents, and by which phone.
    Column("manager", Text, nullable=False),
    Column("phone", Text, nullable=False),
    # The modules that are closed, as a JSON list.
    Column("closed_modules", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
)

houses = Table(
    "houses",
    metadata,
    tenant_column(),
    Column("house", Text, primary_key=True),
    Column("community", Text, nullable=False),
    Column("building", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("floor", Text, nullable=False),
    Column("room", Text, nullable=False),
    Column("use", Text, nullable=False),
    Column("nature", Text, nullable=False),
    Column("status", Text, nullable=False),
    UniqueConstraint("tenant", "community", "building", "unit", "floor", "room", name="uq_houses_place"),
    ForeignKeyConstraint(["tenant", "community"], ["communities.tenant", "communities.community"]),
)

residents = Table(
    "residents",
    metadata,
    tenant_column(),
    Column("resident", Text, primary_key=True),
    Column("house", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("id_card", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("may_pay", Boolean, nullable=False),
    Column("member", Text),
    ForeignKeyConstraint(["tenant", "house"], ["houses.tenant", "houses.house"]),
    Index("ix_residents_house", "tenant", "house"),
    Index("ix_residents_phone", "tenant", "phone"),
    Index("ix_residents_member", "tenant", "member"),
)
