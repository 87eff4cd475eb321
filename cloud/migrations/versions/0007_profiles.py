"""Profiles of members, machines and brands; WeChat accounts; machines at home; what was signed with a brand."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cloud.migrations.guards import tenant_only

revision = "0007"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _members()
    _machines()
    _brands()
    tenant_only("member_wechats", "member_machines", "machine_profiles", "brand_profiles", "brand_signings")


def _members() -> None:
    op.add_column("members", _text("state", "active"))
    for name in ("kind", "bonus"):
        op.add_column("members", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    for name in ("avatar", "email", "area", "address", "remark"):
        op.add_column("members", _text(name))
    op.add_column("members", sa.Column("vip", sa.Boolean(), nullable=False, server_default=sa.false()))
    for name in ("referrer", "unit"):
        op.add_column("members", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("members", sa.Column("left_ms", sa.BigInteger(), nullable=True))
    op.create_index("ix_members_member", "members", ["member"], unique=False)
    for name, column in (("joined", "joined_ms"), ("phone", "phone"), ("unit", "unit"), ("referrer", "referrer")):
        op.create_index(f"ix_members_{name}", "members", ["tenant", column], unique=False)
    # What is held for one member is asked before he leaves.
    op.create_index("ix_ledger_accounts_owner", "ledger_accounts", ["tenant", "owner"], unique=False)
    op.create_table(
        "member_wechats",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("openid", sa.Text(), nullable=False),
        sa.Column("unionid", sa.Text(), nullable=False),
        sa.Column("nick", sa.Text(), nullable=False),
        sa.Column("avatar", sa.Text(), nullable=False),
        sa.Column("sex", sa.BigInteger(), nullable=False),
        sa.Column("subscribed_ms", sa.BigInteger(), nullable=True),
        sa.Column("proved", sa.Boolean(), nullable=False),
        sa.Column("bound_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "member", name="pk_member_wechats"),
        sa.UniqueConstraint("tenant", "openid", name="uq_member_wechats_tenant_openid"),
    )
    op.create_table(
        "member_machines",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", "member", name="pk_member_machines"),
    )
    op.create_index("ix_member_machines_member", "member_machines", ["tenant", "member"], unique=False)
    owner = sa.text("standing = 'owner'")
    op.create_index(
        "uq_member_machines_owner",
        "member_machines",
        ["tenant", "machine"],
        unique=True,
        sqlite_where=owner,
        postgresql_where=owner,
    )


def _machines() -> None:
    op.add_column("machines", sa.Column("retired_ms", sa.BigInteger(), nullable=True))
    for name in ("came_ms", "went_ms"):
        op.add_column("machine_states", sa.Column(name, sa.BigInteger(), nullable=True))
    op.create_table(
        "machine_profiles",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("brand", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("hw_version", sa.Text(), nullable=False),
        sa.Column("sw_version", sa.Text(), nullable=False),
        sa.Column("fw_version", sa.Text(), nullable=False),
        sa.Column("manufactured_ms", sa.BigInteger(), nullable=True),
        sa.Column("assembled_ms", sa.BigInteger(), nullable=True),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("inspector", sa.Text(), nullable=False),
        sa.Column("inspected_ms", sa.BigInteger(), nullable=True),
        sa.Column("installer", sa.Text(), nullable=False),
        sa.Column("installed_ms", sa.BigInteger(), nullable=True),
        sa.Column("installation", sa.Text(), nullable=False),
        sa.Column("remark", sa.Text(), nullable=False),
        sa.Column("coordinates", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("net_entry", sa.Text(), nullable=False),
        sa.Column("net_type", sa.Text(), nullable=False),
        sa.Column("hardware_id", sa.Text(), nullable=False),
        sa.Column("iccid", sa.Text(), nullable=False),
        sa.Column("stopped", sa.Boolean(), nullable=False),
        sa.Column("service_ends_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "machine", name="pk_machine_profiles"),
    )


def _brands() -> None:
    op.create_table(
        "brand_profiles",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("kind", sa.BigInteger(), nullable=False),
        sa.Column("short_name", sa.Text(), nullable=False),
        sa.Column("logo", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("wechat", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("area", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("remark", sa.Text(), nullable=False),
        sa.Column("reserved", sa.Text(), nullable=False),
        sa.Column("mp_gid", sa.Text(), nullable=False),
        sa.Column("mp_appid", sa.Text(), nullable=False),
        sa.Column("mch_gid", sa.Text(), nullable=False),
        sa.Column("mch_appid", sa.Text(), nullable=False),
        sa.Column("mp_secret_sealed", sa.Text(), nullable=False),
        sa.Column("mch_secret_sealed", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("closed_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", name="pk_brand_profiles"),
    )
    op.create_table(
        "brand_signings",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("signing", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("contract", sa.Text(), nullable=False),
        sa.Column("signed_ms", sa.BigInteger(), nullable=True),
        sa.Column("begins_ms", sa.BigInteger(), nullable=True),
        sa.Column("ends_ms", sa.BigInteger(), nullable=True),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("remark", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_fen >= 0", name="ck_brand_signings_amount"),
        sa.PrimaryKeyConstraint("tenant", "signing", name="pk_brand_signings"),
    )


def _text(name: str, default: str = "") -> sa.Column[str]:
    """A column for rows that are there already; the default is what they have been so far."""
    return sa.Column(name, sa.Text(), nullable=False, server_default=default)
