"""SQL of promotions, coupons, groups, shares and advertisements."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Row,
    Table,
    Text,
    and_,
    func,
    or_,
    select,
    text,
)

from cloud.database import Work, metadata, one_of, record_of, row_of, tenant_column
from cloud.promotions.model import RUNNING_MAX, Advertisement, Coupon, Group, Promotion, Seat

promotions = Table(
    "promotions",
    metadata,
    tenant_column(),
    Column("promotion", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("off_share", BigInteger, nullable=False),
    Column("off_fen", BigInteger, nullable=False),
    Column("from_fen", BigInteger, nullable=False),
    # JSON, a short list that is read whole.
    Column("products", Text, nullable=False),
    Column("begins_ms", BigInteger, nullable=False),
    Column("ends_ms", BigInteger),
    Column("total", BigInteger, nullable=False),
    Column("per_member", BigInteger, nullable=False),
    Column("group_size", BigInteger, nullable=False),
    Column("group_hours", BigInteger, nullable=False),
    Column("stopped", Boolean, nullable=False),
    Column("issued", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    CheckConstraint("(off_share > 0) <> (off_fen > 0)", name="one_way_off"),
    CheckConstraint("off_share >= 0 AND off_share <= 10000 AND off_fen >= 0 AND from_fen >= 0", name="amounts"),
    CheckConstraint("issued >= 0 AND (total = 0 OR issued <= total)", name="issued"),
    Index("ix_promotions_begins", "tenant", "begins_ms", "promotion"),
)

coupons = Table(
    "coupons",
    metadata,
    tenant_column(),
    Column("coupon", Text, primary_key=True),
    Column("promotion", Text, nullable=False),
    Column("member", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("issued_ms", BigInteger, nullable=False),
    # The order that used it.
    Column("purchase", Text),
    Column("used_ms", BigInteger),
    ForeignKeyConstraint(["tenant", "promotion"], ["promotions.tenant", "promotions.promotion"]),
    Index("ix_coupons_member", "tenant", "member", "issued_ms", "coupon"),
    Index("ix_coupons_promotion", "tenant", "promotion", "member"),
    # An order uses one coupon.
    Index("ix_coupons_purchase", "tenant", "purchase", unique=True),
)

promotion_groups = Table(
    "promotion_groups",
    metadata,
    tenant_column(),
    Column("group", Text, primary_key=True),
    Column("promotion", Text, nullable=False),
    Column("leader", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("joined", BigInteger, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("deadline_ms", BigInteger, nullable=False),
    CheckConstraint("joined >= 0 AND joined <= size", name="joined"),
    CheckConstraint("(state = 'formed') = (joined = size)", name="formed"),
    ForeignKeyConstraint(["tenant", "promotion"], ["promotions.tenant", "promotions.promotion"]),
    Index("ix_promotion_groups_opened", "tenant", "opened_ms", "group"),
    Index("ix_promotion_groups_promotion", "tenant", "promotion"),
    Index(
        "ix_promotion_groups_forming",
        "deadline_ms",
        sqlite_where=text("state = 'forming'"),
        postgresql_where=text("state = 'forming'"),
    ),
)

group_members = Table(
    "group_members",
    metadata,
    tenant_column(),
    Column("group", Text, primary_key=True),
    Column("member", Text, primary_key=True),
    Column("purchase", Text, nullable=False),
    Column("joined_ms", BigInteger, nullable=False),
    Column("paid_ms", BigInteger),
    ForeignKeyConstraint(["tenant", "group"], ["promotion_groups.tenant", "promotion_groups.group"]),
    ForeignKeyConstraint(["tenant", "purchase"], ["purchases.tenant", "purchases.purchase"]),
    Index("ix_group_members_purchase", "tenant", "purchase", unique=True),
    Index("ix_group_members_member", "tenant", "member"),
)

# Who accepted what somebody shared: of one promotion everybody accepts once.
promotion_shares = Table(
    "promotion_shares",
    metadata,
    tenant_column(),
    Column("promotion", Text, primary_key=True),
    Column("accepted_by", Text, primary_key=True),
    Column("shared_by", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    CheckConstraint("accepted_by <> shared_by", name="two_people"),
    ForeignKeyConstraint(["tenant", "promotion"], ["promotions.tenant", "promotions.promotion"]),
)


advertisements = Table(
    "advertisements",
    metadata,
    tenant_column(),
    Column("advertisement", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("placement", Text, nullable=False),
    Column("image", Text, nullable=False),
    Column("link", Text, nullable=False),
    # The machine on which it is shown; NULL: all of them.
    Column("machine", Text),
    Column("sequence", BigInteger, nullable=False),
    Column("begins_ms", BigInteger, nullable=False),
    Column("ends_ms", BigInteger),
    Column("stopped", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Index("ix_advertisements_placement", "tenant", "placement", "sequence", "advertisement"),
)


def promotion_from(row: Row[Any]) -> Promotion:
    """A row as the promotion it holds."""
    return record_of(Promotion, row, products=tuple(json.loads(row.products)))


async def find_promotion(work: Work, tenant: str, promotion: str, *, lock: bool = False) -> Promotion | None:
    """One promotion; locked, its coupons are counted by one Work at a time."""
    query = select(promotions).where(promotions.c.tenant == tenant, promotions.c.promotion == promotion)
    row = await work.row(query.with_for_update() if lock else query)
    return None if row is None else promotion_from(row)


async def put_promotion(work: Work, promotion: Promotion) -> None:
    """Insert or replace a promotion."""
    await work.put(promotions, [{**row_of(promotion), "products": json.dumps(promotion.products)}])


async def running(work: Work, tenant: str) -> list[Promotion]:
    """The reductions of a tenant that hold now."""
    query = select(promotions).where(
        promotions.c.tenant == tenant,
        promotions.c.kind == "reduction",
        promotions.c.stopped.is_(False),
        promotions.c.begins_ms <= work.now_ms,
        or_(promotions.c.ends_ms.is_(None), promotions.c.ends_ms > work.now_ms),
    )
    return [promotion_from(row) for row in await work.rows(query.order_by(promotions.c.promotion).limit(RUNNING_MAX))]


async def count_coupons(work: Work, tenant: str, promotion: str, member: str) -> int:
    """How many coupons of a promotion a member has had."""
    here = coupons.c.tenant == tenant, coupons.c.promotion == promotion, coupons.c.member == member
    return int(await work.scalar(select(func.count()).select_from(coupons).where(*here)) or 0)


async def add_coupons(work: Work, issued: list[Coupon]) -> None:
    """Insert coupons."""
    await work.insert(coupons, [row_of(coupon) for coupon in issued])


async def find_coupon(work: Work, tenant: str, coupon: str, *, lock: bool = False) -> Coupon | None:
    """One coupon; locked, one Work at a time can use it."""
    query = select(coupons).where(coupons.c.tenant == tenant, coupons.c.coupon == coupon)
    row = await work.row(query.with_for_update() if lock else query)
    return None if row is None else record_of(Coupon, row)


async def coupons_of_purchases(work: Work, tenant: str, wanted: Collection[str]) -> dict[str, str]:
    """Which coupons these orders have used, by order, as far as they have used any."""
    found: dict[str, str] = {}
    query = select(coupons.c.purchase, coupons.c.coupon).where(coupons.c.tenant == tenant)
    for here in one_of(work, coupons.c.purchase, sorted(wanted)):
        found |= {row.purchase: row.coupon for row in await work.rows(query.where(here))}
    return found


async def use_coupon(work: Work, coupon: Coupon, purchase: str) -> None:
    """Write that a coupon, which this Work has locked, was used by an order."""
    here = coupons.c.tenant == coupon.tenant, coupons.c.coupon == coupon.coupon
    await work.execute(coupons.update().where(*here).values(purchase=purchase, used_ms=work.now_ms))


async def find_group(work: Work, tenant: str, group: str, *, lock: bool = False) -> Group | None:
    """One group; locked, its seats are taken one after another."""
    query = select(promotion_groups).where(promotion_groups.c.tenant == tenant, promotion_groups.c.group == group)
    row = await work.row(query.with_for_update() if lock else query)
    return None if row is None else record_of(Group, row)


async def put_group(work: Work, group: Group) -> None:
    """Insert or replace a group."""
    await work.put(promotion_groups, [row_of(group)])


async def lock_due_groups(work: Work, limit: int) -> list[Group]:
    """Groups that cannot come together any more, locked; those that others have locked are left to them."""
    of, its = promotion_groups.c, promotions.c
    same = and_(its.tenant == of.tenant, its.promotion == of.promotion)
    over = or_(of.deadline_ms <= work.now_ms, its.stopped.is_(True), its.ends_ms <= work.now_ms)
    query = select(promotion_groups).join(promotions, same).where(of.state == "forming", over)
    query = query.order_by(of.deadline_ms).limit(limit).with_for_update(of=promotion_groups, skip_locked=True)
    return [record_of(Group, row) for row in await work.rows(query)]


async def seats_promised(work: Work, tenant: str, promotion: str) -> int:
    """How many seats the groups of a promotion have that came together or still may."""
    of = promotion_groups.c
    here = of.tenant == tenant, of.promotion == promotion, of.state != "failed"
    return int(await work.scalar(select(func.coalesce(func.sum(of.size), 0)).where(*here)))


async def seats_of(work: Work, tenant: str, promotion: str, member: str) -> list[Seat]:
    """What a member has ordered in groups of a promotion, whatever became of it."""
    seat, group = group_members.c, promotion_groups.c
    same = and_(group.tenant == seat.tenant, group.group == seat.group)
    here = seat.tenant == tenant, seat.member == member, group.promotion == promotion
    return [
        record_of(Seat, row) for row in await work.rows(select(group_members).join(promotion_groups, same).where(*here))
    ]


async def seat_of_purchase(work: Work, tenant: str, purchase: str) -> Seat | None:
    """The seat that an order is for, when it was placed in a group."""
    here = group_members.c.tenant == tenant, group_members.c.purchase == purchase
    row = await work.row(select(group_members).where(*here))
    return None if row is None else record_of(Seat, row)


async def put_seat(work: Work, seat: Seat) -> None:
    """Insert what a member ordered in a group, or replace what he left unpaid before."""
    await work.put(group_members, [row_of(seat)])


async def orders_in(work: Work, group: Group) -> list[str]:
    """The orders of a group, paid or not."""
    here = group_members.c.tenant == group.tenant, group_members.c.group == group.group
    return [row.purchase for row in await work.rows(select(group_members.c.purchase).where(*here))]


async def accept_share(work: Work, tenant: str, promotion: str, shared_by: str, accepted_by: str) -> bool:
    """Write that somebody accepted what was shared; False when he had accepted it before, from whomever."""
    row = {
        "tenant": tenant,
        "promotion": promotion,
        "accepted_by": accepted_by,
        "shared_by": shared_by,
        "at_ms": work.now_ms,
    }
    return bool(await work.changed(work.upsert(promotion_shares).values(row).on_conflict_do_nothing()))


async def find_advertisement(work: Work, tenant: str, advertisement: str) -> Advertisement | None:
    """One advertisement."""
    here = advertisements.c.tenant == tenant, advertisements.c.advertisement == advertisement
    row = await work.row(select(advertisements).where(*here).with_for_update())
    return None if row is None else record_of(Advertisement, row)


async def put_advertisement(work: Work, advertisement: Advertisement) -> None:
    """Insert or replace an advertisement."""
    await work.put(advertisements, [row_of(advertisement)])


async def remove_advertisement(work: Work, tenant: str, advertisement: str) -> None:
    """Delete an advertisement."""
    here = advertisements.c.tenant == tenant, advertisements.c.advertisement == advertisement
    await work.execute(advertisements.delete().where(*here))
