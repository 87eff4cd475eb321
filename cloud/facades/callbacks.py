"""Where payment providers call: outside every dialect, answered in exactly the words that each of them expects."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from cloud.errors import FleetError
from cloud.facades.dialect import Parts
from cloud.facades.mount import read_limited
from cloud.payments.callback import take_callback


def mount_callbacks(app: FastAPI, parts: Parts) -> None:
    """Add POST /callbacks/{provider}/{tenant}."""

    @app.post("/callbacks/{provider}/{tenant}", include_in_schema=False)
    async def callback(provider: str, tenant: str, request: Request) -> Response:
        """A provider reports something. Who it is shows in the signature alone."""
        body = await read_limited(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            answer = await take_callback(parts.database, parts.till, tenant, provider, headers, body)
        except FleetError as error:
            return Response(error.detail, 404 if error.kind == "not_found" else 503, media_type="text/plain")
        return Response(answer.body, answer.status, media_type=answer.media_type)
