"""What was given back of a pour stands beside what was charged, and the database keeps it within that."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # What is there of every tenant is carried over.
        op.execute("SELECT set_config('aisleflow.tenant', '*', true)")
    with op.batch_alter_table("pours") as table:
        table.add_column(sa.Column("refunded_fen", sa.BigInteger(), nullable=False, server_default="0"))
        table.create_check_constraint("refund_within_charged", "refunded_fen >= 0 AND refunded_fen <= charged_fen")
    op.execute(
        "UPDATE pours SET refunded_fen = coalesce((SELECT sum(r.amount_fen) FROM refunds r"
        ' WHERE r.tenant = pours.tenant AND r."order" = pours."order"), 0)'
    )
