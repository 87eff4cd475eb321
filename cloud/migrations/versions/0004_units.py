"""Units below a brand, who works for them, sign-in by phone number, tokens per dialect, and numbers that count up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cloud.migrations.guards import tenant_only

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _units()
    _people()
    _machines()
    _members()
    # phones and brand_codes are asked before a tenant is known, so they belong to none.
    tenant_only("units", "serials", "member_sign_ins")


def _units() -> None:
    op.create_table(
        "units",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("logo", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "unit", name="pk_units"),
    )
    op.create_index("ix_units_path", "units", ["tenant", "path"], unique=False)
    op.create_table(
        "brand_codes",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("code", name="pk_brand_codes"),
        sa.UniqueConstraint("tenant", name="uq_brand_codes_tenant"),
    )
    op.create_table(
        "serials",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "kind", name="pk_serials"),
    )


def _people() -> None:
    op.add_column("users", sa.Column("unit", sa.Text(), nullable=True))
    op.add_column("users", _text("phone"))
    op.add_column("users", sa.Column("md5_hash", sa.Text(), nullable=True))
    op.create_index("ix_users_unit", "users", ["tenant", "unit"], unique=False)
    op.create_table(
        "phones",
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("phone", name="pk_phones"),
    )
    op.add_column("tokens", _text("audience", "native"))
    op.add_column("tokens", _text("holder", "user"))


def _machines() -> None:
    op.add_column("machines", sa.Column("shop", sa.Text(), nullable=True))
    for name in ("number", "keeper", "keeper_phone"):
        op.add_column("machines", _text(name))
    op.create_index("ix_machines_shop", "machines", ["tenant", "shop"], unique=False)


def _members() -> None:
    op.create_table(
        "member_sign_ins",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("md5_hash", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "phone", name="pk_member_sign_ins"),
        sa.UniqueConstraint("tenant", "member", name="uq_member_sign_ins_tenant_member"),
    )


def _text(name: str, default: str = "") -> sa.Column[str]:
    """A column for rows that are there already; the default is what they have been so far."""
    return sa.Column(name, sa.Text(), nullable=False, server_default=default)
