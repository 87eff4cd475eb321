"""Which machines a caller may see, for whatever is about a machine."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, select

from cloud.accounts.model import Reach
from cloud.accounts.reach import within
from cloud.database import Work
from cloud.errors import FleetError
from cloud.machines.model import Machine
from cloud.machines.store import machine_of, machines


async def machine_within(work: Work, reach: Reach, machine: str) -> Machine:
    """One machine that stands within reach, of whichever tenant; FleetError not_found for any other."""
    seen = within(reach, tenant=machines.c.tenant, unit=machines.c.shop)
    row = await work.row(select(machines).where(machines.c.machine == machine, seen))
    if row is None:
        raise FleetError("not_found", f"there is no machine {machine!r} within reach", field="machine")
    return machine_of(row)


def about_machines(reach: Reach, *, tenant: ColumnElement[str], machine: ColumnElement[str]) -> ColumnElement[bool]:
    """The condition that a row, by its columns of tenant and machine, is about a machine that stands within reach."""
    standing = within(reach, tenant=machines.c.tenant, unit=machines.c.shop)
    return and_(tenant == reach.tenant, machine.in_(select(machines.c.machine).where(standing)))
