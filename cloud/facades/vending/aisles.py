"""Chapter 2: aisles, what lies in them, and putting goods into them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cloud import standing
from cloud.accounts.model import STAFF, Allowed, Permission
from cloud.catalog.browse import all_goods, category_paths
from cloud.catalog.categories import list_categories
from cloud.catalog.model import GoodsShown
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.fields import FROM_TEXT
from cloud.facades.vending.wire import Asked, Id, Name, Search, Switch, Told, machine_seen, person, shop_seen
from cloud.machines.aisles import aisle_of_id, aisles_of
from cloud.machines.model import Aisle
from cloud.stock.browse import warehouse_of
from cloud.stock.rearrange import rearrange
from cloud.stock.restock import ROWS_MAX, Filled, restock

# The category of goods that are in none.
NO_CATEGORY, NO_CATEGORY_NAME = "VGC0", "未分类"
# More than any aisle holds: what is above is refused by the aisle.
Quantity = Annotated[int, Field(ge=0, le=100_000)]


class AislesAsk(Asked):
    vendor_id: Id
    # Sent: every aisle. Otherwise those that lack goods.
    normal: Switch = False


class AisleTold(Told):
    is_set: int
    aisle_id: str
    aisle_name: str
    goods_name: str | None
    goods_spec: str | None
    goods_num: int | None
    aisle_capacity: int
    goods_img: list[str] | None
    goods_stock: int | None
    vendor_goods_id: str | None
    # What the machine has reported; goods_num counts what it was asked to book as well.
    confirmed_num: int | None

    @classmethod
    def of(cls, aisle: standing.AisleSeen) -> AisleTold:
        is_set = aisle.for_sale
        return cls(
            is_set=1 if is_set else 0,
            aisle_id=aisle.id,
            aisle_name=aisle.name,
            goods_name=aisle.goods_name if is_set else None,
            goods_spec=aisle.spec if is_set else None,
            goods_num=min(aisle.there, aisle.capacity) if is_set else None,
            aisle_capacity=aisle.capacity,
            goods_img=list(aisle.pictures) if is_set else None,
            goods_stock=aisle.in_warehouse if is_set else None,
            vendor_goods_id=aisle.goods if is_set else None,
            confirmed_num=aisle.confirmed if is_set else None,
        )


class AislesTold(Told):
    aisle_list: list[AisleTold]


async def get_aisle_list(call: Call[AislesAsk, Nothing]) -> AislesTold:
    """The aisles of a device: with `normal` all of them, without it those that can be filled up."""
    machine = await machine_seen(call, call.body.vendor_id)
    seen = await standing.aisles_seen(call.work, call.tenant, [machine.machine])
    if not call.body.normal:
        seen = [aisle for aisle in seen if aisle.for_sale and aisle.there < aisle.capacity]
    return AislesTold(aisle_list=[AisleTold.of(aisle) for aisle in seen])


class AisleGoodsAsk(Asked):
    vendor_id: Id
    search: Search | None = None


class AisleGoods(Told):
    vendor_goods_id: str
    vendor_goods_name: str
    goods_spec: str | None
    goods_img_list: list[str]


class AisleGoodsTold(Told):
    goods_list: list[AisleGoods]


async def get_aisle_goods(call: Call[AisleGoodsAsk, Nothing]) -> AisleGoodsTold:
    """The goods that lie in a device's aisles or can be put there; `search` is found in name, id and bar code."""
    machine = await machine_seen(call, call.body.vendor_id)
    aisles = await aisles_of(call.work, call.tenant, machine.machine)
    there = {aisle.goods for aisle in aisles if aisle.listed and aisle.for_sale}
    found = await all_goods(call.work, call.tenant, search=call.body.search, archived=None)
    return AisleGoodsTold(
        goods_list=[
            AisleGoods(
                vendor_goods_id=one.goods,
                vendor_goods_name=one.name,
                goods_spec=one.spec,
                goods_img_list=list(one.pictures),
            )
            for one in found
            if not one.archived or one.goods in there
        ]
    )


class AisleAsk(Asked):
    aisle_id: Id
    vendor_goods_id: Id | None = None
    # Sent: off sale.
    is_sale: Switch = False
    goods_num: Annotated[int, Field(ge=-100_000, le=100_000)] | None = None
    use_name: Name | None = None


async def save_aisle(call: Call[AisleAsk, Nothing]) -> None:
    """Configure an aisle: other goods, off sale, or how many are left in it.

    `is_sale` takes it off sale and wins over the rest. The machine is asked at once; goods that come out of it go to
    the warehouse of its shop, and goods that go in come from there.
    """
    body = call.body
    aisle = await _aisle_seen(call)
    await rearrange(
        call.work,
        call.parts.credentials,
        call.tenant,
        aisle.id,
        goods=body.vendor_goods_id,
        off_sale=body.is_sale,
        remaining=body.goods_num,
        user=call.subject.user,
        person=person(call, body.use_name),
    )


async def _aisle_seen(call: Call[AisleAsk, Nothing]) -> Aisle:
    """The aisle that is meant; out of reach it does not exist, and nothing tells in which machine it is."""
    which = call.body.aisle_id
    aisle = await aisle_of_id(call.work, call.tenant, which)
    try:
        await machine_seen(call, aisle.machine)
    except FleetError as error:
        raise FleetError("not_found", f"there is no aisle {which!r}", field="aisle_id") from error
    return aisle


class FilledAsk(Asked):
    aisle_id: Id
    # The documented list of aisles does not tell it, so a client may not know it.
    vendor_goods_id: Id | None = None
    goods_num: Quantity


Rows = Annotated[list[Annotated[FilledAsk, FROM_TEXT]], Field(min_length=1, max_length=ROWS_MAX), FROM_TEXT]


class RestockAsk(Asked):
    vendor_id: Id
    list: Rows
    use_name: Name | None = None


class RestockTold(Told):
    record_id: str


async def aisle_record(call: Call[RestockAsk, Nothing]) -> RestockTold:
    """A device was restocked: `goods_num` items were added to each aisle. All rows or none.

    The device is asked to book them in, and they leave the warehouse of its shop. The same request again within half a
    minute is the same restock unless something was sold in between, so a client that heard no answer may ask again.
    """
    machine = await machine_seen(call, call.body.vendor_id)
    made = await restock(
        call.work,
        call.parts.credentials,
        call.tenant,
        machine.machine,
        [Filled(row.aisle_id, row.vendor_goods_id, row.goods_num) for row in call.body.list],
        user=call.subject.user,
        person=person(call, call.body.use_name),
    )
    return RestockTold(record_id=made.restock)


class ShopGoodsAsk(Asked):
    shop_id: Id


class ShopGoods(Told):
    vendor_goods_id: str
    vendor_goods_name: str
    goods_spec: str | None
    goods_stock: int


class CategoryTold(Told):
    category_id: str
    category_name: str
    all_num: int
    goods_list: list[ShopGoods]


Categories = list[CategoryTold]


class ShopGoodsTold(Told):
    list: Categories


async def get_oa_goods(call: Call[ShopGoodsAsk, Nothing]) -> ShopGoodsTold:
    """Goods with their stock in a shop's warehouse, by category of the first level; each of them once.

    Goods that are in several are told under the first of them, and those that are in none under VGC0. The id of a
    device stands for its shop.
    """
    work, tenant, shop = call.work, call.tenant, await _shop_or_its_device(call, call.body.shop_id)
    stock = await warehouse_of(work, tenant, shop)
    paths = await category_paths(work, tenant)
    names = {one.category: one.name for one in await list_categories(work, tenant) if one.parent is None}
    of: dict[str, list[GoodsShown]] = {category: [] for category in names}
    for goods in await all_goods(work, tenant, archived=None):
        if not goods.archived or stock.get(goods.goods):
            of.setdefault(paths.get(goods.goods, [NO_CATEGORY])[0], []).append(goods)
    return ShopGoodsTold(
        list=[
            CategoryTold(
                category_id=category,
                category_name=names.get(category, NO_CATEGORY_NAME),
                all_num=sum(stock.get(one.goods, 0) for one in there),
                goods_list=[
                    ShopGoods(
                        vendor_goods_id=one.goods,
                        vendor_goods_name=one.name,
                        goods_spec=one.spec,
                        goods_stock=stock.get(one.goods, 0),
                    )
                    for one in there
                ],
            )
            for category, there in of.items()
        ]
    )


async def _shop_or_its_device(call: Call[ShopGoodsAsk, Nothing], which: str) -> str:
    try:
        return (await shop_seen(call, which)).unit
    except FleetError:
        found = await machine_seen(call, which)
        if found.shop is None:
            raise
        return found.shop


class CategoryInTree(Told):
    category_id: str
    category_name: str
    parent_id: str | None


Tree = list[CategoryInTree]


class CategoriesTold(Told):
    list: Tree


async def get_category_list(call: Call[Asked, Nothing]) -> CategoriesTold:
    """All categories of goods with the one above each; beyond the documented protocol."""
    return CategoriesTold(
        list=[
            CategoryInTree(category_id=one.category, category_name=one.name, parent_id=one.parent)
            for one in await list_categories(call.work, call.tenant)
        ]
    )


P = Permission
READ, OPERATE = Allowed(STAFF, P.MACHINES_READ), Allowed(STAFF, P.MACHINES_OPERATE)
CATALOG = Allowed(STAFF, P.CATALOG_READ)
OPERATIONS = (
    Operation("POST", "/aisle_get.php", READ, get_aisle_list, flag="get_aisle_list"),
    Operation("POST", "/vendor_goods_get.php", CATALOG, get_aisle_goods, flag="get_aisle_goods"),
    Operation("POST", "/aisle_save.php", OPERATE, save_aisle, changes="aisle.change", flag="save_aisle"),
    Operation("POST", "/aisle_save.php", OPERATE, aisle_record, changes="machine.restock", flag="aisle_record"),
    Operation("POST", "/vendor_goods_get.php", CATALOG, get_oa_goods, flag="get_oa_goods"),
    Operation("POST", "/vendor_goods_get.php", CATALOG, get_category_list, flag="get_category_list"),
)
