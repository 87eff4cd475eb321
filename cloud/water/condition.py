"""How a purifier is: its filters, its water, its plan, and whether it gives any."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.database import Work
from cloud.water import store
from cloud.water.model import FilterState, NoSale, WaterState, used_ml, why_no_sale
from shared.water import PurifierConfig, ServicePlan


@dataclass(frozen=True, slots=True)
class PurifierCondition:
    """What is known of a purifier. `left_ml` of a metered plan, None where litres do not end it.

    `no_sale`: why it gives no water, by what the cloud knows; the machine has the last word.
    """

    plan: ServicePlan
    used_ml: int
    left_ml: int | None
    filters: tuple[FilterState, ...]
    water: WaterState | None
    no_sale: tuple[NoSale, ...]


async def condition_of(work: Work, tenant: str, machine: str, config: PurifierConfig) -> PurifierCondition:
    """The condition of one purifier under its newest configuration."""
    plan = config.plan
    filters = await store.find_filters(work, tenant, machine)
    water = await store.find_water(work, tenant, machine)
    days = await store.plan_days(work, tenant, machine, plan.plan, plan.began_wall_ms)
    used = used_ml(plan, days, work.now_ms)
    left = plan.prepaid_ml - used if plan.mode == "metered_rental" else None
    no_sale = why_no_sale(config, filters, water, left, work.now_ms)
    return PurifierCondition(plan, used, left, tuple(filters.values()), water, tuple(no_sale))
