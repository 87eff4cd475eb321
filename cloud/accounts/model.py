"""Roles, permissions and the caller's identity. Pure.

A *tenant* is one business (a brand); every row belongs to one and every query carries it. Below it stands a tree of
*units*: agents, their dealers, their shops. A *user* is a person who works for a tenant, for the whole of it or for one
unit, in exactly one role; a *customer* is a member who asks for his own things. What a role may do is `POLICY`, one
table, and nothing else grants anything: an operation names the permission it needs, and a caller without it is refused
before the request body is even read. What of a tenant a caller sees is another question: `Reach` answers it.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, get_args

from cloud.errors import FleetError
from shared.ids import check_id

Role = Literal["platform", "owner", "operator", "technician", "finance", "viewer"]
ROLES: tuple[Role, ...] = get_args(Role)
CallerRole = Role | Literal["customer"]

UnitKind = Literal["agent", "dealer", "shop"]
# Where a caller stands: over all tenants, over one, in one of its units, or in front of the machine.
Level = Literal["platform", "brand", "agent", "dealer", "shop", "customer"]
LEVELS: tuple[Level, ...] = get_args(Level)
# Everybody who works here.
STAFF: frozenset[Level] = frozenset(LEVELS) - {"customer"}

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """An agent, a dealer or a shop. `path` names all units from the top down to this one: "/AG1/DL2/SH888/"."""

    tenant: str
    unit: str
    kind: UnitKind
    name: str
    parent: str | None
    path: str
    logo: str = ""
    address: str = ""
    contact: str = ""
    phone: str = ""
    disabled: bool = False
    created_ms: int = 0
    changed_ms: int = 0
    # When it was taken away for good; its number stays with what was done there.
    closed_ms: int | None = None


# Which kind of unit may stand under which; None is the brand itself.
PARENTS: dict[UnitKind, frozenset[UnitKind | None]] = {
    "agent": frozenset({None}),
    "dealer": frozenset({None, "agent"}),
    "shop": frozenset({None, "agent", "dealer"}),
}


@dataclass(frozen=True, slots=True)
class Reach:
    """What a caller may see: one tenant or (None) all of them, all of it or the units below `path`, or a member's own.

    `cloud.accounts.reach` makes the conditions of a query from it, and nothing else does.
    """

    tenant: str | None
    path: str = ""
    member: str | None = None


@dataclass(frozen=True, slots=True)
class Allowed:
    """Who may call an operation: callers of these levels; staff among them need the permission too."""

    levels: frozenset[Level]
    permission: Permission | None = None

    def admits(self, subject: Subject) -> bool:
        """Whether the caller is one of them. A customer needs no permission: he reaches only what is his own."""
        if subject.password_is_temporary or subject.level not in self.levels:
            return False
        return subject.level == "customer" or self.permission is None or subject.may(self.permission)


@dataclass(frozen=True, slots=True)
class Subject:
    """The caller, once his token was recognised."""

    tenant: str
    user: str
    login: str
    role: CallerRole
    # A password set by somebody else opens one door only: the one behind which it is replaced.
    password_is_temporary: bool = False
    name: str = ""
    unit: Unit | None = None

    @property
    def level(self) -> Level:
        """Where the caller stands."""
        if self.role in ("platform", "customer"):
            return self.role
        return self.unit.kind if self.unit is not None else "brand"

    @property
    def reach(self) -> Reach:
        """What the caller may see."""
        match self.level:
            case "platform":
                return Reach(tenant=None)
            case "customer":
                return Reach(tenant=self.tenant, member=self.user)
        return Reach(tenant=self.tenant, path=self.unit.path if self.unit is not None else "")

    def may(self, permission: Permission) -> bool:
        """Whether the caller's role grants `permission`."""
        return not self.password_is_temporary and self.role != "customer" and permission in POLICY[self.role]

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
    # The unit he works for; None: the whole tenant. The phone number by which he signs in where logins are numbers.
    unit: str | None = None
    phone: str = ""
    # Where he works from, as far as anybody said: province, city and district, and coordinates.
    area: str = ""
    coordinates: str = ""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One business."""

    tenant: str
    name: str
    created_ms: int


BrandState = Literal["disabled", "inactive", "active"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """What is known of a tenant as a brand; one that nobody described has the defaults.

    `owner` is the user in whose name the brand signs in. `mp_*` is its WeChat official account, `mch_*` its merchant
    account; the secrets are sealed (`cloud.accounts.vault`). `options` is a JSON object of the brand's settings.
    """

    tenant: str
    owner: str | None = None
    state: BrandState = "active"
    kind: int = 0
    short_name: str = ""
    logo: str = ""
    domain: str = ""
    contact: str = ""
    phone: str = ""
    wechat: str = ""
    email: str = ""
    area: str = ""
    address: str = ""
    remark: str = ""
    reserved: str = ""
    mp_gid: str = ""
    mp_appid: str = ""
    mch_gid: str = ""
    mch_appid: str = ""
    mp_secret_sealed: str = field(default="", repr=False)
    mch_secret_sealed: str = field(default="", repr=False)
    options: str = "{}"
    closed_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """One contract that was signed with a brand. Times in ms, None where it does not say."""

    tenant: str
    signing: str
    title: str = ""
    contract: str = ""
    signed_ms: int | None = None
    begins_ms: int | None = None
    ends_ms: int | None = None
    amount_fen: int = 0
    remark: str = ""
    created_ms: int = 0


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
