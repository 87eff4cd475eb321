"""What people do with a purchase after it is paid: send it, receive it, send it back, give it back."""

from __future__ import annotations

from dataclasses import replace

from cloud.database import Work
from cloud.errors import FleetError, IllegalEvent
from cloud.events import tell
from cloud.members.ledger import Ledger
from cloud.purchases import store
from cloud.purchases.model import Deadlines, Delivery, Purchase, PurchaseEvent, advance
from cloud.purchases.steps import purchase_event, purchase_of, step


async def change_state(
    work: Work,
    deadlines: Deadlines,
    tenant: str,
    purchase: str,
    event: PurchaseEvent,
    by: str,
    *,
    repay_fen: int | None = None,
) -> Purchase:
    """One step of a purchase; `repay_fen` of an event that gives back, None: everything but what is kept as deposit.

    FleetError: not_found, gone, conflict when its state does not allow it, invalid amount.
    """
    found = await purchase_of(work, tenant, purchase, lock=True)
    return await _step(work, deadlines, found, event, by, repay_fen)


async def deliver(
    work: Work, deadlines: Deadlines, tenant: str, purchase: str, delivery: Delivery, by: str
) -> Purchase:
    """Send a purchase that is paid; FleetError: not_found, gone, conflict."""
    found = await purchase_of(work, tenant, purchase, lock=True)
    sent = replace(delivery, sent_ms=delivery.sent_ms or work.now_ms)
    return await _step(work, deadlines, replace(found, delivery=sent), "deliver", by)


async def correct_delivery(work: Work, tenant: str, purchase: str, delivery: Delivery) -> Purchase:
    """Correct how a purchase was sent; FleetError: not_found, gone, conflict when it was not sent yet."""
    found = await purchase_of(work, tenant, purchase, lock=True)
    if found.delivery.sent_ms is None:
        raise IllegalEvent(f"order {purchase}", found.state, "correct the delivery")
    corrected = replace(found, delivery=replace(delivery, sent_ms=delivery.sent_ms or found.delivery.sent_ms))
    await store.put_purchase(work, corrected)
    return corrected


async def delete_purchase(work: Work, tenant: str, purchase: str) -> None:
    """Take a purchase out of all lists, for good; its number and what was booked stay. One that nobody paid is closed.

    FleetError: not_found, gone, conflict while money lies in it.
    """
    found = await purchase_of(work, tenant, purchase, lock=True)
    if found.payment is not None and found.ended_ms is None:
        raise FleetError("conflict", f"the order is {found.state}: its money is not settled", field="order")
    if found.state == "obligation":
        found, _ = advance(found, "cancel", work.now_ms, Deadlines())
    await store.put_purchase(work, replace(found, deleted_ms=work.now_ms, due_ms=None))


async def forget_receivers(work: Work, tenant: str, member: str) -> None:
    """To whom a member's orders were sent, and what he wrote to them: forgotten. What was booked stays."""
    await store.forget_receivers(work, tenant, member)


async def _step(
    work: Work, deadlines: Deadlines, purchase: Purchase, event: PurchaseEvent, by: str, repay_fen: int | None = None
) -> Purchase:
    ledger = Ledger(work)
    after = await step(work, ledger, purchase, event, deadlines, by, repay_fen=repay_fen)
    await ledger.write()
    await tell(work, [purchase_event(after)])
    return after
