"""SQL of goods and categories."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Index, Table, Text, and_, delete, select

from cloud.catalog.model import Category, Goods
from cloud.database import Work, metadata, record_of, row_of, tenant_column

goods = Table(
    "goods",
    metadata,
    tenant_column(),
    Column("goods", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("barcode", Text, nullable=False),
    Column("price_fen", BigInteger, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("spec", Text),
    # A JSON list of file names.
    Column("pictures", Text, nullable=False),
    Index("ix_goods_barcode", "tenant", "barcode"),
)

categories = Table(
    "categories",
    metadata,
    tenant_column(),
    Column("category", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("parent", Text),
    Column("changed_ms", BigInteger, nullable=False),
)

goods_categories = Table(
    "goods_categories",
    metadata,
    tenant_column(),
    Column("goods", Text, primary_key=True),
    Column("category", Text, primary_key=True),
    Index("ix_goods_categories_category", "tenant", "category"),
)


def goods_of(row: Any) -> Goods:
    """Goods from their row."""
    return record_of(Goods, row, pictures=pictures_of(row.pictures))


@lru_cache(maxsize=1_000)
def pictures_of(stored: str) -> tuple[str, ...]:
    """File names from their column."""
    return msgspec.json.decode(stored, type=tuple[str, ...])


def _row(some: Goods) -> dict[str, Any]:
    return {**row_of(some), "pictures": msgspec.json.encode(some.pictures).decode()}


async def find_goods(work: Work, tenant: str, which: str) -> Goods | None:
    """One kind of goods."""
    row = await work.row(select(goods).where(and_(goods.c.tenant == tenant, goods.c.goods == which)))
    return None if row is None else goods_of(row)


async def find_many(work: Work, tenant: str, wanted: Collection[str]) -> dict[str, Goods]:
    """Goods by id, as far as they exist."""
    here = and_(goods.c.tenant == tenant, goods.c.goods.in_(sorted(wanted)))
    return {row.goods: goods_of(row) for row in await work.rows(select(goods).where(here))}


async def find_by_barcode(work: Work, tenant: str, barcode: str) -> Goods | None:
    """The goods with this bar code; where several have it, the newest that is not archived."""
    here = and_(goods.c.tenant == tenant, goods.c.barcode == barcode)
    query = select(goods).where(here).order_by(goods.c.archived, goods.c.created_ms.desc(), goods.c.goods).limit(1)
    row = await work.row(query)
    return None if row is None else goods_of(row)


async def add_goods(work: Work, new: Goods) -> None:
    """Insert goods."""
    await work.insert(goods, [_row(new)])


async def put_goods(work: Work, changed: Goods) -> None:
    """Write goods."""
    here = and_(goods.c.tenant == changed.tenant, goods.c.goods == changed.goods)
    await work.execute(goods.update().where(here).values(**_row(changed)))


async def saleable(work: Work, tenant: str, wanted: Collection[str]) -> set[str]:
    """Those of `wanted` that exist and are not archived."""
    here = and_(goods.c.tenant == tenant, goods.c.goods.in_(sorted(wanted)), ~goods.c.archived)
    return {row.goods for row in await work.rows(select(goods.c.goods).where(here))}


# --- categories ---


async def all_categories(work: Work, tenant: str) -> list[Category]:
    """The whole tree of a tenant."""
    return [
        record_of(Category, row) for row in await work.rows(select(categories).where(categories.c.tenant == tenant))
    ]


async def put_category(work: Work, category: Category) -> None:
    """Write a category."""
    await work.put(categories, [row_of(category)])


async def categories_of(work: Work, tenant: str, wanted: Collection[str] | None = None) -> dict[str, list[str]]:
    """The categories that these goods (None: all) were put into, by goods."""
    query = select(goods_categories.c.goods, goods_categories.c.category).where(goods_categories.c.tenant == tenant)
    if wanted is not None:
        query = query.where(goods_categories.c.goods.in_(sorted(wanted)))
    found: dict[str, list[str]] = {}
    for row in await work.rows(query):
        found.setdefault(row.goods, []).append(row.category)
    return found


async def set_categories(work: Work, tenant: str, which: str, into: Iterable[str]) -> None:
    """Put goods into these categories and no others."""
    here = and_(goods_categories.c.tenant == tenant, goods_categories.c.goods == which)
    await work.execute(delete(goods_categories).where(here))
    rows = [{"tenant": tenant, "goods": which, "category": category} for category in sorted(set(into))]
    await work.insert(goods_categories, rows)
