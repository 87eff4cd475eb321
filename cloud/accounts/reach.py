"""What a caller may see, as a condition: the one place where rows are narrowed to it."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, false, select, true

from cloud.accounts import store
from cloud.accounts.model import Reach
from cloud.database import Work
from cloud.errors import FleetError


def within(
    reach: Reach,
    *,
    tenant: ColumnElement[str],
    unit: ColumnElement[str] | None = None,
    member: ColumnElement[str] | None = None,
) -> ColumnElement[bool]:
    """The condition that a row lies within `reach`, by the columns of it that say whose it is.

    `unit` is the column of the shop (or agent, dealer) it stands in, `member` that of the customer it belongs to. A row
    that has no such column is seen by nobody whose reach is narrowed by it.
    """
    conditions: list[ColumnElement[bool]] = [true() if reach.tenant is None else tenant == reach.tenant]
    if reach.path:
        conditions.append(false() if unit is None else unit.in_(_units(reach)))
    if reach.member is not None:
        conditions.append(false() if member is None else member == reach.member)
    return and_(*conditions)


def _units(reach: Reach) -> ColumnElement[str]:
    below = store.units.c.path.startswith(reach.path, autoescape=True)
    return select(store.units.c.unit).where(store.units.c.tenant == reach.tenant, below)  # type: ignore[return-value]


async def sees_unit(work: Work, reach: Reach, tenant: str, unit: str | None) -> bool:
    """Whether something of `tenant` that stands in `unit` (None: nowhere) is within reach of staff."""
    if reach.member is not None or reach.tenant not in (None, tenant):
        return False
    if not reach.path:
        return True
    found = None if unit is None else await store.find_unit(work, tenant, unit)
    return found is not None and found.path.startswith(reach.path)


def unseen(reach: Reach, what: str, field: str) -> FleetError:
    """How something is refused that was looked for within `reach` and not found there.

    Who sees a whole tenant is told that it does not exist; who sees only a part of one, or only his own things, is told
    that it is not his, whether or not it exists. A number of another brand is known by its letters alone.
    """
    if reach.path or reach.member is not None:
        return FleetError("forbidden", f"{what} is not within your reach", field=field)
    return FleetError("not_found", f"there is no {what}", field=field)


async def unit_within(work: Work, reach: Reach, tenant: str, unit: str) -> None:
    """FleetError not_found when the unit does not exist or is out of reach: the two are told apart nowhere."""
    found = await store.find_unit(work, tenant, unit)
    if found is None or not await sees_unit(work, reach, tenant, unit):
        raise FleetError("not_found", f"there is no unit {unit!r}", field="unit")
