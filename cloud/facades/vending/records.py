"""Chapter 3: what was restocked, and when."""

from __future__ import annotations

from cloud.accounts.model import STAFF, Allowed, Permission
from cloud.catalog.browse import many_goods
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.vending.wire import Id, PageAsked, PageTold, Told, seconds, shop_seen
from cloud.machines.aisles import aisles_of_machines
from cloud.machines.commands import command_states
from cloud.stock.browse import list_restocks


class RecordsAsk(PageAsked):
    shop_id: Id


class FilledTold(Told):
    aisle_id: str
    vendor_goods_id: str
    goods_num: int
    aisle_name: str
    goods_name: str
    # waiting for the machine, done, refused by it, or superseded.
    state: str


class RecordTold(Told):
    record_id: str
    aisle_list: list[FilledTold]
    vendor_id: str
    record_time: int
    use_name: str
    lastmodtime: int
    delete: int | None
    # How many items the machine has confirmed, of those that were asked.
    confirmed_num: int
    goods_num: int


Records = list[RecordTold]


class RecordsTold(PageTold):
    list: Records


async def get_record_list(call: Call[RecordsAsk, Nothing]) -> RecordsTold:
    """The restocks of a shop with what went into which aisle, newest first; by pages only when pages are asked for.

    `confirmed_num` is how much of it the device has booked in.
    """
    work, tenant = call.work, call.tenant
    shop = await shop_seen(call, call.body.shop_id)
    found = await list_restocks(work, tenant, shop.unit, call.body.ask_whole())
    asks = [ask for seen in found.items for ask in seen.asks]
    machines = {ask.machine for ask in asks}
    aisles = {(one.machine, one.aisle): one for one in await aisles_of_machines(work, tenant, machines)}
    goods = await many_goods(work, tenant, {ask.goods for ask in asks})
    states = await command_states(work, tenant, [ask.command for ask in asks])
    told = []
    for seen in found.items:
        record, at = seen.restock, seconds(seen.restock.made_ms)
        lines = [
            FilledTold(
                aisle_id=aisles[ask.machine, ask.aisle].id,
                vendor_goods_id=ask.goods,
                goods_num=ask.quantity,
                aisle_name=aisles[ask.machine, ask.aisle].name,
                goods_name=goods[ask.goods].name,
                state=states[ask.command],
            )
            for ask in seen.asks
        ]
        told.append(
            RecordTold(
                record_id=record.restock,
                aisle_list=lines,
                vendor_id=record.machine,
                record_time=at,
                use_name=record.person,
                lastmodtime=at,
                delete=None,
                confirmed_num=sum(line.goods_num for line in lines if line.state == "done"),
                goods_num=sum(line.goods_num for line in lines),
            )
        )
    return RecordsTold(list=told, **call.body.place(found))


OPERATIONS = (
    Operation(
        "POST",
        "/vendor_record_get.php",
        Allowed(STAFF, Permission.MACHINES_READ),
        get_record_list,
        flag="get_record_list",
    ),
)
