"""One step of a purchase with everything that it does beside it, in one unit of work."""

from __future__ import annotations

from dataclasses import replace

from cloud.commission.accrue import accrue, earn, forfeit
from cloud.database import Work
from cloud.errors import FleetError
from cloud.events import Event
from cloud.members.browse import account_balance
from cloud.members.ledger import Ledger
from cloud.members.model import REVENUE, Posting, advances
from cloud.payments.refund import refund
from cloud.purchases import store
from cloud.purchases.model import (
    Deadlines,
    Effect,
    Purchase,
    PurchaseEvent,
    advance,
    commission_parts,
)
from cloud.rentals.agree import Agreement, agree
from cloud.rentals.quit import void_rentals
from cloud.rentals.renew import renew_rental
from cloud.tickets.create import ask_for_installation
from cloud.tickets.desk import TicketDesk
from cloud.tickets.model import Condition

# The condition under which somebody is sent to put it up.
INSTALLATION = "installation"


async def purchase_of(work: Work, tenant: str, purchase: str, *, lock: bool = False) -> Purchase:
    """One purchase; FleetError not_found, or gone when it was deleted."""
    found = await store.find_purchase(work, tenant, purchase, lock=lock)
    if found is None:
        raise FleetError("not_found", f"no order {purchase!r}", field="order")
    if found.deleted_ms is not None:
        raise FleetError("gone", f"the order {purchase!r} was deleted", field="order")
    return found


async def step(
    work: Work,
    ledger: Ledger,
    purchase: Purchase,
    event: PurchaseEvent,
    deadlines: Deadlines,
    by: str,
    *,
    repay_fen: int | None = None,
) -> Purchase:
    """A purchase that this work has locked after `event`, written, with its effects; the caller writes the ledger.

    `repay_fen`: how much of what is not deposit goes back, of an event that gives back; None: all of it.
    """
    after, effects = advance(purchase, event, work.now_ms, deadlines)
    for effect in effects:
        after = await _do(work, ledger, after, effect, by, repay_fen)
    await store.put_purchase(work, after)
    return after


async def _do(
    work: Work, ledger: Ledger, purchase: Purchase, effect: Effect, by: str, repay_fen: int | None
) -> Purchase:
    tenant, number = purchase.tenant, purchase.purchase
    match effect:
        case "accrue":
            await accrue(work, tenant, number, purchase.member, purchase.unit, commission_parts(purchase.lines))
        case "earn":
            await earn(work, ledger, tenant, number)
        case "forfeit":
            await forfeit(work, tenant, number)
        case "agree":
            await _agree(work, ledger, purchase)
        case "renew":
            await _renew(work, purchase)
        case "void":
            desk = TicketDesk(work)
            desk.clear(Condition(tenant, "", INSTALLATION, number))
            await desk.write()
            back_fen = await void_rentals(work, tenant, number, by)
            return replace(purchase, repaid_fen=purchase.repaid_fen + back_fen)
        case "settle":
            await _settle(work, ledger, purchase)
        case "repay":
            return await _repay(work, ledger, purchase, by, repay_fen)
        case "install":
            await _install(work, purchase)
    return purchase


async def _agree(work: Work, ledger: Ledger, purchase: Purchase) -> None:
    agreements = [
        Agreement(
            product=line.product,
            name=line.name,
            machines=line.quantity,
            period=line.period,
            minimum_ml_per_day=line.minimum_ml_per_day,
            deposit_fen=line.deposit_fen,
        )
        for line in purchase.lines
        if line.period is not None
    ]
    paid_by = purchase.payment
    await agree(work, ledger, purchase.tenant, purchase.purchase, purchase.member, purchase.unit, paid_by, agreements)


async def _install(work: Work, purchase: Purchase) -> None:
    if purchase.wants_installation:
        names = ", ".join(f"{line.quantity} x {line.name}" for line in purchase.lines)
        await ask_for_installation(
            work,
            purchase.tenant,
            purchase.purchase,
            member=purchase.member,
            unit=purchase.unit,
            address=f"{purchase.receiver.area} {purchase.receiver.address}",
            detail=f"install {names}",
        )


async def _renew(work: Work, purchase: Purchase) -> None:
    for line in purchase.lines:
        assert line.period is not None, "a renewal buys a period"
        assert purchase.rental is not None, "a renewal has its rental"
        await renew_rental(work, purchase.tenant, purchase.rental, line.period)


async def _settle(work: Work, ledger: Ledger, purchase: Purchase) -> None:
    """What was paid is earned; of an advance that was partly given back before, what is left."""
    account = advances(purchase.purchase)
    # What is paid and done in one unit of work is not in the account yet.
    fresh = purchase.paid_ms == work.now_ms
    held_fen = purchase.advance_fen if fresh else await account_balance(work, purchase.tenant, account)
    ledger.book(purchase.tenant, "earn", purchase.purchase, [Posting(account, REVENUE, held_fen)])


async def _repay(work: Work, ledger: Ledger, purchase: Purchase, by: str, repay_fen: int | None) -> Purchase:
    account = advances(purchase.purchase)
    held_fen = await account_balance(work, purchase.tenant, account)
    back_fen = held_fen if repay_fen is None else repay_fen
    if not 0 <= back_fen <= held_fen:
        raise FleetError("invalid", f"{back_fen} is not between 0 and {held_fen} fen", field="amount")
    if back_fen:
        assert purchase.payment is not None, "money that is there came by a payment"
        await refund(
            work,
            purchase.tenant,
            purchase.payment,
            back_fen,
            reference=f"purchase/{purchase.purchase}",
            reason="the order was given back",
            decided_by=by,
            account=account,
        )
    kept = Posting(account, REVENUE, held_fen - back_fen)
    ledger.book(purchase.tenant, "keep", purchase.purchase, [kept], note=by)
    return replace(purchase, repaid_fen=purchase.repaid_fen + back_fen)


def purchase_event(purchase: Purchase) -> Event:
    """What those who watch are told of a purchase's step."""
    data = {"member": purchase.member, "amount_fen": purchase.amount_fen, "repaid_fen": purchase.repaid_fen}
    return Event(purchase.tenant, f"purchase.{purchase.state}", purchase.purchase, data)
