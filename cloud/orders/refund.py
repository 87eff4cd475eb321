"""Giving money back for something that was delivered: an operator's decision, never more than was captured."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cloud.database import Work
from cloud.errors import FleetError
from cloud.orders import store
from cloud.orders.books import Books
from cloud.orders.model import Order, posting


@dataclass(frozen=True, slots=True)
class Refund:
    """What is to be given back for one order, of goods or of water; the same `reference` once, for ever."""

    tenant: str
    order: str
    amount_fen: int
    reference: str
    reason: str
    decided_by: str


async def refund(
    work: Work, tenant: str, order: str, amount_fen: int, *, reference: str, reason: str, decided_by: str
) -> Order:
    """Return `amount_fen` of a delivered order to its payer. The same reference is carried out once, for ever.

    FleetError: not_found, invalid amount, conflict when the order was not delivered, the sum of refunds would exceed
    what was captured, or the reference was used for something else.
    """
    books = await Books.open(work, orders=[(tenant, order)])
    found = books.require(tenant, order)
    wanted = Refund(tenant, order, amount_fen, reference, reason, decided_by)
    if await is_carried_out(work, wanted):
        return found
    if found.state != "delivered":
        raise FleetError("conflict", f"the order is {found.state}: only a delivered one can be refunded", field="order")
    await carry_out(work, wanted, left_fen=found.paid_fen - found.refunded_fen)
    refunded = replace(found, refunded_fen=found.refunded_fen + amount_fen)
    books.put(refunded)
    books.ledger.book(tenant, "refund", f"{order}/{reference}", [posting(found, "refund", amount_fen)], note=reason)
    books.tell(refunded, "order.money_returned", amount_fen=amount_fen)
    await books.write()
    return refunded


async def is_carried_out(work: Work, wanted: Refund) -> bool:
    """Whether this very refund was carried out before; FleetError(conflict) for another one of the same reference."""
    before = await store.find_refund(work, wanted.tenant, wanted.reference)
    if before is None:
        return False
    if (before.order, before.amount_fen) != (wanted.order, wanted.amount_fen):
        raise FleetError("conflict", f"{wanted.reference!r} was used for another refund", field="reference")
    return True


async def carry_out(work: Work, wanted: Refund, *, left_fen: int) -> None:
    """Write a refund down; its order must be locked by this Work. FleetError when it is more than `left_fen`, or 0."""
    if wanted.amount_fen <= 0:
        raise FleetError("invalid", f"{wanted.amount_fen} is not above 0", field="amount_fen")
    if wanted.amount_fen > left_fen:
        raise FleetError(
            "conflict", f"{left_fen} fen are left to refund", field="amount_fen", data={"left_fen": left_fen}
        )
    await store.add_refund(
        work,
        {
            "tenant": wanted.tenant,
            "refund": wanted.reference,
            "order": wanted.order,
            "amount_fen": wanted.amount_fen,
            "reason": wanted.reason,
            "decided_by": wanted.decided_by,
            "decided_ms": work.now_ms,
        },
    )
