"""Giving money back for something that was delivered: an operator's decision, never more than was captured."""

from __future__ import annotations

from dataclasses import replace

from cloud.database import Work
from cloud.errors import FleetError
from cloud.orders import store
from cloud.orders.books import Books
from cloud.orders.model import Order, posting


async def refund(
    work: Work, tenant: str, order: str, amount_fen: int, *, reference: str, reason: str, decided_by: str
) -> Order:
    """Return `amount_fen` of a delivered order to its payer. The same reference is carried out once, for ever.

    FleetError: not_found, invalid amount, conflict when the order was not delivered, the sum of refunds would exceed
    what was captured, or the reference was used for something else.
    """
    books = await Books.open(work, orders=[(tenant, order)])
    found = books.require(tenant, order)
    if before := await store.find_refund(work, tenant, reference):
        if (before.order, before.amount_fen) != (order, amount_fen):
            raise FleetError("conflict", f"{reference!r} was used for another refund", field="reference")
        return found
    if found.state != "delivered":
        raise FleetError("conflict", f"the order is {found.state}: only a delivered one can be refunded", field="order")
    left = found.paid_fen - found.refunded_fen
    if amount_fen <= 0:
        raise FleetError("invalid", f"{amount_fen} is not above 0", field="amount_fen")
    if amount_fen > left:
        raise FleetError("conflict", f"{left} fen are left to refund", field="amount_fen", data={"left_fen": left})
    await store.add_refund(
        work,
        {
            "tenant": tenant,
            "refund": reference,
            "order": order,
            "amount_fen": amount_fen,
            "reason": reason,
            "decided_by": decided_by,
            "decided_ms": work.now_ms,
        },
    )
    refunded = replace(found, refunded_fen=found.refunded_fen + amount_fen)
    books.put(refunded)
    subject = f"{order}/{reference}"
    books.ledger.book(tenant, "refund", subject, [posting(found, "refund", amount_fen)], note=reason)
    books.tell(refunded, "order.money_returned", amount_fen=amount_fen)
    await books.write()
    return refunded
