"""SQL of machines."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    Row,
    Table,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    text,
    true,
    tuple_,
)

from cloud.database import Work, metadata, one_of, record_of, row_of, tenant_column
from cloud.machines.model import Aisle, AisleLock, Fault, Machine, MachineProfile, MachineState
from shared.ids import MachineId

# The fault by which a machine says that the operator has stopped it.
STOPPED = "stopped"

machines = Table(
    "machines",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("place", Text, nullable=False),
    # Grows with every claim; the machine's secret derives from it, so an old secret dies with its number.
    Column("credential_version", BigInteger, nullable=False),
    Column("registered_ms", BigInteger, nullable=False),
    Column("claimed_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("shop", Text),
    Column("number", Text, nullable=False),
    Column("keeper", Text, nullable=False),
    Column("keeper_phone", Text, nullable=False),
    # Out of service for good; the id is never given again.
    Column("retired_ms", BigInteger),
    Index("ix_machines_shop", "tenant", "shop"),
)

# Which tenant a machine belongs to. A machine id is a broker user name, so it is unique over all tenants.
machine_directory = Table(
    "machine_directory",
    metadata,
    Column("machine", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
)

machine_states = Table(
    "machine_states",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("online", Boolean, nullable=False),
    Column("last_seen_ms", BigInteger, nullable=False),
    Column("epoch", Text),
    Column("boot_id", Text),
    Column("software", Text),
    Column("next_seq", BigInteger),
    Column("selling", Boolean),
    Column("selling_reason", Text),
    Column("door_open", Boolean),
    Column("temperature_band", Text),
    Column("temperature_tenths_c", BigInteger),
    Column("config_version", BigInteger),
    Column("config_refused", BigInteger),
    Column("config_reason", Text),
    Column("came_ms", BigInteger),
    Column("went_ms", BigInteger),
)

# What is known of a machine as a device; one that nobody described has no row.
machine_profiles = Table(
    "machine_profiles",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("mode", Text, nullable=False),
    Column("brand", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("hw_version", Text, nullable=False),
    Column("sw_version", Text, nullable=False),
    Column("fw_version", Text, nullable=False),
    Column("manufactured_ms", BigInteger),
    Column("assembled_ms", BigInteger),
    Column("product", Text, nullable=False),
    Column("inspector", Text, nullable=False),
    Column("inspected_ms", BigInteger),
    Column("installer", Text, nullable=False),
    Column("installed_ms", BigInteger),
    Column("installation", Text, nullable=False),
    Column("remark", Text, nullable=False),
    Column("coordinates", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("net_entry", Text, nullable=False),
    Column("net_type", Text, nullable=False),
    Column("hardware_id", Text, nullable=False),
    Column("iccid", Text, nullable=False),
    Column("stopped", Boolean, nullable=False),
    Column("service_ends_ms", BigInteger),
    Index("ix_machine_profiles_product", "tenant", "product", "machine"),
)

faults = Table(
    "faults",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("code", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("active", Boolean, nullable=False),
    Column("detail", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)

aisle_locks = Table(
    "aisle_locks",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("aisle", Text, primary_key=True),
    Column("locked", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)

# What the newest configuration says of each aisle, and of each that there ever was: for lists over many machines.
aisles = Table(
    "aisles",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("aisle", Text, primary_key=True),
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("goods", Text, nullable=False),
    Column("price_fen", BigInteger, nullable=False),
    Column("capacity", BigInteger, nullable=False),
    Column("for_sale", Boolean, nullable=False),
    Column("listed", Boolean, nullable=False),
    UniqueConstraint("tenant", "id"),
)

machine_configs = Table(
    "machine_configs",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
)

commands = Table(
    "commands",
    metadata,
    tenant_column(),
    Column("command", Text, primary_key=True),
    Column("machine", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("ask", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_ms", BigInteger, nullable=False),
    Column("answered_ms", BigInteger),
    Index("ix_commands_machine", "tenant", "machine", "asked_ms"),
    # The few that wait among the many that were answered.
    Index(
        "ix_commands_waiting",
        "tenant",
        "machine",
        postgresql_where=text("state = 'waiting'"),
        sqlite_where=text("state = 'waiting'"),
    ),
)

# The newest value of each sensor. History of readings is a matter of a later store.
machine_readings = Table(
    "machine_readings",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("sensor", Text, primary_key=True),
    Column("unit", Text, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("wall_ms", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
)

MachineKey = tuple[str, str]


def machine_of(row: Any) -> Machine:
    """A machine from its row."""
    return record_of(Machine, row, machine=MachineId(row.machine))


_MACHINE = select(machines).where(machines.c.tenant == bindparam("tenant"), machines.c.machine == bindparam("machine"))
_MACHINE_LOCKED = _MACHINE.with_for_update()


async def find_machine(work: Work, tenant: str, machine: str, *, lock: bool = False) -> Machine | None:
    """One machine of this tenant."""
    row = await work.row(_MACHINE_LOCKED if lock else _MACHINE, {"tenant": tenant, "machine": machine})
    return None if row is None else machine_of(row)


async def find_profile(work: Work, tenant: str, machine: str) -> MachineProfile:
    """What is known of a machine as a device."""
    here = and_(machine_profiles.c.tenant == tenant, machine_profiles.c.machine == machine)
    row = await work.row(select(machine_profiles).where(here))
    return MachineProfile(tenant=tenant, machine=machine) if row is None else record_of(MachineProfile, row)


async def find_profiles(work: Work, tenant: str, wanted: Collection[str]) -> dict[str, MachineProfile]:
    """What is known of machines as devices, by id, as far as they were described."""
    found: dict[str, MachineProfile] = {}
    for here in _some(work, machine_profiles.c.machine, wanted):
        query = select(machine_profiles).where(and_(machine_profiles.c.tenant == tenant, here))
        found |= {row.machine: record_of(MachineProfile, row) for row in await work.rows(query)}
    return found


async def put_profiles(work: Work, profiles: Iterable[MachineProfile]) -> None:
    """Write what is known of machines that this Work has locked, or has just registered."""
    await work.put(machine_profiles, [row_of(profile) for profile in profiles])


async def add_machines(work: Work, new: Iterable[Machine]) -> None:
    """Insert machines, and their ids into the directory; an id that is there already raises."""
    listed = list(new)
    await work.insert(machine_directory, [{"machine": one.machine, "tenant": one.tenant} for one in listed])
    await work.insert(machines, [row_of(one) for one in listed])


async def retire_machines(work: Work, tenant: str) -> list[str]:
    """Trust no machine of a tenant any more, for good; answers those that were in service."""
    here = and_(machines.c.tenant == tenant, machines.c.retired_ms.is_(None))
    revoked = func.coalesce(machines.c.revoked_ms, work.now_ms)
    change = machines.update().where(here).values(retired_ms=work.now_ms, revoked_ms=revoked, shop=None)
    return sorted(row.machine for row in await work.rows(change.returning(machines.c.machine)))


async def supersede_all(work: Work, tenant: str) -> list[str]:
    """Take back every command of a tenant that was not answered yet; answers their ids."""
    waiting = and_(commands.c.tenant == tenant, commands.c.state == "waiting")
    change = commands.update().where(waiting).values(state="superseded", answered_ms=work.now_ms)
    return [row.command for row in await work.rows(change.returning(commands.c.command))]


async def find_known(work: Work, wanted: Collection[str]) -> dict[str, Machine]:
    """Machines of any tenant, by id."""
    same = and_(machines.c.tenant == machine_directory.c.tenant, machines.c.machine == machine_directory.c.machine)
    query = select(machines).join(machine_directory, same).where(machine_directory.c.machine.in_(sorted(wanted)))
    return {row.machine: machine_of(row) for row in await work.rows(query)}


async def find_states(work: Work, keys: Collection[MachineKey], *, lock: bool) -> dict[MachineKey, MachineState]:
    """The states of (tenant, machine) pairs, as far as they exist."""
    if not keys:
        return {}
    key = tuple_(machine_states.c.tenant, machine_states.c.machine)
    query = select(machine_states).where(key.in_(sorted(keys))).order_by(*key.clauses)
    rows = await work.rows(query.with_for_update() if lock else query)
    return {(row.tenant, row.machine): record_of(MachineState, row) for row in rows}


async def put_states(work: Work, states: Iterable[MachineState]) -> None:
    """Write the states of machines that this Work has locked, or is the first to write."""
    await work.put(machine_states, [row_of(state) for state in states])


async def put_faults(work: Work, changed: Iterable[Fault]) -> None:
    """Write faults as they are now."""
    await work.put(faults, [row_of(fault) for fault in changed])


async def put_locks(work: Work, changed: Iterable[AisleLock]) -> None:
    """Write aisle locks as they are now."""
    await work.put(aisle_locks, [row_of(lock) for lock in changed])


async def put_readings(work: Work, readings: Iterable[Mapping[str, Any]]) -> None:
    """Keep the newest value of each sensor."""
    await work.put(machine_readings, list(readings))


async def is_locked(work: Work, tenant: str, machine: str, aisle: str) -> bool:
    """Whether the machine has closed this aisle."""
    here = and_(aisle_locks.c.tenant == tenant, aisle_locks.c.machine == machine, aisle_locks.c.aisle == aisle)
    return bool(await work.scalar(select(aisle_locks.c.locked).where(here)))


async def newest_config(work: Work, tenant: str, machine: str) -> Any:
    """The row of the newest configuration, or None."""
    here = and_(machine_configs.c.tenant == tenant, machine_configs.c.machine == machine)
    return await work.row(select(machine_configs).where(here).order_by(machine_configs.c.version.desc()).limit(1))


async def newest_configs(work: Work, tenant: str, wanted: Collection[str] | None) -> Sequence[Row[Any]]:
    """The rows of the newest configurations of these machines, or with None of all of a tenant's."""
    newest = (
        select(machine_configs.c.machine, func.max(machine_configs.c.version).label("version"))
        .where(machine_configs.c.tenant == tenant)
        .group_by(machine_configs.c.machine)
    )
    found: list[Row[Any]] = []
    for here in _some(work, machine_configs.c.machine, wanted):
        last = newest.where(here).subquery()
        same = and_(machine_configs.c.machine == last.c.machine, machine_configs.c.version == last.c.version)
        found += await work.rows(select(machine_configs).join(last, same).where(machine_configs.c.tenant == tenant))
    return found


async def lock_machines(work: Work, tenant: str, wanted: Collection[str]) -> dict[str, Machine]:
    """Machines of this tenant by id, locked in one order."""
    found: dict[str, Machine] = {}
    for here in _some(work, machines.c.machine, wanted):
        query = select(machines).where(and_(machines.c.tenant == tenant, here)).order_by(machines.c.machine)
        found |= {row.machine: machine_of(row) for row in await work.rows(query.with_for_update())}
    return found


async def find_fitted(work: Work, tenant: str, product: str, after: str, limit: int) -> list[str]:
    """Ids of machines of a product's kind, in order, from after an id on."""
    of = machine_profiles.c
    query = select(of.machine).where(of.tenant == tenant, of.product == product, of.machine > after)
    return [row.machine for row in await work.rows(query.order_by(of.machine).limit(limit))]


async def owners(work: Work, wanted: Collection[str]) -> dict[str, str]:
    """Which tenants these machine ids belong to, as far as they are taken."""
    found: dict[str, str] = {}
    for here in _some(work, machine_directory.c.machine, wanted):
        found |= {row.machine: row.tenant for row in await work.rows(select(machine_directory).where(here))}
    return found


def _some(work: Work, column: Column[Any], wanted: Collection[str] | None) -> Iterable[ColumnElement[bool]]:
    """Conditions that together choose `wanted`, a bounded number at a time; with None one that chooses all."""
    return [true()] if wanted is None else one_of(work, column, sorted(wanted))


async def answer_commands(work: Work, answers: Iterable[Mapping[str, Any]]) -> None:
    """Note what became of commands: mappings of `of`, `which`, `now`, `said`, `at`. Unknown ones are fine."""
    if listed := list(answers):
        here = and_(commands.c.tenant == bindparam("of"), commands.c.command == bindparam("which"))
        change = commands.update().where(here)
        await work.execute(
            change.values(state=bindparam("now"), detail=bindparam("said"), answered_ms=bindparam("at")), listed
        )


async def supersede_configs(work: Work, tenant: str, wanted: Collection[str]) -> list[str]:
    """Take back the configurations that are on their way to these machines; answers the commands' ids."""
    gone: list[str] = []
    for some in _some(work, commands.c.machine, wanted):
        here = and_(commands.c.tenant == tenant, some, commands.c.state == "waiting", commands.c.kind == "apply_config")
        change = commands.update().where(here).values(state="superseded", answered_ms=work.now_ms)
        gone += [row.command for row in await work.rows(change.returning(commands.c.command))]
    return gone


async def supersede(work: Work, tenant: str, machine: str, *, kind: str | None = None) -> list[str]:
    """Take back commands (of one kind, or all) that were not answered yet; answers their ids."""
    here = and_(commands.c.tenant == tenant, commands.c.machine == machine, commands.c.state == "waiting")
    waiting = here if kind is None else and_(here, commands.c.kind == kind)
    change = commands.update().where(waiting).values(state="superseded", answered_ms=work.now_ms)
    return [row.command for row in await work.rows(change.returning(commands.c.command))]


async def count_waiting(work: Work, tenant: str, machine: str) -> int:
    """How many commands a machine has not answered yet."""
    here = and_(commands.c.tenant == tenant, commands.c.machine == machine, commands.c.state == "waiting")
    return int(await work.scalar(select(func.count()).where(here)))


async def find_waiting(work: Work, tenant: str, machine: str) -> list[str]:
    """The ids of the commands that a machine has not answered yet."""
    here = and_(commands.c.tenant == tenant, commands.c.machine == machine, commands.c.state == "waiting")
    return [row.command for row in await work.rows(select(commands.c.command).where(here))]


async def states_of(work: Work, tenant: str, wanted: Collection[str]) -> dict[str, str]:
    """The states of these commands."""
    found: dict[str, str] = {}
    for some in _some(work, commands.c.command, wanted):
        rows = await work.rows(select(commands.c.command, commands.c.state).where(commands.c.tenant == tenant, some))
        found |= {row.command: row.state for row in rows}
    return found


async def config_is_waiting(work: Work, tenant: str, machine: str) -> bool:
    """Whether a configuration is on its way to the machine."""
    here = and_(commands.c.tenant == tenant, commands.c.machine == machine, commands.c.state == "waiting")
    query = select(func.count()).where(and_(here, commands.c.kind == "apply_config"))
    return bool(await work.scalar(query))


async def lacks_stop(work: Work, tenant: str, machine: str) -> bool:
    """Whether a machine is to be stopped, and neither says that it is nor was just told to."""

    def of(table: Table, *where: ColumnElement[bool]) -> ColumnElement[bool]:
        return and_(table.c.tenant == tenant, table.c.machine == machine, *where)

    sells = exists().where(of(machine_states, machine_states.c.selling))
    stands = exists().where(of(faults, faults.c.code == STOPPED, faults.c.active))
    told = exists().where(of(commands, commands.c.state == "waiting", commands.c.kind == "set_selling"))
    query = select(func.count()).where(of(machine_profiles, machine_profiles.c.stopped), or_(sells, ~stands), ~told)
    return bool(await work.scalar(query))


async def is_owner(work: Work, tenant: str, machine: str) -> bool:
    """Whether the directory says that this id belongs to the tenant."""
    query = select(machine_directory.c.tenant).where(machine_directory.c.machine == machine)
    return bool(await work.scalar(query) == tenant)


async def add_machine(work: Work, machine: Machine) -> None:
    """Insert a machine."""
    await work.insert(machines, [row_of(machine)])


async def put_machine(work: Work, machine: Machine) -> None:
    """Write a machine that this Work has locked."""
    here = and_(machines.c.tenant == machine.tenant, machines.c.machine == machine.machine)
    await work.execute(machines.update().where(here).values(**row_of(machine)))


async def add_configs(work: Work, rows: Iterable[Mapping[str, Any]]) -> None:
    """Keep versions of configurations; a version is written once."""
    await work.insert(machine_configs, rows)


async def add_commands(work: Work, rows: Iterable[Mapping[str, Any]]) -> None:
    """Keep commands."""
    await work.insert(commands, rows)


async def find_aisles(work: Work, tenant: str, wanted: Collection[str]) -> list[Aisle]:
    """Every aisle that these machines have or had."""
    found = []
    for some in _some(work, aisles.c.machine, wanted):
        query = select(aisles).where(and_(aisles.c.tenant == tenant, some))
        found += [record_of(Aisle, row) for row in await work.rows(query)]
    return found


async def find_aisle(work: Work, tenant: str, which: str) -> Aisle | None:
    """The aisle with this id."""
    row = await work.row(select(aisles).where(and_(aisles.c.tenant == tenant, aisles.c.id == which)))
    return None if row is None else record_of(Aisle, row)


async def taken_aisle_ids(work: Work, tenant: str, wanted: Collection[str]) -> set[str]:
    """Those of `wanted` that name an aisle already."""
    found: set[str] = set()
    for some in _some(work, aisles.c.id, wanted):
        query = select(aisles.c.id).where(and_(aisles.c.tenant == tenant, some))
        found |= {row.id for row in await work.rows(query)}
    return found


async def add_aisles(work: Work, new: Iterable[Aisle]) -> None:
    """Insert aisles."""
    await work.insert(aisles, [row_of(aisle) for aisle in new])


async def put_aisles(work: Work, changed: Iterable[Aisle]) -> None:
    """Write aisles of machines that this Work has locked."""
    await work.put(aisles, [row_of(aisle) for aisle in changed])
