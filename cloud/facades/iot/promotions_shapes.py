"""Shapes of promotions, coupons, groups and advertisements."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from cloud.facades.fields import ONE_OR_MANY
from cloud.facades.iot.wire import Asked, Listed, Moment, Money, Single, Window, Yuan, iso, yuan
from cloud.limits import LINK_CHARS_MAX, NAME_CHARS_MAX
from cloud.promotions.advertise import AdvertisementChange
from cloud.promotions.model import (
    GROUP_HOURS_DEFAULT,
    GROUP_HOURS_MAX,
    GROUP_SIZE_MAX,
    PRODUCTS_MAX,
    WHOLE,
    Advertisement,
    Coupon,
    Group,
    GroupState,
    Promotion,
    PromotionKind,
)
from cloud.promotions.offer import NewPromotion
from cloud.purchases.model import Purchase

Id = Annotated[str, Field(max_length=48)]
Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARS_MAX)]
Url = Annotated[str, Field(max_length=LINK_CHARS_MAX)]
_COUNT_MAX = 10_000_000


def _hundredths(value: object) -> object:
    """A number with at most two decimals, also as text, in hundredths; anything else is refused."""
    try:
        amount = Decimal(str(value)) * 100
    except InvalidOperation as error:
        raise ValueError(f"{str(value)[:30]!r} is not a number") from error
    if not amount.is_finite() or amount != amount.to_integral_value():
        raise ValueError(f"{str(value)[:30]!r} has more than two decimals")
    return int(amount)


# Percent as they are sent, in hundredths of one.
Percent = Annotated[int, BeforeValidator(_hundredths, json_schema_input_type=float), Field(ge=0, le=WHOLE)]
Count = Annotated[int, Field(ge=0, le=_COUNT_MAX)]


class OfBrand(Asked):
    """`vid` names the brand for callers of the platform."""

    vid: Id = ""


class PromotionAsk(Asked):
    """`off_percent` or `off` (yuan); `full` is the amount in yuan from which it holds. Limits of 0 do not limit."""

    vid: Id = ""
    type: PromotionKind
    name: Name
    off_percent: Percent = 0
    off: Yuan = 0
    full: Yuan = 0
    products: Annotated[tuple[Id, ...], ONE_OR_MANY, Field(max_length=PRODUCTS_MAX)] = ()
    begin_tms: Moment = None
    end_tms: Moment = None
    total: Count = 0
    per_user: Count = 1
    group_size: Annotated[int, Field(ge=0, le=GROUP_SIZE_MAX)] = 0
    group_hours: Annotated[int, Field(ge=1, le=GROUP_HOURS_MAX)] = GROUP_HOURS_DEFAULT

    def wanted(self) -> NewPromotion:
        """In the words of the domain."""
        return NewPromotion(
            kind=self.type,
            name=self.name,
            off_share=self.off_percent,
            off_fen=self.off,
            from_fen=self.full,
            products=self.products,
            begins_ms=self.begin_tms,
            ends_ms=self.end_tms,
            total=self.total,
            per_member=self.per_user,
            group_size=self.group_size,
            group_hours=self.group_hours,
        )


class PromotionChange(Asked):
    vid: Id = ""
    name: Name | None = None
    end_tms: Moment = None
    stopped: bool | None = None


class PromotionTold(Single):
    """One promotion; amounts in yuan."""

    top: ClassVar[tuple[str, ...]] = ("promotion_id",)
    promotion_id: str
    type: PromotionKind
    name: str
    off_percent: Money
    off: Money
    full: Money
    products: list[str]
    begin_tms: str
    end_tms: str
    total_coupons: int
    per_user: int
    issued: int
    group_size: int
    group_hours: int
    running: bool
    vid: str

    @classmethod
    def of(cls, one: Promotion, now_ms: int) -> PromotionTold:
        """A promotion in the words of this dialect."""
        return cls(
            promotion_id=one.promotion,
            type=one.kind,
            name=one.name,
            off_percent=yuan(one.off_share),
            off=yuan(one.off_fen),
            full=yuan(one.from_fen),
            products=list(one.products),
            begin_tms=iso(one.begins_ms),
            end_tms=iso(one.ends_ms),
            total_coupons=one.total,
            per_user=one.per_member,
            issued=one.issued,
            group_size=one.group_size,
            group_hours=one.group_hours,
            running=one.runs(now_ms),
            vid=one.tenant,
        )


class PromotionsTold(Listed):
    promotions: list[PromotionTold]


class PromotionsAsk(Window):
    columns: ClassVar[Mapping[str, str]] = {
        "promotion_id": "promotion",
        "type": "kind",
        "name": "name",
        "begin_tms": "begins_ms",
        "end_tms": "ends_ms",
        "issued": "issued",
        "vid": "tenant",
    }
    promotion_id: Id | None = None
    type: PromotionKind | None = None
    vid: Id | None = None
    running: bool | None = None


class GiveAsk(Asked):
    user_id: Annotated[str, Field(min_length=1, max_length=48)]
    vid: Id = ""


class CouponTold(Single):
    """One coupon; `order_id` is the order that used it, or ""."""

    top: ClassVar[tuple[str, ...]] = ("coupon_id",)
    coupon_id: str
    promotion_id: str
    user_id: str
    reason: str
    issue_tms: str
    used: bool
    use_tms: str
    order_id: str

    @classmethod
    def of(cls, one: Coupon) -> CouponTold:
        """A coupon in the words of this dialect."""
        return cls(
            coupon_id=one.coupon,
            promotion_id=one.promotion,
            user_id=one.member,
            reason=one.reason,
            issue_tms=iso(one.issued_ms),
            used=one.purchase is not None,
            use_tms=iso(one.used_ms),
            order_id=one.purchase or "",
        )


class CouponsTold(Listed):
    coupons: list[CouponTold]


class CouponsAsk(Window):
    columns: ClassVar[Mapping[str, str]] = {
        "coupon_id": "coupon",
        "promotion_id": "promotion",
        "user_id": "member",
        "issue_tms": "issued_ms",
        "use_tms": "used_ms",
        "order_id": "purchase",
    }
    promotion_id: Id | None = None
    user_id: Id | None = None
    order_id: Id | None = None
    used: bool | None = None


class ShareTold(Single):
    promotion_id: str
    shared_by: str
    accepted_by: str


class GroupTold(Single):
    """One group: `forming` until its `size` seats are paid for (`formed`) or its time is over (`failed`).

    `joined` counts the seats that are paid for.
    """

    top: ClassVar[tuple[str, ...]] = ("group_id",)
    group_id: str
    promotion_id: str
    leader: str
    state: GroupState
    size: int
    joined: int
    open_tms: str
    deadline_tms: str

    @classmethod
    def of(cls, one: Group) -> GroupTold:
        """A group in the words of this dialect."""
        return cls(
            group_id=one.group,
            promotion_id=one.promotion,
            leader=one.leader,
            state=one.state,
            size=one.size,
            joined=one.joined,
            open_tms=iso(one.opened_ms),
            deadline_tms=iso(one.deadline_ms),
        )


class SeatTold(GroupTold):
    """One group, and the order that was placed in it: paid like any other, it takes a seat."""

    top: ClassVar[tuple[str, ...]] = ("group_id", "order_id")
    order_id: str
    amount: Money

    @classmethod
    def at(cls, one: Group, order: Purchase) -> SeatTold:
        """A group and an order in it in the words of this dialect."""
        group = GroupTold.of(one).model_dump()
        return cls(**group, order_id=order.purchase, amount=yuan(order.amount_fen))


class GroupsTold(Listed):
    groups: list[GroupTold]


class GroupsAsk(Window):
    columns: ClassVar[Mapping[str, str]] = {
        "group_id": "group",
        "promotion_id": "promotion",
        "leader": "leader",
        "state": "state",
        "open_tms": "opened_ms",
        "deadline_tms": "deadline_ms",
    }
    promotion_id: Id | None = None
    leader: Id | None = None
    state: GroupState | None = None


class AdvertisementAsk(Asked):
    """`placement` is a word of the brand's clients (home, screen ...); without `device_id` it is for all machines."""

    vid: Id = ""
    title: Name | None = None
    placement: Annotated[str, Field(min_length=1, max_length=40)] | None = None
    image: Url | None = None
    link: Url | None = None
    device_id: Id | None = None
    sequence: Annotated[int, Field(ge=0, le=_COUNT_MAX)] | None = None
    begin_tms: Moment = None
    end_tms: Moment = None
    stopped: bool | None = None

    def wanted(self) -> AdvertisementChange:
        """In the words of the domain."""
        return AdvertisementChange(
            title=self.title,
            placement=self.placement,
            image=self.image,
            link=self.link,
            machine=self.device_id,
            sequence=self.sequence,
            begins_ms=self.begin_tms,
            ends_ms=self.end_tms,
            stopped=self.stopped,
        )


class AdvertisementTold(Single):
    top: ClassVar[tuple[str, ...]] = ("ad_id",)
    ad_id: str
    title: str
    placement: str
    image: str
    link: str
    device_id: str
    sequence: int
    begin_tms: str
    end_tms: str
    stopped: bool

    @classmethod
    def of(cls, one: Advertisement) -> AdvertisementTold:
        """An advertisement in the words of this dialect."""
        return cls(
            ad_id=one.advertisement,
            title=one.title,
            placement=one.placement,
            image=one.image,
            link=one.link,
            device_id=one.machine or "",
            sequence=one.sequence,
            begin_tms=iso(one.begins_ms),
            end_tms=iso(one.ends_ms),
            stopped=one.stopped,
        )


class AdvertisementsTold(Listed):
    advertisements: list[AdvertisementTold]


class AdvertisementsAsk(Window):
    columns: ClassVar[Mapping[str, str]] = {
        "ad_id": "advertisement",
        "title": "title",
        "placement": "placement",
        "sequence": "sequence",
        "begin_tms": "begins_ms",
        "end_tms": "ends_ms",
    }
    placement: Annotated[str, Field(max_length=40)] | None = None
    device_id: Id | None = None
    vid: Id = ""
    shown: bool = False
