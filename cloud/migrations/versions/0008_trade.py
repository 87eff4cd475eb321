"""Products, purchases of them, rentals, and what recommending earns."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from cloud.migrations.guards import append_only, tenant_only

revision = "0008"
down_revision = "0009"
branch_labels = None
depends_on = None


# Lists count what is not deleted, from the index alone.
_LISTED: dict[str, Any] = {
    "sqlite_where": sa.text("deleted_ms IS NULL"),
    "postgresql_where": sa.text("deleted_ms IS NULL"),
}


def upgrade() -> None:
    _products()
    _purchases()
    _rentals()
    _commission()
    append_only("commission_withdrawals")
    tenant_only("products", "purchases", "rentals", "commissions", "commission_withdrawals")


def _products() -> None:
    op.create_table(
        "products",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("shelf_state", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("bonus", sa.Boolean(), nullable=False),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
        sa.Column("freight_fen", sa.BigInteger(), nullable=False),
        sa.Column("with_install", sa.Boolean(), nullable=False),
        sa.Column("with_maintenance", sa.Boolean(), nullable=False),
        sa.Column("install_fen", sa.BigInteger(), nullable=False),
        sa.Column("maintenance_fen", sa.BigInteger(), nullable=False),
        sa.Column("list_price_fen", sa.BigInteger(), nullable=False),
        sa.Column("preview", sa.Text(), nullable=False),
        sa.Column("introduction", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("notify_url", sa.Text(), nullable=False),
        sa.Column("rent", sa.Text(), nullable=False),
        sa.Column("commission", sa.Text(), nullable=False),
        sa.Column("specification", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleted_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "price_fen >= 0 AND freight_fen >= 0 AND install_fen >= 0 AND maintenance_fen >= 0 AND list_price_fen >= 0",
            name="ck_products_amounts",
        ),
        sa.PrimaryKeyConstraint("tenant", "product", name="pk_products"),
    )
    op.create_index("ix_products_product", "products", ["product"], unique=False)
    op.create_index("ix_products_sequence", "products", ["tenant", "sequence", "product"], unique=False)


def _purchases() -> None:
    op.create_table(
        "purchases",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("purchase", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.Column("goods_fen", sa.BigInteger(), nullable=False),
        sa.Column("freight_fen", sa.BigInteger(), nullable=False),
        sa.Column("install_fen", sa.BigInteger(), nullable=False),
        sa.Column("deposit_fen", sa.BigInteger(), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("delivery", sa.Text(), nullable=False),
        sa.Column("memo", sa.Text(), nullable=False),
        sa.Column("rental", sa.Text(), nullable=True),
        sa.Column("due_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("paid_ms", sa.BigInteger(), nullable=True),
        sa.Column("received_ms", sa.BigInteger(), nullable=True),
        sa.Column("return_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("payment", sa.Text(), nullable=True),
        sa.Column("pay_channel", sa.Text(), nullable=False),
        sa.Column("transaction", sa.Text(), nullable=False),
        sa.Column("repaid_fen", sa.BigInteger(), nullable=False),
        sa.Column("deleted_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "goods_fen >= 0 AND freight_fen >= 0 AND install_fen >= 0 AND deposit_fen >= 0", name="ck_purchases_amounts"
        ),
        sa.CheckConstraint(
            "repaid_fen >= 0 AND repaid_fen <= goods_fen + freight_fen + install_fen + deposit_fen",
            name="ck_purchases_repaid",
        ),
        sa.PrimaryKeyConstraint("tenant", "purchase", name="pk_purchases"),
        sa.UniqueConstraint("tenant", "payment", name="uq_purchases_tenant_payment"),
    )
    op.create_index("ix_purchases_all", "purchases", ["created_ms", "purchase"], unique=False, **_LISTED)
    op.create_index("ix_purchases_created", "purchases", ["tenant", "created_ms", "purchase"], unique=False, **_LISTED)
    op.create_index("ix_purchases_due", "purchases", ["due_ms"], unique=False)
    op.create_index(
        "ix_purchases_member", "purchases", ["tenant", "member", "created_ms", "purchase"], unique=False, **_LISTED
    )
    op.create_index("ix_purchases_purchase", "purchases", ["purchase"], unique=False)
    op.create_index(
        "ix_purchases_state", "purchases", ["tenant", "state", "created_ms", "purchase"], unique=False, **_LISTED
    )
    op.create_index(
        "ix_purchases_unit", "purchases", ["tenant", "unit", "created_ms", "purchase"], unique=False, **_LISTED
    )


def _rentals() -> None:
    op.create_table(
        "rentals",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("rental", sa.Text(), nullable=False),
        sa.Column("purchase", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("machine", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("bought_days", sa.BigInteger(), nullable=False),
        sa.Column("prepaid_ml", sa.BigInteger(), nullable=False),
        sa.Column("minimum_ml_per_day", sa.BigInteger(), nullable=False),
        sa.Column("deposit_fen", sa.BigInteger(), nullable=False),
        sa.Column("payment", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("began_ms", sa.BigInteger(), nullable=True),
        sa.Column("ends_ms", sa.BigInteger(), nullable=True),
        sa.Column("quit_ms", sa.BigInteger(), nullable=True),
        sa.Column("quit_by", sa.Text(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("withheld_fen", sa.BigInteger(), nullable=False),
        sa.Column("held_machine", sa.Text(), nullable=True),
        sa.CheckConstraint("withheld_fen >= 0 AND withheld_fen <= deposit_fen", name="ck_rentals_withheld"),
        sa.PrimaryKeyConstraint("tenant", "rental", name="pk_rentals"),
        sa.UniqueConstraint("tenant", "held_machine", name="uq_rentals_tenant_held_machine"),
    )
    op.create_index("ix_rentals_created", "rentals", ["tenant", "created_ms", "rental"], unique=False)
    op.create_index("ix_rentals_ends", "rentals", ["state", "ends_ms"], unique=False)
    op.create_index("ix_rentals_machine", "rentals", ["tenant", "machine"], unique=False)
    op.create_index("ix_rentals_member", "rentals", ["tenant", "member", "created_ms", "rental"], unique=False)
    op.create_index("ix_rentals_purchase", "rentals", ["tenant", "purchase"], unique=False)
    op.create_index("ix_rentals_rental", "rentals", ["rental"], unique=False)


def _commission() -> None:
    op.create_table(
        "commissions",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("purchase", sa.Text(), nullable=False),
        sa.Column("level", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("settled_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("amount_fen > 0", name="ck_commissions_amount"),
        sa.CheckConstraint("level BETWEEN 1 AND 3", name="ck_commissions_level"),
        sa.PrimaryKeyConstraint("tenant", "purchase", "level", name="pk_commissions"),
    )
    op.create_index(
        "ix_commissions_created", "commissions", ["tenant", "created_ms", "purchase", "level"], unique=False
    )
    op.create_index("ix_commissions_member", "commissions", ["tenant", "member", "created_ms"], unique=False)
    op.create_index("ix_commissions_pending", "commissions", ["tenant", "state", "member"], unique=False)
    op.create_table(
        "commission_withdrawals",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("payout", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_fen > 0", name="ck_commission_withdrawals_amount"),
        sa.PrimaryKeyConstraint("tenant", "payout", name="pk_commission_withdrawals"),
    )
    op.create_index(
        "ix_commission_withdrawals_member", "commission_withdrawals", ["tenant", "member", "at_ms"], unique=False
    )
