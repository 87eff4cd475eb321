"""Machines as a platform of purifiers shows them: with their profile, their owner, and figures from what they told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, get_args

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    select,
    true,
    tuple_,
    union_all,
)

from cloud.accounts.model import Reach
from cloud.accounts.reach import unseen, within
from cloud.database import Work, record_of
from cloud.errors import FleetError
from cloud.machines.model import PRESENT_MS, Machine, MachineProfile, MachineState
from cloud.machines.store import (
    faults,
    machine_configs,
    machine_directory,
    machine_profiles,
    machine_states,
    machines,
)
from cloud.members.store import member_machines
from cloud.orders.store import orders
from cloud.paging import LISTINGS_KEPT, Ask, Listing, Page
from cloud.water.model import FilterState, WaterState
from cloud.water.store import filter_states, pours, water_flows, water_states


@dataclass(frozen=True, slots=True)
class Figures:
    """What a machine has done so far, by its own word: volumes in ml, amounts in fen."""

    pours: int = 0
    sold_ml: int = 0
    given_ml: int = 0
    leaked_ml: int = 0
    vends: int = 0
    earned_fen: int = 0
    filters: tuple[FilterState, ...] = ()
    water: WaterState | None = None


# How a device is, in a word. Lists are sorted in this order.
Condition = Literal["normal", "away", "faulty", "stopped", "new"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)


@dataclass(frozen=True, slots=True)
class DeviceSeen:
    """One machine. `config_version` is the newest that was decided; 0 is none. `owner` "" is nobody."""

    machine: Machine
    state: MachineState
    profile: MachineProfile
    online: bool
    faults: int
    owner: str
    config_version: int
    guests: tuple[str, ...] = ()
    figures: Figures = field(default_factory=Figures)

    @property
    def condition(self) -> Condition:
        """The first that holds of new, stopped, away and faulty; `_CONDITION` is the same rule for lists."""
        if self.machine.claimed_ms is None:
            return "new"
        if self.profile.stopped:
            return "stopped"
        if not self.online:
            return "away"
        return "faulty" if self.faults else "normal"

    @property
    def software(self) -> str:
        """What it says that it runs, or what it was delivered with."""
        return self.state.software or self.profile.fw_version


_PROFILE = [column for column in machine_profiles.c if column.name not in ("tenant", "machine")]
_STATE = [column for column in machine_states.c if column.name not in ("tenant", "machine")]


_OWNER = (
    select(member_machines.c.member)
    .where(
        member_machines.c.tenant == machines.c.tenant,
        member_machines.c.machine == machines.c.machine,
        member_machines.c.standing == "owner",
    )
    .scalar_subquery()
)
_FAULTS = (
    select(func.count())
    .where(faults.c.tenant == machines.c.tenant, faults.c.machine == machines.c.machine, faults.c.active)
    .scalar_subquery()
)
_VERSION = (
    select(func.max(machine_configs.c.version))
    .where(machine_configs.c.tenant == machines.c.tenant, machine_configs.c.machine == machines.c.machine)
    .scalar_subquery()
)
# Few at a time: found once for the whole list, and not for every machine of it.
_FAULTY = tuple_(machines.c.tenant, machines.c.machine).in_(
    select(faults.c.tenant, faults.c.machine).where(faults.c.active)
)
# Positions in CONDITIONS.
_PRESENT = and_(machine_states.c.online, machine_states.c.last_seen_ms >= bindparam("since_ms", type_=BigInteger))
_CONDITION = case(
    (machines.c.claimed_ms.is_(None), CONDITIONS.index("new")),
    (func.coalesce(machine_profiles.c.stopped, false()), CONDITIONS.index("stopped")),
    (~func.coalesce(_PRESENT, false()), CONDITIONS.index("away")),
    (_FAULTY, CONDITIONS.index("faulty")),
    else_=CONDITIONS.index("normal"),
)
_BLANK = MachineProfile(tenant="", machine="")
# What a list of devices is sorted and filtered by.
_COLUMNS: dict[str, ColumnElement[Any]] = {
    **{column.name: func.coalesce(column, getattr(_BLANK, column.name)) for column in _PROFILE},
    **{name: machines.c[name] for name in ("machine", "tenant", "name", "place", "shop", "claimed_ms")},
    "owner": func.coalesce(_OWNER, ""),
    "came_ms": machine_states.c.came_ms,
    "condition": _CONDITION,
    "fw_version": func.coalesce(func.nullif(machine_states.c.software, ""), machine_profiles.c.fw_version, ""),
}


async def list_devices(work: Work, reach: Reach, ask: Ask) -> Page[DeviceSeen]:
    """Machines in service within reach, by id; sorted and filtered by what is known of them.

    `condition` is a position in CONDITIONS there.
    """
    now = {"since_ms": work.now_ms - PRESENT_MS}
    found = await _listing(reach).page(work, ask, lambda row: _seen(row, work.now_ms), now)
    return Page(await _completed(work, found.items), found.total, found.page, found.page_size)


@lru_cache(maxsize=LISTINGS_KEPT)
def _listing(reach: Reach) -> Listing:
    query = _devices(reach).where(machines.c.retired_ms.is_(None))
    return Listing(query, _COLUMNS, (machines.c.tenant, machines.c.machine))


async def device_seen(work: Work, reach: Reach, machine: str) -> DeviceSeen:
    """One machine within reach, for a member his own and those shared with him.

    FleetError: not_found or forbidden, gone.
    """
    owner = select(machine_directory.c.tenant).where(machine_directory.c.machine == machine).scalar_subquery()
    query = _devices(reach).where(machines.c.machine == machine, machines.c.tenant == owner)
    row = await work.row(query)
    if row is None:
        raise unseen(reach, f"device {machine[:48]!r}", "device_id")
    seen = _seen(row, work.now_ms)
    if seen.machine.retired_ms is not None:
        raise FleetError("gone", f"the device {machine!r} is out of service for good", field="device_id")
    return (await _completed(work, [seen]))[0]


def _devices(reach: Reach) -> Select[Any]:
    here = (
        and_(table.c.tenant == machines.c.tenant, table.c.machine == machines.c.machine)
        for table in (machine_states, machine_profiles)
    )
    mine = (
        select(member_machines.c.member)
        .where(
            member_machines.c.tenant == machines.c.tenant,
            member_machines.c.machine == machines.c.machine,
            member_machines.c.member == reach.member,
        )
        .scalar_subquery()
    )
    return (
        select(
            machines,
            *_STATE,
            *_PROFILE,
            machine_states.c.machine.label("spoke"),
            machine_profiles.c.machine.label("described"),
            _FAULTS.label("faults"),
            _OWNER.label("owner"),
            _VERSION.label("decided_version"),
        )
        .join_from(machines, machine_states, next(here), isouter=True)
        .join(machine_profiles, next(here), isouter=True)
        .where(within(reach, tenant=machines.c.tenant, unit=machines.c.shop, member=mine))
    )


def _seen(row: Row[Any], now_ms: int) -> DeviceSeen:
    known = row._mapping
    machine = Machine(**{column.name: known[column] for column in machines.c})
    told = {column.name: known[column] for column in _STATE} if row.spoke is not None else {}
    state = MachineState(tenant=machine.tenant, machine=machine.machine, **told)
    described = {column.name: known[column] for column in _PROFILE} if row.described is not None else {}
    profile = MachineProfile(tenant=machine.tenant, machine=machine.machine, **described)
    return DeviceSeen(
        machine, state, profile, state.is_present(now_ms), row.faults, row.owner or "", row.decided_version or 0
    )


_Key = tuple[str, str]


async def _completed(work: Work, seen: Sequence[DeviceSeen]) -> list[DeviceSeen]:
    """The same with guests and figures: a handful of statements, however many they are."""
    keys = [(one.machine.tenant, str(one.machine.machine)) for one in seen]
    if not keys:
        return []
    guests = await _guests(work, keys)
    figures = await _figures(work, keys)
    return [
        DeviceSeen(
            one.machine,
            one.state,
            one.profile,
            one.online,
            one.faults,
            one.owner,
            one.config_version,
            tuple(guests.get(key, ())),
            figures[key],
        )
        for one, key in zip(seen, keys, strict=True)
    ]


def _of_these(table: Table) -> ColumnElement[bool]:
    return tuple_(table.c.tenant, table.c.machine).in_(bindparam("keys", expanding=True))


def _summed(what: str, table: Table, *names: str, where: ColumnElement[bool] | None = None) -> Select[Any]:
    """How many rows each machine has in `table`, and the sums of up to three columns."""
    key = table.c.tenant, table.c.machine
    sums: list[ColumnElement[Any]] = [func.coalesce(func.sum(table.c[name]), 0) for name in names]
    sums += [literal(0)] * (3 - len(names))
    labelled = [one.label(name) for one, name in zip(sums, ("first", "second", "third"), strict=True)]
    query = select(literal(what).label("what"), *key, func.count().label("number"), *labelled)
    return query.where(_of_these(table), true() if where is None else where).group_by(*key)


_GUESTS = (
    select(member_machines)
    .where(_of_these(member_machines), member_machines.c.standing == "guest")
    .order_by(member_machines.c.since_ms, member_machines.c.member)
)
_SUMS = union_all(
    _summed("flows", water_flows, "sold_ml", "given_ml", "leaked_ml"),
    _summed("pours", pours, "charged_fen", "refunded_fen", where=pours.c.state == "poured"),
    _summed("vends", orders, "paid_fen", "refunded_fen", where=orders.c.state == "delivered"),
)
_FILTERS = select(filter_states).where(_of_these(filter_states)).order_by(filter_states.c.position)
_WATERS = select(water_states).where(_of_these(water_states))


async def _guests(work: Work, keys: Sequence[_Key]) -> dict[_Key, list[str]]:
    found: dict[_Key, list[str]] = {}
    for row in await work.rows(_GUESTS, {"keys": keys}):
        found.setdefault((row.tenant, row.machine), []).append(row.member)
    return found


async def _figures(work: Work, keys: Sequence[_Key]) -> dict[_Key, Figures]:
    asked = {"keys": keys}
    sums = {
        (row.what, row.tenant, row.machine): (row.number, int(row.first), int(row.second), int(row.third))
        for row in await work.rows(_SUMS, asked)
    }
    cartridges: dict[_Key, list[FilterState]] = {}
    for row in await work.rows(_FILTERS, asked):
        cartridges.setdefault((row.tenant, row.machine), []).append(record_of(FilterState, row))
    waters = {(row.tenant, row.machine): record_of(WaterState, row) for row in await work.rows(_WATERS, asked)}
    found = {}
    for key in keys:
        _, sold_ml, given_ml, leaked_ml = sums.get(("flows", *key), _NOTHING)
        poured, charged_fen, poured_back_fen, _ = sums.get(("pours", *key), _NOTHING)
        vended, paid_fen, vended_back_fen, _ = sums.get(("vends", *key), _NOTHING)
        found[key] = Figures(
            pours=poured,
            sold_ml=sold_ml,
            given_ml=given_ml,
            leaked_ml=leaked_ml,
            vends=vended,
            earned_fen=charged_fen + paid_fen - poured_back_fen - vended_back_fen,
            filters=tuple(cartridges.get(key, ())),
            water=waters.get(key),
        )
    return found


_NOTHING = (0, 0, 0, 0)
