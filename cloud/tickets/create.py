"""A ticket that somebody asks for: a person, or something that happened elsewhere and means a job."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.database import Work
from cloud.tickets import store
from cloud.tickets.desk import mint_tickets, open_all
from cloud.tickets.model import PRIORITY_NORMAL, Condition, Ticket, TicketKind

# The condition that people notice before machines do.
OUT_OF_STOCK = "out_of_stock"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTicket:
    """What is asked for. With a `scope` it is the only open one of (machine, code, scope); without, one of its own.

    `code` says what it is about in a word and is the kind by default; `subject` is the order or lease behind it.
    `address`: where it is when no machine says so; it decides who is near, and is not kept.
    """

    tenant: str
    kind: TicketKind
    by: str
    detail: str
    machine: str = ""
    code: str = ""
    scope: str | None = None
    subject: str = ""
    member: str | None = None
    unit: str | None = None
    address: str = ""
    priority: int = PRIORITY_NORMAL
    appointed_ms: int | None = None


async def create(work: Work, new: NewTicket) -> Ticket:
    """Open a ticket, dispatched at once where the brand has it so; the open one of its condition when there is one."""
    code = new.code or new.kind
    if new.scope is not None:
        known = await store.find_open(work, Condition(new.tenant, new.machine, code, new.scope))
        if known is not None:
            return known
    (number,) = await mint_tickets(work, new.tenant, 1)
    what = Condition(new.tenant, new.machine, code, number if new.scope is None else new.scope)
    ticket = Ticket(
        tenant=new.tenant,
        ticket=number,
        kind=new.kind,
        machine=new.machine,
        code=code,
        scope=what.scope,
        state="created",
        detail=new.detail,
        subject=new.subject,
        opened_ms=work.now_ms,
        opened_by=new.by,
        member=new.member,
        unit=new.unit,
        priority=new.priority,
        appointed_ms=new.appointed_ms,
        steps=1,
    )
    await store.add_steps(work, await open_all(work, [(ticket, what)], new.address))
    opened = await store.find_open(work, what)
    assert opened is not None, "it was written above, or its condition had one"
    return opened


async def ask_for_installation(
    work: Work, tenant: str, order: str, *, member: str | None, unit: str | None, address: str, detail: str
) -> Ticket:
    """The job that a paid order means: bring and install what was bought. Asked again, the same one.

    `unit` is the dealer, agent or shop that serves the customer; its people are sent.
    """
    return await create(
        work,
        NewTicket(
            tenant=tenant,
            kind="installation",
            by=f"order {order}",
            detail=detail,
            scope=order,
            subject=order,
            member=member,
            unit=unit,
            address=address,
        ),
    )


async def ask_for_dismantling(
    work: Work, tenant: str, lease: str, machine: str, *, member: str | None, detail: str
) -> Ticket:
    """The job that a lease means which ended and was not renewed: fetch the machine back. Asked again, the same one."""
    return await create(
        work,
        NewTicket(
            tenant=tenant,
            kind="dismantling",
            by=f"lease {lease}",
            detail=detail,
            machine=machine,
            scope=lease,
            subject=lease,
            member=member,
        ),
    )


async def ask_for_stock(work: Work, tenant: str, machine: str, *, by: str) -> Ticket:
    """Somebody noticed that a machine has nothing left: one ticket for it, until it is filled or somebody ends it."""
    return await create(
        work,
        NewTicket(
            tenant=tenant,
            kind="fault",
            by=by,
            detail="out of stock, somebody noticed",
            machine=machine,
            code=OUT_OF_STOCK,
            scope="machine",
        ),
    )
