"""Buying together: a customer opens a group and others join it, each with an order at its price that he pays for."""

from __future__ import annotations

from dataclasses import replace

from cloud.database import Work
from cloud.errors import FleetError
from cloud.members.wallet import member_of
from cloud.promotions import store
from cloud.promotions.coupons import running_promotion
from cloud.promotions.model import Group, Promotion, Seat, advance_group
from cloud.promotions.order import order_in_group
from cloud.purchases.model import Deadlines, Purchase
from cloud.purchases.place import Basket
from cloud.purchases.store import find_purchases
from cloud.serials import next_serial

PREFIX = "GB"
_HOUR_MS = 3_600_000


async def open_group(
    work: Work, deadlines: Deadlines, tenant: str, promotion: str, leader: str, basket: Basket
) -> tuple[Group, Purchase]:
    """A new group and its leader's order, whose money takes the first seat.

    FleetError: not_found, invalid (a promotion of another kind, an order that it takes nothing off), conflict (it does
    not run, no seats are left, he has had his); what ordering raises.
    """
    found = await running_promotion(work, tenant, promotion, "group")
    promised = await store.seats_promised(work, tenant, promotion) if found.total else 0
    if found.total and promised + found.group_size > found.total:
        raise FleetError("conflict", f"of the promotion {promotion!r} no seats are left", field="promotion_id")
    deadline_ms = work.now_ms + found.group_hours * _HOUR_MS
    opened = Group(
        tenant=tenant,
        group=f"{PREFIX}{await next_serial(work, tenant, PREFIX)}",
        promotion=promotion,
        leader=leader,
        state="forming",
        size=found.group_size,
        joined=0,
        opened_ms=work.now_ms,
        deadline_ms=deadline_ms if found.ends_ms is None else min(deadline_ms, found.ends_ms),
    )
    await store.put_group(work, opened)
    return opened, await _order(work, deadlines, found, opened, leader, basket)


async def join_group(
    work: Work, deadlines: Deadlines, tenant: str, group: str, member: str, basket: Basket
) -> tuple[Group, Purchase]:
    """An order in a group that is forming; its money takes a seat, or goes back where there is none any more.

    FleetError: not_found, conflict (the group is over, he is in it, he has had his); what ordering raises.
    """
    found = await group_of(work, tenant, group)
    promotion = await running_promotion(work, tenant, found.promotion, "group")
    if not found.takes(promotion, work.now_ms):
        raise FleetError("conflict", f"the group {group} is {found.state}: nobody can join it", field="group_id")
    return found, await _order(work, deadlines, promotion, found, member, basket)


async def group_of(work: Work, tenant: str, group: str) -> Group:
    """One group as it is by now; FleetError not_found."""
    found = await store.find_group(work, tenant, group)
    if found is None:
        raise FleetError("not_found", f"there is no group {group!r}", field="group_id")
    return now_of(found, work.now_ms)


def now_of(group: Group, now_ms: int) -> Group:
    """A group whose time is over has failed, whether or not somebody has written it down."""
    over = group.state == "forming" and group.deadline_ms <= now_ms
    return replace(group, state=advance_group(group, "expire")) if over else group


async def _order(
    work: Work, deadlines: Deadlines, promotion: Promotion, group: Group, member: str, basket: Basket
) -> Purchase:
    await member_of(work, group.tenant, member, lock=True)  # one order of his at a time
    had = await _seats_held(work, group.tenant, group.promotion, member)
    if any(seat.group == group.group for seat in had):
        raise FleetError("conflict", "he is in this group already", field="group_id")
    if promotion.per_member and len(had) >= promotion.per_member:
        raise FleetError("conflict", f"a customer gets {promotion.per_member} of it and no more", field="promotion_id")
    placed = await order_in_group(work, deadlines, promotion, group, member, basket)
    await store.put_seat(work, Seat(group.tenant, group.group, member, placed.purchase, work.now_ms))
    return placed


async def _seats_held(work: Work, tenant: str, promotion: str, member: str) -> list[Seat]:
    """What a member has ordered in groups of a promotion, but for what was closed or given back."""
    had = await store.seats_of(work, tenant, promotion, member)
    orders = await find_purchases(work, tenant, [seat.purchase for seat in had])
    over = {order.purchase for order in orders if order.state in ("close", "refund")}
    return [seat for seat in had if seat.purchase not in over]
