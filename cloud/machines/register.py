"""From a name on a list to a machine that is trusted, and back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from cloud import downlink
from cloud.accounts.model import Reach
from cloud.accounts.reach import sees_unit
from cloud.database import Work
from cloud.errors import FleetError
from cloud.events import Event, tell
from cloud.machines import store
from cloud.machines.credentials import Credentials
from cloud.machines.model import Machine
from shared.ids import MalformedId, mint_machine_id, parse_machine_id


async def register(work: Work, tenant: str, name: str, *, place: str = "", machine: str | None = None) -> Machine:
    """Put a machine on the tenant's list, with an id of the caller's choice or a new one; not yet trusted.

    FleetError: invalid id, or conflict when the id is taken (by whomever: ids are broker users).
    """
    try:
        chosen = mint_machine_id() if machine is None else parse_machine_id(machine)
    except MalformedId as error:
        raise FleetError("invalid", str(error), field="machine") from error
    await work.insert_new(store.machine_directory, [{"machine": chosen, "tenant": tenant}])
    registered = Machine(tenant, chosen, name, place, 0, work.now_ms, None, None)
    if not await store.is_owner(work, tenant, chosen) or await store.find_machine(work, tenant, chosen):
        raise FleetError("conflict", f"machine id {chosen!r} is taken", field="machine")
    await store.add_machine(work, registered)
    await tell(work, [Event(tenant, "machine.registered", chosen, {"name": name})])
    return registered


async def claim(work: Work, credentials: Credentials, tenant: str, machine: str) -> tuple[Machine, str]:
    """Trust a machine: answers it with its secret in hex, this one time.

    FleetError: not_found, or conflict while an earlier secret is valid (revoke it first).
    """
    found = await machine_of(work, tenant, machine, lock=True)
    if found.retired_ms is not None:
        raise FleetError("gone", f"machine {machine!r} is out of service for good", field="machine")
    if found.is_trusted:
        raise FleetError("conflict", "its secret was answered before; revoke the machine to claim it again")
    version = found.credential_version + 1
    claimed = replace(found, credential_version=version, claimed_ms=work.now_ms, revoked_ms=None)
    await store.put_machine(work, claimed)
    await tell(work, [Event(tenant, "machine.claimed", machine, {"credential_version": version})])
    return claimed, credentials.machine_secret(found.machine, version).hex()


async def revoke(work: Work, tenant: str, machine: str) -> Machine:
    """Trust the machine no more: its secret is worthless from now on; revoking twice is fine."""
    found = await machine_of(work, tenant, machine, lock=True)
    if found.revoked_ms is not None:
        return found
    revoked = replace(found, revoked_ms=work.now_ms)
    await store.put_machine(work, revoked)
    # Sealed with a key that is worthless now.
    await downlink.withdraw(work, tenant, await store.supersede(work, tenant, machine))
    await tell(work, [Event(tenant, "machine.revoked", machine, {})])
    return revoked


async def rename(work: Work, tenant: str, machine: str, *, name: str, place: str) -> Machine:
    """Change what people call it and where it stands."""
    changed = replace(await machine_of(work, tenant, machine, lock=True), name=name, place=place)
    await store.put_machine(work, changed)
    return changed


async def machine_of(work: Work, tenant: str, machine: str, *, lock: bool = False) -> Machine:
    """The tenant's machine, or FleetError(not_found), also for a machine of somebody else."""
    found = await store.find_machine(work, tenant, machine, lock=lock)
    if found is None:
        raise FleetError("not_found", f"no machine {machine!r}", field="machine")
    return found


async def machine_within(work: Work, reach: Reach, tenant: str, machine: str) -> Machine:
    """The tenant's machine, if a member of staff with this reach sees it; FleetError not_found for any other."""
    found = await machine_of(work, tenant, machine)
    if not await sees_unit(work, reach, tenant, found.shop):
        raise FleetError("not_found", f"no machine {machine!r}", field="machine")
    return found


async def machines_by_id(work: Work, wanted: Collection[str]) -> dict[str, Machine]:
    """Those of `wanted` that anybody has registered, whoever it is: for work of the platform itself."""
    return await store.find_known(work, wanted) if wanted else {}
