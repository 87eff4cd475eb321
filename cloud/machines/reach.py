"""Which machines a caller may see, for whatever is about a machine."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, select

from cloud.accounts.model import Reach
from cloud.accounts.reach import within
from cloud.machines.store import machines


def about_machines(reach: Reach, *, tenant: ColumnElement[str], machine: ColumnElement[str]) -> ColumnElement[bool]:
    """The condition that a row, by its columns of tenant and machine, is about a machine that stands within reach."""
    standing = within(reach, tenant=machines.c.tenant, unit=machines.c.shop)
    return and_(tenant == reach.tenant, machine.in_(select(machines.c.machine).where(standing)))
