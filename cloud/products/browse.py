"""Looking at products."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import ColumnElement, select

from cloud.accounts.model import Reach
from cloud.accounts.reach import within
from cloud.database import Work
from cloud.errors import FleetError
from cloud.paging import Ask, Page, page
from cloud.products.model import Product
from cloud.products.shelf import on_shelf
from cloud.products.store import JSON_COLUMNS, product_from, products

# JSON is in no order that anybody asks for.
_SORTS = {column.name: column for column in products.c if column.name not in JSON_COLUMNS}


async def list_products(work: Work, reach: Reach, ask: Ask) -> Page[Product]:
    """The products of the brands within reach, in the brands' own sequence unless sorted otherwise."""
    query = select(products).where(_of_brand(reach), products.c.deleted_ms.is_(None))
    return await page(work, query, ask, sorts=_SORTS, ties=(products.c.sequence, products.c.product), make=product_from)


async def product_seen(work: Work, reach: Reach, product: str) -> Product:
    """One product within reach; FleetError not_found, gone, or invalid when several brands have one of this id."""
    query = select(products).where(_of_brand(reach), products.c.product == product).limit(2)
    found = await work.rows(query)
    if len(found) > 1:
        raise FleetError("invalid", f"several brands have a product {product!r}: name one", field="vid")
    return on_shelf(product_from(found[0]) if found else None, product)


def _of_brand(reach: Reach) -> ColumnElement[bool]:
    """A brand's shelf is the same for all who belong to it: its units and its customers see all of it."""
    return within(replace(reach, path="", member=None), tenant=products.c.tenant)
