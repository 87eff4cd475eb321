"""Units: the agents, dealers and shops below a brand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from cloud.accounts.model import PARENTS, UnitKind
from cloud.accounts.store import units
from cloud.load.columns import Id, Lasting, Link, Name, Phone, Text
from cloud.load.noun import Draft, Run, TableNoun, values_of

# From the top down: a unit's parent is of an earlier kind.
_KINDS: tuple[UnitKind, ...] = ("agent", "dealer", "shop")


class UnitRow(Lasting, frozen=True, kw_only=True):
    """An agent, a dealer or a shop."""

    unit: Annotated[Id, Meta(title="机构编号", description="The unit's id, kept as it is, e.g. SH888.")]
    kind: Annotated[UnitKind, Meta(title="类型", description="agent 代理商, dealer 经销商, shop 门店; for good.")]
    name: Annotated[Name, Meta(title="机构名称", description="What people call it.")]
    parent: Annotated[
        Id | None, Meta(title="上级机构", description="The unit above it; empty: the brand itself. Stays as it is.")
    ] = None
    address: Annotated[Text, Meta(title="地址", description="Where it is.")] = ""
    contact: Annotated[Text, Meta(title="联系人", description="Whom to ask for.")] = ""
    phone: Annotated[Phone, Meta(title="电话", description="Its phone.")] = ""
    logo: Annotated[Link, Meta(title="标志", description="Address of its picture.")] = ""
    disabled: Annotated[bool, Meta(title="停用", description="Whether its people are refused.")] = False


class _Units(TableNoun[UnitRow]):
    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[UnitRow]]) -> None:
        named = sorted({(draft.after.parent,) for draft in drafts if draft.after.parent})
        kinds = {row.unit: row.kind for row in await self.present(run, brand, named)}
        kinds |= {draft.after.unit: draft.after.kind for draft in drafts}
        for draft in drafts:
            row, before = draft.after, draft.before
            if before is not None and (before.kind, before.parent) != (row.kind, row.parent):
                column = "kind" if before.kind != row.kind else "parent"
                draft.object(column, "stays as it is: machines and people below it belong to where it stands")
            above = None if row.parent is None else kinds[row.parent]
            if above not in PARENTS[row.kind]:
                draft.object("parent", f"a {row.kind} cannot stand under a {above or 'brand'}")

    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[UnitRow]]) -> None:
        new = sorted((d.after for d in drafts if d.before is None), key=lambda row: _KINDS.index(row.kind))
        above = [row.parent for row in new if row.parent]
        paths = await values_of(run.work, units, brand, "unit", above, "path")
        now = {"changed_ms": run.work.now_ms}
        rows = []
        for row in new:
            paths[row.unit] = f"{paths[row.parent] if row.parent else '/'}{row.unit}/"
            rows.append(self.stored(brand, self.began(run.work, row)) | now | {"path": paths[row.unit]})
        await run.work.insert(units, rows)
        changed = [self.changed(brand, draft.after) | now for draft in drafts if draft.before is not None]
        await run.work.change(units, ("tenant", *self.key), changed)


UNITS = _Units(
    "units",
    "机构",
    UnitRow,
    units,
    ("unit",),
    references={"parent": "units"},
    since="created_ms",
    until="closed_ms",
)
