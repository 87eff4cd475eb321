"""Whatever is sent to any operation of any dialect, the answer is the dialect's own and no failure of ours.

20,000 requests within the tests, spread over both databases and all operations; `make fuzz` sends 200,000.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import httpx2
import pytest

from cloud.audit import ledger_drift
from tests.contracts.conftest import Opening
from tests.contracts.fuzz import CASES, operations_of, requests_of
from tests.contracts.talk import SPEECHES, Refusal
from tests.contracts.world import BRAND, IDS, RIVAL, World

# Of the whole number, in proportion to what each dialect has.
SHARES = {"vending": 0.25, "iot": 0.5, "native": 0.25}
# Who asks, in turn.
CALLERS: dict[str, Sequence[str]] = {
    "vending": ("keeper", "keeper", "second_keeper", "keeper", "brand", "keeper", "nobody"),
    "iot": ("platform", "brand", "anna", "platform", "brand", "anna", "agent", "ben", "platform", "nobody"),
    "native": ("platform", "brand", "platform", "brand", "platform", "brand_operator", "nobody"),
}
PREFIXES = {"vending": "/vending", "iot": "/iot", "native": "/api/v1"}
DATABASES = 2
ROUNDS_MAX = 6


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("dialect", SHARES)
def test_whatever_is_sent(dialect: str, opening: Opening) -> None:
    with asyncio.Runner() as runner:
        context = opening()
        world = runner.run(context.__aenter__())
        try:
            wrong = _fuzz(runner, world, dialect)
            drift = runner.run(_drift(world))
        finally:
            runner.run(context.__aexit__(None, None, None))
    assert not wrong, f"{len(wrong)} answers are wrong:\n" + "\n".join(wrong[:20])
    assert drift == 0


def _fuzz(runner: asyncio.Runner, world: World, dialect: str) -> list[str]:
    operations = [one for one in operations_of(world.app, PREFIXES[dialect]) if not one.path.endswith("/events")]
    wanted = round(CASES * SHARES[dialect] / DATABASES)
    statuses: Counter[int] = Counter()
    wrong: list[str] = []
    made = 0

    def use(request: dict[str, Any]) -> None:
        caller = CALLERS[dialect][sum(statuses.values()) % len(CALLERS[dialect])]
        headers = {
            name: value
            for name, value in (request.pop("headers", None) or {}).items()
            if name.lower() != "authorization"
        }
        request.pop("cookies", None)
        world.client.cookies.clear()
        try:
            sent = world.client.build_request(headers={**headers, **world.settled.callers[dialect][caller]}, **request)
        except (httpx2.InvalidURL, UnicodeError, ValueError, TypeError):
            return  # no client can send this
        if not sent.url.path.startswith(PREFIXES[dialect] + "/"):
            return  # "..", which the client has resolved itself: another dialect's answer
        answer = runner.run(world.client.send(sent))
        statuses[answer.status_code] += 1
        if problem := _judge(dialect, answer):
            asked = f"{sent.method} {sent.url!s:.200} as {caller}\n  {sent.content[:400]!r}"
            wrong.append(f"{problem}\n  {asked}\n  {answer.text:.300}")

    # An operation without parameters is asked in one way: what it leaves over goes to the others, in further rounds.
    for number in range(ROUNDS_MAX):
        each = -(-(wanted - made) // len(operations))
        for operation in operations:
            runner.run(world.rewind())
            made += requests_of(operation, each, IDS, use, number)
        if made >= wanted:
            break
    print(
        f"\n{dialect}: {made} requests to {len(operations)} operations, {sum(statuses.values())} sent: {dict(statuses)}"
    )
    return wrong


def _judge(dialect: str, answer: httpx2.Response) -> str | None:
    if answer.status_code >= 500:
        return f"HTTP {answer.status_code}"
    if dialect == "native":
        if answer.status_code >= 400 and answer.headers["Content-Type"] != "application/problem+json":
            return f"HTTP {answer.status_code} that is no problem document"
        return None
    try:
        told = SPEECHES[dialect].read(None, answer)
    except AssertionError as error:
        return f"not the dialect's envelope: {error!s:.200}"
    return f"{told}" if isinstance(told, Refusal) and told.status >= 500 else None


async def _drift(world: World) -> int:
    total = 0
    for tenant in (BRAND, RIVAL):
        async with world.database.look(tenant=tenant) as work:
            total += abs(await ledger_drift(work, tenant))
    return total
