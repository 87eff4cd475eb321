"""The machines of a product are found by it."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_machine_profiles_product", "machine_profiles", ["tenant", "product", "machine"], unique=False)
