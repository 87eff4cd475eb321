"""What lies where and what it costs: one complete, signed, numbered document per machine (I14)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import msgspec

from cloud.database import Work
from cloud.errors import FleetError
from cloud.machines import store
from cloud.machines.aisles import Place, follow_configs
from cloud.machines.commands import ask, send_configs
from cloud.machines.credentials import Credentials
from cloud.machines.model import Machine, MachineProfile
from cloud.machines.presence import state_of
from cloud.machines.register import machine_of
from shared.messages import AisleConfig, ApplyConfig, MachineConfig, config_problems, encode
from shared.seal import seal_config


async def current_config(work: Work, tenant: str, machine: str) -> MachineConfig | None:
    """The newest configuration that was decided for the machine, whether or not it has it yet."""
    row = await store.newest_config(work, tenant, machine)
    return None if row is None else msgspec.json.decode(row.document, type=MachineConfig)


async def put_config(
    work: Work,
    credentials: Credentials,
    tenant: str,
    machine: str,
    aisles: Sequence[AisleConfig],
    made_by: str,
    *,
    drop_sensor: bool = True,
    temperature_low_tenths_c: int | None = None,
    temperature_high_tenths_c: int | None = None,
    expected_version: int | None = None,
) -> MachineConfig:
    """Decide a new planogram and send it; what else is configured stays. Answers the whole with its version."""

    def lay_out(before: MachineConfig) -> MachineConfig:
        return msgspec.structs.replace(
            before,
            aisles=tuple(aisles),
            drop_sensor=drop_sensor,
            temperature_low_tenths_c=temperature_low_tenths_c,
            temperature_high_tenths_c=temperature_high_tenths_c,
        )

    return await revise(
        work, credentials, tenant, machine, lay_out, made_by, field="aisles", expected_version=expected_version
    )


async def revise(
    work: Work,
    credentials: Credentials,
    tenant: str,
    machine: str,
    change: Callable[[MachineConfig], MachineConfig],
    made_by: str,
    *,
    field: str,
    expected_version: int | None = None,
) -> MachineConfig:
    """Decide the next version of a machine's configuration, `change` of the one before, and send it.

    `expected_version` is the version that the caller has seen (0: none); `field` is what a problem is blamed on.
    FleetError: not_found, invalid (naming the problem), conflict when somebody else was faster or the machine is not
    claimed.
    """
    found = await machine_of(work, tenant, machine, lock=True)
    before = await current_config(work, tenant, machine)
    version = 0 if before is None else before.version
    if expected_version is not None and expected_version != version:
        raise FleetError(
            "conflict", f"the configuration is at version {version}", field="version", data={"version": version}
        )
    changed = change(before or MachineConfig(machine=machine, version=1, aisles=()))
    config = msgspec.structs.replace(changed, version=version + 1)
    if problems := config_problems(config):
        raise FleetError("invalid", problems[0], field=field, data={"problems": problems})
    document = await _keep(work, tenant, [config], made_by)
    what = _sealed(credentials, found, config.version, document[machine])
    await ask(work, credentials, tenant, machine, what, made_by)
    return config


async def current_configs(work: Work, tenant: str, machines: Collection[str] | None) -> dict[str, MachineConfig]:
    """The newest configurations of these machines (of all, with None) as far as they have one, by machine."""
    rows = await store.newest_configs(work, tenant, machines)
    return {row.machine: msgspec.json.decode(row.document, type=MachineConfig) for row in rows}


async def put_configs(
    work: Work,
    credentials: Credentials,
    tenant: str,
    configs: Sequence[MachineConfig],
    made_by: str,
    *,
    aisle_ids: Mapping[Place, str] | None = None,
) -> None:
    """Decide the next versions for many machines, each one above the newest (see `current_configs`), at once.

    `aisle_ids` are those that new aisles came with, by (machine, aisle).
    A machine that is not claimed has no key to check it with: it gets the newest version when it first says hello.
    """
    for config in configs:
        assert not config_problems(config), config_problems(config)
    found = await store.lock_machines(work, tenant, [config.machine for config in configs])
    documents = await _keep(work, tenant, configs, made_by, aisle_ids)
    asked = [
        (machine, _sealed(credentials, machine, config.version, documents[config.machine]))
        for config in configs
        if (machine := found[config.machine]).is_trusted
    ]
    await send_configs(work, credentials, tenant, asked, made_by)


async def _keep(
    work: Work,
    tenant: str,
    configs: Sequence[MachineConfig],
    made_by: str,
    aisle_ids: Mapping[Place, str] | None = None,
) -> dict[str, str]:
    """Write one version per machine; answers the documents as they are kept."""
    decided = [msgspec.structs.replace(config, decided_wall_ms=work.now_ms) for config in configs]
    documents = {config.machine: encode(config).decode() for config in decided}
    kept = [
        {
            "tenant": tenant,
            "machine": config.machine,
            "version": config.version,
            "document": documents[config.machine],
            "made_by": made_by,
            "made_ms": work.now_ms,
        }
        for config in configs
    ]
    await store.add_configs(work, kept)
    await _note_plans(work, tenant, configs)
    await follow_configs(work, tenant, configs, ids=aisle_ids)
    return documents


async def _note_plans(work: Work, tenant: str, configs: Sequence[MachineConfig]) -> None:
    """The plan of a purifier stands in its profile too, where lists are filtered by it."""
    plans = {config.machine: config.purifier.plan for config in configs if config.purifier is not None}
    if not plans:
        return
    profiles = await store.find_profiles(work, tenant, plans)
    noted = []
    for machine, plan in plans.items():
        before = profiles.get(machine) or MachineProfile(tenant=tenant, machine=machine)
        after = replace(before, mode=plan.mode, service_ends_ms=plan.ends_wall_ms)
        if after != before:
            noted.append(after)
    await store.put_profiles(work, noted)


async def resend_config(work: Work, credentials: Credentials, machine: Machine, has_version: int) -> None:
    """Send the newest configuration to a machine that has an older one, unless it was refused or is on its way.

    A machine with a new ledger file, or one that was claimed anew, has none and cannot ask.
    """
    row = await store.newest_config(work, machine.tenant, machine.machine)
    if row is None or row.version <= has_version:
        return
    state = await state_of(work, machine.tenant, machine.machine)
    if state.config_refused != row.version and not await store.config_is_waiting(work, machine.tenant, machine.machine):
        what = _sealed(credentials, machine, row.version, row.document)
        await ask(work, credentials, machine.tenant, machine.machine, what, row.made_by)


def _sealed(credentials: Credentials, machine: Machine, version: int, document: str) -> ApplyConfig:
    key = credentials.keys(machine.machine, machine.credential_version).mac_key
    return ApplyConfig(
        version=version, document=document, mac=seal_config(key, machine.machine, version, document.encode())
    )


def aisle_of(config: MachineConfig | None, aisle: str) -> AisleConfig | None:
    """The aisle with this id in a configuration."""
    aisles = () if config is None else config.aisles
    return next((candidate for candidate in aisles if candidate.aisle == aisle), None)
