"""The only builder of the HTTP application."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from cloud.errors import FleetError
from cloud.facades.callbacks import mount_callbacks
from cloud.facades.dialect import Dialect, Parts
from cloud.facades.health import mount_health
from cloud.facades.hosts import DialectHosts
from cloud.facades.iot.table import IOT
from cloud.facades.mount import REQUEST_ID_HEADER, from_http, mount, new_request_id
from cloud.facades.native.problems import Problem
from cloud.facades.native.table import NATIVE
from cloud.facades.vending.table import VENDING

DIALECTS: tuple[Dialect, ...] = (NATIVE, VENDING, IOT)

# How long a browser goes by what it was told about origins: as long as any of them would.
ORIGIN_ASKED_AGAIN_S = 86_400

_ABOUT = """Everything that can be asked of a fleet of vending machines.

Money is whole fen in fields named `*_fen`, time is milliseconds since 1970 in fields named `*_ms`. Lists come in pages:
`page` and `page_size` go in, `items`, `total` and `next` come out. Errors are RFC 9457 problem details.

Below `/vending` and `/iot` the same fleet speaks two older APIs, in their own envelopes, with amounts in yuan. Of what
the second one only names, these operations were added: agents, dealers and shops (`/iot/agents`), rentals
(`/iot/rentals`), promotions with reductions, coupons, rewarded sharing and group buying (`/iot/promotions`,
`/iot/coupons`, `/iot/groups`), advertising (`/iot/advertisements`), rights and staff (`/iot/rights`, `/iot/staff`),
settings (`/iot/settings`), the steps of tickets below `/iot/tickets/TID`, and signing in (`/iot/login`).
"""


def build_app(parts: Parts, dialects: tuple[Dialect, ...] = DIALECTS) -> FastAPI:
    """The application with all its dialects; it owns nothing, so whoever made the parts closes them."""
    app = FastAPI(
        title="AisleFlow",
        version="1",
        summary="Cloud of the AisleFlow vending platform",
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for dialect in dialects:
        mount(app, dialect, parts)
    mount_callbacks(app, parts)
    mount_health(app, parts)
    prefixes = {dialect.name: dialect.prefix for dialect in dialects}
    if unknown := set(parts.settings.dialect_of_host.values()) - set(prefixes):
        raise FleetError("invalid", f"{min(unknown)!r} is not one of {', '.join(prefixes)}", field="AISLEFLOW_HOSTS")
    of_host = {host: prefixes[name] for host, name in parts.settings.dialect_of_host.items()}
    app.add_middleware(DialectHosts, of_host, [one.prefix for one in dialects if one.is_lenient])
    if origins := parts.settings.origin_list:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
            # The session of the vending dialect is a cookie; to whoever may come from anywhere none is lent.
            allow_credentials="*" not in origins,
            max_age=ORIGIN_ASKED_AGAIN_S,
        )

    @app.exception_handler(HTTPException)
    async def unrouted(request: Request, error: HTTPException) -> Response:
        """No operation has this path or method: answered like every other problem of the dialect it was asked in."""
        request_id = new_request_id(request)
        path = request.url.path
        asked = next((one for one in dialects if path == one.prefix or path.startswith(one.prefix + "/")), dialects[0])
        response = asked.tell(from_http(error, request_id))
        response.headers[REQUEST_ID_HEADER] = request_id
        response.headers.update(error.headers or {})
        return response

    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def _described(app: FastAPI) -> dict[str, object]:
    """FastAPI's OpenAPI document with the problem shape that the error responses refer to."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(problem.pop("$defs", {}))
        schemas["Problem"] = problem
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
    assert app.openapi_schema is not None, "FastAPI keeps the document it made"
    return app.openapi_schema
