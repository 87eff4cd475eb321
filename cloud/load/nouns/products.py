"""Products: what is sold and rented, with its rent, its commission and its specification."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloud.load.columns import Fen, Figure, Id, Lasting, Link, Name, Text
from cloud.load.noun import Counted, Draft, Run, TableNoun
from cloud.products.model import (
    NO_RENT,
    NO_TERMS,
    UNSPECIFIED,
    Product,
    ProductKind,
    Rent,
    Specification,
    Terms,
    problem_of,
)
from cloud.products.shelf import refit_machines
from cloud.products.store import products


class ProductRow(Lasting, frozen=True, kw_only=True):
    """One product. What is nested is JSON in a table's cell, with the fields that the schema names."""

    product: Annotated[Id, Meta(title="产品编号", description="The product's id, kept as it is.")]
    name: Annotated[Name, Meta(title="产品名称", description="What people read.")]
    kind: Annotated[ProductKind, Meta(title="产品类型", description="Bought, or reserved first.")] = "purchase"
    price_fen: Annotated[Fen, Meta(title="价格（分）", description="What it costs to buy, in fen.")]
    list_price_fen: Annotated[Fen, Meta(title="原价（分）", description="What is struck through, in fen.")] = 0
    freight_fen: Annotated[Fen, Meta(title="运费（分）", description="What bringing it costs, in fen.")] = 0
    with_install: Annotated[bool, Meta(title="含安装", description="Whether it is installed.")] = False
    install_fen: Annotated[Fen, Meta(title="安装费（分）", description="What installing costs, in fen.")] = 0
    with_maintenance: Annotated[bool, Meta(title="含维护", description="Whether it is maintained.")] = False
    maintenance_fen: Annotated[Fen, Meta(title="维护费（分）", description="What maintaining costs, in fen.")] = 0
    shelf_state: Annotated[Figure, Meta(title="上架状态", description="The brand's own number for it.")] = 0
    sequence: Annotated[Figure, Meta(title="排序", description="Its place in the list.")] = 0
    bonus: Annotated[bool, Meta(title="赠品", description="Whether it is given as a bonus.")] = False
    description: Annotated[Text, Meta(title="描述", description="One sentence about it.")] = ""
    tags: Annotated[Text, Meta(title="标签", description="Words to find it by.")] = ""
    preview: Annotated[Link, Meta(title="预览图", description="Address of its small picture.")] = ""
    introduction: Annotated[
        tuple[Link, ...], Meta(title="介绍图", description="Addresses of its pictures, with spaces between them.")
    ] = ()
    detail: Annotated[Text, Meta(title="详情", description="More about it.")] = ""
    notify_url: Annotated[Link, Meta(title="通知地址", description="Who is told of its orders.")] = ""
    rent: Annotated[Rent, Meta(title="租赁", description="The deposit and the periods that can be bought.")] = NO_RENT
    commission: Annotated[Terms, Meta(title="佣金", description="What recommending it earns.")] = NO_TERMS
    specification: Annotated[
        Specification, Meta(title="规格", description="Mode, cartridges and outlets of its machines.")
    ] = UNSPECIFIED


class _Products(TableNoun[ProductRow]):
    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[ProductRow]]) -> None:
        for draft in drafts:
            if problem := problem_of(_product(draft.after)):
                column, reason = problem
                draft.object("commission" if column == "commis" else column, reason)

    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[ProductRow]]) -> None:
        await super().write(run, brand, drafts)
        changed = [
            draft.after.product
            for draft in drafts
            if draft.before is not None and draft.before.specification != draft.after.specification
        ]
        await refit_machines(run.work, brand, changed)


def _product(row: ProductRow) -> Product:
    fields: dict[str, Any] = {field.name: getattr(row, field.name) for field in msgspec.structs.fields(ProductRow)}
    del fields["since"], fields["until"]
    return Product(tenant=fields.pop("brand"), created_ms=0, changed_ms=0, **fields)


PRODUCTS = _Products(
    "products",
    "产品",
    ProductRow,
    products,
    ("product",),
    since="created_ms",
    until="deleted_ms",
    touched={"changed_ms": lambda work: work.now_ms},
    # As `brand_number` mints them.
    counted=Counted("product", re.compile(r"[A-Z]{4}([0-9A-F]{16})"), 16),
)
