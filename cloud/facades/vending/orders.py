"""Chapter 6: orders, as machines and members made them."""

from __future__ import annotations

from typing import Literal

from cloud.accounts.model import STAFF, Allowed, Permission
from cloud.accounts.reach import sees_unit
from cloud.catalog.browse import many_goods
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.vending.wire import (
    Asked,
    Id,
    Money,
    PageAsked,
    PageTold,
    Told,
    reach,
    seconds,
    seconds_or_none,
    shop_seen,
    yuan,
)
from cloud.machines.aisles import aisles_of
from cloud.machines.browse import machine_names
from cloud.orders.browse import OrderFilter, list_orders, order_of, refunds_of
from cloud.orders.model import Order
from cloud.paging import Ask
from cloud.payments.browse import last_channel
from shared.messages import Means

# 1 not settled yet, 2 paid and delivered, 3 given back.
OrderStatus = Literal[1, 2, 3]
# What stands before our own order ids on the wire.
_PREFIX = "VO"
# 1 WeChat Pay, 2 Alipay: the protocol knows no other.
PayWay = Literal[1, 2]


def order_id_told(order: str) -> str:
    """An order's id on the wire: VO and our own id; one that came with the form VO293 is told as it is."""
    return order if _came_so(order) else _PREFIX + order


def order_id_asked(told: str) -> str:
    """Our own id of an order, from what stands on the wire."""
    return told if _came_so(told) else told.removeprefix(_PREFIX)


def _came_so(order: str) -> bool:
    return order.startswith(_PREFIX) and order.removeprefix(_PREFIX).isdecimal()


def status_of(order: Order) -> OrderStatus:
    """Money that is held, or whose goods are in doubt, is not settled."""
    match order.state:
        case "delivered":
            return 3 if 0 < order.paid_fen == order.refunded_fen else 2
        case "refunded":
            return 3
        case _:
            return 1


class OrdersAsk(PageAsked):
    shop_id: Id


class OrderLine(Told):
    vendor_num: str
    vendor_order_id: str
    pay_time: int
    order_status: OrderStatus


class OrdersTold(PageTold):
    order_list: list[OrderLine]


async def get_order_list(call: Call[OrdersAsk, Nothing]) -> OrdersTold:
    """The settled orders of a shop, newest first; by pages only when pages are asked for."""
    shop = await shop_seen(call, call.body.shop_id)
    wanted = OrderFilter(shop=shop.unit, settled=True)
    ask = call.body.ask_whole()
    found = await list_orders(call.work, call.tenant, wanted, Ask(ask.page, ask.page_size, "-ended_ms"))
    names = await machine_names(call.work, call.tenant, {order.machine for order in found.items})
    lines = [
        OrderLine(
            vendor_num=names[order.machine].number or names[order.machine].name,
            vendor_order_id=order_id_told(order.order),
            pay_time=seconds(order.ended_ms or order.placed_ms),
            order_status=status_of(order),
        )
        for order in found.items
    ]
    return OrdersTold(order_list=lines, **call.body.place(found))


class OrderAsk(Asked):
    vendor_order_id: Id


class GoodsLine(Told):
    vendor_goods_id: str
    goods_name: str
    goods_price: Money
    goods_num: int
    aisle_id: str
    aisle_name: str
    all_money: Money


class OrderInfo(Told):
    vendor_order_id: str
    customer_id: str
    vendor_id: str
    goods_list: list[GoodsLine]
    shop_id: str
    order_time: int
    pay_time: int | None
    order_fee: Money
    paid_price: Money
    order_status: OrderStatus
    pay_way: PayWay
    # How it was really paid: from the member's wallet (escrow), or at the machine.
    pay_means: Means
    refund_price: Money
    lastmodtime: int
    delete: int | None
    vendor_num: str
    goods_all_num: int


class OrderTold(Told):
    info: OrderInfo


async def get_order_info(call: Call[OrderAsk, Nothing]) -> OrderTold:
    """One order. An unsettled one has no time of payment and nothing paid yet.

    `pay_way` is 2 when the member's wallet was last filled through Alipay, and 1 otherwise, coins included: see
    `pay_means`.
    """
    work, tenant = call.work, call.tenant
    order = await order_of(work, tenant, order_id_asked(call.body.vendor_order_id))
    if not await sees_unit(work, reach(call), tenant, order.shop):
        raise FleetError("not_found", f"there is no order {call.body.vendor_order_id!r}", field="vendor_order_id")
    aisles = {aisle.aisle: aisle for aisle in await aisles_of(work, tenant, order.machine)}
    aisle = aisles.get(order.delivered_aisle or order.aisle)
    goods = (await many_goods(work, tenant, {order.goods})).get(order.goods)
    machine = (await machine_names(work, tenant, {order.machine}))[order.machine]
    status = status_of(order)
    settled_ms = order.ended_ms if status != 1 else None
    price = yuan(order.price_fen)
    line = GoodsLine(
        vendor_goods_id=order.goods,
        goods_name=order.goods if goods is None else goods.name,
        goods_price=price,
        goods_num=1,
        aisle_id=order.aisle if aisle is None else aisle.id,
        aisle_name=order.aisle if aisle is None else aisle.name,
        all_money=price,
    )
    return OrderTold(
        info=OrderInfo(
            vendor_order_id=order_id_told(order.order),
            customer_id=order.member or "",
            vendor_id=order.machine,
            goods_list=[line],
            shop_id=order.shop or "",
            order_time=seconds(order.placed_ms),
            pay_time=seconds_or_none(settled_ms),
            order_fee=price,
            paid_price=yuan(order.paid_fen if settled_ms is not None else 0),
            order_status=status,
            pay_way=await _pay_way(call, order),
            pay_means=order.means,
            refund_price=yuan(order.paid_fen if order.state == "refunded" else order.refunded_fen),
            lastmodtime=seconds(await _changed_ms(call, order)),
            delete=None,
            vendor_num=machine.number or machine.name,
            goods_all_num=1,
        )
    )


async def _changed_ms(call: Call[OrderAsk, Nothing], order: Order) -> int:
    """When something became of it last; giving money back for what was delivered is that, too."""
    if order.state == "delivered" and order.refunded_fen:
        return (await refunds_of(call.work, call.tenant, order.order))[-1].decided_ms
    return order.ended_ms or order.claimed_ms or order.placed_ms


async def _pay_way(call: Call[OrderAsk, Nothing], order: Order) -> PayWay:
    if order.member is None:
        return 1
    channel = await last_channel(call.work, call.tenant, order.member, order.placed_ms)
    return 2 if channel is not None and channel.startswith("alipay") else 1


READ = Allowed(STAFF, Permission.ORDERS_READ)
OPERATIONS = (
    Operation("POST", "/vendor_order_get.php", READ, get_order_list, flag="get_order_list"),
    Operation("POST", "/vendor_order_get.php", READ, get_order_info, flag="get_order_info"),
)
