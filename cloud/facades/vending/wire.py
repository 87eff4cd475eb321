"""How the vending dialect speaks: its envelope, its errors, its session, and the forms of money and time.

Every answer of the application is HTTP 200; `ret` is 0 for success. Money is a JSON number in yuan with at most two
decimals, moments are Unix seconds, days are integers YYYYMMDD in the business's time zone.
"""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

from fastapi.security import APIKeyCookie
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloud.accounts.model import Reach, Unit
from cloud.accounts.options import SHORTAGE_THRESHOLD, TIME_ZONE, option_of
from cloud.accounts.units import unit_seen
from cloud.calendar import Calendar
from cloud.errors import FleetError, Kind
from cloud.facades.dialect import Call, HttpKind, Lenient, Operation, Trouble
from cloud.limits import NAME_CHARS_MAX
from cloud.machines.model import Machine
from cloud.machines.register import machine_within
from cloud.paging import PAGE_MAX, WHOLE_MAX, Ask, Page

T = TypeVar("T")

COOKIE = "aisleflow_vending"
SCHEME = APIKeyCookie(name=COOKIE, auto_error=False, description="The session that login_save.php set.")

# kind -> ret. Numbers as in HTTP, because people know them; 0 alone is success.
CODES: dict[Kind | HttpKind, int] = {
    "malformed": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "conflict": 409,
    "gone": 410,
    "too_large": 413,
    "unsupported_media": 415,
    "invalid": 422,
    "too_many": 429,
    "internal": 500,
    "unavailable": 503,
}


Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$")]
Name = Annotated[str, Field(max_length=NAME_CHARS_MAX)]
Search = Annotated[str, Field(max_length=60)]


# A drop-down that nobody touched sends 0.
ZERO_IS_NONE = BeforeValidator(lambda value: None if value in (0, "0") else value)


def _digits(value: Any) -> Any:
    """20180101 of 2018-01-01, 2018/1/1 and 2018.1.1; anything else as it is."""
    match = _DAY.fullmatch(value.strip()) if isinstance(value, str) else None
    return value if match is None else int(match[1]) * 10_000 + int(match[2]) * 100 + int(match[3])


_DAY = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ][\d:]*)?")
# A day as YYYYMMDD, asked in any of these forms; whether there is such a day is looked at later.
Day = Annotated[int, BeforeValidator(_digits, json_schema_input_type=int), Field(ge=0, le=99_999_999)]


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _is_sent(value: Any) -> bool:
    return value not in (0, "0", False, "false")


# A switch that is thrown by being sent, whatever the value; 0 is not sent.
Switch = Annotated[
    bool, BeforeValidator(_is_sent), WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]})
]

# An amount told, as this dialect writes it: 9 and 0.02.
Money = Annotated[int | float, WithJsonSchema({"type": "number"})]

# What a page has when nobody says, and at most: more is cut to it.
PAGE_SIZE = 10
PAGE_SIZE_MAX = 100


class Asked(Lenient):
    """Base of what is asked. A field that is empty was not sent: forms send the boxes that nobody filled in."""

    @model_validator(mode="before")
    @classmethod
    def _without_empty_ones(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        return {name: value for name, value in fields.items() if not _is_empty(value)}


class PageAsked(Asked):
    """Base of lists that can be asked for by pages."""

    # 0 is the first page, and as many as usual: counters of programs begin with it.
    page_size: Annotated[int, Field(ge=0, le=10**9)] | None = None
    page_no: Annotated[int, Field(ge=0, le=PAGE_MAX)] | None = None

    @property
    def by_pages(self) -> bool:
        """Whether the client knows pages."""
        return self.page_size is not None or self.page_no is not None

    def ask(self, sort: str | None = None) -> Ask:
        """The page that is wanted."""
        return Ask(self.page_no or 1, min(self.page_size or PAGE_SIZE, PAGE_SIZE_MAX), sort)

    def ask_whole(self) -> Ask:
        """The page that is wanted, or for a client that knows no pages as much as there is."""
        return self.ask() if self.by_pages else Ask(1, WHOLE_MAX)

    def place(self, found: Page[Any]) -> dict[str, int]:
        """Which page was found, as a `PageTold` has it; nothing for a client that knows no pages."""
        return {"total": found.total, "page_size": found.page_size, "page_no": found.page} if self.by_pages else {}


class Told(BaseModel):
    """Base of what is told: built from the domain's frozen types, holding only what is declared."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


# Told to clients that ask for pages; for others the key is not there.
OfPage = Annotated[int | None, Field(exclude_if=lambda value: value is None)]


class PageTold(Told):
    """Base of a list that can be told by pages."""

    total: OfPage = None
    page_size: OfPage = None
    page_no: OfPage = None


class Empty(Told):
    """`data` of an operation that tells nothing."""


class Answer(BaseModel, Generic[T]):
    """The envelope of success."""

    ret: int
    data: T


class Failure(BaseModel):
    """The envelope of a failure: `msg` says why, `request_id` finds the request in the log."""

    ret: int
    msg: str
    request_id: str
    data: Empty


def envelope(operation: Operation) -> Any:
    """The whole shape of an answer."""
    return Answer[operation.tells or Empty]  # type: ignore[misc]


def enclose(operation: Operation, told: Any) -> Any:
    """What an operation tells, in the envelope."""
    return envelope(operation)(ret=0, data=Empty() if told is None else told)


def tell(trouble: Trouble) -> Response:
    """An error in this dialect: HTTP 200, except where no operation was reached at all."""
    failure = Failure(ret=CODES[trouble.kind], msg=trouble.detail, request_id=trouble.request_id, data=Empty())
    status = 405 if trouble.kind == "method_not_allowed" else 200
    headers = {"Retry-After": str(trouble.data.get("retry_after_s", 1))} if trouble.kind == "too_many" else {}
    return JSONResponse(failure.model_dump(), status_code=status, headers=headers)


def declared(operation: Operation) -> dict[int | str, dict[str, Any]]:
    """Errors share the status of success, so there is nothing to add but the shape."""
    return {"default": {"description": "ret is not 0: msg says why", "model": Failure}}


def token_of(request: Request) -> str | None:
    """The session: of the cookie, or the field `token` for clients that keep no cookies."""
    given = request.cookies.get(COOKIE) or request.state.fields.get("token")
    return given if isinstance(given, str) and given else None


def yuan(fen: int) -> int | float:
    """An amount as this dialect's JSON number. The division is exact: the value printed has at most two decimals."""
    amount = Decimal(fen) / 100
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def per(fen: int, count: int) -> int | float:
    """An amount shared among `count`, to the nearest fen; 0 for none."""
    return yuan((2 * fen + count) // (2 * count)) if count else 0


def percent(part: int, whole: int) -> int | float:
    """`part` of `whole` in percent with two decimals; 0 where either is nothing."""
    return per(part * 10_000, whole) if part > 0 and whole > 0 else 0


def seconds(ms: int) -> int:
    """A moment in Unix seconds."""
    return ms // 1000


def seconds_or_none(ms: int | None) -> int | None:
    """A moment in Unix seconds, where there is one."""
    return None if ms is None else seconds(ms)


async def calendar_of(call: Call[Any, Any]) -> Calendar:
    """The days in which the brand counts."""
    return Calendar((await option_of(call.work, [call.tenant], TIME_ZONE))[call.tenant])


async def shortage_of(call: Call[Any, Any]) -> int:
    """With how many items the brand calls an aisle short."""
    return int((await option_of(call.work, [call.tenant], SHORTAGE_THRESHOLD))[call.tenant])


# --- whom and what the caller sees ---


def reach(call: Call[Any, Any]) -> Reach:
    """What the caller sees here: of his own tenant, also for the platform's people."""
    return replace(call.subject.reach, tenant=call.tenant)


async def shop_seen(call: Call[Any, Any], shop: str) -> Unit:
    """The shop with this id; FleetError not_found for one out of reach, or a unit that is no shop."""
    found = await unit_seen(call.work, reach(call), call.tenant, shop)
    if found.kind != "shop":
        raise FleetError("not_found", f"there is no shop {shop!r}", field="shop_id")
    return found


async def machine_seen(call: Call[Any, Any], machine: str) -> Machine:
    """The machine with this id; FleetError not_found for one out of reach."""
    return await machine_within(call.work, reach(call), call.tenant, machine)


def person(call: Call[Any, Any], sent: str | None) -> str:
    """Who did it: the name that the client sent, or that of the account."""
    return sent or call.subject.name or call.subject.login
