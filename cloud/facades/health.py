"""What a supervisor, a load balancer and Prometheus ask: outside every dialect, without a caller or a secret."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from cloud.facades.dialect import Parts
from cloud.metrics import REGISTRY
from cloud.migrations import is_current

# A probe that takes longer is a no: load balancers ask every few seconds.
PROBE_TIMEOUT_S = 2.0


def mount_health(app: FastAPI, parts: Parts) -> None:
    """Add /healthz, /readyz, /metrics, /version and the page of operations."""

    @app.get("/healthz", tags=["health"], response_class=JSONResponse)
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], responses={503: {"description": "Not ready; the body says what is missing"}})
    async def readyz() -> JSONResponse:
        """Whether the database answers, its migrations are at head, and the broker can be reached.

        The broker is named but does not make the service unready: orders and boards are served without it.
        """
        database, broker = await asyncio.gather(_database_state(parts), _broker_state(parts))
        ready = database == "ok" and not parts.watch.closed
        body = {"status": "ok" if ready else "unready", "database": database, "broker": broker}
        return JSONResponse(body, status_code=200 if ready else 503)

    @app.get("/metrics", tags=["health"], response_class=Response)
    async def metrics() -> Response:
        """Counters in Prometheus's text format."""
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    @app.get("/version", tags=["health"], response_class=JSONResponse)
    async def release() -> dict[str, str]:
        """The release that runs."""
        return {"version": version("aisleflow")}

    @app.get("/", include_in_schema=False, response_class=HTMLResponse)
    async def index() -> str:
        return _index(app)


async def _database_state(parts: Parts) -> str:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            return "ok" if await is_current(parts.database) else "migrations are not at head"
    except TimeoutError:
        return "does not answer"
    except (SQLAlchemyError, OSError) as error:
        return f"fails: {type(error).__name__}"


async def _broker_state(parts: Parts) -> str:
    settings = parts.settings
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(settings.broker_host, settings.broker_port)
    except (OSError, TimeoutError):
        return "cannot be reached"
    writer.close()
    return "ok"


def _index(app: FastAPI) -> str:
    """A page without scripts and without foreign addresses: every operation of the OpenAPI document."""
    rows = [
        f"<tr><td>{method.upper()}</td><td><code>{path}</code></td><td>{operation.get('summary', '')}</td></tr>"
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>AisleFlow API</title>"
        "<h1>AisleFlow API</h1><p>The whole description is <a href=/openapi.json>openapi.json</a> (OpenAPI 3.1).</p>"
        f"<table><tr><th>Method<th>Path<th>What it does</tr>{''.join(rows)}</table></html>"
    )
