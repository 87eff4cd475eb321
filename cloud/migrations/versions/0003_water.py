"""Water: pours and litres, the condition of purifiers, and what people did at them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cloud.migrations.guards import append_only, tenant_only

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _pours()
    _conditions()
    _histories()
    append_only("water_flows", "filter_changes", "calibrations", "visits")
    tenant_only(
        "pours",
        "water_flows",
        "filter_states",
        "water_states",
        "filter_changes",
        "calibrations",
        "visits",
    )


def _pours() -> None:
    op.create_table(
        "pours",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("order", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("outlet", sa.Text(), nullable=False),
        sa.Column("asked_ml", sa.BigInteger(), nullable=False),
        sa.Column("price_fen_per_litre", sa.BigInteger(), nullable=False),
        sa.Column("member", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("means", sa.Text(), nullable=False),
        sa.Column("paid_fen", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_hash", sa.Text(), nullable=True),
        sa.Column("placed_ms", sa.BigInteger(), nullable=False),
        sa.Column("deadline_ms", sa.BigInteger(), nullable=True),
        sa.Column("claimed_ms", sa.BigInteger(), nullable=True),
        sa.Column("nonce", sa.Text(), nullable=True),
        sa.Column("boot_id", sa.Text(), nullable=True),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("poured_ml", sa.BigInteger(), nullable=True),
        sa.Column("charged_fen", sa.BigInteger(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("written_off", sa.Boolean(), nullable=False),
        sa.Column("doubted", sa.Boolean(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "charged_fen >= 0 AND charged_fen <= paid_fen", name="ck_pours_ck_pours_charged_within_paid"
        ),
        sa.PrimaryKeyConstraint("tenant", "order", name="pk_pours"),
        sa.UniqueConstraint("tenant", "idempotency_key", name="uq_pours_tenant_idempotency_key"),
    )
    op.create_index("ix_pours_ended", "pours", ["tenant", "ended_ms"], unique=False)
    op.create_index("ix_pours_machine", "pours", ["tenant", "machine", "placed_ms"], unique=False)
    op.create_index("ix_pours_placed", "pours", ["tenant", "placed_ms"], unique=False)
    op.create_index("ix_pours_state", "pours", ["tenant", "state", "deadline_ms"], unique=False)
    op.create_table(
        "water_flows",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("order", sa.Text(), nullable=True),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("sold_ml", sa.BigInteger(), nullable=False),
        sa.Column("given_ml", sa.BigInteger(), nullable=False),
        sa.Column("leaked_ml", sa.BigInteger(), nullable=False),
        sa.Column("doubtful_ml", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", "source", name="pk_water_flows"),
    )
    op.create_index("ix_water_flows_at", "water_flows", ["tenant", "machine", "at_ms"], unique=False)
    op.create_index("ix_water_flows_plan", "water_flows", ["tenant", "plan", "at_ms"], unique=False)


def _conditions() -> None:
    op.create_table(
        "filter_states",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("condition", sa.Text(), nullable=False),
        sa.Column("percent_left", sa.BigInteger(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", "position", name="pk_filter_states"),
    )
    op.create_table(
        "water_states",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("fit", sa.Boolean(), nullable=False),
        sa.Column("tds_in_ppm", sa.BigInteger(), nullable=True),
        sa.Column("tds_out_ppm", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", name="pk_water_states"),
    )


def _histories() -> None:
    op.create_table(
        "filter_changes",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("powered_hours", sa.BigInteger(), nullable=False),
        sa.Column("worked_hours", sa.BigInteger(), nullable=False),
        sa.Column("litres", sa.BigInteger(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", "source", name="pk_filter_changes"),
    )
    op.create_table(
        "calibrations",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("meter", sa.Text(), nullable=False),
        sa.Column("pulses_per_litre_milli", sa.BigInteger(), nullable=False),
        sa.Column("spread_ppm", sa.BigInteger(), nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", "source", name="pk_calibrations"),
    )
    op.create_table(
        "visits",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("visit", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("began_wall_ms", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("actions", sa.Text(), nullable=False),
        sa.Column("genuine", sa.Boolean(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", "visit", name="pk_visits"),
    )
    op.create_index("ix_visits_at", "visits", ["tenant", "at_ms"], unique=False)
