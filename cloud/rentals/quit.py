"""Ending rentals: somebody quits, the machine is fetched, the deposit goes back; or the order was given back."""

from __future__ import annotations

from dataclasses import replace

from cloud.database import Work
from cloud.errors import FleetError
from cloud.events import tell
from cloud.members.devices import owner_of, unbind
from cloud.members.ledger import Ledger
from cloud.members.model import FUNDING, REVENUE, Posting, deposits, wallet
from cloud.payments.refund import refund
from cloud.rentals import store
from cloud.rentals.begin import rental_event, rental_of
from cloud.rentals.model import DISMANTLING, Rental, advance
from cloud.rentals.plan import send_plan
from cloud.tickets.create import ask_for_dismantling
from cloud.tickets.desk import TicketDesk
from cloud.tickets.model import Condition


async def quit_rental(work: Work, tenant: str, rental: str, by: str) -> Rental:
    """Say that a rental is not to go on: somebody is sent to fetch the machine.

    FleetError: not_found, conflict when it does not run.
    """
    found = await rental_of(work, tenant, rental, lock=True)
    after = replace(advance(found, "quit", work.now_ms), quit_ms=work.now_ms, quit_by=by)
    await store.put_rentals(work, [after])
    await fetch_machines(work, [after], "the rental was quit")
    await tell(work, [rental_event(after, "rental.quit")])
    return after


async def fetch_rental(
    work: Work, tenant: str, rental: str, by: str, *, withheld_fen: int = 0, elsewhere: bool = False
) -> Rental:
    """The machine is back: the rental has ended, and the deposit goes back, less what is withheld.

    It goes back the way it came; one that was paid before the rental came here, into the wallet. `elsewhere`: it was
    paid out by other means already.

    FleetError: not_found, conflict when nobody was to fetch it, invalid when more is withheld than was left.
    """
    found = await rental_of(work, tenant, rental, lock=True)
    if not 0 <= withheld_fen <= found.deposit_fen:
        raise FleetError("invalid", f"{withheld_fen} is not between 0 and {found.deposit_fen} fen", field="withheld")
    after = replace(advance(found, "fetch", work.now_ms), withheld_fen=withheld_fen)
    await _end(work, after, by, "the machine is back", elsewhere=elsewhere)
    await tell(work, [rental_event(after, "rental.ended")])
    return after


async def void_rentals(work: Work, tenant: str, purchase: str, by: str) -> int:
    """End the rentals of a purchase that is given back, with their whole deposits; answers the deposits in fen."""
    returned_fen = 0
    for rental in await store.rentals_of_purchase(work, tenant, purchase):
        if rental.state == "ended":
            continue
        await _end(work, advance(rental, "void", work.now_ms), by, "the order was given back")
        returned_fen += rental.deposit_fen
    return returned_fen


async def fetch_machines(work: Work, rentals: list[Rental], why: str) -> None:
    """Have somebody fetch the machines of these rentals."""
    for rental in rentals:
        assert rental.machine is not None, "only a rental that has begun is fetched"
        detail = f"{rental.name}: {why}; fetch the machine"
        await ask_for_dismantling(
            work, rental.tenant, rental.rental, rental.machine, member=rental.member, detail=detail
        )


async def _end(work: Work, ended: Rental, by: str, why: str, *, elsewhere: bool = False) -> None:
    await store.put_rentals(work, [ended])
    await send_plan(work, ended)
    await _give_back(work, ended, by, why, elsewhere=elsewhere)
    if ended.machine is not None:
        if await owner_of(work, ended.tenant, ended.machine) == ended.member:
            await unbind(work, ended.tenant, ended.machine)
        desk = TicketDesk(work)
        desk.clear(Condition(ended.tenant, ended.machine, DISMANTLING, ended.rental))
        await desk.write()


async def _give_back(work: Work, ended: Rental, by: str, why: str, *, elsewhere: bool) -> None:
    """Empty the account of the deposit. A provider gives back only what it captured: see `cloud.rentals.model`."""
    account, back_fen = deposits(ended.rental), ended.deposit_fen - ended.withheld_fen
    ledger = Ledger(work)
    ledger.book(ended.tenant, "withhold", ended.rental, [Posting(account, REVENUE, ended.withheld_fen)], note=by)
    if elsewhere or ended.payment is None:
        target = FUNDING if elsewhere else wallet(ended.member)
        ledger.book(ended.tenant, "deposit_back", ended.rental, [Posting(account, target, back_fen)], note=by)
    elif back_fen:
        await refund(
            work,
            ended.tenant,
            ended.payment,
            back_fen,
            reference=f"deposit/{ended.rental}",
            reason=why,
            decided_by=by,
            account=account,
        )
    await ledger.write()
