"""Boards of sales: what the machines of a shop sold, by hour and by day, and which machines and goods sold most.

Counted is what was delivered and has not been given back entirely, at the moment at which it was delivered; money is
net of what was given back. The orders that machines reported are asked each time; nothing here is kept, and nothing
here writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import ColumnElement, Subquery, and_, case, func, literal, or_, select

from cloud.calendar import DAY_MS, HOUR_MS, Calendar
from cloud.catalog.store import goods
from cloud.database import Work
from cloud.machines.store import machines
from cloud.orders.store import orders

# A board has room for as many.
RANKED = 5


@dataclass(frozen=True, slots=True)
class Period:
    """Days from the first to the last, both included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def before(self) -> Period:
        """As many days, directly before."""
        return Period(self.first - timedelta(days=self.days), self.first - timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Sold:
    """Orders, items and money (fen) of one hour or day that begins at `at_ms`; `last_ms` is the last order's moment."""

    at_ms: int
    orders: int
    items: int
    fen: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """A machine or goods with what it sold. `number` is on the machine's door."""

    id: str
    name: str
    number: str
    orders: int
    fen: int


# What was free was sold, too.
_SOLD = and_(orders.c.state == "delivered", or_(orders.c.refunded_fen == 0, orders.c.refunded_fen < orders.c.paid_fen))
_FEN = func.coalesce(func.sum(orders.c.paid_fen - orders.c.refunded_fen), 0)


async def sold_by_hour(work: Work, tenant: str, shop: str, calendar: Calendar, day: date) -> list[Sold]:
    """What was sold on one day, by the hours since it began; hours without sales are left out."""
    begin = calendar.begins_ms(day)
    bucket = orders.c.ended_ms - (orders.c.ended_ms - begin) % HOUR_MS
    return await _sold(work, tenant, shop, calendar, Period(day, day), bucket)


async def sold_by_day(work: Work, tenant: str, shop: str, calendar: Calendar, period: Period) -> list[Sold]:
    """What was sold, by day, the first day first; days without sales are left out."""
    shift = _shift(calendar, period)
    bucket = orders.c.ended_ms - (orders.c.ended_ms + shift) % DAY_MS
    return await _sold(work, tenant, shop, calendar, period, bucket)


async def sold_fen(work: Work, tenant: str, shop: str, calendar: Calendar, period: Period) -> int:
    """The money of a period."""
    return int(await work.scalar(select(_FEN).where(_within(tenant, shop, calendar, period))))


async def first_sale(work: Work, tenant: str, shop: str, calendar: Calendar) -> date | None:
    """The day of the first sale ever."""
    here = and_(orders.c.tenant == tenant, orders.c.shop == shop, orders.c.ended_ms.is_not(None))
    query = select(orders.c.ended_ms).where(here).order_by(orders.c.ended_ms).limit(1)
    found = await work.scalar(query)
    return None if found is None else calendar.day_of(found)


async def best_machines(work: Work, tenant: str, shop: str, calendar: Calendar, period: Period) -> list[Ranked]:
    """The machines that sold most, by money."""
    best = _best(orders.c.machine, _within(tenant, shop, calendar, period))
    named = and_(machines.c.tenant == tenant, machines.c.machine == best.c.id)
    query = select(best, machines.c.name, machines.c.number).join(machines, named)
    rows = await work.rows(query.order_by(best.c.fen.desc(), best.c.id))
    return [Ranked(row.id, row.name, row.number or row.name, row.orders, int(row.fen)) for row in rows]


async def best_goods(work: Work, tenant: str, shop: str, calendar: Calendar, period: Period) -> list[Ranked]:
    """The goods that sold most, by money."""
    best = _best(orders.c.goods, _within(tenant, shop, calendar, period))
    named = and_(goods.c.tenant == tenant, goods.c.goods == best.c.id)
    query = select(best, goods.c.name).outerjoin(goods, named)
    rows = await work.rows(query.order_by(best.c.fen.desc(), best.c.id))
    return [Ranked(row.id, row.name or row.id, "", row.orders, int(row.fen)) for row in rows]


def _best(which: ColumnElement[str], here: ColumnElement[bool]) -> Subquery:
    """The few that sold most, found before anybody asks for names."""
    query = select(which.label("id"), func.count().label("orders"), _fen()).where(here).group_by(which)
    return query.order_by(_FEN.desc(), which).limit(RANKED).subquery("best")


def _fen() -> ColumnElement[int]:
    return _FEN.label("fen")


def _within(tenant: str, shop: str, calendar: Calendar, period: Period) -> ColumnElement[bool]:
    begin, end = calendar.begins_ms(period.first), calendar.begins_ms(period.last + timedelta(days=1))
    at = orders.c.ended_ms
    return and_(orders.c.tenant == tenant, orders.c.shop == shop, at >= begin, at < end, _SOLD)


def _shift(calendar: Calendar, period: Period) -> ColumnElement[int]:
    """How far the zone is ahead of UTC when an order was delivered."""
    shifts = calendar.shifts(period.first, period.last)
    if len(shifts) == 1:
        return literal(shifts[0][1])
    later = [(orders.c.ended_ms >= since, shift) for since, shift in reversed(shifts[1:])]
    return case(*later, else_=shifts[0][1])


async def _sold(
    work: Work, tenant: str, shop: str, calendar: Calendar, period: Period, bucket: ColumnElement[int]
) -> list[Sold]:
    at = bucket.label("at_ms")
    query = select(at, func.count().label("orders"), _fen(), func.max(orders.c.ended_ms).label("last_ms"))
    rows = await work.rows(query.where(_within(tenant, shop, calendar, period)).group_by(at).order_by(at))
    return [Sold(row.at_ms, row.orders, row.orders, int(row.fen), row.last_ms) for row in rows]
