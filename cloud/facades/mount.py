"""From a table of operations to routes. The only place on the HTTP side where errors are caught.

A request passes through here in this order, and the order is the security: the body is read up to the limit; where
several operations share a path, its flag chooses one; the caller's token opens a transaction in the token's tenant and
becomes a Subject; the row's permission is checked; only then is the request validated and the use case run, in that
same transaction; the audit row is written; the transaction commits; the answer is sent. Whatever goes wrong rolls back
and leaves through `tell`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
import secrets
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import reduce
from operator import or_
from typing import Annotated, Any

from fastapi import APIRouter, Body, FastAPI, Header, Path, Query, Request, Response, Security
from fastapi.datastructures import Default
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.sse import EventSourceResponse
from pydantic import Discriminator, Tag
from sqlalchemy.exc import IntegrityError
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from cloud.accounts.audit import record
from cloud.accounts.model import Allowed, Permission, Subject, tenant_of_token
from cloud.accounts.sign_in import recognise
from cloud.database import Work
from cloud.errors import FleetError, Kind
from cloud.facades.dialect import Call, Dialect, HttpKind, Nothing, Operation, Parts, Trouble
from cloud.metrics import REQUESTS

log = logging.getLogger("cloud.http")

# A configuration of 400 aisles has about 100 kB; nothing legitimate comes near this.
BODY_BYTES_MAX = 1_000_000
# A megabyte over a poor mobile link; whoever is slower holds a connection for nothing.
BODY_TIMEOUT_S = 30
# Long enough for any client's key scheme, short enough for an index.
IDEMPOTENCY_KEY_PATTERN = r"^[\x21-\x7e]{8,120}$"
PATH_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_REQUEST_ID_BYTES = 12
# A caller mends the first few mistakes first.
PROBLEMS_MAX = 20
# NUL, as it comes in JSON (an escape that is not itself escaped), in forms and queries, and as it is. PostgreSQL keeps
# no text with it, and nobody means it.
_NUL = re.compile(rb"\x00|(?<!\\)(?:\\\\)*\\u0000")
_NUL_QUOTED = b"%00"
# The escape of half a character: two of them make one, and one alone is no text that could be written down.
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


Rows = tuple[Operation, ...]


def mount(app: FastAPI, dialect: Dialect, parts: Parts) -> None:
    """Add every operation of `dialect` to `app`; those that share method and path become one route."""
    router = APIRouter(prefix=dialect.prefix, route_class=_route_class(dialect, parts))
    ways: dict[tuple[str, str], list[Operation]] = {}
    for row in dialect.operations:
        for way in [(row.method, row.path), *row.aliases]:
            ways.setdefault(way, []).append(row)
    for (method, path), same in ways.items():
        rows = tuple(same)
        first = rows[0]
        router.add_api_route(
            path,
            _endpoint(rows, path, parts, dialect),
            methods=[method],
            name=first.name,
            operation_id=f"{dialect.name}_{'__'.join(row.name for row in rows)}",
            tags=[first.tag],
            summary=" / ".join(_first_line(row) for row in rows),
            description="\n\n".join(_described(row) for row in rows),
            status_code=dialect.status_of(first),
            response_model=None if first.streams else _answers(rows, dialect),
            response_class=_response_class(first, dialect),
            responses=dialect.declared_errors(first),
            include_in_schema=(method, path) == (first.method, first.path),
        )
    # Included, a router would look for the route of every request twice.
    app.router.routes.extend(router.routes)


def _answers(rows: Rows, dialect: Dialect) -> Any:
    shapes = [dialect.answer_of(row) for row in rows]
    return None if None in shapes else reduce(or_, shapes)


def _described(operation: Operation) -> str:
    text = inspect.getdoc(operation.does) or ""
    return text if operation.flag is None else f"`{operation.flag}`: {text}"


def _first_line(operation: Operation) -> str:
    lines = (inspect.getdoc(operation.does) or "").splitlines()
    assert lines, f"{operation.name} has no docstring, and the documentation is made of it"
    return lines[0].rstrip(".")


def _response_class(operation: Operation, dialect: Dialect) -> Any:
    if operation.streams:
        return EventSourceResponse
    # Where nothing else is wished for, shapes are written as JSON at once, without a dict in between.
    return Response if dialect.status_of(operation) == 204 else Default(JSONResponse)


def new_request_id(request: Request) -> str:
    """The caller's `X-Request-Id` where it is well formed, otherwise a new one."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_urlsafe(_REQUEST_ID_BYTES)


def _route_class(dialect: Dialect, parts: Parts) -> type[APIRoute]:
    class Route(APIRoute):
        """A route whose handler recognises the caller first and tells every error in its dialect."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            inner = super().get_route_handler()
            rows: Rows = self.endpoint.rows  # type: ignore[attr-defined]

            async def handle(request: Request) -> Response:
                request = Request(request.scope, _limited(request.receive))
                request.state.request_id = new_request_id(request)
                request.state.operation = rows[0]
                response = await _answer(request, rows, dialect, parts, inner)
                response.headers[REQUEST_ID_HEADER] = request.state.request_id
                # Answers hold money, people and now and then a secret: nobody on the way keeps or reinterprets them.
                response.headers["Cache-Control"] = "no-store"
                response.headers["X-Content-Type-Options"] = "nosniff"
                REQUESTS.labels(request.state.operation.name, f"{response.status_code // 100}xx").inc()
                return response

            return handle

    return Route


async def _answer(
    request: Request,
    rows: Rows,
    dialect: Dialect,
    parts: Parts,
    inner: Callable[[Request], Awaitable[Response]],
) -> Response:
    request_id: str = request.state.request_id
    try:
        if dialect.admit is not None:
            dialect.admit(request)
        request = await _read_body(request, rows, dialect)
        operation = request.state.operation = _chosen(rows, request.state.fields)
        token = dialect.token_of(request)
        request.state.token, request.state.subject, request.state.work = token, None, None
        if operation.caller == "public":
            return await inner(request)
        return await _answer_subject(request, operation, parts, inner, token, dialect)
    except FleetError as error:
        return dialect.tell(Trouble(error.kind, error.detail, request_id, error.field, error.data))
    except RequestValidationError as error:
        return dialect.tell(_invalid(error, request_id))
    except HTTPException as error:
        return dialect.tell(from_http(error, request_id))
    except ResponseValidationError as error:
        # The values may be what the shape exists to keep inside: only the places are logged.
        places = [".".join(str(part) for part in problem["loc"]) for problem in error.errors()]
        name = request.state.operation.name
        log.error("request %s (%s): the answer does not fit its shape at %s", request_id, name, places)
        return dialect.tell(_bug(request_id))
    except Exception:
        log.exception("request %s (%s) failed", request_id, request.state.operation.name)
        return dialect.tell(_bug(request_id))


async def _read_body(request: Request, rows: Rows, dialect: Dialect) -> Request:
    """Take the body in before anything is locked for it: a slow client holds up nobody.

    Answers the request with its body as JSON, and leaves the fields of one that was decoded in its state.
    """
    request.state.fields = {}
    request = _unpacked(request, await _whole_body(request))
    _refuse_no_text(request, await request.body())
    if all(row.body is Nothing for row in rows):
        return request
    if dialect.decode is not None:
        request.state.fields = await dialect.decode(request)
        return _with_json(request, request.state.fields)
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, f"Content-Type: {media_type[:60]!r} is not application/json")
    return request


def _refuse_no_text(request: Request, body: bytes) -> None:
    """FleetError invalid for a body or query with characters that are part of no text."""
    is_form = "form-urlencoded" in request.headers.get("Content-Type", "").lower()
    if _NUL.search(body) or (is_form and _NUL_QUOTED in body) or _NUL_QUOTED in request.scope["query_string"]:
        raise FleetError("invalid", "there is a NUL character in it, which is part of no text")
    if _HALF.search(body):
        try:
            json.dumps(json.loads(body), ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise FleetError("invalid", "there is half a character in it (a lone surrogate)") from error
        except (ValueError, RecursionError):
            return  # no JSON, which is told where it is read


def _unpacked(request: Request, body: bytes) -> Request:
    """The request with its body as it was before it was packed (gzip, deflate), under the same limit."""
    packing = request.headers.get("Content-Encoding", "").strip().lower()
    if packing in ("", "identity") or not body:
        return request
    if packing not in ("gzip", "x-gzip", "deflate"):
        raise HTTPException(415, f"Content-Encoding: {packing[:40]!r} is none of gzip, deflate, identity")
    try:
        unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)
        plain = unpacking.decompress(body, BODY_BYTES_MAX)
    except zlib.error as error:
        raise HTTPException(400, f"the body is not packed as it says ({packing}): {error}") from error
    if unpacking.unconsumed_tail:
        raise HTTPException(413, f"the body has more than {BODY_BYTES_MAX} bytes")
    if not unpacking.eof:
        raise HTTPException(400, f"the body ends before what was packed does ({packing})")
    return _with_body(request, plain, request.headers.get("Content-Type", ""))


# Whichever of the two headers it has.
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


def _with_json(request: Request, fields: dict[str, Any]) -> Request:
    """The same request as if its fields had come as JSON: from here on there is one way to validate."""
    return _with_body(request, json.dumps(fields).encode(), "application/json")


def _with_body(request: Request, body: bytes, media_type: str) -> Request:
    headers = [(name, value) for name, value in request.scope["headers"] if name not in _OF_THE_BODY]
    headers += [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({**request.scope, "headers": headers}, receive)


_OF_THE_BODY = (b"content-type", b"content-length", b"content-encoding", b"transfer-encoding")


def _chosen(rows: Rows, fields: dict[str, Any]) -> Operation:
    """The row whose flag is set; FleetError invalid when none is, or more than one."""
    if len(rows) == 1 and rows[0].flag is None:
        return rows[0]
    found = [row for row in rows if str(fields.get(row.flag or "")).strip().lower() in _SET]
    if len(found) != 1:
        flags = ", ".join(str(row.flag) for row in rows)
        raise FleetError("invalid", f"exactly one of {flags} must be 1, here {len(found)} are", field=rows[0].flag)
    return found[0]


# The forms in which a flag is set: the documented one, and those of languages that have no whole numbers, or a boolean.
_SET = ("1", "1.0", "true")


async def read_limited(request: Request) -> bytes:
    """The body of a request outside every dialect, under the same limits; raises HTTPException."""
    return await _whole_body(Request(request.scope, _limited(request.receive)))


async def _whole_body(request: Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.body()
    except TimeoutError as error:
        raise HTTPException(400, f"the body did not arrive within {BODY_TIMEOUT_S} s") from error


def _limited(receive: Receive) -> Receive:
    """`receive` that refuses to take in more than `BODY_BYTES_MAX`, whatever Content-Length said."""
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > BODY_BYTES_MAX:
            raise HTTPException(413, f"the body has more than {BODY_BYTES_MAX} bytes")
        return message

    return limited


async def _answer_subject(
    request: Request,
    operation: Operation,
    parts: Parts,
    inner: Callable[[Request], Awaitable[Response]],
    token: str | None,
    dialect: Dialect,
) -> Response:
    if token is None:
        raise FleetError("unauthenticated", "a token is needed: sign in first")
    tenant = tenant_of_token(token)

    async def answer(work: Work) -> Response:
        request.state.work = work
        request.state.subject = await recognise(work, token, dialect.name)
        _check_permission(request.state.subject, operation)
        if dialect.spans_tenants and request.state.subject.level == "platform":
            await work.span_tenants()
        return await inner(request)

    if operation.transacted and operation.changes is not None:
        try:
            return await parts.database.transact(answer, tenant=tenant)
        except IntegrityError:
            # A row appeared between looking and writing: the second run sees it and answers what it means.
            return await parts.database.transact(answer, tenant=tenant)
    async with parts.database.look(tenant=tenant) as work:
        if operation.transacted:
            return await answer(work)
        request.state.subject = await recognise(work, token, dialect.name)
    _check_permission(request.state.subject, operation)
    return await inner(request)


def _check_permission(subject: Subject, operation: Operation) -> None:
    match operation.caller:
        case Permission() as permission:
            admitted = subject.unit is None and subject.may(permission)
        case Allowed() as allowed:
            admitted = allowed.admits(subject)
        case _:
            admitted = True
    if admitted:
        return
    if subject.password_is_temporary:
        raise FleetError("forbidden", "this password was set by somebody else: change it first")
    raise FleetError("forbidden", f"this is not for the role {subject.role} of a {subject.level}")


# --- from a row to the function whose signature FastAPI validates and documents ---


def _endpoint(rows: Rows, path: str, parts: Parts, dialect: Dialect) -> Callable[..., Any]:
    first = rows[0]

    async def endpoint(**given: Any) -> Any:
        call = _call(parts, given)
        operation: Operation = given["request"].state.operation
        told = await operation.does(call)  # type: ignore[misc]
        if operation.changes is not None and call.held_work is not None:
            await record(call.work, call.subject, operation.changes, _asked(call), call.request_id)
        return told if dialect.enclose is None else dialect.enclose(operation, told)

    async def stream(**given: Any) -> AsyncIterator[Any]:
        async for event in first.does(_call(parts, given)):  # type: ignore[union-attr]
            yield event

    chosen: Any = stream if first.streams else endpoint
    chosen.rows = rows
    chosen.__name__ = first.name
    chosen.__signature__ = inspect.Signature(_parameters(rows, path, dialect))
    return chosen  # type: ignore[no-any-return]


def _body_shape(rows: Rows) -> Any:
    """The shape of the one row, or that of the row which the flag in the body chooses."""
    if len(rows) == 1:
        return rows[0].body
    tagged = [Annotated[row.body, Tag(str(row.flag))] for row in rows]
    return Annotated[reduce(or_, tagged), Discriminator(lambda fields: _chosen(rows, fields).flag)]


def _parameters(rows: Rows, path: str, dialect: Dialect) -> list[inspect.Parameter]:
    operation = rows[0]
    kinds: dict[str, Any] = {"request": Request, "reply": Response}
    for name in re.findall(r"{(\w+)}", path):
        kinds[name] = Annotated[str, Path(pattern=PATH_ID_PATTERN)]
    if operation.query is not Nothing:
        kinds["query"] = Annotated[operation.query, Query()]
    if any(row.body is not Nothing for row in rows):
        kinds["body"] = Annotated[_body_shape(rows), Body()]
    if operation.keyed:
        kinds["idempotency_key"] = Annotated[
            str,
            Header(
                pattern=IDEMPOTENCY_KEY_PATTERN,
                description="8 to 120 printable characters; the same key with the same body has one effect, for ever.",
            ),
        ]
    if operation.streams:
        kinds["last_event_id"] = Annotated[str | None, Header(pattern=r"^\d{1,18}$")]
    if any(row.caller != "public" for row in rows):
        # Declared for the documentation: the token itself was recognised before the request was validated.
        kinds["credential"] = Annotated[Any, Security(dialect.scheme)]
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=None)
        if name == "last_event_id"
        else inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind)
        for name, kind in kinds.items()
    ]


def _call(parts: Parts, given: dict[str, Any]) -> Call[Any, Any]:
    request: Request = given["request"]
    return Call(
        parts=parts,
        path=dict(request.path_params),
        body=given.get("body", Nothing()),
        query=given.get("query", Nothing()),
        request_id=request.state.request_id,
        address=request.client.host if request.client else "unknown",
        token=request.state.token,
        idempotency_key=given.get("idempotency_key"),
        last_event_id=given.get("last_event_id"),
        held_subject=request.state.subject,
        held_work=request.state.work,
        reply=given["reply"],
    )


def _asked(call: Call[Any, Any]) -> dict[str, Any]:
    """What the audit log keeps of a request; secrets are `SecretStr` in the shapes and come out masked."""
    return {**call.path, **call.body.model_dump(mode="json", exclude_unset=True)}


# --- errors that are not ours, in our words ---

_HTTP_KINDS: dict[int, Kind | HttpKind] = {
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    406: "not_acceptable",
    415: "unsupported_media",
}


def from_http(error: HTTPException, request_id: str) -> Trouble:
    """What the framework itself refuses (unknown path, wrong method, too large a body)."""
    return Trouble(_HTTP_KINDS.get(error.status_code, "malformed"), str(error.detail), request_id)


def _invalid(error: RequestValidationError, request_id: str) -> Trouble:
    problems = [
        {"field": ".".join(str(part) for part in problem["loc"]), "message": str(problem["msg"])}
        for problem in error.errors()[:PROBLEMS_MAX]
    ]
    first = problems[0]
    if error.errors()[0]["type"] == "json_invalid":
        return Trouble("malformed", f"the body is not JSON: {error.errors()[0]['ctx']['error']}", request_id)
    detail = f"{first['field']}: {first['message']}"
    return Trouble("invalid", detail, request_id, first["field"], {"errors": problems})


def _bug(request_id: str) -> Trouble:
    return Trouble("internal", "something failed here; the log knows it under this request id", request_id)
