"""SQL of members and of the money ledger."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKeyConstraint, Index, Table, Text

from cloud.database import metadata, tenant_column

members = Table(
    "members",
    metadata,
    tenant_column(),
    Column("member", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("joined_ms", BigInteger, nullable=False),
)

ledger_accounts = Table(
    "ledger_accounts",
    metadata,
    tenant_column(),
    Column("account", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("balance_fen", BigInteger, nullable=False),
    # The balance never goes below it; NULL for accounts that may hold any amount.
    Column("floor_fen", BigInteger),
    CheckConstraint("floor_fen IS NULL OR balance_fen >= floor_fen", name="floor"),
)

# Append-only, like the postings. The key says what the entry is for ("hold/<order>"), so nothing is booked twice.
ledger_entries = Table(
    "ledger_entries",
    metadata,
    tenant_column(),
    Column("entry", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("booked_ms", BigInteger, nullable=False),
    Index("ix_ledger_entries_subject", "tenant", "subject"),
)

# A posting moves an amount from one account to another: it cannot be out of balance.
ledger_postings = Table(
    "ledger_postings",
    metadata,
    tenant_column(),
    Column("entry", Text, primary_key=True),
    Column("line", BigInteger, primary_key=True, autoincrement=False),
    Column("from_account", Text, nullable=False),
    Column("to_account", Text, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    CheckConstraint("amount_fen > 0", name="amount"),
    CheckConstraint("from_account <> to_account", name="two_accounts"),
    ForeignKeyConstraint(["tenant", "entry"], ["ledger_entries.tenant", "ledger_entries.entry"]),
    Index("ix_ledger_postings_from", "tenant", "from_account"),
    Index("ix_ledger_postings_to", "tenant", "to_account"),
)
