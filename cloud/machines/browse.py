"""Looking at machines: lists and details, for boards and the native API."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, and_, func, or_, select

from cloud.database import Work, record_of
from cloud.errors import FleetError
from cloud.machines.model import PRESENT_MS, AisleLock, Fault, Machine, MachineState
from cloud.machines.store import (
    aisle_locks,
    commands,
    faults,
    machine_of,
    machine_readings,
    machine_states,
    machines,
)
from cloud.paging import Ask, Page, page
from shared.ids import MachineId


@dataclass(frozen=True, slots=True)
class MachineSeen:
    """A machine as a list shows it."""

    machine: Machine
    state: MachineState
    online: bool
    active_faults: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFilter:
    """Which machines; None does not restrict. `search` is found in id, name and place."""

    search: str | None = None
    online: bool | None = None
    selling: bool | None = None
    faulty: bool | None = None


@dataclass(frozen=True, slots=True)
class CommandSeen:
    """One thing asked of a machine, and what became of it."""

    command: str
    machine: str
    kind: str
    state: str
    detail: str
    asked_by: str
    asked_ms: int
    answered_ms: int | None


@dataclass(frozen=True, slots=True)
class ReadingSeen:
    """The newest value of one sensor, in thousandths of `unit`."""

    sensor: str
    unit: str
    value: int
    wall_ms: int
    received_ms: int


_STATE = [column for column in machine_states.c if column.name not in ("tenant", "machine")]
_ACTIVE = (
    select(func.count())
    .where(faults.c.tenant == machines.c.tenant, faults.c.machine == machines.c.machine, faults.c.active)
    .scalar_subquery()
)


async def list_machines(work: Work, tenant: str, wanted: MachineFilter, ask: Ask) -> Page[MachineSeen]:
    """Machines of a tenant; sorted by id, name, place, last_seen_ms or active_faults."""
    query = _machines().where(machines.c.tenant == tenant)
    present = and_(machine_states.c.online, machine_states.c.last_seen_ms >= work.now_ms - PRESENT_MS)
    if wanted.search is not None:
        columns = (machines.c.machine, machines.c.name, machines.c.place)
        query = query.where(or_(*(func.lower(c).contains(wanted.search.lower(), autoescape=True) for c in columns)))
    if wanted.online is not None:
        query = query.where(func.coalesce(present, False).is_(wanted.online))
    if wanted.selling is not None:
        query = query.where(func.coalesce(machine_states.c.selling, False).is_(wanted.selling))
    if wanted.faulty is not None:
        query = query.where(_ACTIVE > 0 if wanted.faulty else _ACTIVE == 0)
    sorts = {
        "machine": machines.c.machine,
        "name": machines.c.name,
        "place": machines.c.place,
        "last_seen_ms": func.coalesce(machine_states.c.last_seen_ms, 0),
        "active_faults": _ACTIVE,
    }
    return await page(
        work, query, ask, sorts=sorts, ties=(machines.c.machine,), make=lambda row: _seen(row, work.now_ms)
    )


async def machine_seen(work: Work, tenant: str, machine: str) -> MachineSeen:
    """One machine; FleetError not_found when the tenant has none of this id."""
    row = await work.row(_machines().where(machines.c.tenant == tenant, machines.c.machine == machine))
    if row is None:
        raise FleetError("not_found", f"there is no machine {machine!r}", field="machine")
    return _seen(row, work.now_ms)


async def machine_names(work: Work, tenant: str, wanted: Collection[str]) -> dict[str, Machine]:
    """Machines by id, as far as they exist."""
    if not wanted:
        return {}
    query = select(machines).where(machines.c.tenant == tenant, machines.c.machine.in_(sorted(wanted)))
    return {row.machine: machine_of(row) for row in await work.rows(query)}


async def keepers_of(work: Work, tenant: str, shop: str) -> list[tuple[str, str]]:
    """Who looks after the machines of a shop, (name, phone), each phone once; whoever has none is left out."""
    here = machines.c.tenant == tenant, machines.c.shop == shop, machines.c.keeper_phone != ""
    query = select(func.min(machines.c.keeper).label("keeper"), machines.c.keeper_phone).where(*here)
    rows = await work.rows(query.group_by(machines.c.keeper_phone).order_by(func.min(machines.c.machine)))
    return [(row.keeper, row.keeper_phone) for row in rows]


async def list_faults(
    work: Work, tenant: str, ask: Ask, *, machine: str | None = None, active: bool | None = None
) -> Page[Fault]:
    """Faults of a tenant; sorted by since_ms, machine or code, newest first without a wish."""
    query = select(faults).where(faults.c.tenant == tenant)
    if machine is not None:
        query = query.where(faults.c.machine == machine)
    if active is not None:
        query = query.where(faults.c.active.is_(active))
    return await page(
        work,
        query,
        ask,
        sorts={"since_ms": faults.c.since_ms, "machine": faults.c.machine, "code": faults.c.code},
        ties=(faults.c.since_ms.desc(), faults.c.machine, faults.c.code, faults.c.scope),
        make=lambda row: record_of(Fault, row),
    )


async def list_commands(
    work: Work, tenant: str, ask: Ask, *, machine: str | None = None, state: str | None = None
) -> Page[CommandSeen]:
    """Commands of a tenant, newest first; sorted by asked_ms or machine on wish."""
    shown = [commands.c[name] for name in CommandSeen.__dataclass_fields__]
    query = select(*shown).where(commands.c.tenant == tenant)
    if machine is not None:
        query = query.where(commands.c.machine == machine)
    if state is not None:
        query = query.where(commands.c.state == state)
    return await page(
        work,
        query,
        ask,
        sorts={"asked_ms": commands.c.asked_ms, "machine": commands.c.machine},
        ties=(commands.c.asked_ms.desc(), commands.c.command),
        make=lambda row: record_of(CommandSeen, row),
    )


async def locks_of(work: Work, tenant: str, machine: str) -> list[AisleLock]:
    """What is known of each aisle's lock."""
    query = select(aisle_locks).where(aisle_locks.c.tenant == tenant, aisle_locks.c.machine == machine)
    return [record_of(AisleLock, row) for row in await work.rows(query.order_by(aisle_locks.c.aisle))]


async def readings_of(work: Work, tenant: str, machine: str) -> list[ReadingSeen]:
    """The newest value of each sensor."""
    shown = [machine_readings.c[name] for name in ReadingSeen.__dataclass_fields__]
    query = select(*shown).where(machine_readings.c.tenant == tenant, machine_readings.c.machine == machine)
    return [record_of(ReadingSeen, row) for row in await work.rows(query.order_by(machine_readings.c.sensor))]


async def trusted_machines(work: Work) -> list[tuple[MachineId, int]]:
    """Id and credential version of every machine that may connect, by id; in work of the platform: of all tenants."""
    trusted = and_(machines.c.claimed_ms.is_not(None), machines.c.revoked_ms.is_(None))
    query = select(machines.c.machine, machines.c.credential_version).where(trusted).order_by(machines.c.machine)
    return [(MachineId(row.machine), row.credential_version) for row in await work.rows(query)]


def _machines() -> Select[Any]:
    together = and_(machine_states.c.tenant == machines.c.tenant, machine_states.c.machine == machines.c.machine)
    return select(machines, *_STATE, _ACTIVE.label("active_faults")).join_from(
        machines, machine_states, together, isouter=True
    )


def _seen(row: Row[Any], now_ms: int) -> MachineSeen:
    machine = Machine(**{column.name: row._mapping[column] for column in machines.c})
    told = {column.name: row._mapping[column] for column in _STATE}
    known = {} if told["online"] is None else told
    state = MachineState(tenant=machine.tenant, machine=machine.machine, **known)
    return MachineSeen(machine, state, state.is_present(now_ms), row.active_faults)
