"""The description is complete: a client written from it alone meets no surprise."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from cloud.app import build_app
from cloud.database import Database
from cloud.facades.dialect import Parts
from cloud.facades.native.table import NATIVE
from cloud.settings import Settings
from tests.cloud.api.world import parts_of


@pytest.fixture
async def parts(sqlite_url: str) -> Parts:
    """A description needs no second engine."""
    database = Database.open(sqlite_url)
    await database.close()
    return parts_of(database, Settings())


@pytest.fixture
def document(parts: Parts) -> dict[str, Any]:
    """As it is served."""
    described: dict[str, Any] = json.loads(json.dumps(build_app(parts).openapi()))
    return described


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        if path.startswith(NATIVE.prefix):
            for method, operation in methods.items():
                yield method.upper(), path, operation


def test_every_row_of_the_table_is_described(document: dict[str, Any]) -> None:
    described = {(method, path) for method, path, _ in operations(document)}
    assert described == {(operation.method, NATIVE.prefix + operation.path) for operation in NATIVE.operations}
    assert document["openapi"].startswith("3.1.")


def test_names_are_unique_and_texts_are_there(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    for _, _, operation in operations(document):
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = set(_references(document))
    assert references
    for reference in references:
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)


def test_every_error_is_declared(document: dict[str, Any]) -> None:
    rows = {f"{row.method} {NATIVE.prefix}{row.path}": row for row in NATIVE.operations}
    for method, path, operation in operations(document):
        row, declared = rows[f"{method} {path}"], set(operation["responses"])
        assert str(row.status) in declared
        expected = {"400", "413", "422", "500", "503"}
        expected |= {"401"} if row.caller == "public" else {"401", "403"}
        expected |= {"429"} if row.caller == "public" or row.limited else set()
        expected |= {"404"} if "{" in path else set()
        expected |= {"409", "415"} if method != "GET" else set()
        assert expected <= declared, f"{method} {path}: {sorted(expected - declared)} are missing"
        for status in declared - {str(row.status)}:
            content = operation["responses"][status]["content"]
            assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def test_callers_are_declared(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    for _, path, operation in operations(document):
        if path.endswith("/login"):
            assert "security" not in operation
        else:
            assert operation["security"] == [{"HTTPBearer": []}], path


def test_what_is_asked_is_closed(document: dict[str, Any]) -> None:
    """Every body refuses what it does not declare, and says so."""
    for method, path, operation in operations(document):
        if "requestBody" not in operation:
            continue
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        name = schema["$ref"].rpartition("/")[2]
        assert document["components"]["schemas"][name]["additionalProperties"] is False, f"{method} {path}"


def native_shapes(document: dict[str, Any]) -> set[str]:
    """The names of all shapes that the native API asks or tells; older dialects keep the names of their clients."""
    found: set[str] = set()
    waiting = [str(operation) for _, _, operation in operations(document)]
    while waiting:
        for name in re.findall(r"#/components/schemas/([^'\"]+)", waiting.pop()):
            if name not in found:
                found.add(name)
                waiting.append(str(document["components"]["schemas"][name]))
    return found


def test_money_and_time_carry_their_unit(document: dict[str, Any]) -> None:
    """Whoever sees a number knows what it counts: no field of money or time without _fen or _ms."""
    for name in sorted(native_shapes(document)):
        for field, shape in document["components"]["schemas"][name].get("properties", {}).items():
            assert not field.endswith(("_yuan", "_at", "_time", "_seconds", "amount", "price", "balance")), name
            if field.endswith(("_fen", "_ms")):
                types = {one.get("type") for one in shape.get("anyOf", [shape])}
                assert types <= {"integer", "null"}, f"{name}.{field}"


def test_no_shape_shows_a_secret(document: dict[str, Any]) -> None:
    """Secrets are answered by exactly those operations that make them."""
    showing = {
        name
        for name, schema in document["components"]["schemas"].items()
        if {"secret", "password", "token", "password_hash", "token_hash", "server_secret"}
        & set(schema.get("properties", {}))
    }
    assert showing == {
        "CredentialTold",
        "NewUserTold",
        "TokenTold",
        "SignInAsk",
        "LoginTold",
        "SessionTold",
        "SessionToldAnswer",
    }


async def test_the_page_of_operations_needs_nothing_from_elsewhere(parts: Parts) -> None:
    transport = httpx2.ASGITransport(build_app(parts))
    async with httpx2.AsyncClient(transport=transport, base_url="http://cloud.test") as client:
        page = await client.get("/")
        served = await client.get("/openapi.json")
    assert "/api/v1/orders" in page.text
    for foreign in ("http://", "https://", "<script", "//"):
        assert foreign not in page.text.replace("</", "")
    assert served.json()["info"]["title"] == "AisleFlow"
