"""Alembic's entry: the connection comes from `cloud.migrations.migrate`, or from a developer's autogenerate."""

from __future__ import annotations

from alembic import context

from cloud.migrations import whole_metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=whole_metadata(),
    render_as_batch=connection.dialect.name == "sqlite",
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
