"""Goods: what can lie in an aisle and what it costs by default."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cloud.accounts.model import Permission
from cloud.catalog import browse, categories, goods
from cloud.catalog.goods import CATEGORIES_MAX, PICTURES_MAX
from cloud.facades.dialect import Call, Nothing, Operation, Wire
from cloud.facades.native.shapes import All, Id, Name, PageFilter, PageOf, Price, Told, all_of, page_of

Barcode = Annotated[str, Field(max_length=40)]
Spec = Annotated[str, Field(max_length=100)]
Pictures = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=PICTURES_MAX, strict=False)
]
Categories = Annotated[tuple[Id, ...], Field(max_length=CATEGORIES_MAX, strict=False)]


class GoodsAsk(Wire):
    goods: Id
    name: Name
    price_fen: Price
    barcode: Barcode = ""
    spec: Spec = ""
    pictures: Pictures = ()
    categories: Categories = ()


class GoodsChange(Wire):
    name: Name | None = None
    price_fen: Price | None = None
    barcode: Barcode | None = None
    archived: bool | None = None
    spec: Spec | None = None
    pictures: Pictures | None = None
    categories: Categories | None = None


class GoodsFilter(PageFilter):
    search: Annotated[str, Field(min_length=1, max_length=60)] | None = None
    archived: bool | None = None
    category: Id | None = None


class GoodsTold(Told):
    goods: str
    name: str
    barcode: str
    price_fen: int
    archived: bool
    spec: str | None
    pictures: list[str]
    created_ms: int
    changed_ms: int


class CategoryAsk(Wire):
    category: Id | None = None
    name: Name
    parent: Id | None = None


class CategoryChange(Wire):
    name: Name | None = None
    # '' for one of the first level.
    parent: Id | Literal[""] | None = None


class CategoryTold(Told):
    category: str
    name: str
    parent: str | None
    changed_ms: int


async def add_goods(call: Call[GoodsAsk, Nothing]) -> GoodsTold:
    """Take new goods into the catalog."""
    body = call.body
    added = await goods.add_goods(
        call.work,
        call.tenant,
        body.goods,
        body.name,
        body.price_fen,
        barcode=body.barcode,
        spec=body.spec,
        pictures=body.pictures,
        categories=body.categories,
    )
    return GoodsTold.model_validate(added)


async def list_goods(call: Call[Nothing, GoodsFilter]) -> PageOf[GoodsTold]:
    """Goods, by id, or sorted by goods, name or price_fen."""
    query = call.query
    found = await browse.list_goods(
        call.work, call.tenant, query.ask, search=query.search, archived=query.archived, category=query.category
    )
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
        spec=body.spec,
        pictures=body.pictures,
        categories=body.categories,
    )
    return GoodsTold.model_validate(changed)


async def archive_goods(call: Call[Nothing, Nothing]) -> None:
    """Take goods out of the catalog; the same as setting `archived`."""
    await goods.change_goods(call.work, call.tenant, call.path["goods"], archived=True)


async def list_categories(call: Call[Nothing, Nothing]) -> All[CategoryTold]:
    """The tree of categories, by id; `parent` is the one of the first level above."""
    return all_of(CategoryTold.model_validate, await categories.list_categories(call.work, call.tenant))


async def add_category(call: Call[CategoryAsk, Nothing]) -> CategoryTold:
    """A new category, of the first level or under one of it."""
    name, which, parent = call.body.name, call.body.category, call.body.parent
    added = await categories.add_category(call.work, call.tenant, name, category=which, parent=parent)
    return CategoryTold.model_validate(added)


async def change_category(call: Call[CategoryChange, Nothing]) -> CategoryTold:
    """Change what is given and keep the rest."""
    which, name, parent = call.path["category"], call.body.name, call.body.parent
    changed = await categories.change_category(call.work, call.tenant, which, name=name, parent=parent)
    return CategoryTold.model_validate(changed)


P = Permission
OPERATIONS = (
    Operation("POST", "/goods", P.CATALOG_WRITE, add_goods, changes="goods.add", success=201),
    Operation("GET", "/goods", P.CATALOG_READ, list_goods),
    Operation("GET", "/goods/{goods}", P.CATALOG_READ, goods_detail),
    Operation("PATCH", "/goods/{goods}", P.CATALOG_WRITE, change_goods, changes="goods.change"),
    Operation("DELETE", "/goods/{goods}", P.CATALOG_WRITE, archive_goods, changes="goods.archive"),
    Operation("GET", "/categories", P.CATALOG_READ, list_categories),
    Operation("POST", "/categories", P.CATALOG_WRITE, add_category, changes="category.add", success=201),
    Operation("PATCH", "/categories/{category}", P.CATALOG_WRITE, change_category, changes="category.change"),
)
