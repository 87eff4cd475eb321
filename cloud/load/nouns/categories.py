"""Categories: the tree of two levels by which people browse goods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from cloud.catalog.store import categories
from cloud.load.columns import Id, Name, Row
from cloud.load.noun import Draft, Run, TableNoun


class CategoryRow(Row, frozen=True, kw_only=True):
    """One category of goods."""

    category: Annotated[Id, Meta(title="分类编号", description="The category's id, kept as it is, e.g. VGC9.")]
    name: Annotated[Name, Meta(title="分类名称", description="What people read.")]
    parent: Annotated[
        Id | None, Meta(title="上级分类", description="The category of the first level above it; empty: it is one.")
    ] = None


class _Categories(TableNoun[CategoryRow]):
    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[CategoryRow]]) -> None:
        """The tree has two levels: whatever has a parent is nobody's."""
        parents = {row.category: row.parent for row in await self.present(run, brand, None)}
        parents |= {draft.after.category: draft.after.parent for draft in drafts}
        for draft in drafts:
            row = draft.after
            if row.parent is not None and (row.parent == row.category or parents[row.parent] is not None):
                draft.object("parent", "is not of the first level")


CATEGORIES = _Categories(
    "categories",
    "商品分类",
    CategoryRow,
    categories,
    ("category",),
    references={"parent": "categories"},
    touched={"changed_ms": lambda work: work.now_ms},
)
