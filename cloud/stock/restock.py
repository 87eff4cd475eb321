"""A person has restocked a machine: goods leave the warehouse, the machine books them in, and a record is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cloud.database import Work
from cloud.errors import FleetError
from cloud.events import Event, tell
from cloud.machines.aisles import aisles_of
from cloud.machines.credentials import Credentials
from cloud.machines.model import Aisle
from cloud.machines.register import machine_of
from cloud.serials import next_serial
from cloud.stock import store, warehouse
from cloud.stock.asks import book, expected
from cloud.stock.model import REPEAT_MS, Restock, by_aisle, digest_of

# Every aisle of the largest machine, twice.
ROWS_MAX = 800


@dataclass(frozen=True, slots=True)
class Filled:
    """`quantity` items of `goods` were put into the aisle with this id; None is whatever lies there."""

    aisle: str
    goods: str | None
    quantity: int


async def restock(
    work: Work,
    credentials: Credentials,
    tenant: str,
    machine: str,
    filled: Sequence[Filled],
    *,
    user: str,
    person: str,
) -> Restock:
    """Take the goods out of the shop's warehouse, ask the machine to book them in, and keep the record; all or nothing.

    Rows of one aisle are added up. The same rows by the same person within REPEAT_MS are the same restock, asked again,
    unless something was sold from the aisles in between.
    FleetError: not_found (machine, aisle), invalid (nothing filled, other goods, more than fits), conflict (the machine
    stands in no shop, is not claimed, or the warehouse holds too little).
    """
    found = await machine_of(work, tenant, machine, lock=True)
    if not 0 < len(filled) <= ROWS_MAX:
        raise FleetError("invalid", f"{len(filled)} rows: 1 to {ROWS_MAX} are expected", field="list")
    aisles = _known(await aisles_of(work, tenant, machine), filled)
    quantities = by_aisle((row.aisle, row.quantity) for row in filled)
    if not quantities:
        raise FleetError("invalid", "nothing was filled", field="list")
    there = await expected(work, tenant, machine)
    levels = {which: there[aisles[which].aisle] for which in quantities}
    done = digest_of(user, machine, person, quantities, levels)
    if repeated := await store.find_repeated(work, tenant, done, work.now_ms - REPEAT_MS):
        return repeated
    if found.shop is None:
        raise FleetError("conflict", f"machine {machine!r} stands in no shop, so there is no warehouse to take from")
    for which, quantity in quantities.items():
        _check_room(aisles[which], levels[which], quantity)
        levels[which] += quantity
    digest = digest_of(user, machine, person, quantities, levels)
    made = Restock(
        tenant,
        f"VR{await next_serial(work, tenant, 'restock')}",
        machine,
        found.shop,
        user,
        person,
        digest,
        work.now_ms,
    )
    wanted = by_aisle((aisles[which].goods, quantity) for which, quantity in quantities.items())
    await warehouse.take(work, tenant, found.shop, wanted, source=made.restock, person=person)
    asked = {aisles[which]: quantity for which, quantity in quantities.items()}
    await book(work, credentials, found, asked, person=person, asked_by=user, restock=made.restock)
    await store.add_restock(work, made)
    await tell(work, [Event(tenant, "stock.restocked", machine, {"restock": made.restock, "person": person})])
    return made


def _known(aisles: Sequence[Aisle], filled: Sequence[Filled]) -> Mapping[str, Aisle]:
    """The aisles by id; FleetError for a row that cannot be."""
    known = {aisle.id: aisle for aisle in aisles if aisle.listed}
    for row in filled:
        aisle = known.get(row.aisle)
        if aisle is None:
            raise FleetError("not_found", f"this machine has no aisle {row.aisle!r}", field="list.aisle_id")
        if not aisle.for_sale or row.goods not in (None, aisle.goods):
            what = "no goods are configured for" if row.goods is None else f"{row.goods!r} do not lie in"
            detail = f"{what} aisle {row.aisle!r}"
            raise FleetError("invalid", detail, field="list.vendor_goods_id")
        if row.quantity < 0:
            raise FleetError("invalid", f"{row.quantity} cannot be filled in", field="list.goods_num")
    return known


def _check_room(aisle: Aisle, there: int, quantity: int) -> None:
    if there + quantity > aisle.capacity:
        detail = f"aisle {aisle.id!r} holds {aisle.capacity}, {there} are in it: {quantity} more do not fit"
        raise FleetError("invalid", detail, field="list.goods_num")
