"""Where conditions open and close tickets, in bulk: what one unit of work heard costs a few statements.

Most of what is said is no news: a shelf that is low is low with every sale. So it is first asked which conditions have
their ticket already, and only what is new gets a number, a history and, where the brand has it so, a handler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cloud.database import Work
from cloud.serials import next_serials
from cloud.tickets import dispatching, store
from cloud.tickets.model import PRIORITY_MAX, PRIORITY_NORMAL, Condition, Step, Ticket, kind_of, worsened

# Who opens a ticket when a condition does, and closes it when it is over.
SYSTEM = "system"
# What stands before the number of a ticket, and the name under which the numbers are counted.
PREFIX = "FD"


@dataclass(frozen=True, slots=True)
class Job:
    """What to do about a condition, the order it is about ("" for none), and how urgent it is."""

    detail: str
    subject: str
    priority: int


class TicketDesk:
    """The conditions that one unit of work met. The last word on a condition counts."""

    def __init__(self, work: Work) -> None:
        self._work = work
        # None: it is over.
        self._said: dict[Condition, Job | None] = {}

    def open(self, condition: Condition, detail: str, *, subject: str = "", priority: int = PRIORITY_NORMAL) -> None:
        """There is a job to do. A ticket that is open already stays as it is, or becomes as urgent as this."""
        self._said[condition] = Job(detail, subject, priority)

    def clear(self, condition: Condition) -> None:
        """The condition is over: its ticket, if there is one, is done."""
        self._said[condition] = None

    async def write(self) -> None:
        """Write what was said."""
        over = [condition for condition, said in self._said.items() if said is None]
        steps = await store.close_conditions(self._work, over, SYSTEM, "the condition is over")
        wanted = {condition: said for condition, said in self._said.items() if said is not None}
        steps += await self._open(wanted) if wanted else []
        await store.add_steps(self._work, steps)

    async def _open(self, wanted: Mapping[Condition, Job]) -> list[Step]:
        known = await store.open_already(self._work, wanted)
        held = {what: known.get((what.tenant, what.open_key)) for what in wanted}
        graver = {what: job for what, job in wanted.items() if (held[what] or PRIORITY_MAX) < job.priority}
        steps = await self._worsen(graver) if graver else []
        return steps + await self._open_new({what: job for what, job in wanted.items() if held[what] is None})

    async def _worsen(self, graver: Mapping[Condition, Job]) -> list[Step]:
        worse = []
        for ticket in await store.held_by_conditions(self._work, graver):
            job = graver[Condition(ticket.tenant, ticket.machine, ticket.code, ticket.scope)]
            worse.append(worsened(ticket, job.detail, job.priority))
        await store.put_worsened(self._work, worse)
        return [
            Step(one.tenant, one.ticket, one.steps, self._work.now_ms, "worsen", one.state, SYSTEM, one.detail)
            for one in worse
        ]

    async def _open_new(self, news: Mapping[Condition, Job]) -> list[Step]:
        numbers = {
            tenant: iter(await mint_tickets(self._work, tenant, sum(what.tenant == tenant for what in news)))
            for tenant in sorted({what.tenant for what in news})
        }
        tickets = [
            Ticket(
                tenant=what.tenant,
                ticket=next(numbers[what.tenant]),
                kind=kind_of(what.code),
                machine=what.machine,
                code=what.code,
                scope=what.scope,
                state="created",
                detail=job.detail,
                subject=job.subject,
                priority=job.priority,
                opened_ms=self._work.now_ms,
                opened_by=SYSTEM,
                steps=1,
            )
            for what, job in news.items()
        ]
        return await open_all(self._work, list(zip(tickets, news, strict=True)))


async def mint_tickets(work: Work, tenant: str, count: int) -> list[str]:
    """The ids of the next `count` tickets: FD1, FD2 ... in the order in which they are opened."""
    return [f"{PREFIX}{number}" for number in await next_serials(work, tenant, PREFIX, count)]


async def open_all(work: Work, wanted: list[tuple[Ticket, Condition]], address: str = "") -> list[Step]:
    """Write tickets whose condition has none, with a handler where the brand has it so; answers their first steps.

    `address`: where the job is when no machine says so.
    """
    sent = await dispatching.sent(work, [ticket for ticket, _ in wanted], address)
    ready = [(ticket, what) for ticket, (_, what) in zip(sent, wanted, strict=True)]
    new = await store.open_tickets(work, ready)
    opened = [ticket for ticket, _ in ready if (ticket.tenant, ticket.ticket) in new]
    steps = [
        Step(one.tenant, one.ticket, 1, work.now_ms, "open", "created", one.opened_by, one.detail) for one in opened
    ]
    return steps + [
        Step(one.tenant, one.ticket, 2, work.now_ms, "dispatch", "dispatched", SYSTEM, one.assignee or "")
        for one in opened
        if one.state == "dispatched"
    ]
