"""Who or what may go for good: only when nothing is underway. Asked of all nouns, so it stands beside them."""

from __future__ import annotations

from cloud.accounts.brand_profile import brand_of, close_brand
from cloud.database import Work
from cloud.errors import FleetError
from cloud.machines.credentials import Credentials
from cloud.machines.profile import device_of, reset_device, retire, retire_all
from cloud.members.audit import held_fen
from cloud.members.devices import unbind
from cloud.members.leave import leave
from cloud.members.wallet import member_of
from cloud.orders.browse import open_orders
from cloud.payments.browse import open_payments
from cloud.purchases.browse import open_purchases
from cloud.purchases.fulfil import forget_receivers
from cloud.rentals.browse import held_rentals
from cloud.water.browse import open_pours


async def member_leaves(work: Work, tenant: str, member: str) -> None:
    """Take a member out; FleetError: not_found, gone, conflict while something of his is underway or money is held."""
    await member_of(work, tenant, member, lock=True)
    underway = {
        "orders": await open_orders(work, tenant, member=member),
        "pours": await open_pours(work, tenant, member=member),
        "payments": await open_payments(work, tenant, member=member),
        "purchases": await open_purchases(work, tenant, member=member),
        "rentals": await held_rentals(work, tenant, member=member),
    }
    _check_nothing_open(f"user {member!r}", underway)
    await leave(work, tenant, member)
    await forget_receivers(work, tenant, member)


async def device_retires(work: Work, tenant: str, machine: str) -> None:
    """Take a machine out of service for good; FleetError: not_found, gone, conflict while something is underway at it.

    Only the machine knows how an order ends, and nothing it says counts afterwards.
    """
    await _check_idle(work, tenant, machine)
    await unbind(work, tenant, machine)
    await retire(work, tenant, machine)


async def device_is_cleared(work: Work, credentials: Credentials, tenant: str, machine: str, made_by: str) -> None:
    """Set a machine back to how it left the factory, nobody's; FleetError as in `device_retires`.

    An order that is underway would lose the aisle or the outlet that it was placed for.
    """
    await _check_idle(work, tenant, machine)
    await unbind(work, tenant, machine)
    await reset_device(work, credentials, tenant, machine, made_by)


async def _check_idle(work: Work, tenant: str, machine: str) -> None:
    await device_of(work, tenant, machine, lock=True)
    underway = {
        "orders": await open_orders(work, tenant, machine=machine),
        "pours": await open_pours(work, tenant, machine=machine),
        "rentals": await held_rentals(work, tenant, machine=machine),
    }
    _check_nothing_open(f"device {machine!r}", underway)


async def brand_closes(work: Work, tenant: str) -> None:
    """Close a brand for good, with its machines; FleetError: not_found, gone, conflict while something is open.

    Its machines are retired with it: they have no business left. Money of others is another matter.
    """
    await brand_of(work, tenant, lock=True)
    underway = {
        "orders": await open_orders(work, tenant),
        "pours": await open_pours(work, tenant),
        "payments": await open_payments(work, tenant),
        "purchases": await open_purchases(work, tenant),
        "rentals": await held_rentals(work, tenant),
        "fen held for others": await held_fen(work, tenant),
    }
    _check_nothing_open(f"brand {tenant!r}", underway)
    await retire_all(work, tenant)
    await close_brand(work, tenant)


def _check_nothing_open(what: str, underway: dict[str, int]) -> None:
    if still := [f"{count} {name}" for name, count in underway.items() if count]:
        raise FleetError("conflict", f"the {what} cannot go yet: {', '.join(still)} still open", data=underway)
