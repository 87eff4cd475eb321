"""Lists of orders are sorted by what they cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_AMOUNT = sa.text("(goods_fen + freight_fen + install_fen + deposit_fen)")
_LISTED = sa.text("deleted_ms IS NULL")


def upgrade() -> None:
    by_amount: list[str | sa.TextClause] = [_AMOUNT, "created_ms", "purchase"]
    for name, columns in (("ix_purchases_amount", ["tenant", *by_amount]), ("ix_purchases_amount_all", by_amount)):
        op.create_index(name, "purchases", columns, unique=False, sqlite_where=_LISTED, postgresql_where=_LISTED)
