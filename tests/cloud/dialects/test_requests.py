"""How a request finds its operation, whatever the form of its body, and how refusals sound in each dialect."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from starlette.requests import Request

from cloud.facades.fields import decoded
from tests.cloud.dialects.conftest import PASSWORD, PHONES

LOGIN = {"login_mp": "1", "phone": PHONES["owner"], "password_md5": PASSWORD}


@pytest.mark.parametrize(
    "request_",
    [
        {"json": {**LOGIN, "login_mp": 1}},
        {"json": LOGIN},
        {"json": {**LOGIN, "phone": int(PHONES["owner"]), "field_of_a_later_client": [1, {"a": None}]}},
        {"data": LOGIN},
        {"files": {name: (None, value) for name, value in LOGIN.items()}},
    ],
    ids=["json", "json-text", "json-number", "form", "multipart"],
)
async def test_a_body_may_come_as_json_or_as_a_form(
    client: httpx2.AsyncClient, brand: str, request_: dict[str, Any]
) -> None:
    answer = await client.post("/vending/login_save.php", **request_)
    assert answer.json()["ret"] == 0, answer.text


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain", "text/json", ""])
async def test_json_is_read_whatever_it_is_called(client: httpx2.AsyncClient, brand: str, media_type: str) -> None:
    body = json.dumps({**LOGIN, "login_mp": 1})
    answer = await client.post("/vending/login_save.php", content=body, headers={"Content-Type": media_type})
    assert answer.json()["ret"] == 0, answer.text


@pytest.mark.parametrize("body", [{}, {"login_mp": 0}, {"login_mp": "2", "phone": "1"}, {"phone": "1"}])
async def test_without_its_flag_nothing_is_done(client: httpx2.AsyncClient, brand: str, body: dict[str, Any]) -> None:
    answer = await client.post("/vending/login_save.php", json=body)
    assert answer.status_code == 200
    assert answer.json()["ret"] == 422
    assert "login_mp" in answer.json()["msg"]


@pytest.mark.parametrize(
    ("content", "media_type", "ret"),
    [
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b'{"login_mp": NaN}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"<a/>", "application/xml", 415),
        (b"login_mp=1&phone=\xff", "application/x-www-form-urlencoded", 400),
        (b"login_mp=1&phone=%ff", "application/x-www-form-urlencoded", 400),
        (b"login_mp[a]=1&login_mp[a][b]=1", "application/x-www-form-urlencoded", 400),
        (b"x" * 1_000_001, "application/json", 413),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_in_the_envelope(
    client: httpx2.AsyncClient, brand: str, content: bytes, media_type: str, ret: int
) -> None:
    answer = await client.post("/vending/login_save.php", content=content, headers={"Content-Type": media_type})
    told = answer.json()
    assert (told["ret"], told["data"]) == (ret, {})
    assert told["msg"]


def form(body: bytes) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


@pytest.mark.parametrize("name", ["小满", "%E5%B0%8F%E6%BB%A1"])
async def test_text_in_forms_is_utf_8_escaped_or_not(name: str) -> None:
    assert await decoded(form(f"name={name}&empty=&plus=a+b".encode())) == {"name": "小满", "empty": "", "plus": "a b"}


async def test_lists_in_forms() -> None:
    body = b"a[]=1&a[]=2&list[0][id]=x&list[0][n]=1&list[1][id]=y&b=1&b=2&c=t"
    assert await decoded(form(body)) == {
        "a": ["1", "2"],
        "list": [{"id": "x", "n": "1"}, {"id": "y"}],
        "b": ["1", "2"],
        "c": "t",
    }


async def test_what_no_operation_answers_is_refused_in_the_dialect_it_was_asked_in(client: httpx2.AsyncClient) -> None:
    vending = await client.post("/vending/nothing.php")
    assert (vending.status_code, vending.json()["ret"]) == (200, 404)
    wrong = await client.get("/vending/login_save.php")
    assert (wrong.status_code, wrong.json()["ret"]) == (405, 405)
    iot = await client.get("/iot/nothing")
    assert (iot.status_code, iot.json()["status"], iot.json()["code"]) == (404, False, "404")
    native = await client.get("/api/v1/nothing")
    assert native.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("host", "path"), [("vending.test", "/login_save.php"), ("VENDING.test:8443", "/login_save.php")]
)
async def test_a_host_may_stand_for_a_dialect(client: httpx2.AsyncClient, brand: str, host: str, path: str) -> None:
    answer = await client.post(path, json={**LOGIN, "login_mp": 1}, headers={"Host": host})
    assert answer.json()["ret"] == 0
    elsewhere = await client.post(path, json={**LOGIN, "login_mp": 1})
    assert elsewhere.status_code == 404
