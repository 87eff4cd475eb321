"""Giving money back for water that was charged: an operator's decision, never more than was charged.

What flowed stays sold: litres follow the meter, and a refund moves money only.
"""

from __future__ import annotations

from dataclasses import replace

from cloud.database import Work
from cloud.errors import FleetError
from cloud.members.model import REVENUE, Posting
from cloud.orders.books import Books
from cloud.orders.refund import Refund, carry_out, is_carried_out
from cloud.water.model import Pour
from cloud.water.pours import Pours


async def refund(
    work: Work, tenant: str, order: str, amount_fen: int, *, reference: str, reason: str, decided_by: str
) -> Pour:
    """Return `amount_fen` of a charged pour to its payer. The same reference is carried out once, for ever.

    FleetError: not_found, invalid amount, conflict when nothing was charged (yet), the sum of refunds would exceed what
    was charged, or the reference was used for something else.
    """
    pours = await Pours.open(Books(work), [(tenant, order)])
    found = pours.require(tenant, order)
    wanted = Refund(tenant, order, amount_fen, reference, reason, decided_by)
    if await is_carried_out(work, wanted):
        return found
    if found.state != "poured":
        raise FleetError("conflict", f"the pour is {found.state}: only a charged one can be refunded", field="order")
    await carry_out(work, wanted, left_fen=found.charged_fen - found.refunded_fen)
    refunded = replace(found, refunded_fen=found.refunded_fen + amount_fen)
    pours.put(refunded)
    back = Posting(REVENUE, found.payer, amount_fen)
    pours.books.ledger.book(tenant, "refund", f"{order}/{reference}", [back], note=reason)
    pours.tell(refunded, "pour.money_returned", amount_fen=amount_fen)
    await pours.write()
    await pours.books.write()
    return refunded
