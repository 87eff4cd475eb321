"""Who goes, when nobody says: as the brand has set it, whoever looks after the machine or the nearest technician.

Nearest is by place, as far as it is known where the job and the technicians are, among those within whose units it
lies. Of several who are as near a technician of the machine's own shop goes before one of the dealer above it, then one
of the agent, then one who works for the whole brand; of those the one with the fewest open tickets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import func, select

from cloud.accounts.options import TICKET_DISPATCH, option_of
from cloud.accounts.store import units, users
from cloud.database import Work
from cloud.machines.store import machine_profiles, machines
from cloud.nearness import NOWHERE, Place, apart_km
from cloud.tickets.model import OPEN, Ticket, TicketKind, advance
from cloud.tickets.store import tickets

# A customer's wish to give something back waits for the brand's approval.
_APPROVED_FIRST: frozenset[TicketKind] = frozenset({"exchange", "return"})


@dataclass(frozen=True, slots=True)
class Handler:
    """Somebody to send. `user` is set for our own people; `path` is where he works ("/" for the whole brand)."""

    name: str
    phone: str
    user: str | None = None
    path: str = "/"
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class _Stand:
    path: str = "/"
    keeper: Handler | None = None
    place: Place = NOWHERE


async def sent(work: Work, opened: Sequence[Ticket], address: str = "") -> list[Ticket]:
    """The tickets in their order, dispatched where the brand's setting finds somebody for them.

    `address`: where it is when no machine says so.
    """
    waiting = [ticket for ticket in opened if ticket.state == "created" and ticket.kind not in _APPROVED_FIRST]
    if not waiting:
        return list(opened)
    policies = await option_of(work, {ticket.tenant for ticket in waiting}, TICKET_DISPATCH)
    waiting = [ticket for ticket in waiting if policies[ticket.tenant] != "manual"]
    if not waiting:
        return list(opened)
    stands = await _stands(work, waiting)
    paths = await _paths(work, waiting)
    near = {tenant for tenant, policy in policies.items() if policy == "nearest"}
    technicians = await _technicians(work, near)
    chosen: dict[tuple[str, str], Handler] = {}
    for ticket in waiting:
        stand = stands.get((ticket.tenant, ticket.machine))
        if stand is None:
            stand = _Stand(paths.get((ticket.tenant, ticket.unit), "/"), place=Place(address))
        found = nearest(technicians, ticket.tenant, stand.path, stand.place) if ticket.tenant in near else stand.keeper
        if found is not None:
            chosen[ticket.tenant, ticket.ticket] = found
            technicians[ticket.tenant, found] += 1
    return [
        send(ticket, chosen[ticket.tenant, ticket.ticket], work.now_ms)
        if (ticket.tenant, ticket.ticket) in chosen
        else ticket
        for ticket in opened
    ]


def send(ticket: Ticket, handler: Handler, now_ms: int) -> Ticket:
    """The ticket once it is on its way to `handler`; raises `IllegalEvent` when it has ended."""
    return replace(
        ticket,
        state=advance(ticket, "dispatch"),
        assignee=handler.name,
        assignee_phone=handler.phone,
        assignee_user=handler.user,
        dispatched_ms=now_ms,
        steps=ticket.steps + 1,
    )


def nearest(technicians: Counter[tuple[str, Handler]], tenant: str, path: str, place: Place) -> Handler | None:
    """Of those who work above or at `path` the one who is nearest, then least busy; None when there is nobody."""
    fit = [one for owner, one in technicians if owner == tenant and one.user and path.startswith(one.path)]

    def order(one: Handler) -> tuple[int, int, int, str]:
        return apart_km(one.place, place), -len(one.path), technicians[tenant, one], one.user or ""

    return min(fit, key=order, default=None)


async def _stands(work: Work, waiting: Sequence[Ticket]) -> dict[tuple[str, str], _Stand]:
    """Where machines stand, and who looks after them."""
    of, profile = machines.c, machine_profiles.c
    shop = (units.c.tenant == of.tenant) & (units.c.unit == of.shop)
    described = (profile.tenant == of.tenant) & (profile.machine == of.machine)
    query = (
        select(of.tenant, of.machine, of.keeper, of.keeper_phone, of.place, units.c.path, profile.coordinates)
        .join_from(machines, units, shop, isouter=True)
        .join(machine_profiles, described, isouter=True)
        .where(machines.c.tenant.in_(sorted({ticket.tenant for ticket in waiting})))
        .where(machines.c.machine.in_(sorted({ticket.machine for ticket in waiting})))
    )
    return {
        (row.tenant, row.machine): _Stand(
            row.path or "/",
            Handler(row.keeper, row.keeper_phone) if row.keeper else None,
            Place(row.place, row.coordinates or ""),
        )
        for row in await work.rows(query)
    }


async def _paths(work: Work, waiting: Sequence[Ticket]) -> dict[tuple[str, str | None], str]:
    """Where the units stand whose jobs these are, of tickets about no machine."""
    named = {ticket.unit for ticket in waiting if ticket.unit is not None and not ticket.machine}
    if not named:
        return {}
    tenants = sorted({ticket.tenant for ticket in waiting})
    query = select(units.c.tenant, units.c.unit, units.c.path).where(
        units.c.tenant.in_(tenants), units.c.unit.in_(sorted(named))
    )
    return {(row.tenant, row.unit): row.path for row in await work.rows(query)}


async def _technicians(work: Work, tenants: set[str]) -> Counter[tuple[str, Handler]]:
    """The technicians of these tenants, each with how many open tickets he has."""
    if not tenants:
        return Counter()
    works_for = (units.c.tenant == users.c.tenant) & (units.c.unit == users.c.unit)
    busy = (
        select(func.count())
        .where(tickets.c.tenant == users.c.tenant, tickets.c.assignee_user == users.c.user, tickets.c.state.in_(OPEN))
        .scalar_subquery()
    )
    query = (
        select(
            users.c.tenant,
            users.c.user,
            users.c.name,
            users.c.phone,
            users.c.area,
            users.c.coordinates,
            units.c.path,
            busy.label("busy"),
        )
        .join_from(users, units, works_for, isouter=True)
        .where(users.c.tenant.in_(sorted(tenants)), users.c.role == "technician", users.c.disabled.is_(False))
    )
    return Counter(
        {
            (
                row.tenant,
                Handler(row.name, row.phone, row.user, row.path or "/", Place(row.area, row.coordinates)),
            ): row.busy
            for row in await work.rows(query)
        }
    )
