"""Taking a unit away: only when no machine stands in it."""

from __future__ import annotations

from sqlalchemy import func, select

from cloud.accounts.agents import close_unit
from cloud.database import Work
from cloud.errors import FleetError
from cloud.machines.store import machines


async def unit_leaves(work: Work, tenant: str, unit: str) -> None:
    """Close a unit; FleetError: not_found, gone, conflict while a machine or another unit stands in it."""
    standing = select(func.count()).select_from(machines).where(machines.c.tenant == tenant, machines.c.shop == unit)
    if count := int(await work.scalar(standing) or 0):
        raise FleetError("conflict", f"{count} machines stand in {unit!r}", field="unit")
    await close_unit(work, tenant, unit)
