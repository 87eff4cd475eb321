"""What a brand gives away and shows: promotions, the coupons in people's hands, advertisements."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from cloud.errors import FleetError
from cloud.load.columns import FIRST, Dated, Fen, Figure, Id, Link, Moment, Name, Sum, Text
from cloud.load.noun import Counted, Draft, Run, TableNoun
from cloud.promotions import advertise, coupons, offer
from cloud.promotions.model import GROUP_HOURS_DEFAULT, GROUP_HOURS_MAX, GROUP_SIZE_MAX, WHOLE, PromotionKind
from cloud.promotions.offer import NewPromotion, check_offer
from cloud.promotions.store import advertisements, coupons_of_purchases, promotions
from cloud.promotions.store import coupons as coupons_table

Count = Annotated[int, Meta(ge=0, le=10_000_000)]


class PromotionRow(Dated, frozen=True, kw_only=True):
    """One promotion."""

    promotion: Annotated[Id, Meta(title="促销编号", description="The promotion's id, kept as it is.")]
    kind: Annotated[PromotionKind, Meta(title="促销类型", description="How a customer comes to it; for good.")]
    name: Annotated[Name, Meta(title="促销名称", description="What people read.")]
    off_share: Annotated[
        Annotated[int, Meta(ge=0, le=WHOLE)],
        Meta(title="折扣（万分之一）", description="What it takes off, in hundredths of a percent; or off_fen."),
    ] = 0
    off_fen: Annotated[Fen, Meta(title="减额（分）", description="What it takes off, in fen; or off_share.")] = 0
    from_fen: Annotated[Fen, Meta(title="起减金额（分）", description="From which amount on it holds.")] = 0
    products: Annotated[tuple[Text, ...], Meta(title="适用产品", description="Of what, by id; empty: everything.")] = ()
    begins: Annotated[Moment | None, Meta(title="开始时间", description="From when on; empty: at once.")] = None
    ends: Annotated[Moment | None, Meta(title="结束时间", description="Until when; empty: open.")] = None
    total: Annotated[Count, Meta(title="总量", description="Coupons of it in all; 0: no limit.")] = 0
    per_member: Annotated[Count, Meta(title="每人限量", description="Coupons for one member; 0: no limit.")] = 1
    group_size: Annotated[
        Annotated[int, Meta(ge=0, le=GROUP_SIZE_MAX)], Meta(title="成团人数", description="Of a group.")
    ] = 0
    group_hours: Annotated[
        Annotated[int, Meta(ge=1, le=GROUP_HOURS_MAX)],
        Meta(title="成团小时", description="How long a group has to come together."),
    ] = GROUP_HOURS_DEFAULT
    stopped: Annotated[bool, Meta(title="停用", description="Whether it holds no more.")] = False
    issued: Annotated[
        Sum, Meta(title="已发数量", description="Coupons of it that were issued.", extra_json_schema=FIRST)
    ] = 0
    created_by: Annotated[
        Text, Meta(title="创建人", description="Who made it; empty: who loads it.", extra_json_schema=FIRST)
    ] = ""


class _Promotions(TableNoun[PromotionRow]):
    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[PromotionRow]]) -> None:
        for draft in drafts:
            if draft.after.begins is None:
                draft.becomes(begins=draft.before.begins if draft.before else run.work.now_ms)
            if draft.before is None and not draft.after.created_by:
                draft.becomes(created_by=run.actor)
            if draft.before is not None and draft.after.kind != draft.before.kind:
                draft.object("kind", "stays as it is: coupons of it are in people's hands")
            if draft.after.total and draft.after.issued > draft.after.total:
                draft.object("total", f"is less than the {draft.after.issued} that were issued")
            try:
                check_offer(_offer(draft.after), draft.after.begins or 0)
            except FleetError as error:
                draft.object(_COLUMNS.get(error.field or "", error.field), error.detail)


# What the dialect calls otherwise.
_COLUMNS = {"off": "off_share", "end_tms": "ends"}


def _offer(row: PromotionRow) -> NewPromotion:
    fields = {name: getattr(row, name) for name in NewPromotion.__dataclass_fields__ if hasattr(row, name)}
    return NewPromotion(begins_ms=row.begins, ends_ms=row.ends, **fields)


PROMOTIONS = _Promotions(
    "promotions",
    "促销",
    PromotionRow,
    promotions,
    ("promotion",),
    references={"products": "products"},
    since="created_ms",
    counted=Counted(offer.PREFIX, re.compile(f"{offer.PREFIX}([0-9]+)")),
)


class CouponRow(Dated, frozen=True, kw_only=True):
    """One coupon."""

    coupon: Annotated[Id, Meta(title="优惠券编号", description="The coupon's id, kept as it is.")]
    promotion: Annotated[Id, Meta(title="促销编号", description="What it takes off.")]
    member: Annotated[Id, Meta(title="会员编号", description="Who has it.")]
    reason: Annotated[Text, Meta(title="来源", description="How the member came to it.")] = ""
    purchase: Annotated[
        Id | None, Meta(title="订单编号", description="The order that used it; empty: unused.", extra_json_schema=FIRST)
    ] = None
    used: Annotated[Moment | None, Meta(title="使用时间", description="When it was used.", extra_json_schema=FIRST)] = (
        None
    )


class _Coupons(TableNoun[CouponRow]):
    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[CouponRow]]) -> None:
        """An order uses one coupon."""
        used = {draft.after.purchase for draft in drafts if draft.after.purchase}
        taken = await coupons_of_purchases(run.work, brand, used)
        for draft in drafts:
            row = draft.after
            if row.purchase and taken.setdefault(row.purchase, row.coupon) != row.coupon:
                draft.object("purchase", f"used the coupon {taken[row.purchase]!r}")


COUPONS = _Coupons(
    "coupons",
    "优惠券",
    CouponRow,
    coupons_table,
    ("coupon",),
    references={"promotion": "promotions", "member": "members"},
    since="issued_ms",
    counted=Counted(coupons.PREFIX, re.compile(f"{coupons.PREFIX}([0-9]+)")),
)


class AdvertisementRow(Dated, frozen=True, kw_only=True):
    """One advertisement."""

    advertisement: Annotated[Id, Meta(title="广告编号", description="The advertisement's id, kept as it is.")]
    title: Annotated[Name, Meta(title="标题", description="What people read.")]
    placement: Annotated[Name, Meta(title="位置", description="A word of the brand's clients: home, screen.")]
    image: Annotated[Link, Meta(title="图片", description="Address of its picture.")] = ""
    link: Annotated[Link, Meta(title="链接", description="Where it leads.")] = ""
    machine: Annotated[Name | None, Meta(title="设备编号", description="Where it is shown; empty: on all.")] = None
    sequence: Annotated[Figure, Meta(title="排序", description="Its place in the list.")] = 0
    begins: Annotated[Moment | None, Meta(title="开始时间", description="From when on; empty: at once.")] = None
    ends: Annotated[Moment | None, Meta(title="结束时间", description="Until when; empty: open.")] = None
    stopped: Annotated[bool, Meta(title="停用", description="Whether it is not shown.")] = False


class _Advertisements(TableNoun[AdvertisementRow]):
    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[AdvertisementRow]]) -> None:
        for draft in drafts:
            if draft.after.begins is None:
                draft.becomes(begins=draft.before.begins if draft.before else run.work.now_ms)
            begins, ends = draft.after.begins, draft.after.ends
            if begins is not None and ends is not None and ends <= begins:
                draft.object("ends", "an advertisement ends after it has begun")


ADVERTISEMENTS = _Advertisements(
    "advertisements",
    "广告",
    AdvertisementRow,
    advertisements,
    ("advertisement",),
    references={"machine": "machines"},
    since="created_ms",
    counted=Counted(advertise.PREFIX, re.compile(f"{advertise.PREFIX}([0-9]+)")),
)
