"""What goes wrong is told in one shape, and tells nothing that is nobody's business."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx2
import pytest
from pydantic import BaseModel

from cloud.app import build_app
from cloud.facades.dialect import Call, Nothing, Operation, Parts, Use
from cloud.facades.mount import BODY_BYTES_MAX
from cloud.facades.native.problems import PROBLEMS
from cloud.facades.native.table import NATIVE
from tests.cloud.api.conftest import bearer
from tests.cloud.api.world import Business

SECRET = "the-secret-nobody-may-see"


def check_problem(answer: httpx2.Response, status: int, kind: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:aisleflow:problem:{kind}"
    assert body["status"] == status
    assert body["title"] == PROBLEMS[kind][1]  # type: ignore[index]
    assert body["detail"]
    assert body["request_id"] == answer.headers["X-Request-Id"]


async def test_nobody(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/api/v1/machines")
    check_problem(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_unknown_path_and_wrong_method(client: httpx2.AsyncClient) -> None:
    check_problem(await client.get("/api/v1/nothing"), 404, "not_found")
    answer = await client.put("/api/v1/login")
    check_problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"


async def test_a_body_that_is_not_json(client: httpx2.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    check_problem(await client.post("/api/v1/login", content=b"{", headers=headers), 400, "malformed")
    check_problem(await client.post("/api/v1/login", content=b"\xff\xfe", headers=headers), 400, "malformed")
    check_problem(await client.post("/api/v1/login", data={"login": "x"}), 415, "unsupported_media")


async def test_a_body_without_end(client: httpx2.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES_MAX // 10_000 + 1):
            yield b" " * 10_000
        raise AssertionError("the rest was asked for, although it is too much already")

    headers = {"Content-Type": "application/json"}
    check_problem(await client.post("/api/v1/login", content=endless(), headers=headers), 413, "too_large")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "Cola", "price_fen": 350}, "body.goods"),
        ({"goods": "cola", "name": "Cola", "price_fen": "350"}, "body.price_fen"),
        ({"goods": "cola", "name": "Cola", "price_fen": 3.5}, "body.price_fen"),
        ({"goods": "cola", "name": "Cola", "price_fen": True}, "body.price_fen"),
        ({"goods": "cola", "name": "Cola", "price_fen": -1}, "body.price_fen"),
        ({"goods": "no/slash", "name": "Cola", "price_fen": 1}, "body.goods"),
        ({"goods": "cola", "name": "", "price_fen": 1}, "body.name"),
        ({"goods": "cola", "name": "Cola", "price_fen": 1, "tenant": "rival"}, "body.tenant"),
        ([], "body"),
    ],
)
async def test_a_wrong_value_is_named(body: object, field: str, client: httpx2.AsyncClient, acme: Business) -> None:
    answer = await client.post("/api/v1/goods", json=body, headers=bearer(acme.tokens["owner"]))
    check_problem(answer, 422, "invalid")
    assert answer.json()["field"] == field
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=x",
        "page_size=201",
        "page=99999999",
        "sort=price;drop",
        "sort=credential_version",
        "unknown=1",
        "online=maybe",
    ],
)
async def test_a_wrong_filter_is_refused(query: str, client: httpx2.AsyncClient, acme: Business) -> None:
    answer = await client.get(f"/api/v1/machines?{query}", headers=bearer(acme.tokens["owner"]))
    check_problem(answer, 422, "invalid")


async def test_every_column_that_is_not_offered_is_refused(client: httpx2.AsyncClient, acme: Business) -> None:
    """Mass assignment: no request shape takes a field because a table has a column of that name."""
    columns = ["tenant", "state", "balance_fen", "paid_fen", "refunded_fen", "credential_version", "claimed_ms", "role"]
    owner = {**bearer(acme.tokens["owner"]), "Idempotency-Key": "mass-assignment"}
    offers: dict[str, dict[str, object]] = {
        "/api/v1/machines": {"name": "New"},
        "/api/v1/members": {"member": "bob", "name": "Bob"},
        f"/api/v1/members/{acme.member}/top-ups": {"amount_fen": 1},
        "/api/v1/orders": {"member": acme.member, "machine": acme.machine, "aisle": "a1"},
        f"/api/v1/orders/{acme.order}/refunds": {"amount_fen": 1, "reason": "x"},
    }
    for path, body in offers.items():
        for column in columns:
            answer = await client.post(path, json={**body, column: 1}, headers=owner)
            check_problem(answer, 422, "invalid")
            assert answer.json()["field"] == f"body.{column}"


async def test_answers_are_not_kept_on_the_way(client: httpx2.AsyncClient, acme: Business) -> None:
    for path in ("/api/v1/me", "/api/v1/orders", "/api/v1/orders/unknown"):
        answer = await client.get(path, headers=bearer(acme.tokens["owner"]))
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_request_id_is_kept_when_it_is_one(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/api/v1/me", headers={"X-Request-Id": "my-request-42"})
    assert answer.json()["request_id"] == "my-request-42"
    for forged in ("short", "x" * 65, "line\tbreak and more"):
        answer = await client.get("/api/v1/me", headers={"X-Request-Id": forged})
        assert answer.json()["request_id"] != forged


class Shape(BaseModel):
    number: int


async def broken(call: Call[Nothing, Nothing]) -> Shape:
    """Break."""
    raise RuntimeError(SECRET)


async def misshapen(call: Call[Nothing, Nothing]) -> Shape:
    """Answer what does not fit."""
    return {"number": SECRET}  # type: ignore[return-value]


@pytest.mark.parametrize("does", [broken, misshapen])
async def test_a_bug_is_logged_and_not_told(does: Use, parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    faulty = replace(NATIVE, operations=(Operation("GET", "/broken", "public", does),))
    transport = httpx2.ASGITransport(build_app(parts, (faulty,)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://cloud.test") as client:
        with caplog.at_level(logging.ERROR, "cloud.http"):
            answer = await client.get("/api/v1/broken")
    check_problem(answer, 500, "internal")
    assert SECRET not in answer.text
    assert answer.json()["request_id"] in caplog.text


async def test_an_answer_that_does_not_fit_is_logged_without_its_values(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    faulty = replace(NATIVE, operations=(Operation("GET", "/broken", "public", misshapen),))
    transport = httpx2.ASGITransport(build_app(parts, (faulty,)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://cloud.test") as client:
        await client.get("/api/v1/broken")
    assert "response.number" in caplog.text
    assert SECRET not in caplog.text


async def test_a_nul_is_part_of_no_text(client: httpx2.AsyncClient, acme: Business) -> None:
    """PostgreSQL cannot keep one, SQLite would: it is refused before either is asked."""
    headers = bearer(acme.tokens["operator"])
    for name in ("a\x00b", "\x00"):
        answer = await client.post("/api/v1/machines", json={"name": name}, headers=headers)
        check_problem(answer, 422, "invalid")
    check_problem(await client.get("/api/v1/machines?search=%00", headers=headers), 422, "invalid")
    half = b'{"name": "half a character: \\ud83d"}'
    sent = await client.post("/api/v1/machines", content=half, headers={**headers, "Content-Type": "application/json"})
    check_problem(sent, 422, "invalid")
    whole = await client.post("/api/v1/machines", json={"name": "\U0001f6b0"}, headers=headers)
    assert whole.json()["name"] == "\U0001f6b0"
    spelt = await client.post("/api/v1/machines", json={"name": "the word \\u0000"}, headers=headers)
    assert spelt.json()["name"] == "the word \\u0000"
