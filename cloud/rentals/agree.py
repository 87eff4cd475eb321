"""Agreeing on rentals when their first period is paid: one for every machine, each with a deposit of its own."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.accounts.brands import dated_number
from cloud.database import Work
from cloud.members.ledger import Ledger
from cloud.members.model import Posting, advances, deposits
from cloud.products.model import Period
from cloud.rentals import store
from cloud.rentals.model import Rental


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What was agreed on for each of `machines` machines of a product."""

    product: str
    name: str
    machines: int
    period: Period
    minimum_ml_per_day: int
    deposit_fen: int


async def agree(
    work: Work,
    ledger: Ledger,
    tenant: str,
    purchase: str,
    member: str,
    unit: str | None,
    payment: str | None,
    agreements: list[Agreement],
) -> list[Rental]:
    """Write the rentals of a purchase that is paid, and put their deposits aside."""
    agreed = []
    for what in agreements:
        for _ in range(what.machines):
            rental = Rental(
                tenant=tenant,
                # Counted with the purchases, so that no order and no rental bear the same number.
                rental=await dated_number(work, tenant, "purchase"),
                purchase=purchase,
                product=what.product,
                name=what.name,
                member=member,
                unit=unit,
                state="agreed",
                bought_days=what.period.days,
                prepaid_ml=what.period.volume_ml,
                minimum_ml_per_day=what.minimum_ml_per_day if what.period.volume_ml else 0,
                deposit_fen=what.deposit_fen,
                payment=payment,
                created_ms=work.now_ms,
            )
            aside = Posting(advances(purchase), deposits(rental.rental), what.deposit_fen)
            ledger.book(tenant, "deposit", rental.rental, [aside])
            agreed.append(rental)
    await store.put_rentals(work, agreed)
    return agreed
