"""SQL of products."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Row, Table, Text, and_, select

from cloud.database import Work, metadata, record_of, row_of, tenant_column
from cloud.products.model import Product, Rent, Specification, Terms

products = Table(
    "products",
    metadata,
    tenant_column(),
    Column("product", Text, primary_key=True),
    Column("shelf_state", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("bonus", Boolean, nullable=False),
    Column("price_fen", BigInteger, nullable=False),
    Column("freight_fen", BigInteger, nullable=False),
    Column("with_install", Boolean, nullable=False),
    Column("with_maintenance", Boolean, nullable=False),
    Column("install_fen", BigInteger, nullable=False),
    Column("maintenance_fen", BigInteger, nullable=False),
    Column("list_price_fen", BigInteger, nullable=False),
    Column("preview", Text, nullable=False),
    # JSON, read and written whole: the pictures, and the three parts of a product that its model describes.
    Column("introduction", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("notify_url", Text, nullable=False),
    Column("rent", Text, nullable=False),
    Column("commission", Text, nullable=False),
    Column("specification", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
    CheckConstraint(
        "price_fen >= 0 AND freight_fen >= 0 AND install_fen >= 0 AND maintenance_fen >= 0 AND list_price_fen >= 0",
        name="amounts",
    ),
    Index("ix_products_sequence", "tenant", "sequence", "product"),
    # The platform's people and visitors without a token know a number and not whose it is.
    Index("ix_products_product", "product"),
)

JSON_COLUMNS: dict[str, Any] = {
    "introduction": tuple[str, ...],
    "rent": Rent,
    "commission": Terms,
    "specification": Specification,
}


def product_from(row: Row[Any]) -> Product:
    """A row as the product it holds."""
    parsed = {name: msgspec.json.decode(getattr(row, name), type=kind) for name, kind in JSON_COLUMNS.items()}
    return record_of(Product, row, **parsed)


async def find_product(work: Work, tenant: str, product: str, *, lock: bool = False) -> Product | None:
    """One product, also a deleted one."""
    query = select(products).where(and_(products.c.tenant == tenant, products.c.product == product))
    row = await work.row(query.with_for_update() if lock else query)
    return None if row is None else product_from(row)


async def find_products(work: Work, tenant: str, wanted: set[str]) -> dict[str, Product]:
    """Those of `wanted` that exist, deleted ones too."""
    query = select(products).where(and_(products.c.tenant == tenant, products.c.product.in_(sorted(wanted))))
    return {row.product: product_from(row) for row in await work.rows(query)}


async def put_product(work: Work, product: Product) -> None:
    """Insert or replace a product."""
    values = row_of(product)
    parts = {name: msgspec.json.encode(values[name]).decode() for name in JSON_COLUMNS}
    await work.put(products, [{**values, **parts}])
