"""Chapter 5: goods that go back. A scan stores a return, a second call completes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cloud.accounts.model import STAFF, Allowed, Permission
from cloud.accounts.reach import sees_unit
from cloud.catalog.browse import category_paths, many_goods
from cloud.catalog.goods import goods_by_barcode
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.vending.wire import (
    ZERO_IS_NONE,
    Asked,
    Id,
    Name,
    PageAsked,
    PageTold,
    Told,
    person,
    reach,
    seconds,
    shop_seen,
)
from cloud.stock.browse import list_returns
from cloud.stock.model import ReturnState
from cloud.stock.send_back import complete, return_of, scan

# 1 waiting to be returned, 2 returned.
ReturnStatus = Literal[1, 2]
_STATUS: dict[ReturnState, ReturnStatus] = {"waiting": 1, "done": 2}
_STATE: dict[int, ReturnState] = {number: state for state, number in _STATUS.items()}


class ScanAsk(Asked):
    goods_bar_code: Annotated[str, Field(max_length=60)]
    shop_id: Id


class ScannedGoods(Told):
    vendor_goods_id: str
    vendor_goods_name: str
    goods_name: str
    goods_spec: str | None
    goods_img_list: list[str]
    goods_bar_code: str


class NoGoods(Told):
    """No goods have this bar code."""


async def get_goods_bycode(call: Call[ScanAsk, Nothing]) -> ScannedGoods | NoGoods:
    """The goods that a scanned bar code means; {} for a code that nobody knows."""
    await shop_seen(call, call.body.shop_id)
    found = await goods_by_barcode(call.work, call.tenant, call.body.goods_bar_code)
    if found is None:
        return NoGoods()
    return ScannedGoods(
        vendor_goods_id=found.goods,
        vendor_goods_name=found.name,
        goods_name=found.name,
        goods_spec=found.spec,
        goods_img_list=list(found.pictures),
        goods_bar_code=found.barcode,
    )


class ReturnAsk(Asked):
    shop_id: Id
    vendor_goods_id: Id
    goods_num: Annotated[int, Field(ge=1, le=10_000)] = 1


class ScannedTold(Told):
    return_id: str


async def photo_return_save(call: Call[ReturnAsk, Nothing]) -> ScannedTold:
    """Note that goods go back; every scan is a return of its own, of one item unless `goods_num` says otherwise."""
    shop = await shop_seen(call, call.body.shop_id)
    scanned = await scan(call.work, shop, call.body.vendor_goods_id, call.body.goods_num, user=call.subject.user)
    return ScannedTold(return_id=scanned.number)


class CompleteAsk(Asked):
    return_id: Id
    use_name: Name | None = None


async def return_save(call: Call[CompleteAsk, Nothing]) -> None:
    """The goods are back, and lie in the warehouse of the shop; saying so again changes nothing."""
    found = await return_of(call.work, call.tenant, call.body.return_id)
    if not await sees_unit(call.work, reach(call), call.tenant, found.shop):
        raise FleetError("not_found", f"there is no return {found.number!r}", field="return_id")
    await complete(call.work, call.tenant, found.number, person=person(call, call.body.use_name))


class ReturnsAsk(PageAsked):
    shop_id: Id
    return_status: Annotated[int | None, Field(ge=1, le=2), ZERO_IS_NONE] = None
    category_id: Id | None = None


class ReturnTold(Told):
    return_id: str
    shop_id: str
    vendor_goods_id: str
    category_id: list[str]
    goods_num: int
    return_time: int
    return_address: str
    return_status: ReturnStatus
    use_name: str | None
    lastmodtime: int
    delete: int
    goods_name: str
    goods_bar_code: str


Returns = list[ReturnTold]


class ReturnsTold(PageTold):
    list: Returns


async def get_return_list(call: Call[ReturnsAsk, Nothing]) -> ReturnsTold:
    """The returns to a shop, newest first; by pages only when pages are asked for.

    `category_id` matches the categories of both levels. `return_time` is the time of the scan until it is done.
    """
    work, tenant, body = call.work, call.tenant, call.body
    shop = await shop_seen(call, body.shop_id)
    state = None if body.return_status is None else _STATE[body.return_status]
    found = await list_returns(work, tenant, shop.unit, body.ask_whole(), state=state, category=body.category_id)
    wanted = {one.goods for one in found.items}
    goods, paths = await many_goods(work, tenant, wanted), await category_paths(work, tenant, wanted)
    told = [
        ReturnTold(
            return_id=one.number,
            shop_id=one.shop,
            vendor_goods_id=one.goods,
            category_id=paths.get(one.goods, []),
            goods_num=one.quantity,
            return_time=seconds(one.at_ms),
            return_address=one.address,
            return_status=_STATUS[one.state],
            use_name=one.person,
            lastmodtime=seconds(one.at_ms),
            delete=0,
            goods_name=goods[one.goods].name,
            goods_bar_code=goods[one.goods].barcode,
        )
        for one in found.items
    ]
    return ReturnsTold(list=told, **body.place(found))


P = Permission
READ, WORK = Allowed(STAFF, P.MACHINES_READ), Allowed(STAFF, P.MACHINES_OPERATE)
OPERATIONS = (
    Operation("POST", "/return_record_save.php", WORK, return_save, changes="return.complete", flag="return_save"),
    Operation(
        "POST", "/vendor_goods_get.php", Allowed(STAFF, P.CATALOG_READ), get_goods_bycode, flag="get_goods_bycode"
    ),
    Operation(
        "POST", "/return_record_save.php", WORK, photo_return_save, changes="return.scan", flag="photo_return_save"
    ),
    Operation("POST", "/return_record_get.php", READ, get_return_list, flag="get_return_list"),
)
