"""Questions for boards and owners, answered from the ledgers; nothing here writes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Label, and_, case, func, select

from cloud.database import Work
from cloud.orders.store import orders
from cloud.stock.store import stock_balances, stock_movements
from cloud.water.store import pours, water_flows

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

# How far back the pace of an aisle is measured: a full week holds its weekend.
PACE_MS = 7 * DAY_MS


@dataclass(frozen=True, slots=True)
class SalesHour:
    """What was ended within one hour that begins at `hour_ms`: goods and water.

    `delivered` and `refunded` count orders for goods, `pours` those that gave water. `revenue_fen` is of both, net of
    later refunds of these sales.
    """

    hour_ms: int
    delivered: int = 0
    refunded: int = 0
    pours: int = 0
    poured_ml: int = 0
    revenue_fen: int = 0


@dataclass(frozen=True, slots=True)
class AisleOutlook:
    """How long an aisle will last at last week's pace; None when nothing was sold."""

    machine: str
    aisle: str
    goods: str
    sellable: int
    sold_last_week: int
    days_to_empty: float | None


@dataclass(frozen=True, slots=True)
class AisleAccount:
    """An aisle over a period: opening + loaded - sold + corrected = closing, in items."""

    aisle: str
    opening: int
    loaded: int
    sold: int
    corrected: int
    closing: int


@dataclass(frozen=True, slots=True)
class WaterAccount:
    """What passed a machine's meter over a period, in ml: sold, given, leaked, or in doubt until a person decides."""

    sold_ml: int
    given_ml: int
    leaked_ml: int
    doubtful_ml: int

    @property
    def metered_ml(self) -> int:
        """All of it."""
        return self.sold_ml + self.given_ml + self.leaked_ml + self.doubtful_ml


@dataclass(frozen=True, slots=True)
class PlanAccount:
    """What flowed under one plan of one machine, in ml."""

    machine: str
    plan: str
    pours: int
    sold_ml: int
    given_ml: int
    doubtful_ml: int


async def sales_by_hour(
    work: Work, tenant: str, from_ms: int, before_ms: int, *, machine: str | None = None
) -> list[SalesHour]:
    """Sales of a tenant, or of one machine, by the hour in which they ended; hours without any are left out."""
    hours = await _goods_by_hour(work, tenant, from_ms, before_ms, machine)
    for row in await _water_by_hour(work, tenant, from_ms, before_ms, machine):
        before = hours.get(row.hour_ms, SalesHour(row.hour_ms))
        hours[row.hour_ms] = replace(
            before, pours=row.pours, poured_ml=row.poured_ml, revenue_fen=before.revenue_fen + row.revenue_fen
        )
    return [hours[hour_ms] for hour_ms in sorted(hours)]


async def _goods_by_hour(
    work: Work, tenant: str, from_ms: int, before_ms: int, machine: str | None
) -> dict[int, SalesHour]:
    within = and_(orders.c.tenant == tenant, orders.c.ended_ms >= from_ms, orders.c.ended_ms < before_ms)
    hour = (orders.c.ended_ms - orders.c.ended_ms % HOUR_MS).label("hour")
    is_delivered = orders.c.state == "delivered"
    query = select(
        hour,
        func.sum(case((is_delivered, 1), else_=0)).label("delivered"),
        func.sum(case((is_delivered, 0), else_=1)).label("refunded"),
        func.sum(case((is_delivered, orders.c.paid_fen - orders.c.refunded_fen), else_=0)).label("revenue"),
    ).where(within if machine is None else and_(within, orders.c.machine == machine))
    return {
        row.hour: SalesHour(row.hour, int(row.delivered), int(row.refunded), revenue_fen=int(row.revenue))
        for row in await work.rows(query.group_by(hour))
    }


async def _water_by_hour(work: Work, tenant: str, from_ms: int, before_ms: int, machine: str | None) -> list[SalesHour]:
    within = and_(pours.c.tenant == tenant, pours.c.ended_ms >= from_ms, pours.c.ended_ms < before_ms)
    hour = (pours.c.ended_ms - pours.c.ended_ms % HOUR_MS).label("hour")
    query = select(
        hour,
        func.count().label("pours"),
        func.sum(pours.c.poured_ml).label("poured"),
        func.sum(pours.c.charged_fen - pours.c.refunded_fen).label("revenue"),
    ).where(and_(within, pours.c.state == "poured"))
    rows = await work.rows((query if machine is None else query.where(pours.c.machine == machine)).group_by(hour))
    return [
        SalesHour(row.hour, pours=int(row.pours), poured_ml=int(row.poured), revenue_fen=int(row.revenue))
        for row in rows
    ]


async def days_to_empty(work: Work, tenant: str, *, machine: str | None = None) -> list[AisleOutlook]:
    """The aisles of a tenant, or of one machine, those that run dry first in front."""
    since = work.now_ms - PACE_MS
    sold = func.coalesce(func.sum(-stock_movements.c.on_hand_delta), 0).label("sold")
    same_aisle = and_(
        stock_movements.c.tenant == stock_balances.c.tenant,
        stock_movements.c.machine == stock_balances.c.machine,
        stock_movements.c.aisle == stock_balances.c.aisle,
        stock_movements.c.kind == "deliver",
        stock_movements.c.at_ms >= since,
    )
    here = stock_balances.c.tenant == tenant
    query = (
        select(stock_balances, sold)
        .outerjoin(stock_movements, same_aisle)
        .where(here if machine is None else and_(here, stock_balances.c.machine == machine))
        .group_by(*stock_balances.c)
    )
    outlook = [
        AisleOutlook(
            row.machine,
            row.aisle,
            row.goods,
            row.sellable,
            int(row.sold),
            round(row.sellable * 7 / int(row.sold), 1) if row.sold else None,
        )
        for row in await work.rows(query)
    ]
    return sorted(outlook, key=lambda one: (one.days_to_empty is None, one.days_to_empty, one.machine, one.aisle))


async def machine_account(work: Work, tenant: str, machine: str, from_ms: int, before_ms: int) -> list[AisleAccount]:
    """What every aisle of a machine had, got and gave between two moments: the account that a count must agree with."""
    movements = stock_movements.c
    is_inside = movements.at_ms >= from_ms

    def total(*kinds: str) -> ColumnElement[int]:
        counts = and_(is_inside, movements.kind.in_(kinds))
        return func.sum(case((counts, movements.on_hand_delta), else_=0))

    query = (
        select(
            movements.aisle,
            func.sum(case((is_inside, 0), else_=movements.on_hand_delta)).label("opening"),
            total("load").label("loaded"),
            total("deliver", "review_delivered").label("taken"),
            total("count").label("corrected"),
            func.sum(movements.on_hand_delta).label("closing"),
        )
        .where(and_(movements.tenant == tenant, movements.machine == machine, movements.at_ms < before_ms))
        .group_by(movements.aisle)
        .order_by(movements.aisle)
    )
    return [
        AisleAccount(
            row.aisle, int(row.opening), int(row.loaded), -int(row.taken), int(row.corrected), int(row.closing)
        )
        for row in await work.rows(query)
    ]


async def water_account(work: Work, tenant: str, machine: str, from_ms: int, before_ms: int) -> WaterAccount:
    """Where a machine's water went between two moments."""
    flows = water_flows.c
    within = and_(flows.tenant == tenant, flows.machine == machine, flows.at_ms >= from_ms, flows.at_ms < before_ms)
    row = await work.row(select(*(_total(flows[name]) for name in WaterAccount.__dataclass_fields__)).where(within))
    assert row is not None, "sums without groups answer one row"
    return WaterAccount(**{name: int(volume) for name, volume in row._mapping.items()})


async def water_by_plan(work: Work, tenant: str, from_ms: int, before_ms: int) -> list[PlanAccount]:
    """What flowed under each plan between two moments, by machine and plan; pours without a plan under ''."""
    flows = water_flows.c
    within = and_(flows.tenant == tenant, flows.at_ms >= from_ms, flows.at_ms < before_ms, flows.kind != "leak")
    plan = func.coalesce(flows.plan, "").label("plan")
    query = select(
        flows.machine,
        plan,
        func.sum(case((flows.kind == "pour", 1), else_=0)).label("pours"),
        *(_total(flows[name]) for name in ("sold_ml", "given_ml", "doubtful_ml")),
    ).where(within)
    rows = await work.rows(query.group_by(flows.machine, plan).order_by(flows.machine, plan))
    return [
        PlanAccount(row.machine, row.plan, int(row.pours), int(row.sold_ml), int(row.given_ml), int(row.doubtful_ml))
        for row in rows
    ]


def _total(volume: ColumnElement[int]) -> Label[int]:
    return func.coalesce(func.sum(volume), 0).label(str(volume.key))
