"""Chapter 4: the boards of a shop, from what its machines reported."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

from pydantic import Field

from cloud import boards, standing
from cloud.accounts.model import STAFF, Allowed, Permission
from cloud.boards import Period, Ranked, Sold
from cloud.calendar import Calendar, day_numbered, numbered
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.vending.faults import faults_of
from cloud.facades.vending.wire import (
    Asked,
    Day,
    Empty,
    Id,
    Money,
    Told,
    calendar_of,
    per,
    percent,
    reach,
    seconds,
    shop_seen,
    shortage_of,
    yuan,
)
from cloud.orders.browse import count_settled
from cloud.stock.browse import count_records, warehouse_of
from cloud.tickets.browse import count_sent
from cloud.tickets.model import OPEN

# Lengths of a segment in hours: those that divide a day.
SEGMENTS = (1, 2, 3, 4, 6, 8, 12, 24)
# What the authors of the protocol did not know how to count either.
DATA_NUM = 12


class Figures(Told):
    money: Money
    num: int
    pre_money: Money
    compare_money: Money

    @classmethod
    def of(cls, fen: int, orders: int, before_fen: int) -> Figures:
        return cls(money=yuan(fen), num=orders, pre_money=per(fen, orders), compare_money=percent(before_fen, fen))


class BestMachine(Told):
    vendor_name: str
    vendor_num: str
    vendor_id: str
    all_money: Money


class BestGoods(Told):
    goods_name: str
    vendor_goods_id: str
    all_money: Money
    all_num: int


class Ranking(Told):
    vendor_list: list[BestMachine]
    goods_list: list[BestGoods]

    @classmethod
    def of(cls, machines: list[Ranked], goods: list[Ranked]) -> Ranking:
        return cls(
            vendor_list=[
                BestMachine(vendor_name=one.name, vendor_num=one.number, vendor_id=one.id, all_money=yuan(one.fen))
                for one in machines
            ],
            goods_list=[
                BestGoods(goods_name=one.name, vendor_goods_id=one.id, all_money=yuan(one.fen), all_num=one.orders)
                for one in goods
            ],
        )


class TodayAsk(Asked):
    shop_id: Id
    time_cut: Annotated[int, Field(ge=1, le=24)] = 2


class SegmentFigures(Told):
    all_money: Money
    order_num: int
    goods_num: int


class Segment(Told):
    time: str
    list: SegmentFigures | Empty


class TodayTold(Told):
    data: Figures
    time_list: list[Segment]
    sort: Ranking


async def get_today_data(call: Call[TodayAsk, Nothing]) -> TodayTold:
    """What a shop sold today, in segments of `time_cut` hours that are labelled with their end.

    A segment without sales is {}. `compare_money` is yesterday's money in percent of today's, 0 where either is
    nothing.
    """
    if call.body.time_cut not in SEGMENTS:
        raise FleetError("invalid", f"{call.body.time_cut} hours do not divide a day", field="time_cut")
    shop = (await shop_seen(call, call.body.shop_id)).unit
    calendar = await calendar_of(call)
    day = calendar.day_of(call.work.now_ms)
    hours = await boards.sold_by_hour(call.work, call.tenant, shop, calendar, day)
    figures, ranking = await _whole(call, calendar, shop, Period(day, day), hours)
    return TodayTold(data=figures, time_list=_segments(calendar, call.body.time_cut, hours), sort=ranking)


def _segments(calendar: Calendar, cut: int, hours: list[Sold]) -> list[Segment]:
    of: dict[int, list[Sold]] = {}
    for hour in hours:
        of.setdefault(calendar.hour_of(hour.at_ms) // cut, []).append(hour)
    segments = []
    for number in range(24 // cut):
        sold = of.get(number)
        figures = (
            Empty()
            if sold is None
            else SegmentFigures(
                all_money=yuan(sum(one.fen for one in sold)),
                order_num=sum(one.orders for one in sold),
                goods_num=sum(one.items for one in sold),
            )
        )
        segments.append(Segment(time=f"{(number + 1) * cut % 24:02d}:00:00", list=figures))
    return segments


class BoardAsk(Asked):
    shop_id: Id
    # 1 this week, 2 this month, 3 from begin_day to end_day, each of them open when it is not sent.
    time_type: Annotated[int, Field(ge=1, le=3)]
    begin_day: Day | None = None
    end_day: Day | None = None


class DayTold(Told):
    day: int
    shop_id: str
    order_num: int
    all_money: Money
    goods_num: int
    lastmodtime: int
    delete: int


Days = list[DayTold]


class BoardTold(Told):
    data: Figures
    list: Days
    sort: Ranking


async def get_date_board(call: Call[BoardAsk, Nothing]) -> BoardTold:
    """What a shop sold by day: this week (from Monday), this month, or from one day to another, both included.

    Days without sales are left out. `compare_money` is the money of as many days directly before in percent of this
    period's, 0 where either is nothing.
    """
    shop = (await shop_seen(call, call.body.shop_id)).unit
    calendar = await calendar_of(call)
    period = await _period(call, calendar, shop)
    days = [] if period is None else await boards.sold_by_day(call.work, call.tenant, shop, calendar, period)
    if period is None:
        return BoardTold(data=Figures.of(0, 0, 0), list=[], sort=Ranking.of([], []))
    figures, ranking = await _whole(call, calendar, shop, period, days)
    told = [
        DayTold(
            day=numbered(calendar.day_of(day.at_ms)),
            shop_id=shop,
            order_num=day.orders,
            all_money=yuan(day.fen),
            goods_num=day.items,
            lastmodtime=seconds(day.last_ms),
            delete=0,
        )
        for day in days
    ]
    return BoardTold(data=figures, list=told, sort=ranking)


async def _period(call: Call[BoardAsk, Nothing], calendar: Calendar, shop: str) -> Period | None:
    """The days that are asked for; None when there are none: nothing was ever sold."""
    body, now = call.body, calendar.day_of(call.work.now_ms)
    if body.time_type == 1:
        return Period(now - timedelta(days=now.weekday()), now)
    if body.time_type == 2:
        return Period(now.replace(day=1), now)
    last = _day(body.end_day, "end_day") or now
    first = _day(body.begin_day, "begin_day")
    if first is None:
        first = await boards.first_sale(call.work, call.tenant, shop, calendar)
        return None if first is None or first > last else Period(first, last)
    if first > last:
        raise FleetError("invalid", f"{numbered(first)} is after {numbered(last)}", field="begin_day")
    return Period(first, last)


def _day(number: int | None, field: str) -> date | None:
    if not number:  # 0 is how some programs say that there is none.
        return None
    try:
        return day_numbered(number)
    except FleetError as error:
        raise FleetError(error.kind, error.detail, field=field) from error


async def _whole(
    call: Call[TodayAsk, Nothing] | Call[BoardAsk, Nothing],
    calendar: Calendar,
    shop: str,
    period: Period,
    parts: list[Sold],
) -> tuple[Figures, Ranking]:
    """The figures on top and the rankings of a period whose sales by hour or day are known."""
    work, tenant = call.work, call.tenant
    before = await boards.sold_fen(work, tenant, shop, calendar, period.before)
    ranking = Ranking.of(
        await boards.best_machines(work, tenant, shop, calendar, period),
        await boards.best_goods(work, tenant, shop, calendar, period),
    )
    figures = Figures.of(sum(one.fen for one in parts), sum(one.orders for one in parts), before)
    return figures, ranking


class ShopAsk(Asked):
    shop_id: Id


class HomeTold(Told):
    record_num: int
    scene_num: int
    stock_deal: int
    order_num: int
    data_num: int
    my_record_num: int


async def get_home_data(call: Call[ShopAsk, Nothing]) -> HomeTold:
    """The figures of the first page: restocks, repairs on site, faults that nobody was sent to, orders, records."""
    work, tenant, shop = call.work, call.tenant, (await shop_seen(call, call.body.shop_id)).unit
    restocks, returns = await count_records(work, tenant, shop)
    unsent, sent = await count_sent(work, reach(call), faults_of(shop, states=OPEN))
    return HomeTold(
        record_num=restocks,
        scene_num=sent,
        stock_deal=unsent,
        order_num=await count_settled(work, tenant, shop),
        data_num=DATA_NUM,
        my_record_num=restocks + returns,
    )


class ReplenishmentTold(Told):
    stock_num: int
    out_num: int
    goods_num: int
    return_num: int
    record_all_num: int


async def get_repl_data(call: Call[ShopAsk, Nothing]) -> ReplenishmentTold:
    """How many devices of a shop are short and out of stock, what its warehouse holds, and how many records it has."""
    work, tenant, shop = call.work, call.tenant, (await shop_seen(call, call.body.shop_id)).unit
    counted = await standing.count_standings(work, tenant, shop, shortage_at=await shortage_of(call))
    restocks, returns = await count_records(work, tenant, shop)
    return ReplenishmentTold(
        stock_num=counted["short"],
        out_num=counted["out"],
        goods_num=sum((await warehouse_of(work, tenant, shop)).values()),
        return_num=returns,
        record_all_num=restocks + returns,
    )


REPORTS = Allowed(STAFF, Permission.REPORTS_READ)
OPERATIONS = (
    Operation("POST", "/vendor_board.php", REPORTS, get_today_data, flag="get_today_data"),
    Operation("POST", "/vendor_board.php", REPORTS, get_date_board, flag="get_date_board"),
    Operation("POST", "/vendor_board.php", REPORTS, get_home_data, flag="get_home_data"),
    Operation("POST", "/vendor_board.php", REPORTS, get_repl_data, flag="get_repl_data"),
)
