"""Seats in groups are paid for.

Groups of before had no orders: those that were forming have failed, and who was in one that formed is told by the
reason of his coupon.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM group_members")
    op.execute("UPDATE promotion_groups SET state = 'failed' WHERE state = 'forming'")
    with op.batch_alter_table("promotion_groups") as table:
        table.drop_constraint("ck_promotion_groups_joined", type_="check")
        table.create_check_constraint("ck_promotion_groups_joined", "joined >= 0 AND joined <= size")
        table.create_check_constraint("ck_promotion_groups_formed", "(state = 'formed') = (joined = size)")
    op.add_column("purchases", sa.Column("group", sa.Text()))
    forming = sa.text("state = 'forming'")
    op.create_index("ix_promotion_groups_promotion", "promotion_groups", ["tenant", "promotion"])
    op.create_index(
        "ix_promotion_groups_forming",
        "promotion_groups",
        ["deadline_ms"],
        sqlite_where=forming,
        postgresql_where=forming,
    )
    with op.batch_alter_table("group_members") as table:
        table.add_column(sa.Column("purchase", sa.Text(), nullable=False))
        table.add_column(sa.Column("paid_ms", sa.BigInteger()))
        table.create_foreign_key(
            "fk_group_members_tenant_purchase", "purchases", ["tenant", "purchase"], ["tenant", "purchase"]
        )
    op.create_index("ix_group_members_purchase", "group_members", ["tenant", "purchase"], unique=True)
    op.create_index("ix_group_members_member", "group_members", ["tenant", "member"])
