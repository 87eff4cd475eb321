"""SQL of machines."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Table, Text

from cloud.database import metadata, tenant_column

machines = Table(
    "machines",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("place", Text, nullable=False),
    # Grows with every claim; the machine's secret derives from it, so an old secret dies with its number.
    Column("credential_version", BigInteger, nullable=False),
    Column("registered_ms", BigInteger, nullable=False),
    Column("claimed_ms", BigInteger),
    Column("revoked_ms", BigInteger),
)

# Which tenant a machine belongs to. A machine id is a broker user name, so it is unique over all tenants.
machine_directory = Table(
    "machine_directory",
    metadata,
    Column("machine", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
)

machine_states = Table(
    "machine_states",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("online", Boolean, nullable=False),
    Column("last_seen_ms", BigInteger, nullable=False),
    Column("epoch", Text),
    Column("boot_id", Text),
    Column("software", Text),
    Column("next_seq", BigInteger),
    Column("selling", Boolean),
    Column("selling_reason", Text),
    Column("door_open", Boolean),
    Column("temperature_band", Text),
    Column("temperature_tenths_c", BigInteger),
    Column("config_version", BigInteger),
    Column("config_refused", BigInteger),
    Column("config_reason", Text),
)

faults = Table(
    "faults",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("code", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("active", Boolean, nullable=False),
    Column("detail", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)

aisle_locks = Table(
    "aisle_locks",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("aisle", Text, primary_key=True),
    Column("locked", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)

machine_configs = Table(
    "machine_configs",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
)

commands = Table(
    "commands",
    metadata,
    tenant_column(),
    Column("command", Text, primary_key=True),
    Column("machine", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("ask", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_ms", BigInteger, nullable=False),
    Column("answered_ms", BigInteger),
    Index("ix_commands_machine", "tenant", "machine", "asked_ms"),
)

# The newest value of each sensor. History of readings is a matter of a later store.
machine_readings = Table(
    "machine_readings",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("sensor", Text, primary_key=True),
    Column("unit", Text, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("wall_ms", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
)
