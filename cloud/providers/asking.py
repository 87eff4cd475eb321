"""Asking a provider over HTTPS: one connection pool, one set of limits, one error when there is no answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import httpx2

from cloud.errors import FleetError

# A provider answers within a second on a good day. Somebody may be waiting in front of a phone for this.
ANSWER_S = 15.0
CONNECT_S = 5.0
# What is asked at once by one process; more waits for a connection.
CONNECTIONS_MAX = 20
# No answer of theirs comes near this.
ANSWER_BYTES_MAX = 1_000_000


def open_client() -> httpx2.AsyncClient:
    """A client with our limits; whoever opens it closes it. Redirects are not followed: we ask nobody else."""
    # It logs whole addresses, and the address of a message holds a phone number and a code.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S),
        limits=httpx2.Limits(max_connections=CONNECTIONS_MAX),
        follow_redirects=False,
    )


async def ask(
    client: httpx2.AsyncClient,
    who: str,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
) -> httpx2.Response:
    """One request and its whole answer, whatever its status; FleetError unavailable when `who` gives none."""
    try:
        answer = await client.request(method, url, headers=dict(headers or {}), content=content)
    except httpx2.HTTPError as error:
        raise FleetError("unavailable", f"{who} does not answer: {type(error).__name__}") from error
    if len(answer.content) > ANSWER_BYTES_MAX:
        raise FleetError("unavailable", f"{who} answers with {len(answer.content)} bytes")
    return answer
