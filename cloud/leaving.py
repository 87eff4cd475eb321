"""Who or what may go for good: only when nothing is underway. Asked of all nouns, so it stands beside them."""

from __future__ import annotations

from cloud.database import Work
from cloud.errors import FleetError
from cloud.members.leave import leave
from cloud.members.wallet import member_of
from cloud.orders.browse import open_orders
from cloud.payments.browse import open_payments
from cloud.water.browse import open_pours


async def member_leaves(work: Work, tenant: str, member: str) -> None:
    """Take a member out; FleetError: not_found, gone, conflict while something of his is underway or money is held."""
    await member_of(work, tenant, member, lock=True)
    underway = {
        "orders": await open_orders(work, tenant, member=member),
        "pours": await open_pours(work, tenant, member=member),
        "payments": await open_payments(work, tenant, member=member),
    }
    _check_nothing_open(f"user {member!r}", underway)
    await leave(work, tenant, member)


def _check_nothing_open(what: str, underway: dict[str, int]) -> None:
    if still := [f"{count} {name}" for name, count in underway.items() if count]:
        raise FleetError("conflict", f"the {what} cannot go yet: {', '.join(still)} still open", data=underway)
