"""Renewing a rental with a further period that was paid."""

from __future__ import annotations

from cloud.database import Work
from cloud.products.model import Period
from cloud.rentals import store
from cloud.rentals.begin import rental_of
from cloud.rentals.model import DISMANTLING, Rental, renewed
from cloud.rentals.plan import send_plan
from cloud.tickets.desk import TicketDesk
from cloud.tickets.model import Condition


async def renew_rental(work: Work, tenant: str, rental: str, period: Period) -> Rental:
    """Add a period; nobody comes to fetch the machine any more. FleetError: not_found, conflict once it has ended."""
    found = await rental_of(work, tenant, rental, lock=True)
    after = renewed(found, period.days, period.volume_ml, work.now_ms)
    await store.put_rentals(work, [after])
    await send_plan(work, after)
    if after.machine is not None:
        desk = TicketDesk(work)
        desk.clear(Condition(tenant, after.machine, DISMANTLING, rental))
        await desk.write()
    return after
