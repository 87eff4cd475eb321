"""Brands: the tenants. The line of a brand is the only one whose brand need not be there yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from cloud.accounts.model import Tenant
from cloud.accounts.store import add_tenant, all_tenants, tenants
from cloud.database import Work
from cloud.load.columns import Name, Row
from cloud.load.noun import Draft, Run, TableNoun, change_rows


class BrandRow(Row, frozen=True, kw_only=True):
    """One business."""

    name: Annotated[Name, Meta(title="品牌名称", description="What people call it.")]


class _Brands(TableNoun[BrandRow]):
    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[BrandRow]]) -> None:
        for draft in drafts:
            if draft.before is None:
                await add_tenant(run.work, Tenant(brand, draft.after.name, run.work.now_ms))
        await change_rows(run.work, tenants, (), [self._stored(brand, draft.after) for draft in drafts])


BRANDS = _Brands("brands", "品牌", BrandRow, tenants, ())


async def all_brands(work: Work) -> list[str]:
    """The ids of all brands, in order."""
    return [tenant.tenant for tenant in await all_tenants(work)]
