"""A ticket is a job for a person: one kind of thing, whether it is called a repair, a fault or a job. Pure.

It is opened by a condition (a fault of a machine, a filter near its end, stock that is low) or asked for by somebody (a
customer, a person who works here, an order that was paid), and it ends when a person says so or its condition is over.

    created -> approved or rejected -> dispatched -> working <-> waiting -> finished

Approval is a step for those who want one: a created ticket can be dispatched or finished as it is. Dispatching says who
goes, and doing it again sends somebody else. A handler who cannot handle it puts it back to `created`; it still names
him, so that it can be seen who was there. A rejected and a finished ticket have ended; a finished one can be rated,
once, by the customer it belongs to. Reminding changes nothing but the count.

One condition (machine, code, scope) has at most one ticket that has not ended: whoever opens it again gets the one that
is there. A condition that has become graver makes its ticket more urgent; whoever has it, keeps it. Tickets that
somebody asks for without a scope are each a condition of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from cloud.errors import IllegalEvent

TicketState = Literal["created", "approved", "rejected", "dispatched", "working", "waiting", "finished"]
TicketEvent = Literal[
    "approve", "reject", "dispatch", "remind", "note", "wait", "give_up", "finish", "worsen", "condition_over", "rate"
]
TicketKind = Literal["installation", "exchange", "return", "fault", "maintenance", "dismantling"]
KINDS: tuple[TicketKind, ...] = get_args(TicketKind)
ENDED: frozenset[TicketState] = frozenset({"rejected", "finished"})
OPEN: tuple[TicketState, ...] = tuple(state for state in get_args(TicketState) if state not in ENDED)

# The kinds a customer may ask for; the others come about by themselves.
ASKED_BY_CUSTOMERS: frozenset[TicketKind] = frozenset({"exchange", "return", "fault"})

# 1 low, 2 normal, 3 high.
PRIORITY_MIN, PRIORITY_NORMAL, PRIORITY_MAX = 1, 2, 3
RATING_MIN, RATING_MAX = 1, 5
# Reminders within a minute of the last one are one reminder: an impatient thumb is no second wish.
REMIND_GAP_MS = 60_000

TRANSITIONS: Mapping[tuple[TicketState, TicketEvent], TicketState] = {
    ("created", "approve"): "approved",
    ("created", "reject"): "rejected",
    ("created", "dispatch"): "dispatched",
    ("created", "note"): "created",
    ("created", "remind"): "created",
    ("created", "finish"): "finished",
    ("created", "worsen"): "created",
    ("created", "condition_over"): "finished",
    ("approved", "dispatch"): "dispatched",
    ("approved", "note"): "approved",
    ("approved", "remind"): "approved",
    ("approved", "finish"): "finished",
    ("approved", "worsen"): "approved",
    ("approved", "condition_over"): "finished",
    ("dispatched", "dispatch"): "dispatched",
    ("dispatched", "note"): "working",
    ("dispatched", "wait"): "waiting",
    ("dispatched", "remind"): "dispatched",
    ("dispatched", "give_up"): "created",
    ("dispatched", "finish"): "finished",
    ("dispatched", "worsen"): "dispatched",
    ("dispatched", "condition_over"): "finished",
    ("working", "dispatch"): "dispatched",
    ("working", "note"): "working",
    ("working", "wait"): "waiting",
    ("working", "remind"): "working",
    ("working", "give_up"): "created",
    ("working", "finish"): "finished",
    ("working", "worsen"): "working",
    ("working", "condition_over"): "finished",
    ("waiting", "dispatch"): "dispatched",
    ("waiting", "note"): "working",
    ("waiting", "wait"): "waiting",
    ("waiting", "remind"): "waiting",
    ("waiting", "give_up"): "created",
    ("waiting", "finish"): "finished",
    ("waiting", "worsen"): "waiting",
    ("waiting", "condition_over"): "finished",
    ("finished", "rate"): "finished",
}

# What a condition asks for, where it is not a repair.
_KIND_OF_CODE: Mapping[str, TicketKind] = {"filter_worn": "maintenance"}


def kind_of(code: str) -> TicketKind:
    """The kind of job that a condition of this code is."""
    return _KIND_OF_CODE.get(code, "fault")


@dataclass(frozen=True, slots=True)
class Condition:
    """What is wrong, and where: `scope` is an aisle, an order, a board or the machine ("" for none)."""

    tenant: str
    machine: str
    code: str
    scope: str

    @property
    def open_key(self) -> str:
        """Unique among the tickets of a tenant that have not ended."""
        return f"{self.machine}/{self.code}/{self.scope}"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One job. Times in ms, None for not yet; `subject` is the order or lease it is about, or "".

    `assignee` names who goes; `assignee_user` is set when it is one of our own people. `unit` is the shop, dealer or
    agent whose job it is where no machine says so. `checked` is what the approval came to.
    """

    tenant: str
    ticket: str
    kind: TicketKind
    machine: str
    code: str
    scope: str
    state: TicketState
    detail: str
    subject: str
    opened_ms: int
    opened_by: str
    member: str | None = None
    unit: str | None = None
    priority: int = PRIORITY_NORMAL
    appointed_ms: int | None = None
    checked: bool | None = None
    checked_ms: int | None = None
    checked_by: str | None = None
    assignee: str | None = None
    assignee_phone: str = ""
    assignee_user: str | None = None
    dispatched_ms: int | None = None
    reminders: int = 0
    reminded_ms: int | None = None
    closed_ms: int | None = None
    closed_by: str | None = None
    resolution: str | None = None
    rating: int | None = None
    rated_ms: int | None = None
    rating_detail: str = ""
    # How many steps its history has.
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a ticket's history: what happened, by whom, and what it was afterwards."""

    tenant: str
    ticket: str
    step: int
    at_ms: int
    event: str
    state: TicketState
    person: str
    detail: str


def advance(ticket: Ticket, event: TicketEvent) -> TicketState:
    """The state after `event`; raises `IllegalEvent` when there is none, or the customer has rated it already."""
    after = TRANSITIONS.get((ticket.state, event))
    if after is None or (event == "rate" and ticket.rating is not None):
        state = "rated" if event == "rate" and ticket.rating is not None else ticket.state
        raise IllegalEvent(f"ticket {ticket.ticket}", state, event)
    return after


def worsened(ticket: Ticket, detail: str, priority: int) -> Ticket:
    """The ticket of a condition that has become graver: more urgent, and saying what is wrong now."""
    return replace(ticket, state=advance(ticket, "worsen"), detail=detail, priority=priority, steps=ticket.steps + 1)


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> created: opened"]
    lines += [f"    {state} --> {after}: {event}" for (state, event), after in TRANSITIONS.items()]
    return "\n".join([*lines, "    rejected --> [*]", "    finished --> [*]"])
