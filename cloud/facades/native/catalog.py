"""Goods: what can lie in an aisle and what it costs by default."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cloud.accounts.model import Permission
from cloud.catalog import browse, goods
from cloud.facades.dialect import Call, Nothing, Operation, Wire
from cloud.facades.native.shapes import Id, Name, PageFilter, PageOf, Price, Told, page_of

Barcode = Annotated[str, Field(max_length=40)]


class GoodsAsk(Wire):
    goods: Id
    name: Name
    price_fen: Price
    barcode: Barcode = ""


class GoodsChange(Wire):
    name: Name | None = None
    price_fen: Price | None = None
    barcode: Barcode | None = None
    archived: bool | None = None


class GoodsFilter(PageFilter):
    search: Annotated[str, Field(min_length=1, max_length=60)] | None = None
    archived: bool | None = None


class GoodsTold(Told):
    goods: str
    name: str
    barcode: str
    price_fen: int
    archived: bool
    created_ms: int
    changed_ms: int


async def add_goods(call: Call[GoodsAsk, Nothing]) -> GoodsTold:
    """Take new goods into the catalog."""
    body = call.body
    added = await goods.add_goods(call.work, call.tenant, body.goods, body.name, body.price_fen, barcode=body.barcode)
    return GoodsTold.model_validate(added)


async def list_goods(call: Call[Nothing, GoodsFilter]) -> PageOf[GoodsTold]:
    """Goods, by id, or sorted by goods, name or price_fen."""
    query = call.query
    found = await browse.list_goods(call.work, call.tenant, query.ask, search=query.search, archived=query.archived)
    return page_of(GoodsTold.model_validate, found)


async def goods_detail(call: Call[Nothing, Nothing]) -> GoodsTold:
    """One kind of goods."""
    return GoodsTold.model_validate(await goods.goods_of(call.work, call.tenant, call.path["goods"]))


async def change_goods(call: Call[GoodsChange, Nothing]) -> GoodsTold:
    """Change what is given and keep the rest. The price is the default for new planograms.

    Goods are never deleted: an archived kind cannot be put into a planogram, and its past sales keep their name.
    """
    body = call.body
    changed = await goods.change_goods(
        call.work,
        call.tenant,
        call.path["goods"],
        name=body.name,
        price_fen=body.price_fen,
        barcode=body.barcode,
        archived=body.archived,
    )
    return GoodsTold.model_validate(changed)


async def archive_goods(call: Call[Nothing, Nothing]) -> None:
    """Take goods out of the catalog; the same as setting `archived`."""
    await goods.change_goods(call.work, call.tenant, call.path["goods"], archived=True)


P = Permission
OPERATIONS = (
    Operation("POST", "/goods", P.CATALOG_WRITE, add_goods, changes="goods.add", success=201),
    Operation("GET", "/goods", P.CATALOG_READ, list_goods),
    Operation("GET", "/goods/{goods}", P.CATALOG_READ, goods_detail),
    Operation("PATCH", "/goods/{goods}", P.CATALOG_WRITE, change_goods, changes="goods.change"),
    Operation("DELETE", "/goods/{goods}", P.CATALOG_WRITE, archive_goods, changes="goods.archive"),
)
