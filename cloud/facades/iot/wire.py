"""How the IoT dialect speaks: its envelope, its errors, and the forms of money and time.

True HTTP statuses, and an envelope around every answer that has a body: `total`, `data`, `status` (true for success),
`code`, `message`. A list stands in `data` and once more under its own name ("users"), because the documentation shows
both; of a single object only the keys that it names (`top`) stand beside the envelope, since others could collide.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from fastapi.security import HTTPBearer
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloud.accounts.model import STAFF, Allowed, Level, Permission
from cloud.errors import FleetError, Kind
from cloud.facades.dialect import HttpKind, Lenient, Operation, Trouble
from cloud.limits import FIGURE_MAX, FIGURE_MIN, MOMENT_END_MS
from cloud.paging import OFFSET_MAX, Ask
from shared.quantities import fen_from_yuan

SCHEME = HTTPBearer(auto_error=False, description="The token that POST /iot/login answered.")

# kind -> status. The documentation knows these numbers and no others where one of them fits.
STATUSES: dict[Kind | HttpKind, int] = {
    "malformed": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "conflict": 400,
    "gone": 410,
    "too_large": 413,
    "unsupported_media": 415,
    "invalid": 422,
    "too_many": 403,
    "internal": 500,
    "unavailable": 503,
}

# The marks of the documentation: the platform's own people; with the brands; with agents, dealers and shops; customers.
PLATFORM: frozenset[Level] = frozenset({"platform"})
BRANDS: frozenset[Level] = frozenset({"platform", "brand"})
OFFICES: frozenset[Level] = STAFF
CUSTOMERS: frozenset[Level] = frozenset({"customer"})


def allow(levels: frozenset[Level], permission: Permission | None = None) -> Allowed:
    """Callers of these levels, of staff those with the permission."""
    return Allowed(levels, permission)


# The documentation shows 10; nobody leafs through more than a hundred rows at once.
LIMIT = 10
LIMIT_MAX = 100


# A number that rows are compared with: no key holds more, and a larger one is refused here and not by the database.
Figure = Annotated[int, Field(ge=FIGURE_MIN, le=FIGURE_MAX)]


# What the documentation calls now by one name, now by the other. Answers have the name of their place; asked, either.
_SYNONYMS = (
    ("uid", "user_id"),
    ("vid", "vendor_id"),
    ("rid", "referrer_id"),
    ("prod_id", "product_id"),
    ("device_id", "device_ids"),
)
_EITHER_NAME = (*_SYNONYMS, *((theirs, ours) for ours, theirs in _SYNONYMS))


class Asked(Lenient):
    """Base of what is asked."""

    @model_validator(mode="before")
    @classmethod
    def _by_either_name(cls, sent: Any) -> Any:
        if not isinstance(sent, dict):
            return sent
        known = cls.model_fields
        taken = {
            name: sent[other]
            for name, other in _EITHER_NAME
            if name in known and other not in known and not sent.get(name) and other in sent
        }
        return {**sent, **taken}


class Window(Asked):
    """Base of the queries of lists: which rows, in which order, and equal to what.

    `columns` names the keys of a row by which a list can be sorted, and what the domain calls them. A field of a
    subclass with such a name is a filter: the row's key has this value. Keys that nobody knows and empty values are
    passed over.
    """

    columns: ClassVar[Mapping[str, str]] = {}

    limit: Annotated[int, Field(ge=1, description=f"{LIMIT_MAX} at most: more is cut to it")] = LIMIT
    offset: Annotated[int, Field(ge=0, le=OFFSET_MAX)] = 0
    sort: Annotated[str, Field(max_length=64, description="a key of the row")] = ""
    order: Literal["asc", "desc"] = "asc"

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        return {key: value for key, value in given.items() if value != ""} if isinstance(given, dict) else given

    @property
    def ask(self) -> Ask:
        """The part of the list, in the domain's words; a 400 for a sort key that the row does not have."""
        if self.sort and self.sort not in self.columns:
            raise HTTPException(400, f"sort: {self.sort!r} is not one of {', '.join(sorted(self.columns))}")
        sort = ("-" if self.order == "desc" else "") + self.columns[self.sort] if self.sort else None
        filters = self.columns.keys() & type(self).model_fields.keys()
        given = {key: getattr(self, key) for key in filters}
        equals = {self.columns[key]: value for key, value in given.items() if value is not None}
        return Ask(page_size=min(self.limit, LIMIT_MAX), offset=self.offset, sort=sort, equals=equals)


class Told(BaseModel):
    """Base of what is told: built from the domain's frozen types, holding only what is declared."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class Single(Told):
    """Base of one object told. `top` names the keys that stand beside the envelope as well."""

    top: ClassVar[tuple[str, ...]] = ()


class Listed(Told):
    """Base of a list told: one field more, a list under the name of the documentation; `total` counts all of it."""

    total: int

    @classmethod
    def key(cls) -> str:
        """The name of the list."""
        (name,) = cls.model_fields.keys() - {"total"}
        return name


class Envelope(BaseModel):
    """What surrounds every answer."""

    total: int = 0
    status: bool = True
    code: str = ""
    message: str = ""


class Done(Envelope):
    """The answer of an operation that tells nothing."""

    data: list[None] = []


class Failure(Envelope):
    """A failure: `code` is the status in digits, `message` says why, `request_id` finds the request in the log."""

    status: bool = False
    data: list[None] = []
    request_id: str


@cache
def _answer(told: type[Told] | None) -> type[Envelope]:
    if told is None:
        return Done
    if issubclass(told, Listed):
        kind = told.model_fields[told.key()].annotation
        fields: dict[str, Any] = {"data": (kind, ...), told.key(): (kind, ...)}
    else:
        top = told.top if issubclass(told, Single) else ()
        fields = {"data": (told, ...), **{name: (told.model_fields[name].annotation, ...) for name in top}}
    return create_model(f"{told.__name__}Answer", __base__=Envelope, **fields)


def envelope(operation: Operation) -> Any:
    """The whole shape of an answer; None where the status says everything (204)."""
    return None if operation.success == 204 else _answer(operation.tells)


def enclose(operation: Operation, told: Any) -> Any:
    """What an operation tells, in the envelope."""
    shape = envelope(operation)
    if shape is None or told is None:
        return None if shape is None else shape()
    if isinstance(told, Listed):
        items = getattr(told, told.key())
        return shape(total=told.total, data=items, **{told.key(): items})
    top = told.top if isinstance(told, Single) else ()
    return shape(total=1, data=told, **{name: getattr(told, name) for name in top})


def tell(trouble: Trouble) -> Response:
    """An error in this dialect."""
    status = STATUSES[trouble.kind]
    failure = Failure(code=str(status), message=trouble.detail, request_id=trouble.request_id)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if trouble.kind == "too_many":
        headers["Retry-After"] = str(trouble.data.get("retry_after_s", 1))
    return JSONResponse(failure.model_dump(), status_code=status, headers=headers)


def declared(operation: Operation) -> dict[int | str, dict[str, Any]]:
    """Every error an operation can answer, for OpenAPI."""
    statuses = sorted({status for status in STATUSES.values() if status != 405})
    return {status: {"description": "a failure: message says why", "model": Failure} for status in statuses}


# What a media range that includes JSON may be.
_JSON_RANGES = {"application/json", "application/*", "*/*", ""}


def admit(request: Request) -> None:
    """HTTPException 406 for a GET that accepts no JSON: there is nothing else, and the documentation names it."""
    ranges = [one.partition(";")[0].strip().lower() for one in request.headers.get("Accept", "").split(",")]
    if request.method == "GET" and not _JSON_RANGES.intersection(ranges):
        raise HTTPException(406, "answers are application/json and nothing else")


def token_of(request: Request) -> str | None:
    """The bearer token of the Authorization header (RFC 6750)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def iso(ms: int | None) -> str:
    """A moment as the documentation wants it, in UTC; "" when it has not come."""
    return "" if ms is None else datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# So many digits are ms since 1970, as browsers count: as seconds they would lie far past the year 9999.
MS_DIGITS_MIN = 13


def _ms(value: Any) -> int | None:
    """The forms in which moments are sent: ISO 8601, a day as YYYYMMDD, seconds or ms since 1970; "" and 0 are none."""
    text = str(value if value is not None else "").strip().replace("/", "-")
    if text in ("", "0"):
        return None
    if len(text) == len("20171221") and text.isdecimal():
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    elif text.isdecimal():
        return int(text) * (1 if len(text) >= MS_DIGITS_MIN else 1000)
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 1000


# A moment asked, in ms since 1970; what bears no zone is UTC, as in the answers.
Moment = Annotated[Annotated[int, Field(ge=0, lt=MOMENT_END_MS)] | None, BeforeValidator(_ms)]


def moment_ms(field: str, sent: Any) -> int | None:
    """A moment among notes whose shape is free; FleetError invalid."""
    try:
        return _ms(sent)
    except ValueError as error:
        raise FleetError("invalid", f"{str(sent)[:40]!r} is no moment", field=field) from error


def same_id(field: str, sent: str, path: str) -> None:
    """The body repeats what the path says, or leaves it out; HTTPException 400 when the two differ."""
    if sent not in ("", path):
        raise HTTPException(400, f"{field}: {sent[:60]!r} is not {path!r}, of which the path speaks")


# The most that one price may be: a million yuan.
PRICE_MAX_FEN = 100_000_000


def _fen(value: Any) -> Any:
    """Yuan as they are sent, a number or its text, in fen; ValueError for parts of a fen."""
    if isinstance(value, bool):
        raise ValueError("an amount is a number")
    return fen_from_yuan(str(value)) if isinstance(value, int | float | str) else value


# An amount asked, sent in yuan and held in fen.
Yuan = Annotated[int, BeforeValidator(_fen, json_schema_input_type=float), Field(ge=0, le=PRICE_MAX_FEN)]


# An amount told: whole ones without a point, as the documentation writes them.
Money = int | float


def yuan(fen: int) -> Money:
    """An amount as a JSON number. The division is exact: the value printed has at most two decimals."""
    amount = Decimal(fen) / 100
    return int(amount) if amount == amount.to_integral_value() else float(amount)
