"""Promotions, coupons, group buying and advertisements.

The documentation names them without operations; all of these are additions, in its envelope.
"""

from __future__ import annotations

from typing import Any

from cloud.accounts.model import Permission, Reach
from cloud.accounts.people import tenant_named
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.iot.orders_shapes import BasketAsk
from cloud.facades.iot.promotions_shapes import (
    AdvertisementAsk,
    AdvertisementsAsk,
    AdvertisementsTold,
    AdvertisementTold,
    CouponsAsk,
    CouponsTold,
    CouponTold,
    GiveAsk,
    GroupsAsk,
    GroupsTold,
    GroupTold,
    OfBrand,
    PromotionAsk,
    PromotionChange,
    PromotionsAsk,
    PromotionsTold,
    PromotionTold,
    SeatTold,
    ShareTold,
)
from cloud.facades.iot.visits import visit
from cloud.facades.iot.wire import BRANDS, CUSTOMERS, OFFICES, allow
from cloud.promotions import advertise, browse, coupons, groups
from cloud.promotions.offer import change_promotion, open_promotion, promotion_of
from cloud.wiring import deadlines_of

EVERYBODY = OFFICES | CUSTOMERS


async def list_promotions(call: Call[Nothing, PromotionsAsk]) -> PromotionsTold:
    """Promotions, newest first; customers see those that run. An addition to the documented operations."""
    running = True if call.subject.level == "customer" else call.query.running
    found = await browse.list_promotions(call.work, _tenants(call), call.query.ask, running=running)
    rows = [PromotionTold.of(one, call.work.now_ms) for one in found.items]
    return PromotionsTold(total=found.total, promotions=rows)


async def read_promotion(call: Call[Nothing, OfBrand]) -> PromotionTold:
    """One promotion. An addition to the documented operations."""
    tenant = await _brand(call, call.query.vid)
    return PromotionTold.of(await promotion_of(call.work, tenant, call.path["id"]), call.work.now_ms)


async def add_promotion(call: Call[PromotionAsk, Nothing]) -> PromotionTold:
    """Offer a reduction, coupons, rewarded sharing or group buying. An addition to the documented operations."""
    tenant = await _brand(call, call.body.vid)
    return PromotionTold.of(
        await open_promotion(call.work, tenant, call.body.wanted(), call.subject.user), call.work.now_ms
    )


async def alter_promotion(call: Call[PromotionChange, Nothing]) -> PromotionTold:
    """Rename, prolong, shorten or stop a promotion. An addition to the documented operations."""
    body = call.body
    changed = await change_promotion(
        call.work,
        await _brand(call, body.vid),
        call.path["id"],
        name=body.name,
        ends_ms=body.end_tms,
        stopped=body.stopped,
    )
    return PromotionTold.of(changed, call.work.now_ms)


async def claim_coupon(call: Call[Nothing, Nothing]) -> CouponTold:
    """Take a coupon of a promotion. An addition to the documented operations."""
    return CouponTold.of(await coupons.claim_coupon(call.work, call.tenant, call.path["id"], call.subject.user))


async def give_coupon(call: Call[GiveAsk, Nothing]) -> CouponTold:
    """Give a user a coupon of a promotion. An addition to the documented operations."""
    tenant = await _brand(call, call.body.vid)
    return CouponTold.of(
        await coupons.give_coupon(call.work, tenant, call.path["id"], call.body.user_id, call.subject.user)
    )


async def accept_share(call: Call[GiveAsk, Nothing]) -> ShareTold:
    """Accept what the user `user_id` shared, who earns a coupon by it. An addition to the documented operations."""
    sharer = call.body.user_id
    await coupons.accept_share(call.work, call.tenant, call.path["id"], sharer, call.subject.user)
    return ShareTold(promotion_id=call.path["id"], shared_by=sharer, accepted_by=call.subject.user)


async def list_coupons(call: Call[Nothing, CouponsAsk]) -> CouponsTold:
    """Coupons, newest first: a user's own, or those of a whole brand. An addition to the documented operations."""
    found = await browse.list_coupons(call.work, call.subject.reach, call.query.ask, used=call.query.used)
    return CouponsTold(total=found.total, coupons=[CouponTold.of(one) for one in found.items])


async def open_group(call: Call[BasketAsk, Nothing]) -> SeatTold:
    """Open a group that buys together, with an order at its price; others join it.

    The order is paid like every other (`prepay`), and its money takes a seat: `state` 9 (gathering). When all seats are
    paid for, every order in it is paid (1) and goes its usual way; a group that does not come together in time gives
    everybody's money back by itself. An addition to the documented operations.
    """
    deadlines, of, user = deadlines_of(call.parts.settings), call.path["id"], call.subject.user
    return SeatTold.at(*await groups.open_group(call.work, deadlines, call.tenant, of, user, call.body.basket()))


async def list_groups(call: Call[Nothing, GroupsAsk]) -> GroupsTold:
    """Groups of the brand, newest first. An addition to the documented operations."""
    found = await browse.list_groups(call.work, _tenants(call), call.query.ask)
    return GroupsTold(total=found.total, groups=[GroupTold.of(one) for one in found.items])


async def read_group(call: Call[Nothing, OfBrand]) -> GroupTold:
    """One group as it is by now. An addition to the documented operations."""
    tenant = await _brand(call, call.query.vid)
    return GroupTold.of(await groups.group_of(call.work, tenant, call.path["id"]))


async def join_group(call: Call[BasketAsk, Nothing]) -> SeatTold:
    """Join a group with an order at its price; paying it takes a seat. An addition to the documented operations."""
    deadlines, of, user = deadlines_of(call.parts.settings), call.path["id"], call.subject.user
    return SeatTold.at(*await groups.join_group(call.work, deadlines, call.tenant, of, user, call.body.basket()))


async def list_advertisements(call: Call[Nothing, AdvertisementsAsk]) -> AdvertisementsTold:
    """Advertisements in their order; customers and visitors see what is to be shown now.

    A machine's screen asks with `vid`, `device_id` and `placement`, and needs no token. An addition to the documented
    operations.
    """
    query = call.query
    if call.token is None and not query.vid:
        raise FleetError("invalid", "name the brand whose advertisements are to be shown", field="vid")
    async with visit(call, query.vid) as (work, reach, for_buyers):
        found = await browse.list_advertisements(
            work, Reach(reach.tenant), query.ask, machine=query.device_id, shown=for_buyers or query.shown
        )
    return AdvertisementsTold(total=found.total, advertisements=[AdvertisementTold.of(one) for one in found.items])


async def add_advertisement(call: Call[AdvertisementAsk, Nothing]) -> AdvertisementTold:
    """Show something at a placement for a time. An addition to the documented operations."""
    tenant = await _brand(call, call.body.vid)
    return AdvertisementTold.of(await advertise.add_advertisement(call.work, tenant, call.body.wanted()))


async def change_advertisement(call: Call[AdvertisementAsk, Nothing]) -> AdvertisementTold:
    """Change what is shown, where or when. An addition to the documented operations."""
    tenant = await _brand(call, call.body.vid)
    changed = await advertise.change_advertisement(call.work, tenant, call.path["id"], call.body.wanted())
    return AdvertisementTold.of(changed)


async def remove_advertisement(call: Call[Nothing, OfBrand]) -> None:
    """Take an advertisement away. An addition to the documented operations."""
    await advertise.remove_advertisement(call.work, await _brand(call, call.query.vid), call.path["id"])


def _tenants(call: Call[Any, Any]) -> Reach:
    """Of promotions everybody in a brand sees the same; the platform sees all brands'."""
    return Reach(call.subject.reach.tenant)


async def _brand(call: Call[Any, Any], vid: str) -> str:
    """The brand that is meant: one's own, or for the platform the one it names."""
    if call.subject.level != "platform" or not vid:
        return call.tenant
    return (await tenant_named(call.work, vid)).tenant


_READ, _WRITE = Permission.CATALOG_READ, Permission.CATALOG_WRITE
OPERATIONS = (
    Operation("GET", "/promotions", allow(EVERYBODY, _READ), list_promotions),
    Operation("POST", "/promotions", allow(BRANDS, _WRITE), add_promotion, changes="promotion.add", success=201),
    Operation("GET", "/promotions/{id}", allow(EVERYBODY, _READ), read_promotion),
    Operation(
        "PUT",
        "/promotions/{id}",
        allow(BRANDS, _WRITE),
        alter_promotion,
        changes="promotion.change",
        success=201,
    ),
    Operation("POST", "/promotions/{id}/claim", allow(CUSTOMERS), claim_coupon, changes="coupon.claim", success=201),
    Operation("POST", "/promotions/{id}/give", allow(BRANDS, _WRITE), give_coupon, changes="coupon.give", success=201),
    Operation("POST", "/promotions/{id}/accept", allow(CUSTOMERS), accept_share, changes="share.accept", success=201),
    Operation("POST", "/promotions/{id}/groups", allow(CUSTOMERS), open_group, changes="group.open", success=201),
    Operation("GET", "/coupons", allow(BRANDS | CUSTOMERS, _READ), list_coupons),
    Operation("GET", "/groups", allow(EVERYBODY, _READ), list_groups),
    Operation("GET", "/groups/{id}", allow(EVERYBODY, _READ), read_group),
    Operation("POST", "/groups/{id}/join", allow(CUSTOMERS), join_group, changes="group.join", success=201),
    Operation("GET", "/advertisements", "public", list_advertisements, transacted=False),
    Operation(
        "POST", "/advertisements", allow(BRANDS, _WRITE), add_advertisement, changes="advertisement.add", success=201
    ),
    Operation(
        "PUT",
        "/advertisements/{id}",
        allow(BRANDS, _WRITE),
        change_advertisement,
        changes="advertisement.change",
        success=201,
    ),
    Operation(
        "DELETE",
        "/advertisements/{id}",
        allow(BRANDS, _WRITE),
        remove_advertisement,
        changes="advertisement.remove",
        success=204,
    ),
)
