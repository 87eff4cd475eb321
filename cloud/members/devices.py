"""Machines at members' homes: bound to an owner, shared with guests, let go."""

from __future__ import annotations

from dataclasses import replace

from cloud.database import Work
from cloud.errors import FleetError
from cloud.machines.profile import device_of
from cloud.members import store
from cloud.members.model import Binding
from cloud.members.wallet import member_of

# A family and its friends; more is a public fountain.
GUESTS_MAX = 50


async def bind(work: Work, tenant: str, machine: str, member: str) -> None:
    """Make a machine a member's own; again for the same member is fine. Who has no dealer yet gets that of the machine.

    FleetError: not_found, gone, forbidden when it is somebody else's.
    """
    found = await device_of(work, tenant, machine, lock=True)
    known = await member_of(work, tenant, member, lock=True)
    owner = await owner_of(work, tenant, machine)
    if owner not in (None, member):
        raise FleetError("forbidden", "this device is somebody else's", field="device_id")
    if owner is None:
        # A guest who becomes the owner is no guest any more.
        await store.remove_bindings(work, tenant, machine=machine, member=member)
        await store.add_binding(work, Binding(tenant, machine, member, "owner", work.now_ms))
    if known.unit is None and found.shop is not None:
        await store.put_member(work, replace(known, unit=found.shop))


async def share(work: Work, tenant: str, machine: str, owner: str, guest: str) -> None:
    """Let a guest use a machine. FleetError: not_found, gone, forbidden when it is not the owner's, invalid guest."""
    await device_of(work, tenant, machine, lock=True)
    await _check_owner(work, tenant, machine, owner)
    if guest == owner:
        raise FleetError("invalid", "the owner needs no share", field="user_id")
    await member_of(work, tenant, guest)
    if len(await store.bindings_of(work, tenant, machine)) > GUESTS_MAX:
        raise FleetError("invalid", f"a device has at most {GUESTS_MAX} guests", field="user_id")
    await store.add_binding(work, Binding(tenant, machine, guest, "guest", work.now_ms))


async def member_by_phone(work: Work, tenant: str, phone: str) -> str:
    """The member who signs in by a number; FleetError not_found."""
    found = await store.sign_in_of(work, tenant, phone)
    if found is None:
        raise FleetError("not_found", "nobody signs in by this number", field="mobile")
    return found[0]


async def unbind(work: Work, tenant: str, machine: str) -> None:
    """The machine is nobody's any more, and shared with nobody. FleetError: not_found, gone."""
    await device_of(work, tenant, machine, lock=True)
    await store.remove_bindings(work, tenant, machine=machine)


async def end_share(work: Work, tenant: str, machine: str, guest: str | None) -> None:
    """End one share, or (None) all of them. FleetError: not_found, gone, not_found when there is no such share."""
    await device_of(work, tenant, machine, lock=True)
    guests = [one.member for one in await store.bindings_of(work, tenant, machine) if one.standing == "guest"]
    if guest is not None and guest not in guests:
        raise FleetError("not_found", f"the device is not shared with {guest[:48]!r}", field="user_id")
    await store.remove_bindings(work, tenant, machine=machine, member=guest, standing="guest")


async def owner_of(work: Work, tenant: str, machine: str) -> str | None:
    """Whose a machine is."""
    bindings = await store.bindings_of(work, tenant, machine)
    return next((one.member for one in bindings if one.standing == "owner"), None)


async def _check_owner(work: Work, tenant: str, machine: str, owner: str) -> None:
    if await owner_of(work, tenant, machine) != owner:
        raise FleetError("forbidden", "only its owner shares a device", field="device_id")
