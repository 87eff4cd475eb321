"""How a request finds its operation, whatever the form of its body, and how refusals sound in each dialect."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from starlette.requests import Request

from cloud.app import build_app
from cloud.facades.dialect import Parts
from cloud.facades.fields import decoded
from cloud.facades.iot.table import IOT
from cloud.facades.vending.table import VENDING
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


def form(body: bytes, media_type: str = "application/x-www-form-urlencoded") -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", media_type.encode())]
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


async def test_a_slash_more_is_no_other_path(client: httpx2.AsyncClient, brand: str) -> None:
    for path in ("/iot/products", "/iot/products/", "/iot//products", "//iot/products/"):
        answer = await client.get(f"http://cloud.test{path}", params={"vid": brand})
        assert (answer.status_code, answer.json()["status"]) == (200, True), answer.text


async def test_every_path_of_the_old_dialects_may_end_in_a_slash(client: httpx2.AsyncClient, brand: str) -> None:
    for dialect in (VENDING, IOT):
        for operation in dialect.operations:
            path = f"http://cloud.test{dialect.prefix}{re.sub(r'{[^}]+}', 'x1', operation.path)}"
            plain, slashed = [await client.request(operation.method, one) for one in (path, f"{path}/")]
            assert "request_id" in plain.json() or plain.status_code == 200, path
            assert (slashed.status_code, _without_id(slashed)) == (plain.status_code, _without_id(plain)), path
    strict = await client.get("/api/v1/machines/")
    assert strict.status_code == 404


def _without_id(answer: httpx2.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "request_id"}


async def test_old_hosts_are_asked_with_a_slash_at_the_end_of_their_address(
    client: httpx2.AsyncClient, brand: str
) -> None:
    body = {**LOGIN, "login_mp": 1}
    answer = await client.post("http://vending.test//login_save.php", json=body)
    assert answer.json()["ret"] == 0
    answer = await client.get("http://iot.test//products/", params={"vid": brand})
    assert answer.status_code == 200
    head = await client.head("http://iot.test/products", params={"vid": brand})
    assert (head.status_code, head.headers["content-type"]) == (200, "application/json")


async def test_flags_and_words_are_set_in_many_ways(client: httpx2.AsyncClient, brand: str) -> None:
    for flag in (1, "1", " 1", True, "true", "True", 1.0, "1.0"):
        answer = await client.post("/vending/login_save.php", json={**LOGIN, "login_mp": flag})
        assert answer.json()["ret"] == 0, answer.text
    for kind, status in (("staff", 200), ("STAFF", 200), (" Staff", 200), ("stuff", 422)):
        body = {"account": PHONES["owner"], "pwd": PASSWORD, "kind": kind}
        assert (await client.post("/iot/login", json=body)).status_code == status


_JSON_BODY = json.dumps({**LOGIN, "login_mp": 1}).encode()
_FORM_BODY = f"login_mp=1&phone={PHONES['owner']}&password_md5={PASSWORD.replace(' ', '+')}".encode()


async def test_a_body_may_be_packed_and_begin_with_a_mark(client: httpx2.AsyncClient, brand: str) -> None:
    packings: list[tuple[str, Callable[[bytes], bytes]]] = [
        ("gzip", gzip.compress), ("X-Gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes), ("", bytes)
    ]  # fmt: skip
    for body, media_type in (
        (_JSON_BODY, "application/json; charset=UTF-8"),
        (_FORM_BODY, "application/x-www-form-urlencoded"),
    ):
        for packing, pack in packings:
            headers = {"Content-Type": media_type, "Content-Encoding": packing}
            for mark in (b"", BOM_UTF8):
                content = pack(mark + body)
                answer = await client.post("/vending/login_save.php", content=content, headers=headers)
                assert answer.json()["ret"] == 0, (packing, mark, answer.text)


async def test_a_packed_body_has_the_same_limits(client: httpx2.AsyncClient, brand: str) -> None:
    for content, packing, ret in (
        (gzip.compress(b" " * 1_000_001), "gzip", 413),
        (gzip.compress(b"0" * 200_000_000), "gzip", 413),
        (gzip.compress(_JSON_BODY)[:-9], "gzip", 400),
        (b"no gzip at all", "gzip", 400),
        (b"{}", "br", 415),
    ):
        headers = {"Content-Type": "application/json", "Content-Encoding": packing}
        answer = await client.post("/vending/login_save.php", content=content, headers=headers)
        assert answer.json()["ret"] == ret, answer.text


@pytest.mark.parametrize("charset", ["gbk", "GB2312", '"gb18030"'])
async def test_chinese_clients_may_write_chinese_encodings(charset: str) -> None:
    media_type = f"application/x-www-form-urlencoded; charset={charset}"
    for body in ("name=小满".encode("gbk"), b"name=%D0%A1%C2%FA"):
        assert await decoded(form(body, media_type)) == {"name": "小满"}
    body = json.dumps({"name": "小满"}, ensure_ascii=False).encode("gbk")
    assert await decoded(form(body, f"application/json;charset={charset}")) == {"name": "小满"}


async def test_browsers_learn_which_pages_may_ask(parts: Parts, brand: str) -> None:
    asked = {"Origin": "https://h5.example.cn", "Access-Control-Request-Method": "PUT"}
    told: list[dict[str, str | None]] = []
    for origins in ("", "https://h5.example.cn/, https://m.example.cn", "*"):
        app = build_app(replace(parts, settings=replace(parts.settings, origins=origins)))
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://cloud.test") as client:
            preflight = await client.options("/iot/users/x", headers=asked)
            answer = await client.post("/iot/login", json={}, headers={"Origin": "https://h5.example.cn"})
            assert answer.status_code == 422
            names = ("access-control-allow-origin", "access-control-allow-credentials")
            told.append({"status": str(preflight.status_code), **{name: answer.headers.get(name) for name in names}})
    assert told == [
        {"status": "405", "access-control-allow-origin": None, "access-control-allow-credentials": None},
        {
            "status": "200",
            "access-control-allow-origin": "https://h5.example.cn",
            "access-control-allow-credentials": "true",
        },
        {"status": "200", "access-control-allow-origin": "*", "access-control-allow-credentials": None},
    ]
