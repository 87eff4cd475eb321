"""Where a request is meant to go: a host may stand for a dialect, and old clients write paths in several ways.

An old client changes its base address and nothing else. Where that ends in a slash its paths begin with two, and now
and then a path ends in one: both are read as the path without. Nobody is redirected, because old clients do not follow.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

_SLASHES = re.compile(r"//+")


class DialectHosts:
    """Puts the dialect's prefix in front of every path asked for at its host, and mends those below `lenient` prefixes.

    There HEAD is read as GET as well; the server leaves out the body.
    """

    def __init__(self, app: ASGIApp, prefixes: Mapping[str, str], lenient: Collection[str]) -> None:
        self._app = app
        self._prefixes = prefixes
        self._lenient = tuple(f"{prefix}/" for prefix in lenient)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, with its whole path."""
        if scope["type"] == "http":
            scope = self._meant(scope)
        await self._app(scope, receive, send)

    def _meant(self, scope: Scope) -> Scope:
        path: str = scope["path"]
        if self._prefixes:
            host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").partition(":")[0].lower()
            path = self._prefixes.get(host, "") + path
        mended = _SLASHES.sub("/", path)
        if mended.startswith(self._lenient):
            path = mended.removesuffix("/")
            if scope["method"] == "HEAD":
                scope = {**scope, "method": "GET"}
        return scope if path == scope["path"] else {**scope, "path": path, "raw_path": path.encode()}
