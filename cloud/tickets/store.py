"""SQL of tickets."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, Text, UniqueConstraint

from cloud.database import metadata, tenant_column

tickets = Table(
    "tickets",
    metadata,
    tenant_column(),
    Column("ticket", Text, primary_key=True),
    Column("machine", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("state", Text, nullable=False),
    # "machine/code/scope" while the ticket is open and NULL afterwards: one condition has one open ticket.
    Column("open_key", Text),
    Column("detail", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("assignee", Text),
    Column("opened_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),
    Column("closed_by", Text),
    Column("resolution", Text),
    UniqueConstraint("tenant", "open_key"),
    Index("ix_tickets_opened", "tenant", "opened_ms"),
)
