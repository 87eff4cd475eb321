"""Ordering for less: the best reduction that runs is taken off, and on top of it what a coupon is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cloud.database import Work
from cloud.errors import FleetError
from cloud.promotions import store
from cloud.promotions.model import Coupon, Group, Item, Promotion, best_reduction, less, reduction_of
from cloud.promotions.offer import promotion_of
from cloud.purchases.model import Deadlines, Line, Purchase
from cloud.purchases.place import Basket, place_purchase
from cloud.purchases.store import find_purchase


async def order(
    work: Work, deadlines: Deadlines, tenant: str, member: str, basket: Basket, *, coupon: str | None = None
) -> Purchase:
    """Write an order as `place_purchase` does, for what it costs after reductions and a coupon of the member's.

    FleetError as there; invalid for a coupon that is not his, was used, or takes nothing off this order.
    """
    held = None if coupon is None else await _free_coupon(work, tenant, member, coupon)

    async def reduced(lines: tuple[Line, ...]) -> tuple[Line, ...]:
        items = [Item(line.product, line.goods_fen) for line in lines]
        taken_off = await discount_for(work, tenant, items, held)
        return _taken_off(lines, taken_off)

    placed = await place_purchase(work, deadlines, tenant, member, basket, pricing=reduced)
    if held is not None:
        await store.use_coupon(work, held, placed.purchase)
    return placed


async def order_in_group(
    work: Work, deadlines: Deadlines, promotion: Promotion, group: Group, member: str, basket: Basket
) -> Purchase:
    """Write an order at the price of a group, to be paid while the group is forming.

    FleetError as `place_purchase`; invalid for an order that the group takes nothing off, or that costs nothing then.
    """

    async def reduced(lines: tuple[Line, ...]) -> tuple[Line, ...]:
        items = [Item(line.product, line.goods_fen) for line in lines]
        by_itself = best_reduction(await store.running(work, promotion.tenant), items)
        together = reduction_of(promotion, less(items, by_itself))
        if not sum(together):
            expected = f"at least {promotion.from_fen} fen of what it is for"
            raise FleetError("invalid", f"the promotion {promotion.promotion!r} is for {expected}", field="content")
        priced = _taken_off(lines, by_itself, together)
        if not sum(line.amount_fen for line in priced):
            raise FleetError("invalid", "a seat costs something, and this would be for nothing", field="content")
        return priced

    return await place_purchase(
        work, deadlines, group.tenant, member, basket, pricing=reduced, group=group.group, pay_by_ms=group.deadline_ms
    )


async def discount_for(work: Work, tenant: str, items: Sequence[Item], coupon: Coupon | None = None) -> tuple[int, ...]:
    """What is taken off each item, in fen; FleetError invalid for a coupon that takes nothing off these."""
    by_itself = best_reduction(await store.running(work, tenant), items)
    if coupon is None:
        return by_itself
    promotion = await promotion_of(work, tenant, coupon.promotion)
    if not promotion.runs(work.now_ms):
        raise FleetError("invalid", f"the coupon {coupon.coupon!r} does not hold now", field="coupon_id")
    by_coupon = reduction_of(promotion, less(items, by_itself))
    if not sum(by_coupon):
        expected = f"at least {promotion.from_fen} fen of what it is for"
        raise FleetError("invalid", f"the coupon {coupon.coupon!r} is for {expected}", field="coupon_id")
    return tuple(first + second for first, second in zip(by_itself, by_coupon, strict=True))


async def _free_coupon(work: Work, tenant: str, member: str, coupon: str) -> Coupon:
    """A coupon of this member that no order has used, locked until this one has."""
    found = await store.find_coupon(work, tenant, coupon, lock=True)
    if found is None or found.member != member:
        raise FleetError("invalid", f"he has no coupon {coupon!r}", field="coupon_id")
    if found.purchase is not None:
        before = await find_purchase(work, tenant, found.purchase)
        if before is None or not before.is_undone:
            raise FleetError("invalid", f"the coupon {coupon!r} was used", field="coupon_id")
    return found


def _taken_off(lines: tuple[Line, ...], *parts: Sequence[int]) -> tuple[Line, ...]:
    return tuple(replace(line, discount_fen=sum(off)) for line, *off in zip(lines, *parts, strict=True))
