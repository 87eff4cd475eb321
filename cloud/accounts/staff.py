"""The people who work below a caller: of a brand all of them, of an agent, dealer or shop those of its own units."""

from __future__ import annotations

from sqlalchemy import select

from cloud.accounts import store
from cloud.accounts.audit import record
from cloud.accounts.model import PASSWORD_CHARS_MAX, POLICY, Reach, Role, Subject, User, mint_password
from cloud.accounts.passwords import Passwords
from cloud.accounts.people import change_user
from cloud.accounts.reach import sees_unit, within
from cloud.accounts.store import users
from cloud.accounts.units import unit_seen
from cloud.database import Database, Work, record_of
from cloud.errors import FleetError
from cloud.paging import Ask, Page, page
from shared.ids import mint_user_id

_SHOWN = [users.c[name] for name in User.__dataclass_fields__]


async def list_staff(work: Work, reach: Reach, ask: Ask) -> Page[User]:
    """The people within reach, by login; sorted by login, name, role or created_ms on wish."""
    names = ("tenant", "user", "login", "name", "role", "unit", "phone", "disabled", "created_ms")
    return await page(
        work,
        select(*_SHOWN).where(within(reach, tenant=users.c.tenant, unit=users.c.unit)),
        ask,
        sorts={name: users.c[name] for name in names},
        ties=(users.c.login, users.c.user),
        make=lambda row: record_of(User, row),
    )


async def staff_of(work: Work, subject: Subject, user: str) -> User:
    """One of the people of the caller's tenant and within his reach; FleetError not_found for any other."""
    found = await store.find_user(work, subject.tenant, user)
    if found is None or not await sees_unit(work, subject.reach, subject.tenant, found.unit):
        raise FleetError("not_found", f"there is no user {user!r} within reach", field="uid")
    return found


async def change_staff(
    work: Work,
    subject: Subject,
    user: str,
    *,
    name: str | None,
    role: Role | None,
    disabled: bool | None,
    area: str | None = None,
    coordinates: str | None = None,
) -> User:
    """Change somebody within reach; nobody gives a role that may do more than his own.

    FleetError: not_found, forbidden role, conflict for oneself.
    """
    found = await staff_of(work, subject, user)
    for wanted in (found.role, role):
        _check_role(subject, wanted)
    return await change_user(
        work, subject, user, name=name, role=role, disabled=disabled, area=area, coordinates=coordinates
    )


async def hire(
    database: Database,
    passwords: Passwords,
    subject: Subject,
    *,
    name: str,
    role: Role,
    phone: str,
    sent: str,
    unit: str | None,
    area: str = "",
    coordinates: str = "",
    request_id: str,
) -> User:
    """Somebody new, who signs in by his phone number with a password that comes plain or as MD5.

    `unit` None: the caller's own. FleetError: not_found unit, forbidden role, conflict when the number is taken.
    """
    _check_role(subject, role)
    hashes = await hash_new(passwords, sent)

    async def add(work: Work) -> User:
        own = subject.unit.unit if subject.unit is not None else None
        place = own if unit is None else (await unit_seen(work, subject.reach, subject.tenant, unit)).unit
        user = await add_by_phone(work, subject.tenant, name, role, phone, place, hashes, area, coordinates)
        await record(work, subject, "staff.add", {"user": user.user, "role": role, "unit": place}, request_id)
        return user

    return await database.transact(add, tenant=subject.tenant)


async def hash_new(passwords: Passwords, sent: str) -> tuple[str, str]:
    """What is stored of a password that comes from an older client: of one nobody knows, and of what was sent."""
    if not 0 < len(sent) <= PASSWORD_CHARS_MAX:
        raise FleetError("invalid", f"a password has 1 to {PASSWORD_CHARS_MAX} characters", field="pwd")
    return await passwords.hash(mint_password()), await passwords.hash_sent(sent)


async def add_by_phone(
    work: Work,
    tenant: str,
    name: str,
    role: Role,
    phone: str,
    unit: str | None,
    hashes: tuple[str, str],
    area: str = "",
    coordinates: str = "",
) -> User:
    """Write somebody who signs in by his phone number; FleetError conflict when it is taken, by whomever."""
    login = mint_user_id()  # his number is free for somebody else once he has left
    user = User(tenant, login, login, name, role, False, False, work.now_ms, unit, phone, area, coordinates)
    if not await store.add_user(work, user, *hashes):
        raise FleetError("conflict", "somebody signs in by this number already", field="mobile")
    return user


def _check_role(subject: Subject, role: Role | None) -> None:
    if role is None:
        return
    assert subject.role != "customer", "customers do not hire"
    if not POLICY[role] <= POLICY[subject.role]:
        raise FleetError("forbidden", f"a {subject.role} does not give the role {role}", field="role")
