"""Boards of sales: what the machines of a shop sold, by hour and by day, and which machines and goods sold most.

Counted is what was delivered and has not been given back entirely, at the moment at which it was delivered; money is
net of what was given back. The orders that machines reported are asked each time; nothing here is kept, and nothing
here writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    Subquery,
    Text,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
)

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


async def sold_by_hour(work: Work, tenant: str, shop: str, calendar: Calendar, day: date) -> list[Sold]:
    """What was sold on one day, by the hours since it began; hours without sales are left out."""
    asked = _asked(tenant, shop, calendar, Period(day, day))
    return _sold(await work.rows(_BY_HOUR, asked))


async def sold_by_day(work: Work, tenant: str, shop: str, calendar: Calendar, period: Period) -> list[Sold]:
    """What was sold, by day, the first day first; days without sales are left out."""
    asked, shifts = _asked(tenant, shop, calendar, period), calendar.shifts(period.first, period.last)
    if len(shifts) == 1:
        return _sold(await work.rows(_BY_DAY, {**asked, "shift": shifts[0][1]}))
    # The zone changes within the period: how far it is ahead of UTC depends on when an order was delivered.
    later = [(orders.c.ended_ms >= since, shift) for since, shift in reversed(shifts[1:])]
    return _sold(await work.rows(_sales_by(_day_of(case(*later, else_=shifts[0][1]))), asked))


async def sold_fen(work: Work, tenant: str, shop: str, calendar: Calendar, period: Period) -> int:
    """The money of a period."""
    return int(await work.scalar(_ALL_FEN, _asked(tenant, shop, calendar, period)))


async def first_sale(work: Work, tenant: str, shop: str, calendar: Calendar) -> date | None:
    """The day of the first sale ever."""
    here = and_(orders.c.tenant == tenant, orders.c.shop == shop, orders.c.ended_ms.is_not(None))
    query = select(orders.c.ended_ms).where(here).order_by(orders.c.ended_ms).limit(1)
    found = await work.scalar(query)
    return None if found is None else calendar.day_of(found)


async def best_machines(work: Work, tenant: str, shop: str, calendar: Calendar, period: Period) -> list[Ranked]:
    """The machines that sold most, by money."""
    rows = await work.rows(_BEST_MACHINES, _asked(tenant, shop, calendar, period))
    return [Ranked(row.id, row.name, row.number or row.name, row.orders, int(row.fen)) for row in rows]


async def best_goods(work: Work, tenant: str, shop: str, calendar: Calendar, period: Period) -> list[Ranked]:
    """The goods that sold most, by money."""
    rows = await work.rows(_BEST_GOODS, _asked(tenant, shop, calendar, period))
    return [Ranked(row.id, row.name or row.id, "", row.orders, int(row.fen)) for row in rows]


def _asked(tenant: str, shop: str, calendar: Calendar, period: Period) -> dict[str, Any]:
    begin, end = calendar.begins_ms(period.first), calendar.begins_ms(period.last + timedelta(days=1))
    return {"tenant": tenant, "shop": shop, "begin": begin, "end": end}


def _sold(rows: Iterable[Row[Any]]) -> list[Sold]:
    return [Sold(row.at_ms, row.orders, row.orders, int(row.fen), row.last_ms) for row in rows]


# --- the statements, put together once ---

_BEGIN, _END = (bindparam(name, type_=BigInteger) for name in ("begin", "end"))
_TENANT = bindparam("tenant", type_=Text)
# What was free was sold, too.
_SOLD = and_(orders.c.state == "delivered", or_(orders.c.refunded_fen == 0, orders.c.refunded_fen < orders.c.paid_fen))
_WITHIN = and_(
    orders.c.tenant == _TENANT,
    orders.c.shop == bindparam("shop"),
    orders.c.ended_ms >= _BEGIN,
    orders.c.ended_ms < _END,
    _SOLD,
)
_FEN = func.coalesce(func.sum(orders.c.paid_fen - orders.c.refunded_fen), 0)
_ALL_FEN = select(_FEN).where(_WITHIN)


def _sales_by(bucket: ColumnElement[int]) -> Select[Any]:
    at = bucket.label("at_ms")
    last = func.max(orders.c.ended_ms).label("last_ms")
    query = select(at, func.count().label("orders"), _FEN.label("fen"), last)
    return query.where(_WITHIN).group_by(at).order_by(at)


def _day_of(shift: ColumnElement[int]) -> ColumnElement[int]:
    return orders.c.ended_ms - (orders.c.ended_ms + shift) % DAY_MS


_BY_HOUR = _sales_by(orders.c.ended_ms - (orders.c.ended_ms - _BEGIN) % HOUR_MS)
_BY_DAY = _sales_by(_day_of(bindparam("shift", type_=BigInteger)))


def _best(which: ColumnElement[str]) -> Subquery:
    """The few that sold most, found before anybody asks for names."""
    query = select(which.label("id"), func.count().label("orders"), _FEN.label("fen"))
    return query.where(_WITHIN).group_by(which).order_by(_FEN.desc(), which).limit(RANKED).subquery("best")


def _best_machines() -> Select[Any]:
    best = _best(orders.c.machine)
    named = and_(machines.c.tenant == _TENANT, machines.c.machine == best.c.id)
    query = select(best, machines.c.name, machines.c.number).join(machines, named)
    return query.order_by(best.c.fen.desc(), best.c.id)


def _best_goods() -> Select[Any]:
    best = _best(orders.c.goods)
    named = and_(goods.c.tenant == _TENANT, goods.c.goods == best.c.id)
    return select(best, goods.c.name).outerjoin(goods, named).order_by(best.c.fen.desc(), best.c.id)


_BEST_MACHINES, _BEST_GOODS = _best_machines(), _best_goods()
