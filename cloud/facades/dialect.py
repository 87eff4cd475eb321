"""What a dialect is: a table of operations, how it recognises a caller, and how it says that something went wrong.

An `Operation` is one row: method, path and, where several share a path, the flag in the body that chooses it; who may
call, the shape asked, the use case, the shape told. Adding an operation is adding a row; the mechanism in `mount.py` is
the same for every dialect.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cache
from types import UnionType
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from fastapi.security import APIKeyCookie, APIKeyHeader, HTTPBearer
from pydantic import AliasChoices, BaseModel, ConfigDict, SecretStr, model_validator
from starlette.requests import Request
from starlette.responses import Response

from cloud.accounts.codes import Codes
from cloud.accounts.model import Allowed, Permission, Subject
from cloud.accounts.passwords import Passwords
from cloud.accounts.vault import Vault
from cloud.database import Database, Work
from cloud.errors import Kind
from cloud.machines.credentials import Credentials
from cloud.payments.till import Till
from cloud.settings import Settings
from cloud.watch import Watch
from shared.clock import Clock

# Who may call. public: nobody has to say who he is. signed_in: any valid token, even of a temporary password.
# A permission alone is for people of the whole tenant; `Allowed` names the levels that may call.
Caller = Permission | Allowed | Literal["public", "signed_in"]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Wire(BaseModel):
    """Base of all shapes asked: a field that is not declared is refused, and a string is never taken for a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Filter(BaseModel):
    """Base of all queries: undeclared parameters are refused; values arrive as text, so text becomes numbers here."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Lenient(BaseModel):
    """Base of what older clients ask: fields nobody knows are passed over, and a number may come as text or text as a
    number, because the programs that send it were written in languages that do not tell the two apart.

    A word of a few may come in capitals. Blanks around a text are no part of it: people type them, and scanners end
    with a new line. A field that is null was not sent, and neither was an empty one that holds no text: such programs
    send all the fields they know, and forms the boxes that nobody filled in. An empty text is one.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, sent: Any) -> Any:
        if not isinstance(sent, dict):
            return sent
        fields = _fields(cls)
        told = {name: fields[name].meant(value) if name in fields else value for name, value in sent.items()}
        return {name: value for name, value in told.items() if name not in fields or fields[name].is_sent(value)}


@dataclass(frozen=True, slots=True)
class _Field:
    """What a field may hold: any text, a secret (which stays as it is), one of some words."""

    is_text: bool
    is_secret: bool
    words: tuple[Any, ...]

    def meant(self, value: Any) -> Any:
        """A text without what stands around it, a word whatever its capitals; every other value as it is."""
        if not isinstance(value, str) or self.is_secret:
            return value
        text = value.strip()
        return text.lower() if text.lower() in self.words and text not in self.words else text

    def is_sent(self, value: Any) -> bool:
        """Whether this is a value at all."""
        return value is not None and (value != "" or self.is_text)


@cache
def _fields(shape: type[BaseModel]) -> dict[str, _Field]:
    """Every name under which a field may be sent."""
    found = {}
    for name, of in _sent_as(shape):
        kinds = set(_kinds(of))
        words = tuple(one for kind in kinds if get_origin(kind) is Literal for one in get_args(kind))
        found[name] = _Field(not {str, SecretStr}.isdisjoint(kinds), SecretStr in kinds, words)
    return found


def _sent_as(shape: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    for name, field in shape.model_fields.items():
        alias = field.validation_alias
        for one in alias.choices if isinstance(alias, AliasChoices) else [alias or name]:
            yield str(one), field.annotation


def _kinds(kind: Any) -> Iterator[Any]:
    """The types that a value may have, without what is said about them."""
    if get_origin(kind) in (Union, UnionType):
        for part in get_args(kind):
            yield from _kinds(part)
    elif get_origin(kind) is Annotated:
        yield from _kinds(get_args(kind)[0])
    else:
        yield kind


class Nothing(Filter):
    """The shape of an absent query or body."""


BodyT = TypeVar("BodyT", bound=BaseModel)
QueryT = TypeVar("QueryT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a process gives its facades."""

    settings: Settings
    database: Database
    clock: Clock
    passwords: Passwords
    credentials: Credentials
    watch: Watch
    till: Till
    codes: Codes
    vault: Vault
    # To be called after a commit that let a machine in or kept one out: the broker has to learn of it.
    credentials_changed: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Call(Generic[BodyT, QueryT]):
    """One request on its way to a use case, everything in it validated.

    `work` is the transaction that commits when the operation returns; operations declared without one open their own.
    """

    parts: Parts
    path: Mapping[str, str]
    body: BodyT
    query: QueryT
    request_id: str
    address: str
    token: str | None = dataclass_field(repr=False)
    idempotency_key: str | None
    last_event_id: str | None
    held_subject: Subject | None
    held_work: Work | None
    # Headers and cookies of the answer, for the few operations that set some.
    reply: Response

    @property
    def subject(self) -> Subject:
        """The caller; only public operations have none."""
        assert self.held_subject is not None, "a public operation asked who is calling"
        return self.held_subject

    @property
    def work(self) -> Work:
        """The transaction of this request."""
        assert self.held_work is not None, "this operation is declared to run outside a transaction"
        return self.held_work

    @property
    def tenant(self) -> str:
        """The caller's tenant: the only one this call can reach."""
        return self.subject.tenant


Use = Callable[[Call[Any, Any]], Awaitable[Any]]
Stream = Callable[[Call[Any, Any]], AsyncIterator[Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of a dialect.

    The shapes stand in the signature of `does` and nowhere else: `async def place(call: Call[Body, Query]) -> Told`.
    `changes` names the action in the audit log; an operation without it only looks, and can write nothing. `keyed` ones
    demand an `Idempotency-Key`. `transacted=False` is for operations that must not hold a transaction while they work:
    hashing a password, streaming events. `limited` ones may answer that the caller has to wait.
    """

    method: Method
    path: str
    caller: Caller
    does: Use | Stream
    changes: str | None = None
    success: int = 200
    keyed: bool = False
    transacted: bool = True
    streams: bool = False
    limited: bool = False
    # The field that chooses this row among those of its path.
    flag: str | None = None
    # Other ways in which clients ask for the same; served, and left out of the documentation.
    aliases: tuple[tuple[Method, str], ...] = ()

    @property
    def name(self) -> str:
        """The operation id: the name of what it does."""
        return self.does.__name__

    @property
    def tag(self) -> str:
        """The group in the documentation: the module in which it stands."""
        return self.does.__module__.rpartition(".")[2]

    @property
    def body(self) -> type[BaseModel]:
        """The shape of the body asked."""
        return _shapes(self.does)[0]

    @property
    def query(self) -> type[BaseModel]:
        """The shape of the query asked."""
        return _shapes(self.does)[1]

    @property
    def tells(self) -> Any:
        """The shape told, or None for an empty answer."""
        return _told(self.does)

    @property
    def status(self) -> int:
        """The status of success."""
        return 204 if self.tells is None else self.success


# Asked for on every request, and worth half a statement to find out.
@cache
def _shapes(does: Use | Stream) -> tuple[type[BaseModel], type[BaseModel]]:
    body, query = get_args(get_type_hints(does)["call"])
    return body, query


@cache
def _told(does: Use | Stream) -> Any:
    told = get_type_hints(does)["return"]
    return None if told is type(None) else told


# What can go wrong on the HTTP side alone, beside the kinds of a FleetError.
HttpKind = Literal["malformed", "method_not_allowed", "not_acceptable", "too_large", "unsupported_media", "internal"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a request was not answered as hoped, before a dialect puts it into its words."""

    kind: Kind | HttpKind
    detail: str
    request_id: str
    field: str | None = None
    data: Mapping[str, Any] = dataclass_field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One API: where it lives, its operations, and its two translations."""

    name: str
    prefix: str
    operations: tuple[Operation, ...]
    # The token in a request, in the place where this dialect carries it.
    token_of: Callable[[Request], str | None]
    # An error in this dialect's words.
    tell: Callable[[Trouble], Response]
    # The fields of a body that need not be JSON (a form, say). None: JSON, as the shapes say.
    decode: Callable[[Request], Awaitable[dict[str, Any]]] | None = None
    # The shape in which what an operation tells is sent, and what it tells put into it. None: as it is told.
    envelope: Callable[[Operation], Any] | None = None
    enclose: Callable[[Operation, Any], Any] | None = None
    # Refuses a request by its headers alone, before anything else is looked at. None: nothing is refused so.
    admit: Callable[[Request], None] | None = None
    # Whether old clients speak it: paths are read as they write them (`cloud.facades.hosts`).
    is_lenient: bool = False
    # Whether the platform's own people see all tenants here; elsewhere they are people of their own tenant.
    spans_tenants: bool = False
    # How OpenAPI declares the errors of an operation.
    declared_errors: Callable[[Operation], dict[int | str, dict[str, Any]]]
    # How OpenAPI declares where the token is carried.
    scheme: HTTPBearer | APIKeyHeader | APIKeyCookie

    def answer_of(self, operation: Operation) -> Any:
        """The whole shape of an answer; None for an empty one."""
        return operation.tells if self.envelope is None else self.envelope(operation)

    def status_of(self, operation: Operation) -> int:
        """The status of success."""
        return 204 if self.answer_of(operation) is None else operation.success
