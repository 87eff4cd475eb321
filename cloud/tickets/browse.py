"""Looking at tickets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, get_args

from sqlalchemy import ColumnElement, case, exists, func, or_, select

from cloud.accounts.model import Reach
from cloud.accounts.reach import unseen
from cloud.database import Work, record_of
from cloud.machines.store import machines
from cloud.paging import LISTINGS_KEPT, PAGE_SIZE_MAX, Ask, Listing, Page
from cloud.tickets import store
from cloud.tickets.model import KINDS, Step, Ticket, TicketKind, TicketState
from cloud.tickets.store import SHOWN, tickets


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketFilter:
    """Which tickets; None does not restrict. `sent`: whether somebody was ever dispatched. `states`: any of them.

    `shop` is the shop its machine stands in; `search` is found in the machine's name and number and in the assignee;
    `but_codes` are left out.
    """

    states: tuple[TicketState, ...] | None = None
    kind: TicketKind | None = None
    code: str | None = None
    machine: str | None = None
    member: str | None = None
    assignee: str | None = None
    assignee_user: str | None = None
    subject: str | None = None
    priority: int | None = None
    sent: bool | None = None
    shop: str | None = None
    search: str | None = None
    but_codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TicketCounts:
    """How many tickets there are, in all and by state and kind."""

    total: int
    by_state: dict[TicketState, int]
    by_kind: dict[TicketKind, int]


_SORTS: Mapping[str, ColumnElement[Any]] = {
    **{
        name: tickets.c[name]
        for name in ("opened_ms", "appointed_ms", "closed_ms", "priority", "machine", "member", "code", "subject")
    },
    "ticket": tickets.c.ticket,
    "tenant": tickets.c.tenant,
    "state": case({state: place for place, state in enumerate(get_args(TicketState))}, value=tickets.c.state),
    "kind": case({kind: place for place, kind in enumerate(KINDS)}, value=tickets.c.kind),
}


async def list_tickets(work: Work, reach: Reach, wanted: TicketFilter, ask: Ask) -> Page[Ticket]:
    """Tickets within reach, newest first; sorted by any of `_SORTS`, states and kinds in the order of their tables."""
    return await _listing(reach, wanted).page(work, ask, lambda row: record_of(Ticket, row))


@lru_cache(maxsize=LISTINGS_KEPT)
def _listing(reach: Reach, wanted: TicketFilter) -> Listing:
    query = select(*SHOWN).where(store.seen(reach), *_conditions(wanted))
    return Listing(query, _SORTS, (tickets.c.opened_ms.desc(), tickets.c.ticket))


async def count_tickets(work: Work, reach: Reach) -> TicketCounts:
    """The tickets within reach, counted."""
    query = select(tickets.c.state, tickets.c.kind, func.count().label("number")).where(store.seen(reach))
    by_state: Counter[TicketState] = Counter()
    by_kind: Counter[TicketKind] = Counter()
    for row in await work.rows(query.group_by(tickets.c.state, tickets.c.kind)):
        by_state[row.state] += row.number
        by_kind[row.kind] += row.number
    return TicketCounts(by_state.total(), dict(by_state), dict(by_kind))


async def count_sent(work: Work, reach: Reach, wanted: TicketFilter) -> tuple[int, int]:
    """How many of these tickets nobody was dispatched to, and how many somebody was."""
    sent = func.coalesce(func.sum(case((tickets.c.dispatched_ms.is_not(None), 1), else_=0)), 0)
    query = select(func.count().label("all"), sent.label("sent")).where(store.seen(reach), *_conditions(wanted))
    row = await work.row(query)
    assert row is not None, "counts answer one row"
    return row.all - row.sent, row.sent


async def ticket_of(work: Work, reach: Reach, tenant: str, ticket: str) -> Ticket:
    """One ticket; FleetError not_found when there is none of this id within reach."""
    found = await store.find_ticket(work, reach, tenant, ticket)
    if found is None:
        raise unseen(reach, f"ticket {ticket!r}", "ticket")
    return found


async def tickets_about(work: Work, tenant: str, subject: str) -> list[Ticket]:
    """The tickets about one order or lease, newest first."""
    here = tickets.c.tenant == tenant, tickets.c.subject == subject
    rows = await work.rows(select(*SHOWN).where(*here).order_by(tickets.c.opened_ms.desc()).limit(PAGE_SIZE_MAX))
    return [record_of(Ticket, row) for row in rows]


async def history_of(work: Work, tenant: str, ticket: str) -> list[Step]:
    """The steps of a ticket, from its beginning."""
    return await store.steps_of(work, tenant, ticket)


def _conditions(wanted: TicketFilter) -> list[ColumnElement[bool]]:
    exact = ("kind", "code", "machine", "member", "assignee", "assignee_user", "subject", "priority")
    conditions = [tickets.c[name] == getattr(wanted, name) for name in exact if getattr(wanted, name) is not None]
    if wanted.states is not None:
        conditions.append(tickets.c.state.in_(wanted.states))
    if wanted.but_codes:
        conditions.append(tickets.c.code.not_in(wanted.but_codes))
    if wanted.sent is not None:
        conditions.append(tickets.c.dispatched_ms.is_not(None) if wanted.sent else tickets.c.dispatched_ms.is_(None))
    its_machine = exists().where(machines.c.tenant == tickets.c.tenant, machines.c.machine == tickets.c.machine)
    if wanted.shop is not None:
        conditions.append(its_machine.where(machines.c.shop == wanted.shop))
    if wanted.search is not None:
        names = (machines.c.machine, machines.c.name, machines.c.number)
        fits = [func.lower(column).contains(wanted.search.lower(), autoescape=True) for column in names]
        named = func.lower(tickets.c.assignee).contains(wanted.search.lower(), autoescape=True)
        conditions.append(or_(named, its_machine.where(or_(*fits))))
    return conditions
