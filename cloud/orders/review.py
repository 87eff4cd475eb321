"""A person decides what nobody could prove."""

from __future__ import annotations

from dataclasses import replace

from cloud.database import Work
from cloud.errors import IllegalEvent
from cloud.machines.commands import ask
from cloud.machines.credentials import Credentials
from cloud.machines.register import machine_of
from cloud.orders.books import Books
from cloud.orders.model import Order, OrderEvent, advance
from cloud.orders.store import machine_of_order
from cloud.tickets.model import Condition
from shared.messages import CloseReview


async def decide(
    work: Work, credentials: Credentials, tenant: str, order: str, *, delivered: bool, decided_by: str
) -> Order:
    """End a doubt: the money goes to the company or back to the buyer, and the machine's stock is told to follow.

    FleetError: not_found, or conflict when there is nothing to decide.
    """
    machine = await machine_of(work, tenant, await machine_of_order(work, tenant, order), lock=True)
    books = await Books.open(work, orders=[(tenant, order)])
    found = books.require(tenant, order)
    event: OrderEvent = "decide_delivered" if delivered else "decide_refunded"
    if not found.is_doubtful:
        raise IllegalEvent(f"order {order}", found.state, event)
    decided, effects = advance(found, event, work.now_ms)
    decided = replace(decided, decided_by=decided_by)
    books.put(decided)
    books.pay(decided, effects, note=f"decided by {decided_by}")
    for code in ("vend_unknown", "money_kept"):
        books.desk.clear(Condition(tenant, found.machine, code, order))
    books.tell(decided, "order.decided", delivered=delivered)
    await books.write()
    if machine.is_trusted:
        await ask(work, credentials, tenant, machine.machine, CloseReview(order=order, delivered=delivered), decided_by)
    return decided
