"""Members are listed newest first from an index, and purchases counted by a narrow one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_HERE, _LISTED = sa.text("left_ms IS NULL"), sa.text("deleted_ms IS NULL")
_NEWEST = sa.text("joined_ms DESC")


def upgrade() -> None:
    op.drop_index("ix_members_joined", table_name="members")
    newest: dict[str, list[str | sa.TextClause]] = {
        "ix_members_newest": ["tenant", _NEWEST, "member"],
        "ix_members_newest_all": [_NEWEST, "tenant", "member"],
    }
    for name, columns in newest.items():
        op.create_index(name, "members", columns, sqlite_where=_HERE, postgresql_where=_HERE)
    op.create_index("ix_purchases_listed", "purchases", ["tenant"], sqlite_where=_LISTED, postgresql_where=_LISTED)
