"""Machines as devices: put on the list many at once, described, kept in service or out of it, retired for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from cloud import downlink
from cloud.database import Work
from cloud.errors import FleetError
from cloud.events import Event, tell
from cloud.machines import store
from cloud.machines.commands import ask
from cloud.machines.credentials import Credentials
from cloud.machines.model import Machine, MachineProfile
from cloud.machines.planogram import current_config, put_configs
from cloud.machines.register import machine_of, revoke
from shared.ids import CommandId, MachineId, MalformedId, parse_machine_id
from shared.messages import MachineConfig, SetSelling, config_problems
from shared.water import ServiceMode, ServicePlan

# A day's production of a small factory; more goes in several requests.
REGISTER_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChange:
    """What is to be changed of a machine; None keeps what is there."""

    name: str | None = None
    brand: str | None = None
    model: str | None = None
    hw_version: str | None = None
    sw_version: str | None = None
    fw_version: str | None = None
    manufactured_ms: int | None = None
    assembled_ms: int | None = None
    product: str | None = None
    inspector: str | None = None
    inspected_ms: int | None = None
    installer: str | None = None
    installed_ms: int | None = None
    installation: str | None = None
    remark: str | None = None
    coordinates: str | None = None
    platform: str | None = None
    project: str | None = None
    net_entry: str | None = None
    net_type: str | None = None
    hardware_id: str | None = None
    iccid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceChange:
    """How a machine's service is to change; None keeps what is there, `ends_ms` 0 takes the end away."""

    mode: ServiceMode | None = None
    ends_ms: int | None = None
    stopped: bool | None = None


async def register_devices(work: Work, tenant: str, wanted: Sequence[str], profile: MachineProfile) -> None:
    """Put machines on a tenant's list, all of them or none, each described by `profile`; not yet trusted.

    FleetError invalid: no id, one that is malformed, named twice, or taken by whomever.
    """
    if not 1 <= len(wanted) <= REGISTER_MAX:
        raise FleetError("invalid", f"{len(wanted)} ids: 1 to {REGISTER_MAX} at once", field="device_ids")
    ids: list[MachineId] = []
    for one in wanted:
        try:
            ids.append(parse_machine_id(one))
        except MalformedId as error:
            raise FleetError("invalid", str(error), field="device_ids") from error
    if len(set(ids)) < len(ids):
        raise FleetError("invalid", "an id is named twice", field="device_ids")
    if taken := await store.owners(work, ids):
        raise FleetError("invalid", f"{', '.join(sorted(taken)[:5])}: registered already", field="device_ids")
    await store.add_machines(work, [Machine(tenant, one, one, "", 0, work.now_ms, None, None) for one in ids])
    await store.put_profiles(work, [replace(profile, tenant=tenant, machine=one) for one in ids])
    await tell(work, [Event(tenant, "machine.registered", one, {"name": one}) for one in ids])


async def device_of(work: Work, tenant: str, machine: str, *, lock: bool = False) -> Machine:
    """The tenant's machine; FleetError: not_found, gone once it was retired."""
    found = await machine_of(work, tenant, machine, lock=lock)
    if found.retired_ms is not None:
        raise FleetError("gone", f"the device {machine!r} is out of service for good", field="device_id")
    return found


async def lock_fitted(work: Work, tenant: str, product: str, after: str, limit: int) -> tuple[list[str], str | None]:
    """Machines in service of a product's kind, locked: the next ones after the id `after`, and where to go on.

    The place is None at the end.
    """
    some = await store.find_fitted(work, tenant, product, after, limit)
    found = await store.lock_machines(work, tenant, some)
    # Another product may have been noted while this waited for the locks.
    profiles = await store.find_profiles(work, tenant, some)
    here = [one for one in some if found[one].retired_ms is None and profiles[one].product == product]
    return here, some[-1] if len(some) == limit else None


async def change_device(work: Work, tenant: str, machine: str, change: DeviceChange) -> None:
    """Change what is given of what people know of a machine. FleetError: not_found, gone."""
    found = await device_of(work, tenant, machine, lock=True)
    profile = await store.find_profile(work, tenant, machine)
    given = {name: getattr(change, name) for name in DeviceChange.__dataclass_fields__ if name != "name"}
    changed = replace(profile, **{name: value for name, value in given.items() if value is not None})
    if changed != profile:
        await store.put_profiles(work, [changed])
    if change.name is not None and change.name != found.name:
        await store.put_machine(work, replace(found, name=change.name))


async def change_service(
    work: Work, credentials: Credentials, tenant: str, machine: str, change: ServiceChange, made_by: str
) -> None:
    """Change a machine's service. What the machine enforces reaches it: mode and end as its signed configuration, a
    stop as a command.

    FleetError: not_found, gone, invalid when the plan cannot be so.
    """
    found = await device_of(work, tenant, machine, lock=True)
    before = await store.find_profile(work, tenant, machine)
    wanted = {
        "mode": change.mode,
        "service_ends_ms": change.ends_ms,
        "stopped": change.stopped,
    }
    changed = replace(before, **{name: value for name, value in wanted.items() if value is not None})  # type: ignore[arg-type]
    if change.ends_ms == 0:
        changed = replace(changed, service_ends_ms=None)
    if changed == before:
        return
    await store.put_profiles(work, [changed])
    if changed.stopped != before.stopped and found.is_trusted:
        await ask(work, credentials, tenant, machine, _selling(stopped=changed.stopped), made_by)
    config = await current_config(work, tenant, machine)
    if config is not None and config.purifier is not None:
        plan = _plan(config.purifier.plan, changed, config.version + 1, work.now_ms)
        if plan != config.purifier.plan:
            purifier = msgspec.structs.replace(config.purifier, plan=plan)
            await _decide(work, credentials, tenant, msgspec.structs.replace(config, purifier=purifier), made_by)


async def set_selling(
    work: Work, credentials: Credentials, tenant: str, machine: str, what: SetSelling, asked_by: str
) -> CommandId:
    """Stop a machine, or let it go on, and note that it is so; FleetError as `ask`."""
    command = await ask(work, credentials, tenant, machine, what, asked_by)
    profile = await store.find_profile(work, tenant, machine)
    await store.put_profiles(work, [replace(profile, stopped=not what.selling)])
    return command


async def resend_stop(work: Work, credentials: Credentials, machine: Machine) -> None:
    """Stop a machine that is to be stopped and does not know it, unless the command is on its way.

    One that was stopped before it was claimed had no key to be told with, and a new ledger file does not remember.
    """
    if await store.lacks_stop(work, machine.tenant, machine.machine):
        await ask(work, credentials, machine.tenant, machine.machine, _selling(stopped=True), "service")


def _selling(*, stopped: bool) -> SetSelling:
    return SetSelling(selling=not stopped, reason="out of service" if stopped else "")


def _plan(plan: ServicePlan, profile: MachineProfile, version: int, now_ms: int) -> ServicePlan:
    """The plan that a profile asks for. Another mode is another plan, which counts from zero; another end is not."""
    mode = profile.mode or plan.mode
    if mode != plan.mode:
        plan = ServicePlan(plan=f"plan-v{version}", mode=mode, began_wall_ms=now_ms)
    return msgspec.structs.replace(plan, ends_wall_ms=profile.service_ends_ms)


async def reset_device(work: Work, credentials: Credentials, tenant: str, machine: str, made_by: str) -> None:
    """As it left the factory: what people called it and set is gone, and the machine gets an empty configuration.

    Where and how it was made stays, and so does everything that was ever booked. FleetError: not_found, gone.
    """
    found = await device_of(work, tenant, machine, lock=True)
    made = await store.find_profile(work, tenant, machine)
    blank = MachineProfile(tenant=tenant, machine=machine)
    forgotten = ("installer", "installed_ms", "installation", "remark", "coordinates", "stopped", "service_ends_ms")
    await store.put_profiles(work, [replace(made, **{name: getattr(blank, name) for name in forgotten})])
    if made.stopped and found.is_trusted:
        await ask(work, credentials, tenant, machine, _selling(stopped=False), made_by)
    await store.put_machine(work, replace(found, name=machine))
    config = await current_config(work, tenant, machine)
    if config is not None and (config.aisles or config.purifier is not None):
        emptied = MachineConfig(machine=config.machine, version=config.version, aisles=())
        await _decide(work, credentials, tenant, emptied, made_by)


async def _decide(work: Work, credentials: Credentials, tenant: str, config: MachineConfig, made_by: str) -> None:
    """The next version of a configuration; a machine that has no key yet gets it when it first says hello."""
    if problems := config_problems(config):
        raise FleetError("invalid", problems[0], field="service", data={"problems": problems})
    decided = msgspec.structs.replace(config, version=config.version + 1)
    await put_configs(work, credentials, tenant, [decided], made_by)


async def retire(work: Work, tenant: str, machine: str) -> None:
    """Out of service for good: trusted no more, and its id is never given again. FleetError: not_found, gone.

    Whether something is underway at it is for the caller to ask (`cloud.leaving`).
    """
    await device_of(work, tenant, machine, lock=True)
    revoked = await revoke(work, tenant, machine)
    await store.put_machine(work, replace(revoked, retired_ms=work.now_ms, shop=None))
    await tell(work, [Event(tenant, "machine.retired", machine, {})])


async def retire_all(work: Work, tenant: str) -> None:
    """All machines of a tenant, whose business ends."""
    retired = await store.retire_machines(work, tenant)
    await downlink.withdraw(work, tenant, await store.supersede_all(work, tenant))
    await tell(work, [Event(tenant, "machine.retired", machine, {}) for machine in retired])
