"""Machines: putting them into service, what lies in them, how they are, and what they are asked to do."""

from __future__ import annotations

from typing import Any

from cloud.accounts.model import Permission
from cloud.catalog.goods import check_saleable
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.native.machine_shapes import (
    AisleTold,
    CommandFilter,
    CommandRef,
    CommandTold,
    CountAsk,
    CredentialTold,
    FactTold,
    FaultFilter,
    FaultTold,
    HistoryFilter,
    LoadAsk,
    LockAsk,
    MachineAsk,
    MachineChange,
    MachineDetail,
    MachineFilter,
    MachineTold,
    MovementFilter,
    MovementTold,
    PlanogramWire,
    PricesWire,
    SellingAsk,
)
from cloud.facades.native.shapes import All, PageFilter, PageOf, all_of, page_of
from cloud.ingest import browse as ingest
from cloud.machines import browse, planogram, pricing, profile, register
from cloud.machines.commands import ask
from cloud.stock import browse as stock
from shared.messages import Ask, CountStock, LoadStock, SetAisleLock, SetSelling

# --- into service and out of it ---


async def register_machine(call: Call[MachineAsk, Nothing]) -> MachineTold:
    """Put a machine on the list. It is trusted once it is claimed."""
    registered = await register.register(
        call.work, call.tenant, call.body.name, place=call.body.place, machine=call.body.machine
    )
    return MachineTold.of(await browse.machine_seen(call.work, call.tenant, registered.machine))


async def change_machine(call: Call[MachineChange, Nothing]) -> MachineTold:
    """Change what people call a machine and where it stands."""
    await register.rename(call.work, call.tenant, call.path["machine"], name=call.body.name, place=call.body.place)
    return MachineTold.of(await browse.machine_seen(call.work, call.tenant, call.path["machine"]))


async def claim_machine(call: Call[Nothing, Nothing]) -> CredentialTold:
    """Trust a machine. The answer holds its secret, this one time: put it into the machine's secret file.

    A machine that is claimed already must be revoked first; its old secret is worthless from then on.
    """
    machine, secret = await register.claim(call.work, call.parts.credentials, call.tenant, call.path["machine"])
    call.work.after_commit(call.parts.credentials_changed)
    return CredentialTold(machine=machine.machine, secret=secret, credential_version=machine.credential_version)


async def revoke_machine(call: Call[Nothing, Nothing]) -> MachineTold:
    """Trust a machine no more. The broker cuts it within a minute, and nothing it says counts from now on."""
    await register.revoke(call.work, call.tenant, call.path["machine"])
    call.work.after_commit(call.parts.credentials_changed)
    return MachineTold.of(await browse.machine_seen(call.work, call.tenant, call.path["machine"]))


# --- looking ---


async def list_machines(call: Call[Nothing, MachineFilter]) -> PageOf[MachineTold]:
    """Machines, by id, or sorted by machine, name, place, last_seen_ms or active_faults."""
    query = call.query
    wanted = browse.MachineFilter(search=query.search, online=query.online, selling=query.selling, faulty=query.faulty)
    return page_of(MachineTold.of, await browse.list_machines(call.work, call.tenant, wanted, query.ask))


async def machine_detail(call: Call[Nothing, Nothing]) -> MachineDetail:
    """One machine as it is now: state, active faults, ledger files and newest measurements."""
    work, tenant, machine = call.work, call.tenant, call.path["machine"]
    seen = await browse.machine_seen(work, tenant, machine)
    active = await browse.list_faults(work, tenant, PageFilter().ask, machine=machine, active=True)
    return MachineDetail.of_parts(
        seen,
        active.items,
        await ingest.streams_of(work, tenant, machine),
        await browse.readings_of(work, tenant, machine),
    )


async def machine_history(call: Call[Nothing, HistoryFilter]) -> PageOf[FactTold]:
    """Every fact a machine told, newest first; sorted by happened_ms or received_ms on wish."""
    machine = (await register.machine_of(call.work, call.tenant, call.path["machine"])).machine
    found = await ingest.history_of(call.work, call.tenant, machine, call.query.ask, kind=call.query.kind)
    return page_of(FactTold.model_validate, found)


async def list_aisles(call: Call[Nothing, Nothing]) -> All[AisleTold]:
    """The aisles of a machine: what lies in each, what it costs, how many are left, and whether it is locked."""
    work, tenant = call.work, call.tenant
    machine = (await register.machine_of(work, tenant, call.path["machine"])).machine
    config = await planogram.current_config(work, tenant, machine)
    balances = {balance.aisle: balance for balance in await stock.balances_of(work, tenant, machine)}
    locks = {lock.aisle: lock for lock in await browse.locks_of(work, tenant, machine)}
    return all_of(
        lambda aisle: AisleTold.of(aisle, balances.get(aisle.aisle), locks.get(aisle.aisle)),
        () if config is None else config.aisles,
    )


async def list_movements(call: Call[Nothing, MovementFilter]) -> PageOf[MovementTold]:
    """What was put into, sold from and counted in a machine, newest first."""
    machine = (await register.machine_of(call.work, call.tenant, call.path["machine"])).machine
    found = await stock.list_movements(call.work, call.tenant, machine, call.query.ask, aisle=call.query.aisle)
    return page_of(MovementTold.model_validate, found)


async def list_faults(call: Call[Nothing, FaultFilter]) -> PageOf[FaultTold]:
    """Faults of all machines, newest first; sorted by since_ms, machine or code on wish."""
    query = call.query
    found = await browse.list_faults(call.work, call.tenant, query.ask, machine=query.machine, active=query.active)
    return page_of(FaultTold.model_validate, found)


async def list_commands(call: Call[Nothing, CommandFilter]) -> PageOf[CommandTold]:
    """What machines were asked to do and what became of it, newest first."""
    query = call.query
    found = await browse.list_commands(call.work, call.tenant, query.ask, machine=query.machine, state=query.state)
    return page_of(CommandTold.model_validate, found)


# --- planogram and prices ---


async def get_planogram(call: Call[Nothing, Nothing]) -> PlanogramWire:
    """The newest planogram that was decided for a machine; version 0 and no aisles before the first."""
    machine = (await register.machine_of(call.work, call.tenant, call.path["machine"])).machine
    return PlanogramWire.of(await planogram.current_config(call.work, call.tenant, machine))


async def put_planogram(call: Call[PlanogramWire, Nothing]) -> PlanogramWire:
    """Decide what lies where and what it costs; `version` is the one that you have seen (0: none yet).

    The new version is signed and sent to the machine, again until it answers. 409 when somebody else was faster.
    """
    body = call.body
    machine = (await register.machine_of(call.work, call.tenant, call.path["machine"])).machine
    await check_saleable(call.work, call.tenant, {aisle.goods for aisle in body.aisles})
    decided = await planogram.put_config(
        call.work,
        call.parts.credentials,
        call.tenant,
        machine,
        [aisle.config() for aisle in body.aisles],
        call.subject.login,
        drop_sensor=body.drop_sensor,
        temperature_low_tenths_c=body.temperature_low_tenths_c,
        temperature_high_tenths_c=body.temperature_high_tenths_c,
        expected_version=body.version,
    )
    return PlanogramWire.of(decided)


async def get_prices(call: Call[Nothing, Nothing]) -> PricesWire:
    """The price of every aisle. 404 before the first planogram."""
    return PricesWire.of(await pricing.config_of(call.work, call.tenant, call.path["machine"]))


async def put_prices(call: Call[PricesWire, Nothing]) -> PricesWire:
    """Change the prices of the aisles named and leave the others; `version` is the one that you have seen."""
    decided = await pricing.put_prices(
        call.work,
        call.parts.credentials,
        call.tenant,
        call.path["machine"],
        call.body.prices,
        call.subject.login,
        expected_version=call.body.version,
    )
    return PricesWire.of(decided)


# --- commands ---


async def load_aisle(call: Call[LoadAsk, Nothing]) -> CommandRef:
    """Book items put into an aisle; negative: taken out."""
    return await _ask(call, LoadStock(aisle=call.path["aisle"], quantity=call.body.quantity, person=call.subject.login))


async def count_aisle(call: Call[CountAsk, Nothing]) -> CommandRef:
    """Book the counted number of items of an aisle."""
    return await _ask(call, CountStock(aisle=call.path["aisle"], counted=call.body.counted, person=call.subject.login))


async def lock_aisle(call: Call[LockAsk, Nothing]) -> CommandRef:
    """Close an aisle for sale, or open it."""
    return await _ask(call, SetAisleLock(aisle=call.path["aisle"], locked=call.body.locked, reason=call.body.reason))


async def set_selling(call: Call[SellingAsk, Nothing]) -> CommandRef:
    """Stop a machine from selling, or let it sell again."""
    what = SetSelling(selling=call.body.selling, reason=call.body.reason)
    asked = profile.set_selling(
        call.work, call.parts.credentials, call.tenant, call.path["machine"], what, call.subject.login
    )
    return CommandRef(command=await asked)


async def _ask(call: Call[Any, Nothing], what: Ask) -> CommandRef:
    command = await ask(call.work, call.parts.credentials, call.tenant, call.path["machine"], what, call.subject.login)
    return CommandRef(command=command)


P = Permission
M = "/machines/{machine}"
OPERATIONS = (
    Operation("POST", "/machines", P.MACHINES_PROVISION, register_machine, changes="machine.register", success=201),
    Operation("GET", "/machines", P.MACHINES_READ, list_machines),
    Operation("GET", M, P.MACHINES_READ, machine_detail),
    Operation("PUT", M, P.MACHINES_PROVISION, change_machine, changes="machine.change"),
    Operation("POST", f"{M}/claim", P.MACHINES_PROVISION, claim_machine, changes="machine.claim"),
    Operation("POST", f"{M}/revoke", P.MACHINES_PROVISION, revoke_machine, changes="machine.revoke"),
    Operation("GET", f"{M}/history", P.MACHINES_READ, machine_history),
    Operation("GET", f"{M}/aisles", P.MACHINES_READ, list_aisles),
    Operation("GET", f"{M}/stock", P.MACHINES_READ, list_movements),
    Operation("GET", f"{M}/planogram", P.MACHINES_READ, get_planogram),
    Operation("PUT", f"{M}/planogram", P.CATALOG_WRITE, put_planogram, changes="planogram.put"),
    Operation("GET", f"{M}/prices", P.MACHINES_READ, get_prices),
    Operation("PUT", f"{M}/prices", P.CATALOG_WRITE, put_prices, changes="prices.put"),
    Operation("POST", f"{M}/aisles/{{aisle}}/load", P.MACHINES_OPERATE, load_aisle, changes="stock.load", success=202),
    Operation(
        "POST", f"{M}/aisles/{{aisle}}/count", P.MACHINES_OPERATE, count_aisle, changes="stock.count", success=202
    ),
    Operation("POST", f"{M}/aisles/{{aisle}}/lock", P.MACHINES_OPERATE, lock_aisle, changes="aisle.lock", success=202),
    Operation("POST", f"{M}/selling", P.MACHINES_OPERATE, set_selling, changes="machine.selling", success=202),
    Operation("GET", "/faults", P.MACHINES_READ, list_faults),
    Operation("GET", "/commands", P.MACHINES_READ, list_commands),
)
