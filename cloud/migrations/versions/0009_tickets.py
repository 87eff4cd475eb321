"""Tickets for every kind of job, with approval, dispatch, rating and history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cloud.migrations.guards import append_only, tenant_only

revision = "0009"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _tickets()
    _steps()
    append_only("ticket_steps")
    tenant_only("ticket_steps")


def _tickets() -> None:
    with op.batch_alter_table("tickets") as table:
        table.add_column(_text("kind", "fault"))
        table.add_column(_text("opened_by", "system"))
        for name in ("member", "unit", "checked_by", "assignee_user"):
            table.add_column(sa.Column(name, sa.Text(), nullable=True))
        for name in ("appointed_ms", "checked_ms", "dispatched_ms", "reminded_ms", "rating", "rated_ms"):
            table.add_column(sa.Column(name, sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("checked", sa.Boolean(), nullable=True))
        for name, so_far in (("priority", "2"), ("reminders", "0"), ("steps", "0")):
            table.add_column(sa.Column(name, sa.BigInteger(), nullable=False, server_default=so_far))
        table.add_column(_text("assignee_phone"))
        table.add_column(_text("rating_detail"))
        table.create_check_constraint("rating", "rating IS NULL OR (rating >= 1 AND rating <= 5)")
        table.create_check_constraint("priority", "priority >= 1 AND priority <= 3")
    tickets = sa.table(
        "tickets", *[sa.column(name) for name in ("state", "kind", "code", "opened_ms", "dispatched_ms")]
    )
    for before, after in (("open", "created"), ("assigned", "dispatched"), ("closed", "finished")):
        op.execute(tickets.update().where(tickets.c.state == before).values(state=after))
    # When somebody was sent was not written down: at the earliest when it was opened.
    op.execute(tickets.update().where(tickets.c.state == "dispatched").values(dispatched_ms=tickets.c.opened_ms))
    filters = tickets.c.code.in_(["filter_near_end", "filter_past_end"])
    op.execute(tickets.update().where(filters).values(kind="maintenance"))
    op.create_index("ix_tickets_subject", "tickets", ["tenant", "subject"], unique=False)
    for name in ("state", "machine", "member", "assignee_user"):
        op.create_index(f"ix_tickets_{name}", "tickets", ["tenant", name, "opened_ms"], unique=False)


def _steps() -> None:
    op.create_table(
        "ticket_steps",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("ticket", sa.Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "ticket"], ["tickets.tenant", "tickets.ticket"], name="fk_ticket_steps_tenant_ticket"
        ),
        sa.PrimaryKeyConstraint("tenant", "ticket", "step", name="pk_ticket_steps"),
    )


def _text(name: str, so_far: str = "") -> sa.Column[str]:
    """A column for rows that are there already; the default is what they have been so far."""
    return sa.Column(name, sa.Text(), nullable=False, server_default=so_far)
