"""Opening promotions, changing what may still be changed, and stopping them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cloud.database import Work
from cloud.errors import FleetError
from cloud.products.shelf import products_of
from cloud.promotions import store
from cloud.promotions.model import (
    GROUP_HOURS_DEFAULT,
    GROUP_HOURS_MAX,
    GROUP_SIZE_MAX,
    GROUP_SIZE_MIN,
    PRODUCTS_MAX,
    WHOLE,
    Promotion,
    PromotionKind,
)
from cloud.serials import next_serial

PREFIX = "PM"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPromotion:
    """What a brand wants to give away; see `Promotion`."""

    kind: PromotionKind
    name: str
    off_share: int = 0
    off_fen: int = 0
    from_fen: int = 0
    products: tuple[str, ...] = ()
    begins_ms: int | None = None
    ends_ms: int | None = None
    total: int = 0
    per_member: int = 1
    group_size: int = 0
    group_hours: int = GROUP_HOURS_DEFAULT


async def open_promotion(work: Work, tenant: str, new: NewPromotion, by: str) -> Promotion:
    """A new promotion, from now on where it says no time; FleetError invalid for rules that cannot hold."""
    begins_ms = work.now_ms if new.begins_ms is None else new.begins_ms
    check_offer(new, begins_ms)
    known = await products_of(work, tenant, set(new.products)) if new.products else {}
    if unknown := sorted(set(new.products) - known.keys()):
        raise FleetError("invalid", f"there is no product {unknown[0]!r}", field="products")
    opened = Promotion(
        tenant=tenant,
        promotion=f"{PREFIX}{await next_serial(work, tenant, PREFIX)}",
        kind=new.kind,
        name=new.name,
        off_share=new.off_share,
        off_fen=new.off_fen,
        from_fen=new.from_fen,
        products=new.products,
        begins_ms=begins_ms,
        ends_ms=new.ends_ms,
        total=new.total,
        per_member=new.per_member,
        group_size=new.group_size if new.kind == "group" else 0,
        group_hours=new.group_hours,
        created_ms=work.now_ms,
        created_by=by,
    )
    await store.put_promotion(work, opened)
    return opened


async def change_promotion(
    work: Work,
    tenant: str,
    promotion: str,
    *,
    name: str | None = None,
    ends_ms: int | None = None,
    stopped: bool | None = None,
) -> Promotion:
    """Rename, prolong, shorten, stop or resume: what it takes off stays, since coupons of it are in people's hands."""
    found = await promotion_of(work, tenant, promotion, lock=True)
    if ends_ms is not None and ends_ms <= found.begins_ms:
        raise FleetError("invalid", "a promotion ends after it has begun", field="end_tms")
    changed = replace(
        found,
        name=found.name if name is None else name,
        ends_ms=found.ends_ms if ends_ms is None else ends_ms,
        stopped=found.stopped if stopped is None else stopped,
    )
    await store.put_promotion(work, changed)
    return changed


async def promotion_of(work: Work, tenant: str, promotion: str, *, lock: bool = False) -> Promotion:
    """One promotion; FleetError not_found."""
    found = await store.find_promotion(work, tenant, promotion, lock=lock)
    if found is None:
        raise FleetError("not_found", f"there is no promotion {promotion!r}", field="promotion_id")
    return found


def check_offer(new: NewPromotion, begins_ms: int) -> None:
    """FleetError invalid for rules that cannot hold."""
    if (new.off_share > 0) == (new.off_fen > 0):
        raise FleetError("invalid", "it takes off a share or an amount: one of the two", field="off")
    if not 0 <= new.off_share <= WHOLE:
        raise FleetError("invalid", f"{new.off_share} hundredths of a percent is not a share of the whole", field="off")
    if new.ends_ms is not None and new.ends_ms <= begins_ms:
        raise FleetError("invalid", "a promotion ends after it has begun", field="end_tms")
    if len(new.products) > PRODUCTS_MAX:
        raise FleetError("invalid", f"a promotion names at most {PRODUCTS_MAX} products", field="products")
    if new.kind == "group" and not GROUP_SIZE_MIN <= new.group_size <= GROUP_SIZE_MAX:
        expected = f"{GROUP_SIZE_MIN} to {GROUP_SIZE_MAX}"
        raise FleetError("invalid", f"a group has {expected} members, not {new.group_size}", field="group_size")
    if not 1 <= new.group_hours <= GROUP_HOURS_MAX:
        raise FleetError("invalid", f"a group has 1 to {GROUP_HOURS_MAX} hours to come together", field="group_hours")
