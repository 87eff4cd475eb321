"""Figures for boards and owners."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from cloud import reports
from cloud.accounts.model import Permission
from cloud.facades.dialect import Call, Filter, Nothing, Operation
from cloud.facades.native.shapes import All, Id, Moment, Told, all_of
from cloud.machines.register import machine_of

# A quarter and a bit: 2,208 hours, which is what a chart can show and what one answer may hold.
PERIOD_MS_MAX = 92 * reports.DAY_MS


class PeriodFilter(Filter):
    """From `from_ms` on, before `before_ms`; at most 92 days."""

    from_ms: Moment
    before_ms: Moment

    @model_validator(mode="after")
    def _is_a_period(self) -> Self:
        if not 0 < self.before_ms - self.from_ms <= PERIOD_MS_MAX:
            raise ValueError(f"before_ms must lie after from_ms, by at most {PERIOD_MS_MAX} ms")
        return self


class SalesFilter(PeriodFilter):
    machine: Id | None = None


class OutlookFilter(Filter):
    machine: Id | None = None


class SalesHourTold(Told):
    """Sales that ended in the hour beginning at `hour_ms`: goods (`delivered`, `refunded`) and water (`pours`).

    `revenue_fen` is of both, net of later refunds of these sales.
    """

    hour_ms: int
    delivered: int
    refunded: int
    pours: int
    poured_ml: int
    revenue_fen: int


class OutlookTold(Told):
    """How long an aisle lasts at last week's pace; null when nothing was sold."""

    machine: str
    aisle: str
    goods: str
    sellable: int
    sold_last_week: int
    days_to_empty: float | None


class AisleAccountTold(Told):
    """opening + loaded - sold + corrected = closing, in items."""

    aisle: str
    opening: int
    loaded: int
    sold: int
    corrected: int
    closing: int


class WaterAccountTold(Told):
    """Metered = sold + given + leaked + doubtful, in ml; doubtful waits for a person's decision."""

    metered_ml: int
    sold_ml: int
    given_ml: int
    leaked_ml: int
    doubtful_ml: int


class MachineAccountTold(Told):
    """A machine's goods, aisle by aisle, and its water; the water of a machine without any is 0 throughout."""

    items: list[AisleAccountTold]
    water: WaterAccountTold


class PlanAccountTold(Told):
    """What flowed under one plan of one machine, in ml; `plan` is empty for pours outside any, such as a person's test.

    sold: charged by the pour. given: free by the plan, or beyond what was asked for. doubtful: in review.
    """

    machine: str
    plan: str
    pours: int
    sold_ml: int
    given_ml: int
    doubtful_ml: int


async def sales_by_hour(call: Call[Nothing, SalesFilter]) -> All[SalesHourTold]:
    """Sales by the hour in which they ended; hours without any are left out."""
    query = call.query
    found = await reports.sales_by_hour(call.work, call.tenant, query.from_ms, query.before_ms, machine=query.machine)
    return all_of(SalesHourTold.model_validate, found)


async def days_to_empty(call: Call[Nothing, OutlookFilter]) -> All[OutlookTold]:
    """Aisles and how long they will last, those that run dry first in front."""
    found = await reports.days_to_empty(call.work, call.tenant, machine=call.query.machine)
    return all_of(OutlookTold.model_validate, found)


async def machine_account(call: Call[Nothing, PeriodFilter]) -> MachineAccountTold:
    """What every aisle of a machine had, got and gave in a period, and where its water went.

    A count of the aisles and a reading of the meter must agree with it.
    """
    machine = (await machine_of(call.work, call.tenant, call.path["machine"])).machine
    period = (call.query.from_ms, call.query.before_ms)
    aisles = await reports.machine_account(call.work, call.tenant, machine, *period)
    water = await reports.water_account(call.work, call.tenant, machine, *period)
    return MachineAccountTold(
        items=[AisleAccountTold.model_validate(aisle) for aisle in aisles], water=WaterAccountTold.model_validate(water)
    )


async def water_by_plan(call: Call[Nothing, PeriodFilter]) -> All[PlanAccountTold]:
    """Litres by machine and plan in a period."""
    found = await reports.water_by_plan(call.work, call.tenant, call.query.from_ms, call.query.before_ms)
    return all_of(PlanAccountTold.model_validate, found)


P = Permission
OPERATIONS = (
    Operation("GET", "/reports/sales-by-hour", P.REPORTS_READ, sales_by_hour),
    Operation("GET", "/reports/days-to-empty", P.REPORTS_READ, days_to_empty),
    Operation("GET", "/reports/water-by-plan", P.REPORTS_READ, water_by_plan),
    Operation("GET", "/machines/{machine}/account", P.REPORTS_READ, machine_account),
)
