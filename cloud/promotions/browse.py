"""Looking at promotions, coupons, groups and advertisements."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, or_, select, true

from cloud.accounts.model import Reach
from cloud.accounts.reach import within
from cloud.database import Work, record_of
from cloud.paging import Ask, Page, page
from cloud.promotions import store
from cloud.promotions.groups import now_of
from cloud.promotions.model import Advertisement, Coupon, Group, Promotion
from cloud.promotions.store import advertisements, coupons, promotion_groups, promotions
from cloud.purchases.store import AMOUNT_FEN, purchases


async def list_promotions(work: Work, tenants: Reach, ask: Ask, *, running: bool | None = None) -> Page[Promotion]:
    """Promotions of the tenants within reach, newest first; `running`: those that hold now, or those that do not."""
    of = promotions.c
    query = select(promotions).where(_brand_wide(tenants, of.tenant))
    if running is not None:
        holds = and_(of.stopped.is_(False), _in_time(work, of.begins_ms, of.ends_ms))
        query = query.where(holds if running else ~holds)
    names = ("promotion", "kind", "name", "begins_ms", "ends_ms", "issued", "created_ms", "tenant")
    sorts = {name: of[name] for name in names}
    return await page(
        work, query, ask, sorts=sorts, ties=(of.begins_ms.desc(), of.promotion), make=store.promotion_from
    )


async def list_coupons(work: Work, reach: Reach, ask: Ask, *, used: bool | None = None) -> Page[Coupon]:
    """Coupons within reach, newest first: a member's own, or those of a whole brand.

    One whose order came to nothing (`Purchase.is_undone`) has not been used.
    """
    of, its_order = coupons.c, purchases.c
    same = and_(its_order.tenant == of.tenant, its_order.purchase == of.purchase)
    undone = or_(its_order.paid_ms.is_(None), its_order.repaid_fen == AMOUNT_FEN)
    given_back = and_(its_order.state.in_(("close", "refund")), undone)
    free = or_(of.purchase.is_(None), func.coalesce(given_back, False))
    query = select(coupons, free.label("free")).join_from(coupons, purchases, same, isouter=True)
    query = query.where(within(reach, tenant=of.tenant, member=of.member))
    if used is not None:
        query = query.where(~free if used else free)
    names = ("coupon", "promotion", "member", "issued_ms", "used_ms", "purchase", "tenant")
    return await page(
        work,
        query,
        ask,
        sorts={name: of[name] for name in names},
        ties=(of.issued_ms.desc(), of.coupon),
        make=_coupon_from,
    )


async def list_groups(work: Work, tenants: Reach, ask: Ask) -> Page[Group]:
    """Groups of the tenants within reach, newest first, as they are by now."""
    of = promotion_groups.c
    query = select(promotion_groups).where(_brand_wide(tenants, of.tenant))
    names = ("group", "promotion", "leader", "state", "opened_ms", "deadline_ms", "tenant")
    return await page(
        work,
        query,
        ask,
        sorts={name: of[name] for name in names},
        ties=(of.opened_ms.desc(), of.group),
        make=lambda row: now_of(record_of(Group, row), work.now_ms),
    )


async def list_advertisements(
    work: Work, tenants: Reach, ask: Ask, *, machine: str | None = None, shown: bool = False
) -> Page[Advertisement]:
    """Advertisements in their order; `shown`: only what is to be seen now. `machine`: what is for it, or for all."""
    of = advertisements.c
    query = select(advertisements).where(_brand_wide(tenants, of.tenant))
    if machine is not None:
        query = query.where(or_(of.machine.is_(None), of.machine == machine))
    if shown:
        query = query.where(of.stopped.is_(False), _in_time(work, of.begins_ms, of.ends_ms))
    names = ("advertisement", "title", "placement", "sequence", "begins_ms", "ends_ms", "created_ms", "tenant")
    return await page(
        work,
        query,
        ask,
        sorts={name: of[name] for name in names},
        ties=(of.sequence, of.advertisement),
        make=lambda row: record_of(Advertisement, row),
    )


def _coupon_from(row: Row[Any]) -> Coupon:
    found = Coupon(**{name: row._mapping[name] for name in Coupon.__dataclass_fields__})
    return replace(found, purchase=None, used_ms=None) if row.free else found


def _brand_wide(reach: Reach, tenant: ColumnElement[str]) -> ColumnElement[bool]:
    """What a brand offers is for everybody in it: its offices and its customers alike."""
    return true() if reach.tenant is None else tenant == reach.tenant


def _in_time(work: Work, begins: ColumnElement[int], ends: ColumnElement[int]) -> ColumnElement[bool]:
    return and_(begins <= work.now_ms, or_(ends.is_(None), ends > work.now_ms))
