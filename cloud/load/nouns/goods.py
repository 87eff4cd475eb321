"""Goods: what can lie in an aisle."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from cloud.catalog.goods import PRICE_MAX_FEN
from cloud.catalog.store import goods
from cloud.load.columns import Id, Name, Row, Text
from cloud.load.noun import TableNoun


class GoodsRow(Row, frozen=True, kw_only=True):
    """One kind of goods."""

    goods: Annotated[Id, Meta(title="商品编号", description="The goods' id, kept as it is, e.g. VG9.")]
    name: Annotated[Name, Meta(title="商品名称", description="What people read on the aisle.")]
    price_fen: Annotated[int, Meta(ge=0, le=PRICE_MAX_FEN, title="价格（分）", description="The usual price, in fen.")]
    barcode: Annotated[Text, Meta(title="条形码", description="What a scanner reads.")] = ""
    archived: Annotated[bool, Meta(title="停用", description="Whether no aisle may be filled with it any more.")] = (
        False
    )


GOODS = TableNoun(
    "goods",
    "商品",
    GoodsRow,
    goods,
    ("goods",),
    born={"created_ms": lambda work: work.now_ms},
    touched={"changed_ms": lambda work: work.now_ms},
)
