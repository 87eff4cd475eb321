"""A host name may stand for a dialect: an old client then changes its base address and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send


class DialectHosts:
    """Puts the dialect's prefix in front of every path that is asked for at its host."""

    def __init__(self, app: ASGIApp, prefixes: Mapping[str, str]) -> None:
        self._app = app
        self._prefixes = prefixes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, with its whole path."""
        if scope["type"] == "http" and self._prefixes:
            headers = dict(scope["headers"])
            host = headers.get(b"host", b"").decode("latin-1").partition(":")[0].lower()
            if prefix := self._prefixes.get(host):
                scope = {
                    **scope,
                    "path": prefix + scope["path"],
                    "raw_path": prefix.encode() + scope.get("raw_path", b""),
                }
        await self._app(scope, receive, send)
