"""Looking at goods."""

from __future__ import annotations

from sqlalchemy import func, or_, select

from cloud.catalog.model import Goods
from cloud.catalog.store import goods
from cloud.database import Work
from cloud.paging import Ask, Page, page


async def list_goods(
    work: Work, tenant: str, ask: Ask, *, search: str | None = None, archived: bool | None = None
) -> Page[Goods]:
    """Goods of a tenant; sorted by id, name or price. `search` is found in id, name and barcode."""
    query = select(goods).where(goods.c.tenant == tenant)
    if search is not None:
        columns = (goods.c.goods, goods.c.name, goods.c.barcode)
        query = query.where(or_(*(func.lower(c).contains(search.lower(), autoescape=True) for c in columns)))
    if archived is not None:
        query = query.where(goods.c.archived.is_(archived))
    return await page(
        work,
        query,
        ask,
        sorts={"goods": goods.c.goods, "name": goods.c.name, "price_fen": goods.c.price_fen},
        ties=(goods.c.goods,),
        make=lambda row: Goods(**row._mapping),
    )
