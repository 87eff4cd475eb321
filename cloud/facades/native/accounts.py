"""Signing in, people, tenants and the audit log."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, SecretStr

from cloud.accounts import audit, people, sign_in
from cloud.accounts.model import PASSWORD_CHARS_MAX, CallerRole, Permission, Role
from cloud.facades.dialect import Call, Filter, Nothing, Operation, Wire
from cloud.facades.native.shapes import All, Id, Name, Told, all_of

Login = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{1,63}$")]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=PASSWORD_CHARS_MAX)]


class SignInAsk(Wire):
    tenant: Id = people.FIRST_TENANT
    login: Login
    password: Secret


class UserTold(Told):
    user: str
    login: str
    name: str
    role: Role
    disabled: bool
    password_is_temporary: bool
    created_ms: int


class TokenTold(Told):
    token: str
    expires_ms: int
    user: UserTold


class MeTold(Told):
    tenant: str
    user: str
    login: str
    role: CallerRole
    password_is_temporary: bool
    permissions: list[Permission]


class PasswordAsk(Wire):
    present_password: Secret
    new_password: Secret


class UserAsk(Wire):
    login: Login
    name: Name
    role: Role


class UserChange(Wire):
    name: Name | None = None
    role: Role | None = None
    disabled: bool | None = None


class NewUserTold(Told):
    user: UserTold
    password: str


class TenantAsk(Wire):
    tenant: Id
    name: Name
    owner_login: Login


class TenantTold(Told):
    tenant: str
    name: str
    created_ms: int


class AuditFilter(Filter):
    after: Annotated[int, Field(ge=0, le=2**53)] = 0
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class AuditTold(Told):
    seq: int
    at_ms: int
    actor: str
    role: CallerRole
    action: str
    detail: dict[str, Any]
    request_id: str
    hash: str


async def login(call: Call[SignInAsk, Nothing]) -> TokenTold:
    """Exchange login and password for a bearer token that lasts twelve hours.

    Wrong tries are answered ever more slowly (429 with Retry-After), never with a locked account.
    """
    signed_in = await sign_in.sign_in(
        call.parts.database,
        call.parts.passwords,
        tenant=call.body.tenant,
        login=call.body.login,
        password=call.body.password.get_secret_value(),
        address=call.address,
        request_id=call.request_id,
    )
    return TokenTold.model_validate(signed_in)


async def logout(call: Call[Nothing, Nothing]) -> None:
    """Revoke the token of this request."""
    assert call.token is not None, "a signed-in caller came with a token"
    await sign_in.sign_out(call.work, call.subject, call.token)


async def me(call: Call[Nothing, Nothing]) -> MeTold:
    """Who I am and what I may do."""
    subject = call.subject
    allowed = sorted(permission for permission in Permission if subject.may(permission))
    return MeTold(
        tenant=subject.tenant,
        user=subject.user,
        login=subject.login,
        role=subject.role,
        password_is_temporary=subject.password_is_temporary,
        permissions=allowed,
    )


async def change_password(call: Call[PasswordAsk, Nothing]) -> None:
    """Replace my password. Every token of mine is revoked, this one too."""
    await sign_in.change_password(
        call.parts.database,
        call.parts.passwords,
        call.subject,
        present=call.body.present_password.get_secret_value(),
        new=call.body.new_password.get_secret_value(),
        request_id=call.request_id,
    )


async def list_users(call: Call[Nothing, Nothing]) -> All[UserTold]:
    """The people of this tenant."""
    return all_of(UserTold.model_validate, await people.all_users(call.work, call.subject))


async def add_user(call: Call[UserAsk, Nothing]) -> NewUserTold:
    """Add a person. The answer holds a one-time password, shown this once; the person changes it at first use."""
    new = await people.add_user(
        call.parts.database,
        call.parts.passwords,
        call.subject,
        login=call.body.login,
        name=call.body.name,
        role=call.body.role,
        request_id=call.request_id,
    )
    return NewUserTold.model_validate(new)


async def change_user(call: Call[UserChange, Nothing]) -> UserTold:
    """Change a person's name or role, or disable the account. A new role signs the person out everywhere."""
    changed = await people.change_user(
        call.work,
        call.subject,
        call.path["user"],
        name=call.body.name,
        role=call.body.role,
        disabled=call.body.disabled,
    )
    return UserTold.model_validate(changed)


async def renew_password(call: Call[Nothing, Nothing]) -> NewUserTold:
    """Give a person a new one-time password, shown this once."""
    renewed = await people.renew_password(
        call.parts.database, call.parts.passwords, call.subject, call.path["user"], request_id=call.request_id
    )
    return NewUserTold.model_validate(renewed)


async def list_tenants(call: Call[Nothing, Nothing]) -> All[TenantTold]:
    """Every tenant of this platform."""
    return all_of(TenantTold.model_validate, await people.all_tenants(call.parts.database))


async def open_tenant(call: Call[TenantAsk, Nothing]) -> NewUserTold:
    """Open a tenant with its owner. The answer holds the owner's one-time password, shown this once."""
    new = await people.open_tenant(
        call.parts.database,
        call.parts.passwords,
        call.subject,
        tenant=call.body.tenant,
        name=call.body.name,
        owner=call.body.owner_login,
        request_id=call.request_id,
    )
    return NewUserTold.model_validate(new)


async def list_audit(call: Call[Nothing, AuditFilter]) -> All[AuditTold]:
    """What the people of this tenant did, in order, from the row after `after`."""
    found = await audit.audit_page(call.work, call.subject, after=call.query.after, limit=call.query.limit)
    return all_of(AuditTold.model_validate, found)


P = Permission
OPERATIONS = (
    Operation("POST", "/login", "public", login, changes="session.begin", transacted=False),
    Operation("POST", "/logout", "signed_in", logout, changes="session.end"),
    Operation("GET", "/me", "signed_in", me),
    Operation(
        "POST", "/me/password", "signed_in", change_password, changes="password.change", transacted=False, limited=True
    ),
    Operation("GET", "/users", P.USERS_READ, list_users),
    Operation("POST", "/users", P.USERS_MANAGE, add_user, changes="user.add", success=201, transacted=False),
    Operation("PATCH", "/users/{user}", P.USERS_MANAGE, change_user, changes="user.change"),
    Operation(
        "POST",
        "/users/{user}/password",
        P.USERS_MANAGE,
        renew_password,
        changes="user.renew_password",
        transacted=False,
    ),
    Operation("GET", "/tenants", P.TENANTS_MANAGE, list_tenants, transacted=False),
    Operation("POST", "/tenants", P.TENANTS_MANAGE, open_tenant, changes="tenant.open", success=201, transacted=False),
    Operation("GET", "/audit", P.AUDIT_READ, list_audit),
)
