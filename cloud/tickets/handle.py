"""What people do with a ticket, one at a time. Each step goes into its history.

All of them raise FleetError: not_found when there is no such ticket within reach, conflict (`IllegalEvent`) when its
state does not allow the step.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cloud.accounts.model import Reach
from cloud.accounts.reach import unseen
from cloud.accounts.store import find_user
from cloud.database import Work
from cloud.errors import FleetError
from cloud.tickets import store
from cloud.tickets.dispatching import Handler, send
from cloud.tickets.model import (
    ENDED,
    RATING_MAX,
    RATING_MIN,
    REMIND_GAP_MS,
    Step,
    Ticket,
    TicketEvent,
    advance,
)


async def approve(
    work: Work, reach: Reach, tenant: str, ticket: str, by: str, *, granted: bool, detail: str = ""
) -> Ticket:
    """Say whether the job is to be done; one that is not ends here."""
    found = await _ticket(work, reach, tenant, ticket)
    event: TicketEvent = "approve" if granted else "reject"
    closing: dict[str, Any] = {} if granted else {"closed_ms": work.now_ms, "closed_by": by, "resolution": detail}
    return await _take(
        work, found, event, by, detail, checked=granted, checked_ms=work.now_ms, checked_by=by, **closing
    )


async def dispatch(
    work: Work,
    reach: Reach,
    tenant: str,
    ticket: str,
    by: str,
    *,
    name: str = "",
    phone: str = "",
    user: str | None = None,
) -> Ticket:
    """Send somebody: one of our own people by his id, or anybody by name and phone. Again: somebody else.

    FleetError too: not_found user, invalid when neither is given.
    """
    found = await _ticket(work, reach, tenant, ticket)
    sent = send(found, await _handler(work, tenant, name, phone, user), work.now_ms)
    return await _write(work, sent, "dispatch", by, sent.assignee or "")


async def remind(work: Work, reach: Reach, tenant: str, ticket: str, by: str) -> Ticket:
    """Urge whoever has it. Counted, but at most once within `REMIND_GAP_MS`: more often changes nothing."""
    found = await _ticket(work, reach, tenant, ticket)
    advance(found, "remind")
    if found.reminded_ms is not None and work.now_ms - found.reminded_ms < REMIND_GAP_MS:
        return found
    return await _take(work, found, "remind", by, "", reminders=found.reminders + 1, reminded_ms=work.now_ms)


async def note(
    work: Work, reach: Reach, tenant: str, ticket: str, by: str, text: str, *, waiting: bool = False
) -> Ticket:
    """Write down how it goes: a dispatched job is being worked on from then on, or (`waiting`) waits for an answer."""
    found = await _ticket(work, reach, tenant, ticket)
    return await _take(work, found, "wait" if waiting else "note", by, text)


async def finish(work: Work, reach: Reach, tenant: str, ticket: str, by: str, resolution: str) -> Ticket:
    """Say that the job is done, and how."""
    found = await _ticket(work, reach, tenant, ticket)
    ended = {"closed_ms": work.now_ms, "closed_by": by, "resolution": resolution}
    return await _take(work, found, "finish", by, resolution, **ended)


async def give_up(work: Work, reach: Reach, tenant: str, ticket: str, by: str, reason: str) -> Ticket:
    """Say that it cannot be handled: it is to be dispatched anew."""
    found = await _ticket(work, reach, tenant, ticket)
    return await _take(work, found, "give_up", by, reason, resolution=reason)


async def rate(
    work: Work, reach: Reach, tenant: str, ticket: str, member: str, rating: int, *, detail: str = ""
) -> Ticket:
    """What the customer thinks of a finished job, once; FleetError too: invalid, forbidden for anybody else's."""
    if not RATING_MIN <= rating <= RATING_MAX:
        raise FleetError("invalid", f"a rating is {RATING_MIN} to {RATING_MAX}, not {rating}", field="rating")
    found = await _ticket(work, reach, tenant, ticket)
    if found.member != member:
        raise FleetError("forbidden", "a job is rated by the customer it was done for")
    return await _take(work, found, "rate", member, detail, rating=rating, rated_ms=work.now_ms, rating_detail=detail)


async def _ticket(work: Work, reach: Reach, tenant: str, ticket: str) -> Ticket:
    found = await store.find_ticket(work, reach, tenant, ticket, lock=True)
    if found is None:
        raise unseen(reach, f"ticket {ticket!r}", "ticket")
    return found


async def _handler(work: Work, tenant: str, name: str, phone: str, user: str | None) -> Handler:
    if user is None:
        if not name:
            raise FleetError("invalid", "a ticket is dispatched to a user, or to a name", field="assignee")
        return Handler(name, phone)
    ours = await find_user(work, tenant, user)
    if ours is None or ours.disabled:
        raise FleetError("not_found", f"there is no user {user!r}", field="user")
    return Handler(name or ours.name, phone or ours.phone, ours.user)


async def _take(work: Work, found: Ticket, event: TicketEvent, by: str, detail: str, **changes: Any) -> Ticket:
    changed = replace(found, state=advance(found, event), steps=found.steps + 1, **changes)
    return await _write(work, changed, event, by, detail)


async def _write(work: Work, changed: Ticket, event: TicketEvent, by: str, detail: str) -> Ticket:
    await store.put_ticket(work, changed, ended=changed.state in ENDED)
    step = Step(changed.tenant, changed.ticket, changed.steps, work.now_ms, event, changed.state, by, detail)
    await store.add_steps(work, [step])
    return changed
