"""Looking at pours, litres and what people did at purifiers."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from cloud.database import Work, record_of
from cloud.errors import FleetError
from cloud.paging import Ask, Page, page
from cloud.water.model import UNDECIDED, Calibration, FilterChange, Flow, Pour, PourState, Visit
from cloud.water.store import calibrations, filter_changes, pours, visit_of, visits, water_flows
from shared.messages import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class PourFilter:
    """Which pours; None does not restrict. Times in ms: from `placed_from_ms` on, before `placed_before_ms`."""

    state: PourState | None = None
    machine: str | None = None
    member: str | None = None
    source: Source | None = None
    plan: str | None = None
    placed_from_ms: int | None = None
    placed_before_ms: int | None = None


async def list_pours(work: Work, tenant: str, wanted: PourFilter, ask: Ask) -> Page[Pour]:
    """Pours of a tenant, newest first; sorted by placed_ms, ended_ms, poured_ml or charged_fen on wish."""
    query = select(pours).where(pours.c.tenant == tenant)
    exact = {name: getattr(wanted, name) for name in ("state", "machine", "member", "source", "plan")}
    query = query.where(*(pours.c[name] == value for name, value in exact.items() if value is not None))
    if wanted.placed_from_ms is not None:
        query = query.where(pours.c.placed_ms >= wanted.placed_from_ms)
    if wanted.placed_before_ms is not None:
        query = query.where(pours.c.placed_ms < wanted.placed_before_ms)
    sorts = {name: pours.c[name] for name in ("placed_ms", "ended_ms", "charged_fen")}
    return await page(
        work,
        query,
        ask,
        sorts={**sorts, "poured_ml": func.coalesce(pours.c.poured_ml, 0)},
        ties=(pours.c.placed_ms.desc(), pours.c.order.desc()),
        make=lambda row: record_of(Pour, row),
    )


async def pour_of(work: Work, tenant: str, order: str) -> Pour:
    """One pour; FleetError not_found when the tenant has none of this id."""
    row = await work.row(select(pours).where(pours.c.tenant == tenant, pours.c.order == order))
    if row is None:
        raise FleetError("not_found", f"there is no pour {order!r}", field="order")
    return record_of(Pour, row)


async def flows_of(work: Work, tenant: str, order: str) -> list[Flow]:
    """Where the water of one pour went, in order of time."""
    query = select(water_flows).where(water_flows.c.tenant == tenant, water_flows.c.order == order)
    rows = await work.rows(query.order_by(water_flows.c.at_ms, water_flows.c.kind.desc()))
    return [record_of(Flow, row) for row in rows]


async def list_flows(work: Work, tenant: str, machine: str, ask: Ask) -> Page[Flow]:
    """Every line of a machine's litres, newest first."""
    query = select(water_flows).where(water_flows.c.tenant == tenant, water_flows.c.machine == machine)
    return await page(
        work,
        query,
        ask,
        sorts={"at_ms": water_flows.c.at_ms},
        ties=(water_flows.c.at_ms.desc(), water_flows.c.source.desc()),
        make=lambda row: record_of(Flow, row),
    )


async def list_filter_changes(work: Work, tenant: str, machine: str, ask: Ask) -> Page[FilterChange]:
    """Cartridges that were changed in a machine, newest first."""
    changes = filter_changes.c
    return await page(
        work,
        select(filter_changes).where(changes.tenant == tenant, changes.machine == machine),
        ask,
        sorts={"at_ms": changes.at_ms, "position": changes.position},
        ties=(changes.at_ms.desc(), changes.source.desc()),
        make=lambda row: record_of(FilterChange, row),
    )


async def list_calibrations(work: Work, tenant: str, machine: str, ask: Ask) -> Page[Calibration]:
    """Factors that were measured for a machine's meters, newest first."""
    made = calibrations.c
    return await page(
        work,
        select(calibrations).where(made.tenant == tenant, made.machine == machine),
        ask,
        sorts={"at_ms": made.at_ms},
        ties=(made.at_ms.desc(), made.source.desc()),
        make=lambda row: record_of(Calibration, row),
    )


async def list_visits(
    work: Work, tenant: str, ask: Ask, *, machine: str | None = None, genuine: bool | None = None
) -> Page[Visit]:
    """Visits of people to a tenant's machines, newest first."""
    query = select(visits).where(visits.c.tenant == tenant)
    if machine is not None:
        query = query.where(visits.c.machine == machine)
    if genuine is not None:
        query = query.where(visits.c.genuine.is_(genuine))
    return await page(
        work,
        query,
        ask,
        sorts={"at_ms": visits.c.at_ms, "machine": visits.c.machine, "duration_ms": visits.c.duration_ms},
        ties=(visits.c.at_ms.desc(), visits.c.visit),
        make=visit_of,
    )


async def open_pours(work: Work, tenant: str, *, member: str | None = None, machine: str | None = None) -> int:
    """How many pours of a tenant, of a member or at a machine are not decided yet."""
    here = [pours.c.tenant == tenant, pours.c.state.in_(UNDECIDED)]
    wanted = {"member": member, "machine": machine}
    here += [pours.c[name] == value for name, value in wanted.items() if value is not None]
    return int(await work.scalar(select(func.count()).where(*here)))
