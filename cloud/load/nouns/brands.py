"""Brands: the tenants. The line of a brand is the only one whose brand need not be there yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from cloud.accounts.model import Tenant
from cloud.accounts.store import add_tenant, all_tenants, code_of, put_brand_code, tenant_of_code, tenants
from cloud.database import Work
from cloud.load.columns import Name, Row
from cloud.load.noun import Draft, Key, Run, TableNoun

Code = Annotated[str, Meta(pattern=r"^[A-Z]{4}$(?!\n)")]


class BrandRow(Row, frozen=True, kw_only=True):
    """One business."""

    name: Annotated[Name, Meta(title="品牌名称", description="What people call it.")]
    code: Annotated[
        Code | None,
        Meta(title="品牌代码", description="Four capital letters that begin its numbers; given once, unique over all."),
    ] = None


class _Brands(TableNoun[BrandRow]):
    async def present(self, run: Run, brand: str, keys: Sequence[Key] | None) -> Iterable[BrandRow]:
        code = await code_of(run.work, brand)
        return [msgspec.structs.replace(row, code=code) for row in await super().present(run, brand, keys)]

    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[BrandRow]]) -> None:
        for draft in drafts:
            had = draft.before.code if draft.before else None
            code = draft.after.code
            if had and code is None:
                draft.becomes(code=had)
            elif had and code != had:
                draft.object("code", f"the brand's code is {had} and stays so: it is in numbers that were given")
            elif code and await tenant_of_code(run.work, code) not in (None, brand):
                draft.object("code", "is the code of another brand")

    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[BrandRow]]) -> None:
        for draft in drafts:
            if draft.before is None:
                await add_tenant(run.work, Tenant(brand, draft.after.name, run.work.now_ms))
            if draft.after.code:
                await put_brand_code(run.work, brand, draft.after.code)
        await run.work.change(tenants, ("tenant",), [self.stored(brand, draft.after) for draft in drafts])


BRANDS = _Brands("brands", "品牌", BrandRow, tenants, (), beside={"code"})


async def all_brands(work: Work) -> list[str]:
    """The ids of all brands, in order."""
    return [tenant.tenant for tenant in await all_tenants(work)]
