"""A ticket is a job for a person: it is opened by a condition and closed by its end or by somebody.

    open -> assigned -> closed        (open, assigned) -> closed

One condition (machine, code, scope) has at most one ticket that is not closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cloud.errors import IllegalEvent

TicketState = Literal["open", "assigned", "closed"]
TicketEvent = Literal["assign", "close"]

TRANSITIONS: Mapping[tuple[TicketState, TicketEvent], TicketState] = {
    ("open", "assign"): "assigned",
    ("assigned", "assign"): "assigned",
    ("open", "close"): "closed",
    ("assigned", "close"): "closed",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """What is wrong, and where: `scope` is an aisle, an order, a board or the machine."""

    tenant: str
    machine: str
    code: str
    scope: str

    @property
    def open_key(self) -> str:
        """Unique among the tickets of a tenant that are not closed."""
        return f"{self.machine}/{self.code}/{self.scope}"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One job. `subject` is the order it is about, or ''."""

    tenant: str
    ticket: str
    machine: str
    code: str
    scope: str
    state: TicketState
    detail: str
    subject: str
    assignee: str | None
    opened_ms: int
    closed_ms: int | None
    closed_by: str | None
    resolution: str | None


def advance(ticket: Ticket, event: TicketEvent) -> TicketState:
    """The state after `event`; raises `IllegalEvent` when there is none."""
    try:
        return TRANSITIONS[ticket.state, event]
    except KeyError:
        raise IllegalEvent(f"ticket {ticket.ticket}", ticket.state, event) from None
