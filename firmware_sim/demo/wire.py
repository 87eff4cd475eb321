"""How the demo talks: HTTP to the cloud, JSON lines to an agent's local socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import httpx2

from firmware_sim.demo.processes import Failed

# A page of the native API; the demo's lists are read whole.
PAGE = 200


class Refused(Exception):
    """The other side said no, and why; `reason` is its word."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Api:
    """The cloud's native API as one signed-in person."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx2.AsyncClient(base_url=f"{url}/api/v1", timeout=30.0)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def sign_in(self, tenant: str, login: str, password: str) -> dict[str, Any]:
        """Sign in; later calls carry the token."""
        told: dict[str, Any] = await self.post("/login", tenant=tenant, login=login, password=password)
        self._http.headers["Authorization"] = f"Bearer {told['token']}"
        return told

    async def get(self, path: str, **query: Any) -> Any:
        """Read one thing."""
        return await self._ask("GET", path, params=query)

    async def every(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Read all pages of a list."""
        items: list[dict[str, Any]] = []
        page: int | None = 1
        while page is not None:
            told = await self.get(path, page=page, page_size=PAGE, **query)
            items += told["items"]
            page = told["next"]
        return items

    async def count(self, path: str, **query: Any) -> int:
        """How long a list is."""
        return int((await self.get(path, page_size=1, **query))["total"])

    async def post(self, path: str, key: str | None = None, **body: Any) -> Any:
        """Ask for something; `key` is the Idempotency-Key."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self._ask("POST", path, json=body, headers=headers)

    async def put(self, path: str, **body: Any) -> Any:
        """Replace something."""
        return await self._ask("PUT", path, json=body)

    async def patch(self, path: str, **body: Any) -> Any:
        """Change a part of something."""
        return await self._ask("PATCH", path, json=body)

    async def _ask(self, method: str, path: str, **rest: Any) -> Any:
        answer = await self._http.request(method, path, **rest)
        if answer.status_code >= 400:
            problem = answer.json()
            raise Refused(str(answer.status_code), f"{path}: {problem.get('detail') or problem.get('title')}")
        return answer.json() if answer.content else None


class Panel:
    """The front panel of one machine: a client of the agent's local socket."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0

    async def ask(self, do: str, **params: Any) -> Any:
        """One question on its own connection: the agent may have restarted since the last one."""
        self._number += 1
        reader, writer = await asyncio.open_unix_connection(str(self._path), limit=1 << 20)
        try:
            writer.write(json.dumps({"id": self._number, "do": do, **params}).encode() + b"\n")
            await writer.drain()
            line = await reader.readline()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        if not line:
            raise Failed(f"the agent behind {self._path} hung up")
        answer = json.loads(line)
        if not answer["ok"]:
            raise Refused(answer["error"]["reason"], answer["error"]["detail"])
        return answer.get("result")
