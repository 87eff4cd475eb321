"""SQL of pours, of litres, and of what purifiers are made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Table,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    func,
    select,
    tuple_,
)

from cloud.database import Work, metadata, record_of, row_of, tenant_column
from cloud.errors import FleetError
from cloud.water.model import (
    DAY_MS,
    UNDECIDED,
    Calibration,
    FilterChange,
    FilterState,
    Flow,
    Pour,
    Visit,
    WaterState,
)

pours = Table(
    "pours",
    metadata,
    tenant_column(),
    Column("order", Text, primary_key=True),
    Column("machine", Text, nullable=False),
    Column("outlet", Text, nullable=False),
    Column("asked_ml", BigInteger, nullable=False),
    Column("price_fen_per_litre", BigInteger, nullable=False),
    Column("member", Text),
    Column("source", Text, nullable=False),
    Column("means", Text, nullable=False),
    Column("paid_fen", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("request_hash", Text),
    Column("placed_ms", BigInteger, nullable=False),
    Column("deadline_ms", BigInteger),
    Column("claimed_ms", BigInteger),
    Column("nonce", Text),
    Column("boot_id", Text),
    Column("ended_ms", BigInteger),
    Column("reason", Text),
    Column("poured_ml", BigInteger),
    Column("charged_fen", BigInteger, nullable=False),
    Column("refunded_fen", BigInteger, nullable=False, server_default="0"),
    Column("plan", Text),
    Column("written_off", Boolean, nullable=False),
    Column("doubted", Boolean, nullable=False),
    Column("decided_by", Text),
    CheckConstraint("charged_fen >= 0 AND charged_fen <= paid_fen", name="charged_within_paid"),
    CheckConstraint("refunded_fen >= 0 AND refunded_fen <= charged_fen", name="refund_within_charged"),
    UniqueConstraint("tenant", "idempotency_key"),
    Index("ix_pours_machine", "tenant", "machine", "placed_ms"),
    Index("ix_pours_state", "tenant", "state", "deadline_ms"),
    Index("ix_pours_placed", "tenant", "placed_ms"),
    Index("ix_pours_ended", "tenant", "ended_ms"),
)

# Append-only. `source` is the fact that told of the water ("epoch.seq"), or the decision about it.
water_flows = Table(
    "water_flows",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("order", Text),
    Column("plan", Text),
    Column("sold_ml", BigInteger, nullable=False),
    Column("given_ml", BigInteger, nullable=False),
    Column("leaked_ml", BigInteger, nullable=False),
    Column("doubtful_ml", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("ix_water_flows_at", "tenant", "machine", "at_ms"),
    Index("ix_water_flows_plan", "tenant", "plan", "at_ms"),
)

filter_states = Table(
    "filter_states",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("condition", Text, nullable=False),
    Column("percent_left", BigInteger, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)

water_states = Table(
    "water_states",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("fit", Boolean, nullable=False),
    Column("tds_in_ppm", BigInteger),
    Column("tds_out_ppm", BigInteger),
    Column("reason", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)

# Append-only, like the two after it: what people did at machines.
filter_changes = Table(
    "filter_changes",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("powered_hours", BigInteger, nullable=False),
    Column("worked_hours", BigInteger, nullable=False),
    Column("litres", BigInteger, nullable=False),
    Column("person", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

calibrations = Table(
    "calibrations",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("meter", Text, nullable=False),
    Column("pulses_per_litre_milli", BigInteger, nullable=False),
    Column("spread_ppm", BigInteger, nullable=False),
    Column("runs", BigInteger, nullable=False),
    Column("person", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

visits = Table(
    "visits",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("visit", Text, primary_key=True),
    Column("person", Text, nullable=False),
    Column("began_wall_ms", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("actions", Text, nullable=False),
    Column("genuine", Boolean, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("ix_visits_at", "tenant", "at_ms"),
)

PourKey = tuple[str, str]

# What may change in a pour's life; the rest is written once.
_CHANGING = (
    "state",
    "claimed_ms",
    "nonce",
    "boot_id",
    "ended_ms",
    "reason",
    "poured_ml",
    "charged_fen",
    "refunded_fen",
    "plan",
    "written_off",
    "doubted",
    "decided_by",
)


async def find_pours(work: Work, keys: Collection[PourKey]) -> dict[PourKey, Pour]:
    """The pours of (tenant, order) pairs, as far as they exist, locked until the work ends."""
    if not keys:
        return {}
    key = tuple_(pours.c.tenant, pours.c.order)
    query = select(pours).where(key.in_(sorted(keys))).order_by(*key.clauses).with_for_update()
    return {(row.tenant, row.order): record_of(Pour, row) for row in await work.rows(query)}


async def find_by_key(work: Work, tenant: str, idempotency_key: str) -> Pour | None:
    """The pour that was placed under this key, ever."""
    query = select(pours).where(and_(pours.c.tenant == tenant, pours.c.idempotency_key == idempotency_key))
    row = await work.row(query)
    return None if row is None else record_of(Pour, row)


async def add_pours(work: Work, new: Iterable[Pour]) -> None:
    """Insert pours; one that is already there raises."""
    await work.insert(pours, [row_of(pour) for pour in new])


async def put_pours(work: Work, changed: Iterable[Pour]) -> None:
    """Write pours that this Work has locked."""
    rows = []
    for pour in changed:
        row = {f"new_{name}": getattr(pour, name) for name in _CHANGING}
        rows.append({**row, "of": pour.tenant, "which": pour.order})
    if rows:
        here = and_(pours.c.tenant == bindparam("of"), pours.c.order == bindparam("which"))
        values = {name: bindparam(f"new_{name}", type_=pours.c[name].type) for name in _CHANGING}
        await work.execute(pours.update().where(here).values(**values), rows)


async def lock_due(work: Work, state: str, column: str, before_ms: int, limit: int) -> Sequence[PourKey]:
    """Pours in `state` whose time `column` is at or before `before_ms`; those another worker holds are left to it."""
    due = and_(pours.c.state == state, pours.c[column] <= before_ms)
    query = select(pours.c.tenant, pours.c.order).where(due).order_by(pours.c[column]).limit(limit)
    return [(row.tenant, row.order) for row in await work.rows(query.with_for_update(skip_locked=True))]


async def undecided_fen(work: Work, tenant: str) -> int:
    """What all undecided pours of a tenant hold in escrow."""
    query = select(func.coalesce(func.sum(pours.c.paid_fen), 0))
    return int(await work.scalar(query.where(and_(pours.c.tenant == tenant, pours.c.state.in_(UNDECIDED)))))


async def written_off_fen(work: Work, tenant: str, machine: str, since_ms: int) -> int:
    """What was written off for pours of a machine since `since_ms`."""
    here = and_(pours.c.tenant == tenant, pours.c.machine == machine, pours.c.written_off)
    query = select(func.coalesce(func.sum(pours.c.paid_fen), 0))
    return int(await work.scalar(query.where(and_(here, pours.c.ended_ms >= since_ms))))


async def machine_of_pour(work: Work, tenant: str, order: str) -> str:
    """Which machine a pour is for; FleetError(not_found)."""
    found = await work.scalar(select(pours.c.machine).where(and_(pours.c.tenant == tenant, pours.c.order == order)))
    if found is None:
        raise FleetError("not_found", f"no pour {order!r}", field="order")
    return str(found)


async def add_flows(work: Work, flows: Iterable[Flow]) -> None:
    """Append lines of litres; one that is already there raises."""
    await work.insert(water_flows, [row_of(flow) for flow in flows])


async def plan_days(work: Work, tenant: str, machine: str, plan: str, began_ms: int) -> dict[int, int]:
    """What flowed under a plan on one machine, in ml by the number of the day since the plan began."""
    flows = water_flows.c
    day = ((flows.at_ms - began_ms) // DAY_MS).label("day")
    poured = func.sum(flows.sold_ml + flows.given_ml + flows.doubtful_ml).label("ml")
    here = and_(flows.tenant == tenant, flows.machine == machine, flows.plan == plan, flows.at_ms >= began_ms)
    return {int(row.day): int(row.ml) for row in await work.rows(select(day, poured).where(here).group_by(day))}


async def put_filters(work: Work, changed: Iterable[FilterState]) -> None:
    """Write cartridges as they are now."""
    await work.put(filter_states, [row_of(state) for state in changed])


async def put_waters(work: Work, changed: Iterable[WaterState]) -> None:
    """Write the quality of water as it is now."""
    await work.put(water_states, [row_of(state) for state in changed])


async def find_filters(work: Work, tenant: str, machine: str) -> dict[int, FilterState]:
    """The cartridges of a machine by position, as far as it has told."""
    here = and_(filter_states.c.tenant == tenant, filter_states.c.machine == machine)
    rows = await work.rows(select(filter_states).where(here).order_by(filter_states.c.position))
    return {row.position: record_of(FilterState, row) for row in rows}


async def find_water(work: Work, tenant: str, machine: str) -> WaterState | None:
    """The quality of a machine's water; None when it has not told."""
    here = and_(water_states.c.tenant == tenant, water_states.c.machine == machine)
    row = await work.row(select(water_states).where(here))
    return None if row is None else record_of(WaterState, row)


async def add_changes(work: Work, changes: Iterable[FilterChange]) -> None:
    """Append changed cartridges."""
    await work.insert(filter_changes, [row_of(change) for change in changes])


async def add_calibrations(work: Work, made: Iterable[Calibration]) -> None:
    """Append calibrations."""
    await work.insert(calibrations, [row_of(one) for one in made])


async def add_visits(work: Work, made: Iterable[Visit]) -> None:
    """Append visits."""
    await work.insert(visits, [{**row_of(one), "actions": msgspec.json.encode(one.actions).decode()} for one in made])


def visit_of(row: Any) -> Visit:
    """A visit from its row."""
    actions = msgspec.json.decode(row.actions, type=tuple[str, ...])
    return record_of(Visit, row, actions=actions)
