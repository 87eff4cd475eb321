"""Buying together: a customer opens a group, others join, and when it is full everybody gets his coupon."""

from __future__ import annotations

from dataclasses import replace

from cloud.database import Work
from cloud.errors import FleetError
from cloud.promotions import store
from cloud.promotions.coupons import issue, running_promotion
from cloud.promotions.model import Group, advance_group
from cloud.serials import next_serial

PREFIX = "GB"
_HOUR_MS = 3_600_000


async def open_group(work: Work, tenant: str, promotion: str, leader: str) -> Group:
    """A new group with its leader in it; FleetError: not_found, invalid (of another kind), conflict (not running)."""
    found = await running_promotion(work, tenant, promotion, "group")
    opened = Group(
        tenant=tenant,
        group=f"{PREFIX}{await next_serial(work, tenant, PREFIX)}",
        promotion=promotion,
        leader=leader,
        state="forming",
        size=found.group_size,
        joined=1,
        opened_ms=work.now_ms,
        deadline_ms=work.now_ms + found.group_hours * _HOUR_MS,
    )
    await store.put_group(work, opened)
    await store.add_to_group(work, opened, leader)
    return opened


async def join_group(work: Work, tenant: str, group: str, member: str) -> Group:
    """Join; who fills the group makes it formed, and everybody in it gets his coupon.

    FleetError: not_found, conflict when it is full, over, or he is in it already.
    """
    known = await group_of(work, tenant, group)
    # The promotion first, so that all Works that give coupons lock in one order.
    promotion = await running_promotion(work, tenant, known.promotion, "group")
    found = await store.find_group(work, tenant, group, lock=True)
    assert found is not None, "groups are not deleted"
    if found.state == "forming" and found.deadline_ms <= work.now_ms:
        found = replace(found, state=advance_group(found, "expire"))
    full = found.joined + 1 == found.size
    after = replace(found, state=advance_group(found, "fill" if full else "join"), joined=found.joined + 1)
    if not await store.add_to_group(work, found, member):
        raise FleetError("conflict", "he is in this group already", field="group_id")
    await store.put_group(work, after)
    if after.state == "formed":
        await issue(work, promotion, await store.members_of_group(work, tenant, group), f"group {group}")
    return after


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
