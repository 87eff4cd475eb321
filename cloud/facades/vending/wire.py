"""How the vending dialect speaks: its envelope, its errors, its session, and the forms of money and time.

Every answer of the application is HTTP 200; `ret` is 0 for success. Money is a JSON number in yuan with at most two
decimals, moments are Unix seconds, days are integers YYYYMMDD in the business's time zone.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Generic, TypeVar

from fastapi.security import APIKeyCookie
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloud.errors import Kind
from cloud.facades.dialect import HttpKind, Operation, Trouble

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


class Told(BaseModel):
    """Base of what is told: built from the domain's frozen types, holding only what is declared."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


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


def yuan(fen: int) -> float:
    """An amount as this dialect's JSON number. The division is exact: the value printed has at most two decimals."""
    amount = Decimal(fen) / 100
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def seconds(ms: int | None) -> int | None:
    """A moment in Unix seconds."""
    return None if ms is None else ms // 1000
