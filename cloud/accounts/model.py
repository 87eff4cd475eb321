"""Roles, permissions and the caller's identity. Pure.

A *tenant* is one business; every row belongs to one and every query carries it. A *user* is a person who works for a
tenant in exactly one role. What a role may do is `POLICY`, one table, and nothing else grants anything: an operation
names the permission it needs, and a caller without it is refused before the request body is even read.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, get_args

from cloud.errors import FleetError
from shared.ids import check_id

Role = Literal["platform", "owner", "operator", "technician", "finance", "viewer"]
ROLES: tuple[Role, ...] = get_args(Role)

# Twelve characters without composition rules: length is what resists guessing.
PASSWORD_CHARS_MIN = 12
# Enough for any passphrase; a bound, because hashing costs grow with what strangers send.
PASSWORD_CHARS_MAX = 200
# A password of few different characters ("aaaaaaaaaaaa", "121212121212") is long and weak.
PASSWORD_DISTINCT_MIN = 5

# One working day with a margin: a forgotten browser is signed out by the next morning.
TOKEN_TTL_MS = 12 * 3600 * 1000
_TOKEN_PREFIX = "afl"  # noqa: S105 - the public prefix by which scanners recognise a leaked token
_TOKEN_BYTES = 32


class Permission(StrEnum):
    """What an operation asks of its caller."""

    TENANTS_MANAGE = "tenants:manage"
    USERS_READ = "users:read"
    USERS_MANAGE = "users:manage"
    AUDIT_READ = "audit:read"
    MACHINES_READ = "machines:read"
    MACHINES_PROVISION = "machines:provision"
    MACHINES_OPERATE = "machines:operate"
    CATALOG_READ = "catalog:read"
    CATALOG_WRITE = "catalog:write"
    MEMBERS_READ = "members:read"
    MEMBERS_WRITE = "members:write"
    WALLETS_TOP_UP = "wallets:top_up"
    ORDERS_READ = "orders:read"
    ORDERS_PLACE = "orders:place"
    ORDERS_REFUND = "orders:refund"
    REVIEWS_DECIDE = "reviews:decide"
    LEDGER_READ = "ledger:read"
    PAYMENTS_READ = "payments:read"
    PAYMENTS_BEGIN = "payments:begin"
    PAYMENTS_REFUND = "payments:refund"
    PAYMENTS_SETTLE = "payments:settle"
    CODES_READ = "codes:read"
    TICKETS_READ = "tickets:read"
    TICKETS_WORK = "tickets:work"
    QUARANTINE_READ = "quarantine:read"
    QUARANTINE_REPLAY = "quarantine:replay"
    REPORTS_READ = "reports:read"


P = Permission
_EVERYTHING = frozenset(Permission)
_LOOK = frozenset({P.MACHINES_READ, P.CATALOG_READ, P.ORDERS_READ, P.TICKETS_READ, P.REPORTS_READ})

POLICY: dict[Role, frozenset[Permission]] = {
    "platform": _EVERYTHING,
    "owner": _EVERYTHING - {P.TENANTS_MANAGE},
    "operator": _LOOK
    | {P.MACHINES_PROVISION, P.MACHINES_OPERATE, P.CATALOG_WRITE, P.MEMBERS_READ, P.MEMBERS_WRITE}
    | {P.ORDERS_PLACE, P.PAYMENTS_READ, P.PAYMENTS_BEGIN}
    | {P.TICKETS_WORK, P.QUARANTINE_READ, P.QUARANTINE_REPLAY},
    "technician": _LOOK | {P.MACHINES_OPERATE, P.TICKETS_WORK},
    "finance": _LOOK
    | {P.MEMBERS_READ, P.MEMBERS_WRITE, P.WALLETS_TOP_UP, P.ORDERS_REFUND, P.REVIEWS_DECIDE}
    | {P.LEDGER_READ, P.AUDIT_READ, P.PAYMENTS_READ, P.PAYMENTS_BEGIN, P.PAYMENTS_REFUND, P.PAYMENTS_SETTLE},
    "viewer": _LOOK,
}


@dataclass(frozen=True, slots=True)
class Subject:
    """The caller, once his token was recognised."""

    tenant: str
    user: str
    login: str
    role: Role
    # A password set by somebody else opens one door only: the one behind which it is replaced.
    password_is_temporary: bool = False

    def may(self, permission: Permission) -> bool:
        """Whether the caller's role grants `permission`."""
        return not self.password_is_temporary and permission in POLICY[self.role]

    def visible(self, tenant: str) -> bool:
        """Whether the caller may know that something of `tenant` exists; where not, it is answered as not found."""
        return tenant == self.tenant


@dataclass(frozen=True, slots=True)
class User:
    """One person of one tenant, without the password."""

    tenant: str
    user: str
    login: str
    name: str
    role: Role
    disabled: bool
    password_is_temporary: bool
    created_ms: int


@dataclass(frozen=True, slots=True)
class Tenant:
    """One business."""

    tenant: str
    name: str
    created_ms: int


def mint_token(tenant: str) -> str:
    """A new bearer token, 256 random bits. It names its tenant, so that looking it up stays inside that tenant."""
    return f"{_TOKEN_PREFIX}.{tenant}.{secrets.token_urlsafe(_TOKEN_BYTES)}"


def tenant_of_token(token: str) -> str:
    """The tenant that a token names; `FleetError` unauthenticated when it has not the form of a token."""
    match token.split("."):
        case [prefix, tenant, secret] if prefix == _TOKEN_PREFIX and tenant and secret:
            try:
                return check_id("tenant", tenant)
            except ValueError as error:
                raise FleetError("unauthenticated", "the token is not valid") from error
    raise FleetError("unauthenticated", "the token is not valid")


def token_hash(token: str) -> str:
    """What is stored of a token: with 256 random bits a plain SHA-256 cannot be searched."""
    return hashlib.sha256(token.encode()).hexdigest()


def mint_password() -> str:
    """A password for one first sign-in: four groups that survive being read out over the phone."""
    alphabet = "23456789abcdefghjkmnpqrstuvwxyz"  # 31 characters, five bits each less a little: 20 give 99 bits
    return "-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(4))


def check_password(password: str, login: str) -> None:
    """Refuse a password that is too short, too long, too monotonous or the login itself."""
    if not PASSWORD_CHARS_MIN <= len(password) <= PASSWORD_CHARS_MAX:
        raise FleetError(
            "invalid",
            f"a password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters, this one has {len(password)}",
            field="password",
        )
    if len(set(password)) < PASSWORD_DISTINCT_MIN:
        raise FleetError(
            "invalid", f"a password has at least {PASSWORD_DISTINCT_MIN} different characters", field="password"
        )
    if login.lower() in password.lower():
        raise FleetError("invalid", "a password does not contain the login", field="password")


# --- how fast a password may be guessed ---

# People mistype; a program does not stop at three.
FREE_TRIES_ACCOUNT = 3
# Many people may stand behind one address.
FREE_TRIES_ADDRESS = 20
_FIRST_WAIT_MS = 1_000
# With this cap an account is guessed at most 17 times in its worst hour and 4 times in every later one.
_WAIT_MS_MAX = 15 * 60 * 1000
# After a quiet day the count begins anew.
FORGET_AFTER_MS = 24 * 3600 * 1000


def wait_ms(failures: int, free_tries: int) -> int:
    """How long after the try number `failures` the next one is evaluated: nothing at first, then doubling."""
    beyond = failures - free_tries
    if beyond < 0:
        return 0
    return min(_WAIT_MS_MAX, _FIRST_WAIT_MS << min(beyond, 20))
