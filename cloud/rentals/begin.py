"""Beginning a rental: its machine stands there, and is from now on the one of him who rents it."""

from __future__ import annotations

from cloud.database import Work
from cloud.errors import FleetError
from cloud.events import Event, tell
from cloud.machines.profile import DeviceChange, change_device
from cloud.machines.register import machine_of
from cloud.members.devices import bind, owner_of
from cloud.rentals import store
from cloud.rentals.model import Rental, begun
from cloud.rentals.plan import send_plan


async def begin_rental(work: Work, tenant: str, rental: str, machine: str) -> Rental:
    """Let a rental begin on a machine, from now: it is the customer's, one of the rented product, and learns its terms.

    FleetError: not_found (rental, machine), gone machine or customer, conflict when the rental has begun, or the
    machine is rented already or somebody else's.
    """
    found = await rental_of(work, tenant, rental, lock=True)
    await machine_of(work, tenant, machine, lock=True)
    if other := await store.held_by(work, tenant, machine):
        raise FleetError("conflict", f"the machine is held by the rental {other.rental!r}", field="machine")
    if await owner_of(work, tenant, machine) not in (None, found.member):
        raise FleetError("conflict", "the machine is bound to another customer: unbind it first", field="machine")
    running = begun(found, machine, work.now_ms)
    await bind(work, tenant, machine, found.member)
    await change_device(work, tenant, machine, DeviceChange(product=found.product))
    await store.put_rentals(work, [running])
    await send_plan(work, running)
    await tell(work, [rental_event(running, "rental.begun")])
    return running


async def begin_at_home(work: Work, tenant: str, member: str, machine: str, product: str | None) -> Rental | None:
    """What a member who switches on a machine begins: his oldest rental of its product that waits for a machine.

    `product` None: the machine says not what it is. None: he has agreed on nothing, or the machine is rented already.
    """
    if await store.held_by(work, tenant, machine) is not None:
        return None
    waiting = await store.agreed_of_member(work, tenant, member)
    fitting = [rental for rental in waiting if product is None or rental.product == product]
    return await begin_rental(work, tenant, fitting[0].rental, machine) if fitting else None


async def rental_of(work: Work, tenant: str, rental: str, *, lock: bool = False) -> Rental:
    """One rental; FleetError not_found."""
    found = await store.find_rental(work, tenant, rental, lock=lock)
    if found is None:
        raise FleetError("not_found", f"no rental {rental!r}", field="rental")
    return found


def rental_event(rental: Rental, kind: str) -> Event:
    """What those who watch are told of a rental."""
    data = {"machine": rental.machine, "member": rental.member, "state": rental.state, "ends_ms": rental.ends_ms}
    return Event(rental.tenant, kind, rental.rental, data)
