"""What lies where and what it costs: one complete, signed, numbered document per machine (I14)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from cloud.database import Work
from cloud.errors import FleetError
from cloud.machines import store
from cloud.machines.commands import ask
from cloud.machines.credentials import Credentials
from cloud.machines.model import Machine
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
    document = encode(config)
    await store.add_config(
        work,
        {
            "tenant": tenant,
            "machine": machine,
            "version": config.version,
            "document": document.decode(),
            "made_by": made_by,
            "made_ms": work.now_ms,
        },
    )
    await _send(work, credentials, found, config.version, document.decode(), made_by)
    return config


async def resend_config(work: Work, credentials: Credentials, machine: Machine, has_version: int) -> None:
    """Send the newest configuration to a machine that has an older one, unless it was refused or is on its way.

    A machine with a new ledger file, or one that was claimed anew, has none and cannot ask.
    """
    row = await store.newest_config(work, machine.tenant, machine.machine)
    if row is None or row.version <= has_version:
        return
    state = await state_of(work, machine.tenant, machine.machine)
    if state.config_refused != row.version and not await store.config_is_waiting(work, machine.tenant, machine.machine):
        await _send(work, credentials, machine, row.version, row.document, row.made_by)


async def _send(
    work: Work, credentials: Credentials, machine: Machine, version: int, document: str, made_by: str
) -> None:
    key = credentials.keys(machine.machine, machine.credential_version).mac_key
    mac = seal_config(key, machine.machine, version, document.encode())
    what = ApplyConfig(version=version, document=document, mac=mac)
    await ask(work, credentials, machine.tenant, machine.machine, what, made_by)


def aisle_of(config: MachineConfig | None, aisle: str) -> AisleConfig | None:
    """The aisle with this id in a configuration."""
    aisles = () if config is None else config.aisles
    return next((candidate for candidate in aisles if candidate.aisle == aisle), None)
