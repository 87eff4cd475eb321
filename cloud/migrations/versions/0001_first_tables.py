"""The first tables: machines, goods, stock, money, orders, tickets, streams and the downlink."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cloud.migrations.guards import append_only, tenant_only
from shared.ids import mint_epoch

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _platform()
    _machines()
    _machine_states()
    _stock()
    _money()
    _sales()
    _people()
    _ingest()
    append_only("ledger_entries", "ledger_postings", "stock_movements", "refunds")
    tenant_only(
        "machines",
        "machine_configs",
        "commands",
        "machine_states",
        "faults",
        "aisle_locks",
        "machine_readings",
        "goods",
        "stock_movements",
        "stock_balances",
        "members",
        "ledger_accounts",
        "ledger_entries",
        "ledger_postings",
        "orders",
        "refunds",
        "tickets",
        "event_counters",
        "events",
        "downlink",
        "streams",
        "facts",
        "early_facts",
        "boots",
        "quarantine",
    )


def _platform() -> None:
    op.create_table(
        "installation",
        sa.Column("one", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("incarnation", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("one", name="pk_installation"),
    )
    installation = sa.table("installation", sa.column("one"), sa.column("incarnation"))
    op.execute(installation.insert().values(one=1, incarnation=mint_epoch()))


def _machines() -> None:
    op.create_table(
        "machines",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("credential_version", sa.BigInteger(), nullable=False),
        sa.Column("registered_ms", sa.BigInteger(), nullable=False),
        sa.Column("claimed_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "machine", name="pk_machines"),
    )
    op.create_table(
        "machine_directory",
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("machine", name="pk_machine_directory"),
    )
    op.create_table(
        "machine_configs",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", "version", name="pk_machine_configs"),
    )
    op.create_table(
        "commands",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ask", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_ms", sa.BigInteger(), nullable=False),
        sa.Column("answered_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "command", name="pk_commands"),
    )
    op.create_index("ix_commands_machine", "commands", ["tenant", "machine", "asked_ms"], unique=False)


def _machine_states() -> None:
    op.create_table(
        "machine_states",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=True),
        sa.Column("boot_id", sa.Text(), nullable=True),
        sa.Column("software", sa.Text(), nullable=True),
        sa.Column("next_seq", sa.BigInteger(), nullable=True),
        sa.Column("selling", sa.Boolean(), nullable=True),
        sa.Column("selling_reason", sa.Text(), nullable=True),
        sa.Column("door_open", sa.Boolean(), nullable=True),
        sa.Column("temperature_band", sa.Text(), nullable=True),
        sa.Column("temperature_tenths_c", sa.BigInteger(), nullable=True),
        sa.Column("config_version", sa.BigInteger(), nullable=True),
        sa.Column("config_refused", sa.BigInteger(), nullable=True),
        sa.Column("config_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "machine", name="pk_machine_states"),
    )
    op.create_table(
        "faults",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", "code", "scope", name="pk_faults"),
    )
    op.create_table(
        "aisle_locks",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("aisle", sa.Text(), nullable=False),
        sa.Column("locked", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", "aisle", name="pk_aisle_locks"),
    )
    op.create_table(
        "machine_readings",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("sensor", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("wall_ms", sa.BigInteger(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", "sensor", name="pk_machine_readings"),
    )


def _stock() -> None:
    op.create_table(
        "goods",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("goods", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("barcode", sa.Text(), nullable=False),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "goods", name="pk_goods"),
    )
    op.create_table(
        "stock_movements",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("aisle", sa.Text(), nullable=False),
        sa.Column("goods", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("on_hand_delta", sa.BigInteger(), nullable=False),
        sa.Column("held_delta", sa.BigInteger(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", "source", name="pk_stock_movements"),
    )
    op.create_index("ix_stock_movements_at", "stock_movements", ["tenant", "machine", "at_ms"], unique=False)
    op.create_table(
        "stock_balances",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("aisle", sa.Text(), nullable=False),
        sa.Column("goods", sa.Text(), nullable=False),
        sa.Column("on_hand", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", "aisle", name="pk_stock_balances"),
    )


def _money() -> None:
    op.create_table(
        "members",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("joined_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "member", name="pk_members"),
    )
    op.create_table(
        "ledger_accounts",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("balance_fen", sa.BigInteger(), nullable=False),
        sa.Column("floor_fen", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("floor_fen IS NULL OR balance_fen >= floor_fen", name="ck_ledger_accounts_floor"),
        sa.PrimaryKeyConstraint("tenant", "account", name="pk_ledger_accounts"),
    )
    op.create_table(
        "ledger_entries",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("booked_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "entry", name="pk_ledger_entries"),
    )
    op.create_index("ix_ledger_entries_subject", "ledger_entries", ["tenant", "subject"], unique=False)
    op.create_table(
        "ledger_postings",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("line", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("from_account", sa.Text(), nullable=False),
        sa.Column("to_account", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_fen > 0", name="ck_ledger_postings_amount"),
        sa.CheckConstraint("from_account <> to_account", name="ck_ledger_postings_two_accounts"),
        sa.ForeignKeyConstraint(
            ["tenant", "entry"],
            ["ledger_entries.tenant", "ledger_entries.entry"],
            name="fk_ledger_postings_tenant_entry",
        ),
        sa.PrimaryKeyConstraint("tenant", "entry", "line", name="pk_ledger_postings"),
    )
    op.create_index("ix_ledger_postings_from", "ledger_postings", ["tenant", "from_account"], unique=False)
    op.create_index("ix_ledger_postings_to", "ledger_postings", ["tenant", "to_account"], unique=False)


def _sales() -> None:
    op.create_table(
        "orders",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("order", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("aisle", sa.Text(), nullable=False),
        sa.Column("goods", sa.Text(), nullable=False),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
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
        sa.Column("delivered_aisle", sa.Text(), nullable=True),
        sa.Column("written_off", sa.Boolean(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("refunded_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("refunded_fen >= 0 AND refunded_fen <= paid_fen", name="ck_orders_refund_within_captured"),
        sa.PrimaryKeyConstraint("tenant", "order", name="pk_orders"),
        sa.UniqueConstraint("tenant", "idempotency_key", name="uq_orders_tenant_idempotency_key"),
    )
    op.create_index("ix_orders_machine", "orders", ["tenant", "machine", "placed_ms"], unique=False)
    op.create_index("ix_orders_placed", "orders", ["tenant", "placed_ms"], unique=False)
    op.create_index("ix_orders_ended", "orders", ["tenant", "ended_ms"], unique=False)
    op.create_index("ix_orders_state", "orders", ["tenant", "state", "deadline_ms"], unique=False)
    op.create_table(
        "refunds",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("refund", sa.Text(), nullable=False),
        sa.Column("order", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_fen > 0", name="ck_refunds_amount"),
        sa.PrimaryKeyConstraint("tenant", "refund", name="pk_refunds"),
    )
    op.create_index("ix_refunds_order", "refunds", ["tenant", "order"], unique=False)


def _people() -> None:
    op.create_table(
        "tickets",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("ticket", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("open_key", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("assignee", sa.Text(), nullable=True),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_ms", sa.BigInteger(), nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "ticket", name="pk_tickets"),
        sa.UniqueConstraint("tenant", "open_key", name="uq_tickets_tenant_open_key"),
    )
    op.create_index("ix_tickets_opened", "tickets", ["tenant", "opened_ms"], unique=False)
    op.create_table(
        "event_counters",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name="pk_event_counters"),
    )
    op.create_table(
        "events",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_events"),
    )
    op.create_table(
        "downlink",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("next_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "reference", name="pk_downlink"),
    )
    op.create_index("ix_downlink_due", "downlink", ["next_ms"], unique=False)
    op.create_index("ix_downlink_machine", "downlink", ["tenant", "machine"], unique=False)


def _ingest() -> None:
    op.create_table(
        "streams",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("applied", sa.BigInteger(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "machine", "epoch", name="pk_streams"),
    )
    op.create_table(
        "facts",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("order", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=False),
        sa.Column("mono_ms", sa.BigInteger(), nullable=False),
        sa.Column("wall_ms", sa.BigInteger(), nullable=False),
        sa.Column("clock_state", sa.Text(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("happened_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", "epoch", "seq", name="pk_facts"),
    )
    op.create_index("ix_facts_happened", "facts", ["tenant", "machine", "happened_ms"], unique=False)
    op.create_index("ix_facts_order", "facts", ["tenant", "order"], unique=False)
    op.create_table(
        "early_facts",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", "epoch", "seq", name="pk_early_facts"),
    )
    op.create_table(
        "boots",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=False),
        sa.Column("began_ms", sa.BigInteger(), nullable=False),
        sa.Column("synced", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", "boot_id", name="pk_boots"),
    )
    op.create_table(
        "quarantine",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("replayed_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "item", name="pk_quarantine"),
    )
    op.create_index("ix_quarantine_machine", "quarantine", ["tenant", "machine"], unique=False)
    op.create_index("ix_quarantine_received", "quarantine", ["tenant", "received_ms"], unique=False)
