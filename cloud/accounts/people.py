"""Tenants and the people who work for them."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.accounts import store
from cloud.accounts.audit import record
from cloud.accounts.model import Role, Subject, Tenant, User, mint_password
from cloud.accounts.passwords import Passwords
from cloud.database import Database, Work
from cloud.errors import FleetError
from shared.ids import mint_user_id

FIRST_TENANT = "main"
FIRST_LOGIN = "admin"


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user with the password for his first sign-in, answered once; `repr` hides it."""

    user: User
    password: str

    def __repr__(self) -> str:
        return f"NewUser({self.user.login!r}, hidden)"


async def first_administrator(database: Database, passwords: Passwords) -> NewUser | None:
    """The first tenant and its administrator, made when none of the platform's people can sign in; else None."""
    password = mint_password()
    hashed = await passwords.hash(password)

    async def make(work: Work) -> NewUser | None:
        if await store.any_of_platform(work):
            return None
        # A load file may have brought it already. Locked, it puts processes that start at once in line.
        await store.add_tenant(work, Tenant(FIRST_TENANT, "Main", work.now_ms))
        await store.lock_tenant(work, FIRST_TENANT)
        if await store.any_of_platform(work):
            return None
        user = _user(work, FIRST_TENANT, FIRST_LOGIN, "Administrator", "platform", temporary=False)
        return NewUser(user, password) if await store.add_user(work, user, hashed) else None

    return await database.transact(make)


async def tenant_named(work: Work, tenant: str) -> Tenant:
    """One tenant; FleetError not_found."""
    found = await store.find_tenant(work, tenant)
    if found is None:
        raise FleetError("not_found", f"there is no brand {tenant[:48]!r}", field="tenant")
    return found


async def reset_password(database: Database, passwords: Passwords, *, tenant: str, login: str) -> NewUser:
    """Give a user a new one-time password and sign him out everywhere: for who has the server's console."""
    password = mint_password()
    hashed = await passwords.hash(password)

    async def reset(work: Work) -> NewUser:
        found = await store.user_by_login(work, tenant, login)
        if found is None:
            raise FleetError("not_found", f"tenant {tenant!r} has no user {login!r}", field="login")
        await _set_temporary_password(work, found[0], hashed)
        return NewUser(found[0], password)

    return await database.transact(reset, tenant=tenant)


async def open_tenant(
    database: Database, passwords: Passwords, subject: Subject, *, tenant: str, name: str, owner: str, request_id: str
) -> NewUser:
    """A new tenant with its owner, whose password must be changed at first use: work of the platform's own people."""
    password = mint_password()
    hashed = await passwords.hash(password)

    async def open_(work: Work) -> NewUser:
        if not await store.add_tenant(work, Tenant(tenant, name, work.now_ms)):
            raise FleetError("conflict", f"the tenant {tenant!r} exists already", field="tenant")
        user = _user(work, tenant, owner, owner, "owner", temporary=True)
        await store.add_user(work, user, hashed)
        await record(work, subject, "tenant.open", {"tenant": tenant, "name": name, "owner": owner}, request_id)
        return NewUser(user, password)

    return await database.transact(open_)


async def add_user(
    database: Database,
    passwords: Passwords,
    subject: Subject,
    *,
    login: str,
    name: str,
    role: Role,
    request_id: str,
) -> NewUser:
    """A new user of the caller's tenant, whose password must be changed at first use."""
    _check_grants(subject, role)
    password = mint_password()
    hashed = await passwords.hash(password)

    async def add(work: Work) -> NewUser:
        user = _user(work, subject.tenant, login, name, role, temporary=True)
        if not await store.add_user(work, user, hashed):
            raise FleetError("conflict", f"the login {login!r} is taken", field="login")
        await record(work, subject, "user.add", {"user": user.user, "login": login, "role": role}, request_id)
        return NewUser(user, password)

    return await database.transact(add, tenant=subject.tenant)


async def change_user(
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
    """Change a user of the caller's tenant. A new role or a disabled account signs him out everywhere, at once."""
    found = await user_of(work, subject, user)
    if user == subject.user and (role is not None or disabled is not None):
        raise FleetError("conflict", "nobody changes his own role or disables himself", field="user")
    _check_grants(subject, found.role)
    if role is not None:
        _check_grants(subject, role)
    wanted = {"name": name, "role": role, "disabled": disabled, "area": area, "coordinates": coordinates}
    changes = {column: value for column, value in wanted.items() if value is not None}
    if changes:
        await store.change_user(work, subject.tenant, user, **changes)
    if {"role", "disabled"} & changes.keys():
        await store.remove_tokens_of(work, subject.tenant, user)
    return await user_of(work, subject, user)


async def renew_password(
    database: Database, passwords: Passwords, subject: Subject, user: str, *, request_id: str
) -> NewUser:
    """A new one-time password for a user of the caller's tenant, who is signed out everywhere."""
    password = mint_password()
    hashed = await passwords.hash(password)

    async def renew(work: Work) -> NewUser:
        found = await user_of(work, subject, user)
        _check_grants(subject, found.role)
        await _set_temporary_password(work, found, hashed)
        await record(work, subject, "user.renew_password", {"user": user}, request_id)
        return NewUser(await user_of(work, subject, user), password)

    return await database.transact(renew, tenant=subject.tenant)


async def user_of(work: Work, subject: Subject, user: str) -> User:
    """One user of the caller's tenant; FleetError not_found for any other."""
    found = await store.find_user(work, subject.tenant, user)
    if found is None:
        raise FleetError("not_found", f"there is no user {user!r}", field="user")
    return found


async def all_users(work: Work, subject: Subject) -> list[User]:
    """The people of the caller's tenant."""
    return await store.users_of(work, subject.tenant)


async def all_tenants(database: Database) -> list[Tenant]:
    """Every tenant: for the platform's own people."""
    async with database.look() as work:
        return await store.all_tenants(work)


async def tenant_exists(work: Work, tenant: str) -> bool:
    """Whether there is a tenant of this id: for doors at which nobody signs in."""
    return await store.knows_tenant(work, tenant)


def _check_grants(subject: Subject, role: Role) -> None:
    if role == "platform" and subject.role != "platform":
        raise FleetError("forbidden", "only the platform's own people give or touch the role platform", field="role")


async def _set_temporary_password(work: Work, user: User, password_hash: str) -> None:
    await store.change_user(work, user.tenant, user.user, password_hash=password_hash, password_is_temporary=True)
    await store.remove_tokens_of(work, user.tenant, user.user)


def _user(work: Work, tenant: str, login: str, name: str, role: Role, *, temporary: bool) -> User:
    return User(tenant, mint_user_id(), login, name, role, False, temporary, work.now_ms)
