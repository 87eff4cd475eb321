"""Errors of the native API: RFC 9457 problem details."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from cloud.errors import Kind
from cloud.facades.dialect import HttpKind, Operation, Trouble

MEDIA_TYPE = "application/problem+json"

# kind -> status, title. The kind is stable and meant for programs, the title for people.
PROBLEMS: dict[Kind | HttpKind, tuple[int, str]] = {
    "malformed": (400, "The request could not be read"),
    "unauthenticated": (401, "Nobody is signed in"),
    "forbidden": (403, "Not allowed"),
    "not_found": (404, "No such thing"),
    "method_not_allowed": (405, "This cannot be done here"),
    "conflict": (409, "In conflict with the present state"),
    "gone": (410, "No longer there"),
    "too_large": (413, "The request is too large"),
    "not_acceptable": (406, "No answer of the kinds that are accepted"),
    "unsupported_media": (415, "Not a media type that is understood here"),
    "invalid": (422, "A value is not as expected"),
    "too_many": (429, "Too many requests"),
    "internal": (500, "A failure on our side"),
    "unavailable": (503, "Not available now"),
}


class FieldProblem(BaseModel):
    """One value that is not as expected."""

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457. `type` is `urn:aisleflow:problem:<kind>`; `request_id` finds the request in the log."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    field: str | None = None
    errors: list[FieldProblem] | None = None


def tell(trouble: Trouble) -> Response:
    """A problem document; 401 and 429 carry the headers that belong to them."""
    status, title = PROBLEMS[trouble.kind]
    document = {
        "type": f"urn:aisleflow:problem:{trouble.kind}",
        "title": title,
        "status": status,
        "detail": trouble.detail,
        "request_id": trouble.request_id,
        **({"field": trouble.field} if trouble.field else {}),
        **trouble.data,
    }
    return JSONResponse(document, status_code=status, media_type=MEDIA_TYPE, headers=_headers(status, trouble))


def _headers(status: int, trouble: Trouble) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    if status == 429:
        return {"Retry-After": str(trouble.data.get("retry_after_s", 1))}
    return {}


def declared(operation: Operation) -> dict[int | str, dict[str, Any]]:
    """Every error an operation can answer, for OpenAPI."""
    kinds: list[Kind | HttpKind] = ["malformed", "too_large", "internal", "unavailable"]
    if operation.caller != "public":
        kinds += ["unauthenticated", "forbidden"]
    if operation.caller == "public" or operation.limited:
        kinds += ["unauthenticated", "too_many"]
    if "{" in operation.path:
        kinds.append("not_found")
    if operation.method != "GET":
        kinds += ["conflict", "not_found", "unsupported_media"]
    kinds.append("invalid")
    statuses = {PROBLEMS[kind][0]: PROBLEMS[kind][1] for kind in kinds}
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": title, "content": {MEDIA_TYPE: schema}} for status, title in sorted(statuses.items())
    }
