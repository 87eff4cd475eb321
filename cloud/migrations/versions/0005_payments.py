"""Payments, refunds and payouts through providers; calls to the world outside; codes sent to phones."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cloud.migrations.guards import append_only, tenant_only

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _payments()
    _outgoing()
    _callbacks()
    _outcalls()
    _codes()
    append_only("payment_steps")
    tenant_only(
        "payments",
        "payment_steps",
        "payment_refunds",
        "payouts",
        "payment_callbacks",
        "outcalls",
        "phone_codes",
        "code_budgets",
    )


def _payments() -> None:
    op.create_table(
        "payments",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("payment", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("payer", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("captured_fen", sa.BigInteger(), nullable=False),
        sa.Column("refunding_fen", sa.BigInteger(), nullable=False),
        sa.Column("refunded_fen", sa.BigInteger(), nullable=False),
        sa.Column("transaction", sa.Text(), nullable=True),
        sa.Column("parameters", sa.Text(), nullable=True),
        sa.Column("captured_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_fen > 0", name="ck_payments_amount"),
        sa.CheckConstraint("captured_fen IN (0, amount_fen)", name="ck_payments_captured_whole"),
        sa.CheckConstraint(
            "refunding_fen >= 0 AND refunded_fen >= 0 AND refunding_fen + refunded_fen <= captured_fen",
            name="ck_payments_refunds_within_captured",
        ),
        sa.PrimaryKeyConstraint("tenant", "payment", name="pk_payments"),
        sa.UniqueConstraint("tenant", "reference", name="uq_payments_tenant_reference"),
        sa.UniqueConstraint("tenant", "provider", "transaction", name="uq_payments_tenant_provider_transaction"),
    )
    op.create_index("ix_payments_created", "payments", ["tenant", "created_ms"], unique=False)
    op.create_index("ix_payments_captured", "payments", ["tenant", "captured_ms"], unique=False)
    op.create_index("ix_payments_state", "payments", ["tenant", "state", "created_ms"], unique=False)
    op.create_index("ix_payments_member", "payments", ["tenant", "member", "created_ms"], unique=False)
    op.create_index("ix_payments_subject", "payments", ["tenant", "purpose", "subject", "created_ms"], unique=False)
    op.create_table(
        "payment_steps",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("payment", sa.Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "payment", "step", name="pk_payment_steps"),
    )


def _outgoing() -> None:
    op.create_table(
        "payment_refunds",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("refund", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("payment", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("transaction", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("amount_fen > 0", name="ck_payment_refunds_amount"),
        sa.ForeignKeyConstraint(
            ["tenant", "payment"], ["payments.tenant", "payments.payment"], name="fk_payment_refunds_tenant_payment"
        ),
        sa.PrimaryKeyConstraint("tenant", "refund", name="pk_payment_refunds"),
        sa.UniqueConstraint("tenant", "reference", name="uq_payment_refunds_tenant_reference"),
    )
    op.create_index("ix_payment_refunds_payment", "payment_refunds", ["tenant", "payment"], unique=False)
    op.create_index("ix_payment_refunds_state", "payment_refunds", ["tenant", "state", "decided_ms"], unique=False)
    op.create_table(
        "payouts",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("payout", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("payee", sa.Text(), nullable=False),
        sa.Column("payee_name", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("transaction", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=True),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("amount_fen > 0", name="ck_payouts_amount"),
        sa.PrimaryKeyConstraint("tenant", "payout", name="pk_payouts"),
        sa.UniqueConstraint("tenant", "reference", name="uq_payouts_tenant_reference"),
    )
    op.create_index("ix_payouts_decided", "payouts", ["tenant", "decided_ms"], unique=False)
    op.create_index("ix_payouts_state", "payouts", ["tenant", "state", "decided_ms"], unique=False)
    op.create_index("ix_payouts_account", "payouts", ["tenant", "account", "decided_ms"], unique=False)


def _callbacks() -> None:
    op.create_table(
        "payment_callbacks",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("callback", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("payment", sa.Text(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "callback", name="pk_payment_callbacks"),
    )
    op.create_index("ix_payment_callbacks_first", "payment_callbacks", ["tenant", "first_ms"], unique=False)
    op.create_index(
        "ix_payment_callbacks_verdict", "payment_callbacks", ["tenant", "verdict", "first_ms"], unique=False
    )
    op.create_index("ix_payment_callbacks_payment", "payment_callbacks", ["tenant", "payment"], unique=False)


def _outcalls() -> None:
    op.create_table(
        "outcalls",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("next_ms", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "kind", "subject", name="pk_outcalls"),
    )
    op.create_index("ix_outcalls_due", "outcalls", ["next_ms"], unique=False)


def _codes() -> None:
    op.create_table(
        "phone_codes",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("sent_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("tries >= 0 AND tries <= 5", name="ck_phone_codes_tries"),
        sa.PrimaryKeyConstraint("tenant", "purpose", "phone", name="pk_phone_codes"),
        sa.UniqueConstraint("tenant", "message", name="uq_phone_codes_tenant_message"),
    )
    op.create_index("ix_phone_codes_expires", "phone_codes", ["tenant", "expires_ms"], unique=False)
    op.create_table(
        "code_budgets",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("period_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "bucket", "period_ms", name="pk_code_budgets"),
    )
