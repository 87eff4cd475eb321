"""Promotions and their coupons, groups and shares; advertisements; units that were taken away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cloud.migrations.guards import append_only, tenant_only

revision = "0010"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("units", sa.Column("closed_ms", sa.BigInteger(), nullable=True))
    _advertisements()
    _promotions()
    _coupons()
    _promotion_groups()
    _promotion_shares()
    _group_members()
    append_only("promotion_shares")
    tenant_only("advertisements", "coupons", "group_members", "promotion_groups", "promotion_shares", "promotions")


def _advertisements() -> None:
    op.create_table(
        "advertisements",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("advertisement", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("placement", sa.Text(), nullable=False),
        sa.Column("image", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("begins_ms", sa.BigInteger(), nullable=False),
        sa.Column("ends_ms", sa.BigInteger(), nullable=True),
        sa.Column("stopped", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "advertisement", name="pk_advertisements"),
    )
    op.create_index(
        "ix_advertisements_placement",
        "advertisements",
        ["tenant", "placement", "sequence", "advertisement"],
        unique=False,
    )


def _promotions() -> None:
    op.create_table(
        "promotions",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("promotion", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("off_share", sa.BigInteger(), nullable=False),
        sa.Column("off_fen", sa.BigInteger(), nullable=False),
        sa.Column("from_fen", sa.BigInteger(), nullable=False),
        sa.Column("products", sa.Text(), nullable=False),
        sa.Column("begins_ms", sa.BigInteger(), nullable=False),
        sa.Column("ends_ms", sa.BigInteger(), nullable=True),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("per_member", sa.BigInteger(), nullable=False),
        sa.Column("group_size", sa.BigInteger(), nullable=False),
        sa.Column("group_hours", sa.BigInteger(), nullable=False),
        sa.Column("stopped", sa.Boolean(), nullable=False),
        sa.Column("issued", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.CheckConstraint("(off_share > 0) <> (off_fen > 0)", name="ck_promotions_one_way_off"),
        sa.CheckConstraint("issued >= 0 AND (total = 0 OR issued <= total)", name="ck_promotions_issued"),
        sa.CheckConstraint(
            "off_share >= 0 AND off_share <= 10000 AND off_fen >= 0 AND from_fen >= 0", name="ck_promotions_amounts"
        ),
        sa.PrimaryKeyConstraint("tenant", "promotion", name="pk_promotions"),
    )
    op.create_index("ix_promotions_begins", "promotions", ["tenant", "begins_ms", "promotion"], unique=False)


def _coupons() -> None:
    op.create_table(
        "coupons",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("coupon", sa.Text(), nullable=False),
        sa.Column("promotion", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("issued_ms", sa.BigInteger(), nullable=False),
        sa.Column("purchase", sa.Text(), nullable=True),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant", "promotion"], ["promotions.tenant", "promotions.promotion"], name="fk_coupons_tenant_promotion"
        ),
        sa.PrimaryKeyConstraint("tenant", "coupon", name="pk_coupons"),
    )
    op.create_index("ix_coupons_member", "coupons", ["tenant", "member", "issued_ms", "coupon"], unique=False)
    op.create_index("ix_coupons_promotion", "coupons", ["tenant", "promotion", "member"], unique=False)
    op.create_index("ix_coupons_purchase", "coupons", ["tenant", "purchase"], unique=True)


def _promotion_groups() -> None:
    op.create_table(
        "promotion_groups",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("promotion", sa.Text(), nullable=False),
        sa.Column("leader", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("joined", sa.BigInteger(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("deadline_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("joined >= 1 AND joined <= size", name="ck_promotion_groups_joined"),
        sa.ForeignKeyConstraint(
            ["tenant", "promotion"],
            ["promotions.tenant", "promotions.promotion"],
            name="fk_promotion_groups_tenant_promotion",
        ),
        sa.PrimaryKeyConstraint("tenant", "group", name="pk_promotion_groups"),
    )
    op.create_index("ix_promotion_groups_opened", "promotion_groups", ["tenant", "opened_ms", "group"], unique=False)


def _promotion_shares() -> None:
    op.create_table(
        "promotion_shares",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("promotion", sa.Text(), nullable=False),
        sa.Column("accepted_by", sa.Text(), nullable=False),
        sa.Column("shared_by", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("accepted_by <> shared_by", name="ck_promotion_shares_two_people"),
        sa.ForeignKeyConstraint(
            ["tenant", "promotion"],
            ["promotions.tenant", "promotions.promotion"],
            name="fk_promotion_shares_tenant_promotion",
        ),
        sa.PrimaryKeyConstraint("tenant", "promotion", "accepted_by", name="pk_promotion_shares"),
    )


def _group_members() -> None:
    op.create_table(
        "group_members",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("joined_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "group"],
            ["promotion_groups.tenant", "promotion_groups.group"],
            name="fk_group_members_tenant_group",
        ),
        sa.PrimaryKeyConstraint("tenant", "group", "member", name="pk_group_members"),
    )
