"""Guards that the database itself keeps, the same for every revision: rows that only grow, rows of one tenant.

Table names come from the revisions' own text, never from outside.
"""

from __future__ import annotations

from alembic import op

_REFUSE = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END
$$
"""

# The inner SELECT is evaluated once per statement instead of once per row. An unset tenant is NULL: no rows.
_POLICY = """
CREATE POLICY tenant_only ON {table} USING (
    tenant = (SELECT current_setting('aisleflow.tenant', true))
    OR (SELECT current_setting('aisleflow.tenant', true)) = '*'
)
"""


def append_only(*tables: str) -> None:
    """Refuse UPDATE and DELETE (and on PostgreSQL TRUNCATE) on `tables`."""
    if op.get_bind().dialect.name == "sqlite":
        for table in tables:
            for change in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_refuses_{change.lower()} BEFORE {change} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
        return
    op.execute(_REFUSE)
    for table in tables:
        op.execute(
            f"CREATE TRIGGER {table}_refuses_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_refuses_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def tenant_only(*tables: str) -> None:
    """Show and take only rows of the tenant that the transaction named; SQLite has no such guard (one lock less)."""
    if op.get_bind().dialect.name == "sqlite":
        return
    for table in tables:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        # The owner is bound as well: the cloud owns its tables.
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(_POLICY.format(table=table))
