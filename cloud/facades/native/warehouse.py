"""The warehouses of shops: what lies in them, what came and went, and what was carried from there into machines."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from cloud.accounts.model import Permission, Unit
from cloud.accounts.units import find_unit
from cloud.catalog.goods import goods_of
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation, Wire
from cloud.facades.native.shapes import All, Id, PageFilter, PageOf, Told, all_of, page_of
from cloud.machines.commands import command_states
from cloud.stock.browse import list_restocks as restocks_of
from cloud.stock.browse import list_warehouse_movements as movements_of
from cloud.stock.browse import warehouse_of
from cloud.stock.warehouse import QUANTITY_MAX, receive


class StoredTold(Told):
    goods: str
    on_hand: int


class DeliveryAsk(Wire):
    goods: Id
    quantity: Annotated[int, Field(ge=1, le=QUANTITY_MAX)]


class WarehouseMovementTold(Told):
    source: str
    goods: str
    kind: str
    quantity: int
    person: str
    at_ms: int


class WarehouseFilter(PageFilter):
    goods: Id | None = None


class RestockLineTold(Told):
    aisle: str
    goods: str
    quantity: int
    command: str
    # waiting, done, refused or superseded: what became of the command.
    state: str


class RestockTold(Told):
    restock: str
    machine: str
    person: str
    user: str
    made_ms: int
    lines: list[RestockLineTold]


async def list_warehouse(call: Call[Nothing, Nothing]) -> All[StoredTold]:
    """What lies in the warehouse of a shop, by goods."""
    there = await warehouse_of(call.work, call.tenant, (await _shop(call)).unit)
    return all_of(lambda one: StoredTold(goods=one[0], on_hand=one[1]), sorted(there.items()))


async def receive_goods(call: Call[DeliveryAsk, Nothing]) -> StoredTold:
    """Goods were delivered to a shop. The same key is booked once, for ever."""
    shop = (await _shop(call)).unit
    goods = (await goods_of(call.work, call.tenant, call.body.goods)).goods
    assert call.idempotency_key is not None, "the row is keyed"
    by, reference = call.subject.login, call.idempotency_key
    there = await receive(call.work, call.tenant, shop, goods, call.body.quantity, reference=reference, person=by)
    return StoredTold(goods=goods, on_hand=there)


async def list_warehouse_movements(call: Call[Nothing, WarehouseFilter]) -> PageOf[WarehouseMovementTold]:
    """What came into a shop's warehouse and left it, newest first; sorted by at_ms or goods on wish."""
    shop = (await _shop(call)).unit
    found = await movements_of(call.work, call.tenant, shop, call.query.ask, goods=call.query.goods)
    return page_of(WarehouseMovementTold.model_validate, found)


async def list_restocks(call: Call[Nothing, PageFilter]) -> PageOf[RestockTold]:
    """What was carried into the machines of a shop, newest first, and what each machine has confirmed."""
    found = await restocks_of(call.work, call.tenant, (await _shop(call)).unit, call.query.ask)
    asked = [ask.command for seen in found.items for ask in seen.asks]
    states = await command_states(call.work, call.tenant, asked)
    return page_of(
        lambda seen: RestockTold(
            restock=seen.restock.restock,
            machine=seen.restock.machine,
            person=seen.restock.person,
            user=seen.restock.user,
            made_ms=seen.restock.made_ms,
            lines=[
                RestockLineTold(
                    aisle=ask.aisle,
                    goods=ask.goods,
                    quantity=ask.quantity,
                    command=ask.command,
                    state=states[ask.command],
                )
                for ask in seen.asks
            ],
        ),
        found,
    )


async def _shop(call: Call[Any, Any]) -> Unit:
    found = await find_unit(call.work, call.tenant, call.path["shop"])
    if found.kind != "shop":
        raise FleetError("not_found", f"there is no shop {found.unit!r}", field="shop")
    return found


P = Permission
OPERATIONS = (
    Operation("GET", "/shops/{shop}/warehouse", P.MACHINES_READ, list_warehouse),
    Operation(
        "POST",
        "/shops/{shop}/warehouse",
        P.MACHINES_OPERATE,
        receive_goods,
        changes="warehouse.receive",
        success=201,
        keyed=True,
    ),
    Operation("GET", "/shops/{shop}/warehouse/movements", P.MACHINES_READ, list_warehouse_movements),
    Operation("GET", "/shops/{shop}/restocks", P.MACHINES_READ, list_restocks),
)
