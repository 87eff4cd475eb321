"""Where people work from: jobs go to whoever is near."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("area", "coordinates"):
        op.add_column("users", sa.Column(name, sa.Text(), nullable=False, server_default=""))
