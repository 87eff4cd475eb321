"""Hostile input to every documented operation: never a failure of ours, always the dialect's own envelope."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from cloud.audit import ledger_drift
from tests.contracts.contract import Case, Documented, contract, extra
from tests.contracts.hostile import BODIES, VALUES, spoilt
from tests.contracts.talk import Refusal, Talk
from tests.contracts.world import BRAND, World

OPERATIONS = [
    (dialect, operation) for dialect in ("vending", "iot") for operation in contract(dialect) | extra(dialect)
]

# What a path or a query can carry of `VALUES`.
_TEXTS = tuple(quote(value.encode("utf-8", "surrogatepass"), safe="") for value in VALUES if isinstance(value, str))
_PATHS = tuple(text for text in _TEXTS if 0 < len(text) < 10_000)


@pytest.mark.parametrize(("dialect", "operation"), OPERATIONS, ids=lambda one: str(one))
async def test_what_nobody_sends_by_accident(dialect: str, operation: str, world: World) -> None:
    talk = world.talk(dialect)
    documented = talk.operations[operation]
    case = next(case for case in documented.cases if not case.refused and not case.form)
    for step in case.before:
        await talk.play(step)
    talk.values |= await world.sms_codes()
    wrong: list[str] = []
    for what, request in _requests(talk, documented, case):
        try:
            answer = await talk.client.request(documented.method, **request)
            told = talk.speech.read(None, answer)
        except AssertionError as error:
            wrong.append(f"{what}: {error!s:.300}")
            continue
        if isinstance(told, Refusal) and told.status >= 500:
            wrong.append(f"{what}: {told}")
    assert not wrong, f"{len(wrong)} answers are wrong:\n" + "\n".join(wrong[:20])
    async with world.database.look(tenant=BRAND) as work:
        assert await ledger_drift(work, BRAND) == 0


def _requests(talk: Talk, documented: Documented, case: Case) -> Iterator[tuple[str, dict[str, Any]]]:
    known: Mapping[str, str] = talk.callers[case.caller or documented.caller]
    url = _url(talk, documented, case, {})
    body = talk.filled(case.send)
    if documented.flag is not None:
        body = {documented.flag: 1, **(body or {})}
    if isinstance(body, dict):
        for text in spoilt(body):
            content = text.encode()
            yield (
                f"body {text:.120}",
                {"url": url, "content": content, "headers": {**known, "Content-Type": "application/json"}},
            )
    if documented.method != "GET":
        for name, content, media_type in BODIES:
            headers = {**known, "Content-Type": media_type} if media_type else dict(known)
            yield name, {"url": url, "content": content, "headers": headers}
    for name in case.path:
        for value in _PATHS:
            yield (
                f"path {name} {value:.60}",
                {"url": _url(talk, documented, case, {name: value}), "headers": dict(known)},
            )
    if documented.method == "GET":
        for name in ("limit", "offset", "sort", "order", "user_id", "state", "mobile", "id"):
            for value in (*_TEXTS, "-1", "0", "1e9", "9" * 30):
                if len(value) < 10_000:
                    yield f"query {name}={value:.60}", {"url": f"{url}?{name}={value}", "headers": dict(known)}
    for token in (
        "Bearer ",
        "Bearer x",
        "Bearer afl..",
        f"Bearer afl.{BRAND}.x",
        "Basic eDp4",
        "Bearer " + "x" * 5_000,
    ):
        yield f"token {token:.30}", {"url": url, "headers": {"Authorization": token}, "json": body or {}}


def _url(talk: Talk, documented: Documented, case: Case, other: Mapping[str, str]) -> str:
    path = documented.path
    for name, value in {**talk.filled(case.path), **other}.items():
        path = path.replace(f"<{name}>", str(value))
    return talk.speech.prefix + path


@pytest.mark.parametrize("dialect", ["vending", "iot"])
async def test_a_path_or_method_that_nobody_serves(dialect: str, world: World) -> None:
    talk = world.talk(dialect)
    paths = {operation.path for operation in contract(dialect).values() if "<" not in operation.path}
    for path in sorted(paths):
        for method in ("PATCH", "OPTIONS", "TRACE"):
            answer = await talk.client.request(method, talk.speech.prefix + path)
            refused = answer.status_code in (404, 405) or isinstance(talk.speech.read(None, answer), Refusal)
            assert refused, f"{method} {path}: {answer.status_code}"
    for answer in [await talk.client.get(talk.speech.prefix + "/nothing/of/this"), await _odd(talk)]:
        assert answer.status_code in (404, 405, 200, 400), answer.text
        assert isinstance(json.loads(answer.text), dict)


async def _odd(talk: Talk) -> httpx2.Response:
    return await talk.client.post(talk.speech.prefix + "/", json={})
