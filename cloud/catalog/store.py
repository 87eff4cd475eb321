"""SQL of goods."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import BigInteger, Boolean, Column, Table, Text, and_, select

from cloud.catalog.model import Goods
from cloud.database import Work, metadata, row_of, tenant_column

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
)


async def find_goods(work: Work, tenant: str, which: str) -> Goods | None:
    """One kind of goods."""
    row = await work.row(select(goods).where(and_(goods.c.tenant == tenant, goods.c.goods == which)))
    return None if row is None else Goods(**row._mapping)


async def add_goods(work: Work, new: Goods) -> None:
    """Insert goods."""
    await work.insert(goods, [row_of(new)])


async def put_goods(work: Work, changed: Goods) -> None:
    """Write goods."""
    here = and_(goods.c.tenant == changed.tenant, goods.c.goods == changed.goods)
    await work.execute(goods.update().where(here).values(**row_of(changed)))


async def saleable(work: Work, tenant: str, wanted: Collection[str]) -> set[str]:
    """Those of `wanted` that exist and are not archived."""
    here = and_(goods.c.tenant == tenant, goods.c.goods.in_(sorted(wanted)), ~goods.c.archived)
    return {row.goods for row in await work.rows(select(goods.c.goods).where(here))}
