"""Coupons: claimed, given, earned by sharing; each is used by one order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cloud.database import Work
from cloud.errors import FleetError
from cloud.members.wallet import member_of
from cloud.promotions import store
from cloud.promotions.model import Coupon, Promotion, PromotionKind
from cloud.promotions.offer import promotion_of
from cloud.serials import next_serials

PREFIX = "CP"


async def claim_coupon(work: Work, tenant: str, promotion: str, member: str) -> Coupon:
    """A coupon for a customer who asks for it.

    FleetError: not_found, conflict (not running, none left, he has had his), invalid for a promotion of another kind.
    """
    return await _issue_one(work, tenant, promotion, member, "coupon", "claimed")


async def give_coupon(work: Work, tenant: str, promotion: str, member: str, by: str) -> Coupon:
    """A coupon that the brand gives to a customer; FleetError as for claiming."""
    await member_of(work, tenant, member)
    return await _issue_one(work, tenant, promotion, member, "coupon", f"given by {by}")


async def accept_share(work: Work, tenant: str, promotion: str, shared_by: str, accepted_by: str) -> Coupon:
    """A customer accepts what another one shared, who earns a coupon by it: once for everybody who accepts.

    FleetError: as for claiming; conflict when he accepted this promotion before, invalid for oneself.
    """
    if shared_by == accepted_by:
        raise FleetError("invalid", "nobody accepts what he shared himself", field="user_id")
    await member_of(work, tenant, shared_by)
    coupon = await _issue_one(work, tenant, promotion, shared_by, "share", f"shared with {accepted_by}")
    if not await store.accept_share(work, tenant, promotion, shared_by, accepted_by):
        raise FleetError("conflict", "this was accepted before", field="promotion_id")
    return coupon


async def issue(work: Work, promotion: Promotion, members: Sequence[str], reason: str) -> list[Coupon]:
    """Coupons of a promotion that this Work has locked; FleetError conflict when not enough are left."""
    if promotion.total and promotion.issued + len(members) > promotion.total:
        raise FleetError("conflict", f"of the promotion {promotion.promotion!r} nothing is left", field="promotion_id")
    numbers = await next_serials(work, promotion.tenant, PREFIX, len(members))
    issued = [
        Coupon(
            tenant=promotion.tenant,
            coupon=f"{PREFIX}{number}",
            promotion=promotion.promotion,
            member=member,
            reason=reason,
            issued_ms=work.now_ms,
        )
        for number, member in zip(numbers, members, strict=True)
    ]
    await store.put_promotion(work, replace(promotion, issued=promotion.issued + len(members)))
    await store.add_coupons(work, issued)
    return issued


async def running_promotion(work: Work, tenant: str, promotion: str, kind: PromotionKind) -> Promotion:
    """A promotion of this kind that holds now, locked; FleetError: not_found, invalid kind, conflict."""
    found = await promotion_of(work, tenant, promotion, lock=True)
    if found.kind != kind:
        raise FleetError(
            "invalid", f"the promotion {promotion!r} is a {found.kind}, not a {kind}", field="promotion_id"
        )
    if not found.runs(work.now_ms):
        raise FleetError("conflict", f"the promotion {promotion!r} does not run now", field="promotion_id")
    return found


async def _issue_one(work: Work, tenant: str, promotion: str, member: str, kind: PromotionKind, reason: str) -> Coupon:
    found = await running_promotion(work, tenant, promotion, kind)
    if found.per_member and await store.count_coupons(work, tenant, promotion, member) >= found.per_member:
        raise FleetError("conflict", f"a customer gets {found.per_member} of it and no more", field="promotion_id")
    (issued,) = await issue(work, found, [member], reason)
    return issued
