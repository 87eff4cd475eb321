"""Agents, dealers and shops."""

from __future__ import annotations

from dataclasses import replace

from cloud.accounts import store
from cloud.accounts.model import PARENTS, Reach, Unit, UnitKind
from cloud.accounts.reach import sees_unit
from cloud.database import Work
from cloud.errors import FleetError
from shared.ids import MalformedId, check_id


async def open_unit(
    work: Work,
    tenant: str,
    unit: str,
    kind: UnitKind,
    name: str,
    *,
    parent: str | None = None,
    logo: str = "",
    address: str = "",
    contact: str = "",
    phone: str = "",
) -> Unit:
    """A new unit under `parent` (None: under the brand itself), with an id of the caller's choice.

    FleetError: invalid id or parent, not_found parent, conflict when the id is taken.
    """
    try:
        check_id("unit", unit)
    except MalformedId as error:
        raise FleetError("invalid", str(error), field="unit") from error
    if await store.find_unit(work, tenant, unit) is not None:
        raise FleetError("conflict", f"the unit {unit!r} exists already", field="unit")
    above = None if parent is None else await find_unit(work, tenant, parent)
    if (above.kind if above is not None else None) not in PARENTS[kind]:
        raise FleetError(
            "invalid", f"a {kind} cannot stand under {above.kind if above else 'the brand'}", field="parent"
        )
    opened = Unit(
        tenant=tenant,
        unit=unit,
        kind=kind,
        name=name,
        parent=parent,
        path=(above.path if above is not None else "/") + f"{unit}/",
        logo=logo,
        address=address,
        contact=contact,
        phone=phone,
        created_ms=work.now_ms,
        changed_ms=work.now_ms,
    )
    await store.put_unit(work, opened)
    return opened


async def change_unit(
    work: Work,
    tenant: str,
    unit: str,
    *,
    name: str | None = None,
    logo: str | None = None,
    address: str | None = None,
    contact: str | None = None,
    phone: str | None = None,
    disabled: bool | None = None,
) -> Unit:
    """Change what is given and keep the rest; a disabled unit's people cannot sign in."""
    found = await find_unit(work, tenant, unit)
    wanted = {"name": name, "logo": logo, "address": address, "contact": contact, "phone": phone, "disabled": disabled}
    changes = {field: value for field, value in wanted.items() if value is not None}
    changed = replace(found, **changes, changed_ms=work.now_ms)  # type: ignore[arg-type]
    await store.put_unit(work, changed)
    return changed


async def find_unit(work: Work, tenant: str, unit: str) -> Unit:
    """One unit; FleetError not_found."""
    found = await store.find_unit(work, tenant, unit)
    if found is None:
        raise FleetError("not_found", f"there is no unit {unit!r}", field="unit")
    return found


async def unit_seen(work: Work, reach: Reach, tenant: str, unit: str) -> Unit:
    """One unit within reach; FleetError not_found for any other."""
    found = await find_unit(work, tenant, unit)
    if not await sees_unit(work, reach, tenant, unit):
        raise FleetError("not_found", f"there is no unit {unit!r}", field="unit")
    return found


async def shops_seen(work: Work, reach: Reach, tenant: str) -> list[Unit]:
    """The open shops of a tenant within reach, from the top down."""
    below = await store.units_below(work, tenant, reach.path or "/")
    return [unit for unit in below if unit.kind == "shop" and not unit.disabled]
