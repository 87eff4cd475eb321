"""Looking at rentals."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, case, func, select

from cloud.accounts.model import Reach
from cloud.accounts.reach import unseen, within
from cloud.database import Work
from cloud.machines.planogram import current_config
from cloud.paging import Ask, Page, page
from cloud.rentals.model import HELD, STATES, Rental
from cloud.rentals.store import SHOWN, rental_from, rentals
from cloud.water.condition import condition_of

_SORTS: dict[str, ColumnElement[Any]] = {
    **{
        name: rentals.c[name]
        for name in (
            "rental",
            "state",
            "purchase",
            "product",
            "member",
            "machine",
            "created_ms",
            "began_ms",
            "ends_ms",
            "ended_ms",
            "deposit_fen",
            "tenant",
        )
    },
    # The state's place in a rental's life.
    "place": case({state: place for place, state in enumerate(STATES)}, value=rentals.c.state),
}


def _seen(reach: Reach) -> ColumnElement[bool]:
    return within(reach, tenant=rentals.c.tenant, unit=rentals.c.unit, member=rentals.c.member)


async def list_rentals(work: Work, reach: Reach, ask: Ask) -> Page[Rental]:
    """Rentals within reach, newest first."""
    newest = (rentals.c.created_ms.desc(), rentals.c.rental.desc())
    return await page(work, select(*SHOWN).where(_seen(reach)), ask, sorts=_SORTS, ties=newest, make=rental_from)


async def rental_seen(work: Work, reach: Reach, rental: str) -> Rental:
    """One rental within reach; FleetError not_found."""
    row = await work.row(select(*SHOWN).where(_seen(reach), rentals.c.rental == rental))
    if row is None:
        raise unseen(reach, f"rental {rental!r}", "rental")
    return rental_from(row)


async def litres_left(work: Work, rental: Rental) -> int | None:
    """How many ml a metered rental has left, by what its machine told; None where litres do not end it."""
    if not rental.is_metered:
        return None
    config = None if rental.machine is None else await current_config(work, rental.tenant, rental.machine)
    if config is None or config.purifier is None or config.purifier.plan.plan != rental.rental:
        return rental.prepaid_ml  # its machine has not learnt of it yet, so nothing has flowed
    assert rental.machine is not None, "it has a configuration"
    condition = await condition_of(work, rental.tenant, rental.machine, config.purifier)
    return max(0, rental.prepaid_ml - condition.used_ml)


async def held_rentals(work: Work, tenant: str, *, member: str | None = None, machine: str | None = None) -> int:
    """How many rentals of a tenant, of a member or of a machine have not ended."""
    here = [rentals.c.tenant == tenant, rentals.c.state.in_(HELD)]
    wanted = {"member": member, "machine": machine}
    here += [rentals.c[name] == value for name, value in wanted.items() if value is not None]
    return int(await work.scalar(select(func.count()).where(*here)))
