"""What a brand gives away so that more is bought, and when. Pure.

A promotion takes something off what is bought: a share of it or a fixed amount, of all products or of some, from an
amount on, within a period. How a customer comes to it is its kind:

    reduction   by itself: whoever buys in its period gets it
    coupon      by a coupon that he claims, or that the brand gives him
    share       by a coupon that he earns when somebody accepts what he shared
    group       by buying together: enough customers pay in time, or everybody gets his money back

So there is one way to pay less: of the reductions that fit the best one, and on top of it at most one coupon, or what a
group takes off. A coupon
is used by one order. An order that came to nothing (closed unpaid, or paid and given back as a whole) has not used it:
the coupon names its last order, and whether it is free follows from that order, so it cannot be given back twice. When
the brand keeps a part of what was paid, the coupon stays used.

A group has seats. Whoever opens or joins it orders something at its price, and has a seat once he has paid, one for
each customer. It is `forming` until all seats are taken (`formed`: every order in it goes its usual way from there), or
until its time is over or its promotion does not run any more (`failed`: everybody's money goes back). Money that comes
for a seat that is not there any more, however late and from however many at once, goes back as it comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from cloud.errors import IllegalEvent
from shared.quantities import split_fen

PromotionKind = Literal["reduction", "coupon", "share", "group"]
PROMOTION_KINDS: tuple[PromotionKind, ...] = get_args(PromotionKind)
GroupState = Literal["forming", "formed", "failed"]
GroupEvent = Literal[
    "join",  # somebody has paid for a seat
    "fill",  # somebody has paid for the last one
    "expire",  # its time is over, or its promotion's
]

GROUP_TRANSITIONS: Mapping[tuple[GroupState, GroupEvent], GroupState] = {
    ("forming", "join"): "forming",
    ("forming", "fill"): "formed",
    ("forming", "expire"): "failed",
}

# The whole, in hundredths of a percent.
WHOLE = 10_000
# A group of more would not come together, and its orders go on in one go.
GROUP_SIZE_MIN, GROUP_SIZE_MAX = 2, 100
# A group that has not come together within a day is forgotten; a week is as long as people wait.
GROUP_HOURS_DEFAULT, GROUP_HOURS_MAX = 24, 7 * 24
# Promotions of a brand that run at one time: what an order has to look at.
RUNNING_MAX = 200
PRODUCTS_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """One promotion. `off_share` in hundredths of a percent or `off_fen`: one of them is above 0.

    It runs from `begins_ms` until before `ends_ms` (None: open) unless `stopped`. `products` empty: all of them.
    `total` and `per_member` limit its coupons, or the seats in its groups (0: no limit); `issued` counts coupons.
    """

    tenant: str
    promotion: str
    kind: PromotionKind
    name: str
    off_share: int = 0
    off_fen: int = 0
    from_fen: int = 0
    products: tuple[str, ...] = ()
    begins_ms: int
    ends_ms: int | None = None
    total: int = 0
    per_member: int = 1
    group_size: int = 0
    group_hours: int = GROUP_HOURS_DEFAULT
    stopped: bool = False
    issued: int = 0
    created_ms: int
    created_by: str

    def runs(self, now_ms: int) -> bool:
        """Whether it holds at this moment."""
        return not self.stopped and self.begins_ms <= now_ms and (self.ends_ms is None or now_ms < self.ends_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupon:
    """What a customer may take off one order. `purchase` is the order that used it."""

    tenant: str
    coupon: str
    promotion: str
    member: str
    reason: str
    issued_ms: int
    purchase: str | None = None
    used_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Customers who buy together; the leader opened it. `joined` counts the seats that are paid for."""

    tenant: str
    group: str
    promotion: str
    leader: str
    state: GroupState
    size: int
    joined: int
    opened_ms: int
    deadline_ms: int

    def takes(self, promotion: Promotion, now_ms: int) -> bool:
        """Whether somebody can have a seat in it at this moment."""
        return self.state == "forming" and now_ms < self.deadline_ms and promotion.runs(now_ms)


@dataclass(frozen=True, slots=True)
class Seat:
    """What a customer ordered in a group; `paid_ms` None: not paid for, and so no seat yet."""

    tenant: str
    group: str
    member: str
    purchase: str
    joined_ms: int
    paid_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertisement:
    """What is shown, where and when. `placement` is a word of the brand's clients; `machine` None: on all of them."""

    tenant: str
    advertisement: str
    title: str
    placement: str
    image: str
    link: str
    machine: str | None
    sequence: int
    begins_ms: int
    ends_ms: int | None
    stopped: bool
    created_ms: int


@dataclass(frozen=True, slots=True)
class Item:
    """One line of what is bought: a product, and what its pieces cost together."""

    product: str
    amount_fen: int


def advance_group(group: Group, event: GroupEvent) -> GroupState:
    """The state after `event`; raises `IllegalEvent` when there is none."""
    try:
        return GROUP_TRANSITIONS[group.state, event]
    except KeyError:
        raise IllegalEvent(f"group {group.group}", group.state, event) from None


def reduction_of(promotion: Promotion, items: Sequence[Item]) -> tuple[int, ...]:
    """What a promotion takes off each item in fen; all 0 where it does not apply. Never more than an item costs."""
    fits = [item.amount_fen if not promotion.products or item.product in promotion.products else 0 for item in items]
    base_fen = sum(fits)
    if base_fen == 0 or base_fen < promotion.from_fen:
        return tuple(0 for _ in items)
    off_fen = min(base_fen, promotion.off_fen or base_fen * promotion.off_share // WHOLE)
    return tuple(split_fen(off_fen, fits))


def best_reduction(running: Sequence[Promotion], items: Sequence[Item]) -> tuple[int, ...]:
    """What the best of the reductions takes off each item; all 0 when none applies."""
    nothing = tuple(0 for _ in items)
    offered = [reduction_of(one, items) for one in running if one.kind == "reduction"]
    return max([nothing, *offered], key=sum)


def less(items: Sequence[Item], taken_off: Sequence[int]) -> list[Item]:
    """The items after something was taken off."""
    return [Item(item.product, item.amount_fen - off) for item, off in zip(items, taken_off, strict=True)]


def group_diagram() -> str:
    """The table of groups as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> forming: opened"]
    lines += [f"    {state} --> {after}: {event}" for (state, event), after in GROUP_TRANSITIONS.items()]
    return "\n".join([*lines, "    formed --> [*]", "    failed --> [*]"])
