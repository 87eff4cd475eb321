"""Looking at brands and at what was signed with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, select

from cloud.accounts.brand_profile import brand_of
from cloud.accounts.model import Brand, Signing
from cloud.accounts.store import brand_codes, brand_profiles, brand_signings, tenants, users
from cloud.database import Work, record_of
from cloud.paging import Ask, Page, page


@dataclass(frozen=True, slots=True)
class BrandSeen:
    """A brand with its name, its letters and the user name of its owner ("" where it has none)."""

    brand: Brand
    name: str
    code: str
    user: str
    opened_ms: int


_PROFILE = [column for column in brand_profiles.c if column.name != "tenant"]
# What a list of brands is sorted and filtered by.
_COLUMNS: dict[str, ColumnElement[Any]] = {
    **{
        column.name: func.coalesce(column, getattr(Brand(tenant=""), column.name))
        for column in _PROFILE
        if column.name not in ("owner", "closed_ms", "options", "mp_secret_sealed", "mch_secret_sealed")
    },
    "tenant": tenants.c.tenant,
    "name": tenants.c.name,
    "user": func.coalesce(users.c.login, ""),
    "opened_ms": tenants.c.created_ms,
}


async def list_brands(work: Work, ask: Ask) -> Page[BrandSeen]:
    """Brands that were not closed, newest first: for the platform's own people. Sorted and filtered by any column."""
    return await page(
        work,
        _brands().where(brand_profiles.c.closed_ms.is_(None)),
        ask,
        sorts=_COLUMNS,
        ties=(tenants.c.created_ms.desc(), tenants.c.tenant),
        make=_seen,
    )


async def brand_seen(work: Work, tenant: str) -> BrandSeen:
    """One brand; FleetError: not_found, gone."""
    await brand_of(work, tenant)
    row = await work.row(_brands().where(tenants.c.tenant == tenant))
    assert row is not None, "it was found just now"
    return _seen(row)


async def list_signings(work: Work, tenant: str, ask: Ask) -> Page[Signing]:
    """What was signed with a brand, newest first; FleetError: not_found, gone."""
    await brand_of(work, tenant)
    return await page(
        work,
        select(brand_signings).where(brand_signings.c.tenant == tenant),
        ask,
        sorts={column.name: column for column in brand_signings.c},
        ties=(brand_signings.c.created_ms.desc(), brand_signings.c.signing.desc()),
        make=lambda row: record_of(Signing, row),
    )


def _brands() -> Select[Any]:
    owner = and_(users.c.tenant == brand_profiles.c.tenant, users.c.user == brand_profiles.c.owner)
    return (
        select(
            tenants.c.tenant,
            tenants.c.name.label("called"),
            tenants.c.created_ms.label("opened_ms"),
            brand_codes.c.code,
            users.c.login,
            brand_profiles.c.tenant.label("described"),
            *_PROFILE,
        )
        .join_from(tenants, brand_profiles, brand_profiles.c.tenant == tenants.c.tenant, isouter=True)
        .join(users, owner, isouter=True)
        .join(brand_codes, brand_codes.c.tenant == tenants.c.tenant, isouter=True)
    )


def _seen(row: Row[Any]) -> BrandSeen:
    told = {column.name: row._mapping[column] for column in _PROFILE} if row.described is not None else {}
    return BrandSeen(Brand(tenant=row.tenant, **told), row.called, row.code or "", row.login or "", row.opened_ms)
