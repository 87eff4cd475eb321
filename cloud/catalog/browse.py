"""Looking at goods."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Select, func, or_, select

from cloud.catalog import store
from cloud.catalog.model import Category, Goods, GoodsShown, in_order, paths
from cloud.catalog.store import categories, goods, goods_categories
from cloud.database import Work
from cloud.paging import Ask, Page, page


async def list_goods(
    work: Work,
    tenant: str,
    ask: Ask,
    *,
    search: str | None = None,
    archived: bool | None = None,
    category: str | None = None,
) -> Page[Goods]:
    """Goods of a tenant; sorted by id, name or price. `search` is found in id, name and barcode.

    `category` is one that they are in, or that stands above one that they are in.
    """
    query = _chosen(tenant, search, archived)
    if category is not None:
        query = query.where(goods.c.goods.in_(goods_in(tenant, category)))
    return await page(
        work,
        query,
        ask,
        sorts={"goods": goods.c.goods, "name": goods.c.name, "price_fen": goods.c.price_fen},
        ties=(goods.c.goods,),
        make=store.goods_of,
    )


async def all_goods(
    work: Work, tenant: str, *, search: str | None = None, archived: bool | None = False
) -> list[GoodsShown]:
    """All goods that can be put into an aisle (`archived` None: all there are), VG9 before VG10; `search` as above."""
    columns = (goods.c[name] for name in GoodsShown._fields)
    query: Select[Any] = _chosen(tenant, search, archived).with_only_columns(*columns)
    rows: Sequence[Any] = await work.rows(query)
    shown = [
        GoodsShown(which, name, spec, store.pictures_of(pictures), put_away)
        for which, name, spec, pictures, put_away in rows
    ]
    return sorted(shown, key=lambda one: in_order(one.goods))


async def many_goods(work: Work, tenant: str, wanted: Collection[str]) -> dict[str, Goods]:
    """Goods by id, as far as they exist."""
    return await store.find_many(work, tenant, wanted) if wanted else {}


async def category_paths(work: Work, tenant: str, wanted: Collection[str] | None = None) -> dict[str, list[str]]:
    """For these goods (None: all) the categories that they are in, from the first level down."""
    tree: dict[str, Category] = {one.category: one for one in await store.all_categories(work, tenant)}
    assigned = await store.categories_of(work, tenant, wanted)
    return {which: paths(into, tree) for which, into in assigned.items()}


def goods_in(tenant: str, category: str) -> Select[tuple[str]]:
    """The ids of all goods in a category or below it, as a query."""
    below = select(categories.c.category).where(categories.c.tenant == tenant, categories.c.parent == category)
    here = or_(goods_categories.c.category == category, goods_categories.c.category.in_(below))
    return select(goods_categories.c.goods).where(goods_categories.c.tenant == tenant, here)


def _chosen(tenant: str, search: str | None, archived: bool | None) -> Select[tuple[object, ...]]:
    query = select(goods).where(goods.c.tenant == tenant)
    if search is not None:
        columns = (goods.c.goods, goods.c.name, goods.c.barcode)
        query = query.where(or_(*(func.lower(c).contains(search.lower(), autoescape=True) for c in columns)))
    if archived is not None:
        query = query.where(goods.c.archived.is_(archived))
    return query
