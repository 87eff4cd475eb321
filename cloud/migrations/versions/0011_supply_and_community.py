"""Suppliers and what they bring; communities, their houses and residents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cloud.migrations.guards import tenant_only

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _supply()
    _community()
    tenant_only("suppliers", "supplied_goods", "communities", "houses", "residents")


def _supply() -> None:
    op.create_table(
        "suppliers",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("supplier", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("mobile", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("certified", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "supplier", name="pk_suppliers"),
    )
    op.create_index("ix_suppliers_mobile", "suppliers", ["mobile"], unique=False)
    op.create_table(
        "supplied_goods",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("supplier", sa.Text(), nullable=False),
        sa.Column("goods", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("price_fen >= 0", name="ck_supplied_goods_price"),
        sa.ForeignKeyConstraint(
            ["tenant", "supplier"], ["suppliers.tenant", "suppliers.supplier"], name="fk_supplied_goods_tenant_supplier"
        ),
        sa.PrimaryKeyConstraint("tenant", "supplier", "goods", name="pk_supplied_goods"),
    )
    op.create_index("ix_supplied_goods_goods", "supplied_goods", ["tenant", "goods"], unique=False)


def _community() -> None:
    op.create_table(
        "communities",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("community", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("manager", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("closed_modules", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "community", name="pk_communities"),
    )
    op.create_table(
        "houses",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("house", sa.Text(), nullable=False),
        sa.Column("community", sa.Text(), nullable=False),
        sa.Column("building", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("floor", sa.Text(), nullable=False),
        sa.Column("room", sa.Text(), nullable=False),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("nature", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "community"], ["communities.tenant", "communities.community"], name="fk_houses_tenant_community"
        ),
        sa.PrimaryKeyConstraint("tenant", "house", name="pk_houses"),
        sa.UniqueConstraint("tenant", "community", "building", "unit", "floor", "room", name="uq_houses_place"),
    )
    op.create_table(
        "residents",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("resident", sa.Text(), nullable=False),
        sa.Column("house", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("id_card", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("may_pay", sa.Boolean(), nullable=False),
        sa.Column("member", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant", "house"], ["houses.tenant", "houses.house"], name="fk_residents_tenant_house"
        ),
        sa.PrimaryKeyConstraint("tenant", "resident", name="pk_residents"),
    )
    op.create_index("ix_residents_house", "residents", ["tenant", "house"], unique=False)
    op.create_index("ix_residents_phone", "residents", ["tenant", "phone"], unique=False)
    op.create_index("ix_residents_member", "residents", ["tenant", "member"], unique=False)
