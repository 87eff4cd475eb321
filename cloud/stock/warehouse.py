"""What comes into a shop's warehouse and leaves it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from cloud.database import Work
from cloud.errors import FleetError
from cloud.machines.model import Origin
from cloud.stock import store
from cloud.stock.model import WarehouseKind, WarehouseMovement
from shared.messages import CommandAnswered

# As for aisles: beyond it a slip of the keyboard.
QUANTITY_MAX = 1_000_000


async def receive(work: Work, tenant: str, shop: str, goods: str, quantity: int, *, reference: str, person: str) -> int:
    """Goods come in. The same reference is booked once, for ever. Answers how many there are now.

    FleetError invalid for a quantity that is not 1 to QUANTITY_MAX. Shop and goods are the caller's to look up.
    """
    if not 1 <= quantity <= QUANTITY_MAX:
        raise FleetError("invalid", f"{quantity} is not between 1 and {QUANTITY_MAX}", field="quantity")
    source = f"in:{reference}"
    await store.find_warehouse(work, tenant, shop, [goods], lock=True)
    if not await store.moved_sources(work, [(tenant, source)]):
        await _move(work, tenant, shop, {goods: quantity}, "received", source, person)
    return await on_hand(work, tenant, shop, goods)


async def count(work: Work, tenant: str, shop: str, goods: str, counted: int, *, reference: str, person: str) -> None:
    """Somebody counted: there are `counted`, whatever the books said."""
    if not 0 <= counted <= QUANTITY_MAX:
        raise FleetError("invalid", f"{counted} is not between 0 and {QUANTITY_MAX}", field="counted")
    there = (await store.find_warehouse(work, tenant, shop, [goods], lock=True)).get(goods, 0)
    source = f"count:{reference}"
    if there != counted and not await store.moved_sources(work, [(tenant, source)]):
        await _move(work, tenant, shop, {goods: counted - there}, "corrected", source, person)


async def take(work: Work, tenant: str, shop: str, wanted: Mapping[str, int], *, source: str, person: str) -> None:
    """Take goods out for a machine: all of `wanted`, or FleetError conflict that names the goods that are too few."""
    there = await store.find_warehouse(work, tenant, shop, wanted.keys(), lock=True)
    for goods, quantity in sorted(wanted.items()):
        if there.get(goods, 0) < quantity:
            detail = f"{there.get(goods, 0)} of {goods!r} are in the warehouse of {shop!r}, {quantity} are wanted"
            raise FleetError("conflict", detail, field="quantity", data={"goods": goods})
    await _move(work, tenant, shop, {g: -quantity for g, quantity in wanted.items()}, "restocked", source, person)


async def put_back(work: Work, tenant: str, shop: str, goods: str, quantity: int, *, source: str, person: str) -> None:
    """A return is done: the goods lie in the warehouse."""
    await _move(work, tenant, shop, {goods: quantity}, "returned", source, person)


async def on_hand(work: Work, tenant: str, shop: str, goods: str) -> int:
    """How many lie there."""
    return (await store.find_warehouse(work, tenant, shop, [goods])).get(goods, 0)


async def follow_answers(work: Work, answers: Collection[tuple[Origin, CommandAnswered]]) -> None:
    """Machines answered: what one would not take in goes back to the warehouse, and what came out of one goes there.

    One statement for a whole batch that has answers, three more when goods move, and none for a batch without answers.
    """
    if not answers:
        return
    asked = await store.find_asks(work, {(origin.tenant, fact.command) for origin, fact in answers})
    movements = []
    for origin, fact in answers:
        ask = asked.pop((origin.tenant, fact.command), None)
        if ask is None or ask.shop is None or ask.machine != origin.machine or fact.done == (ask.quantity > 0):
            continue
        kind: WarehouseKind = "taken_out" if fact.done else "refused"
        movements.append(
            WarehouseMovement(
                ask.tenant, ask.command, ask.goods, ask.shop, kind, abs(ask.quantity), "", origin.happened_ms
            )
        )
    if movements:
        # A machine with a new ledger may answer an old command again.
        moved = await store.moved_sources(work, [(one.tenant, one.source) for one in movements])
        await store.move_warehouse(work, [one for one in movements if (one.tenant, one.source) not in moved])


async def _move(
    work: Work, tenant: str, shop: str, quantities: Mapping[str, int], kind: WarehouseKind, source: str, person: str
) -> None:
    movements = [
        WarehouseMovement(tenant, source, goods, shop, kind, quantity, person, work.now_ms)
        for goods, quantity in sorted(quantities.items())
    ]
    await store.move_warehouse(work, movements)
