"""SQL of the streams: what came, how far it is applied, and what could not be."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, Table, Text

from cloud.database import metadata, tenant_column

# One row per ledger file of a machine. `applied`: every fact up to this number is in effect or in quarantine.
streams = Table(
    "streams",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("applied", BigInteger, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),
)

# The key is what makes an effect happen once (I9): it is inserted in the transaction of the effects.
facts = Table(
    "facts",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("order", Text),
    Column("body", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("mono_ms", BigInteger, nullable=False),
    Column("wall_ms", BigInteger, nullable=False),
    Column("clock_state", Text, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("happened_ms", BigInteger, nullable=False),
    Index("ix_facts_order", "tenant", "order"),
    Index("ix_facts_happened", "tenant", "machine", "happened_ms"),
)

# Where a boot's monotonic clock began on the cloud's time line, as far as it is known.
boots = Table(
    "boots",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("boot_id", Text, primary_key=True),
    Column("began_ms", BigInteger, nullable=False),
    Column("synced", Boolean, nullable=False),
)

# What could not be applied, with its bytes as they came. The tenant is '' when the machine is nobody's.
quarantine = Table(
    "quarantine",
    metadata,
    tenant_column(),
    Column("item", Text, primary_key=True),
    Column("topic", Text, nullable=False),
    Column("machine", Text, nullable=False),
    Column("epoch", Text),
    Column("seq", BigInteger),
    Column("reason", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("times", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("replayed_ms", BigInteger),
    Index("ix_quarantine_received", "tenant", "received_ms"),
    Index("ix_quarantine_machine", "tenant", "machine"),
)
