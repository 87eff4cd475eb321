"""Agents, dealers and shops as a caller opens them below himself, each with an account of its own."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import select

from cloud.accounts import store
from cloud.accounts.audit import record
from cloud.accounts.model import Reach, Subject, Unit, UnitKind, User
from cloud.accounts.passwords import Passwords
from cloud.accounts.reach import within
from cloud.accounts.staff import add_by_phone, hash_new
from cloud.accounts.store import units
from cloud.accounts.units import find_unit, open_unit, unit_seen
from cloud.database import Database, Work, record_of
from cloud.errors import FleetError
from cloud.paging import Ask, Page, page
from cloud.serials import next_serial

# What stands before the numbers of new units.
PREFIXES: dict[UnitKind, str] = {"agent": "AG", "dealer": "DL", "shop": "SH"}


async def list_units(work: Work, reach: Reach, ask: Ask) -> Page[Unit]:
    """The units within reach from the top down; sorted by unit, name, kind or created_ms on wish."""
    names = ("tenant", "unit", "kind", "name", "parent", "phone", "disabled", "created_ms")
    return await page(
        work,
        select(units).where(within(reach, tenant=units.c.tenant, unit=units.c.unit), units.c.closed_ms.is_(None)),
        ask,
        sorts={name: units.c[name] for name in names},
        ties=(units.c.path, units.c.tenant),
        make=lambda row: record_of(Unit, row),
    )


async def open_agent(
    database: Database,
    passwords: Passwords,
    subject: Subject,
    *,
    kind: UnitKind,
    name: str,
    parent: str | None,
    phone: str,
    sent: str,
    contact: str,
    address: str,
    logo: str,
    request_id: str,
) -> tuple[Unit, User]:
    """A unit below the caller (`parent` None: directly) and its owner, who signs in by phone.

    FleetError: not_found parent, invalid kind for this parent, conflict when the number is taken.
    """
    hashes = await hash_new(passwords, sent)

    async def open_(work: Work) -> tuple[Unit, User]:
        own = subject.unit.unit if subject.unit is not None else None
        above = own if parent is None else (await unit_seen(work, subject.reach, subject.tenant, parent)).unit
        unit = await open_unit(
            work,
            subject.tenant,
            await _free_id(work, subject.tenant, kind),
            kind,
            name,
            parent=above,
            logo=logo,
            address=address,
            contact=contact,
            phone=phone,
        )
        owner = await add_by_phone(work, subject.tenant, contact or name, "owner", phone, unit.unit, hashes)
        await record(work, subject, "agent.open", {"unit": unit.unit, "kind": kind, "owner": owner.user}, request_id)
        return unit, owner

    return await database.transact(open_, tenant=subject.tenant)


async def close_unit(work: Work, tenant: str, unit: str) -> None:
    """Take a unit away for good: its people are signed out and the numbers by which they signed in are free.

    Whether machines stand in it is for the caller to ask. FleetError: not_found, gone, conflict while a unit is below.
    """
    found = await find_unit(work, tenant, unit)
    below = [one for one in await store.units_below(work, tenant, found.path) if one.closed_ms is None]
    if found.closed_ms is not None:
        raise FleetError("gone", f"the unit {unit!r} was taken away", field="unit")
    if len(below) > 1:
        raise FleetError("conflict", f"{len(below) - 1} units stand below {unit!r}", field="unit")
    await store.put_unit(work, replace(found, disabled=True, closed_ms=work.now_ms, changed_ms=work.now_ms))
    await store.leave_unit(work, tenant, unit)


async def _free_id(work: Work, tenant: str, kind: UnitKind) -> str:
    """The next number of a kind that no unit has brought along from elsewhere."""
    while True:
        unit = f"{PREFIXES[kind]}{await next_serial(work, tenant, PREFIXES[kind])}"
        if await store.find_unit(work, tenant, unit) is None:
            return unit
