"""Telling a machine the terms of its rental: what was agreed becomes part of its configuration, whatever happens.

A payment must not fail because a machine is away, so the machine's part is a call of its own: made after the commit and
repeated until the configuration is decided. What the machine then lacks is sent to it as every configuration is.
"""

from __future__ import annotations

from functools import partial

from cloud import outcalls
from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.machines.credentials import Credentials
from cloud.outcalls import Handler, Outcall
from cloud.products import shelf
from cloud.rentals import store
from cloud.rentals.model import Rental
from cloud.tickets.desk import TicketDesk
from cloud.tickets.model import Condition
from cloud.water.equip import equip

PLAN = "rental_plan"
# With pauses up to an hour this is about three days of a machine that is not claimed; then a person looks.
TRIES_MAX = 80
_MADE_BY = "rental"


async def send_plan(work: Work, rental: Rental) -> None:
    """Have the machine told what its rental is now; a rental that is on no machine needs nothing."""
    if rental.machine is not None:
        await outcalls.enqueue(work, rental.tenant, PLAN, rental.rental)


def plan_handler(credentials: Credentials) -> Handler:
    """How machines are told the terms of their rentals."""

    async def call(database: Database, line: Outcall) -> int | None:
        await database.transact(partial(_apply, credentials=credentials, line=line), tenant=line.tenant)
        return None

    async def give_up(database: Database, line: Outcall, detail: str) -> None:
        await database.transact(partial(_complain, line=line, detail=detail), tenant=line.tenant)

    return Handler(call, give_up, TRIES_MAX)


async def _apply(work: Work, credentials: Credentials, line: Outcall) -> None:
    rental = await store.find_rental(work, line.tenant, line.subject)
    assert rental is not None, "rentals are never deleted"
    if rental.machine is None or rental.began_ms is None:
        return
    if rental.ended_ms is not None and await store.held_by(work, rental.tenant, rental.machine) is not None:
        return  # somebody else rents it by now
    product = await shelf.kept_product(work, rental.tenant, rental.product)
    try:
        await equip(
            work,
            credentials,
            rental.tenant,
            rental.machine,
            product.specification,
            _MADE_BY,
            plan=rental.plan(),
        )
    except FleetError as error:
        if error.kind != "not_found":  # the machine was struck off
            raise


async def _complain(work: Work, line: Outcall, detail: str) -> None:
    rental = await store.find_rental(work, line.tenant, line.subject)
    assert rental is not None, "rentals are never deleted"
    assert rental.machine is not None, "only machines are told"
    desk = TicketDesk(work)
    desk.open(Condition(line.tenant, rental.machine, "rental_not_told", rental.rental), detail)
    await desk.write()
