"""Goods: what can lie in an aisle, and the categories that they are in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta
from sqlalchemy import select

from cloud.catalog.goods import PRICE_MAX_FEN
from cloud.catalog.store import goods, goods_categories
from cloud.load.columns import Dated, Id, Name, Text
from cloud.load.noun import Draft, Key, Run, TableNoun, chosen, remove_rows


class GoodsRow(Dated, frozen=True, kw_only=True):
    """One kind of goods."""

    goods: Annotated[Id, Meta(title="商品编号", description="The goods' id, kept as it is, e.g. VG9.")]
    name: Annotated[Name, Meta(title="商品名称", description="What people read on the aisle.")]
    price_fen: Annotated[int, Meta(ge=0, le=PRICE_MAX_FEN, title="价格（分）", description="The usual price, in fen.")]
    spec: Annotated[Name | None, Meta(title="规格", description="What tells sizes apart, e.g. 330ml.")] = None
    barcode: Annotated[Text, Meta(title="条形码", description="What a scanner reads.")] = ""
    categories: Annotated[
        tuple[Id, ...], Meta(title="所属分类", description="The categories that they are in, of either level.")
    ] = ()
    pictures: Annotated[tuple[Name, ...], Meta(title="图片", description="File names of their pictures.")] = ()
    archived: Annotated[bool, Meta(title="停用", description="Whether no aisle may be filled with it any more.")] = (
        False
    )


class _Goods(TableNoun[GoodsRow]):
    async def present(self, run: Run, brand: str, keys: Sequence[Key] | None) -> Iterable[GoodsRow]:
        found = await super().present(run, brand, keys)
        of: defaultdict[str, list[str]] = defaultdict(list)
        query = select(goods_categories).where(goods_categories.c.tenant == brand).order_by(goods_categories.c.category)
        wanted = None if keys is None else {key[0] for key in keys}
        for here in chosen(run.work, goods_categories.c.goods, wanted):
            for row in await run.work.rows(query.where(here)):
                of[row.goods].append(row.category)
        return [msgspec.structs.replace(row, categories=tuple(of[row.goods])) for row in found]

    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[GoodsRow]]) -> None:
        for draft in drafts:
            draft.becomes(categories=tuple(sorted(set(draft.after.categories))))

    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[GoodsRow]]) -> None:
        await super().write(run, brand, drafts)
        moved = [d.after for d in drafts if d.after.categories != (d.before.categories if d.before else ())]
        await remove_rows(run.work, goods_categories, brand, "goods", [row.goods for row in moved])
        into = [(row.goods, category) for row in moved for category in row.categories]
        rows = [{"tenant": brand, "goods": one, "category": category} for one, category in into]
        await run.work.insert(goods_categories, rows)


GOODS = _Goods(
    "goods",
    "商品",
    GoodsRow,
    goods,
    ("goods",),
    references={"categories": "categories"},
    since="created_ms",
    beside={"categories"},
    touched={"changed_ms": lambda work: work.now_ms},
)
