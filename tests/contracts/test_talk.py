"""The runner finds what it is there to find: a server that keeps its contract passes, one that does not fails."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from tests.contracts.contract import Case
from tests.contracts.talk import SPEECHES, Talk

DEVICE = {"vendor_id": "VI1", "vendor_name": "a", "address": "", "vendor_status": 1, "stock_num": 0, "out_num": 0}
LIST = {"vendor_list": [{**DEVICE, "stockout_list": []}], "total": 1, "page_size": 10, "page_no": 1}


def talk(dialect: str, body: Any, status: int = 200, media_type: str = "application/json") -> Talk:
    """A client of a server that always answers this."""
    content = body if isinstance(body, str) else json.dumps(body)
    answer = httpx2.Response(status, content=content.encode(), headers={"Content-Type": media_type})
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: answer), base_url="http://cloud.test")
    callers: dict[str, dict[str, str]] = {"keeper": {}, "brand": {}, "anna": {}}
    return Talk(SPEECHES[dialect], client, callers, {})


async def test_a_server_that_keeps_its_contract() -> None:
    assert await talk("vending", {"ret": 0, "data": LIST}).play(Case("1.0")) == LIST
    await talk("vending", {"ret": 7, "msg": "no", "data": {}}).play(Case("1.0", refused=(0,)))


@pytest.mark.parametrize(
    "body",
    [
        {"ret": "0", "data": LIST},
        {"data": LIST},
        {"ret": 0, "data": []},
        {"ret": 0, "data": {**LIST, "total": None}},
        {"ret": 0, "data": {**LIST, "page_size": 0}},
        {"ret": 0, "data": {**LIST, "vendor_list": [{**DEVICE}]}},
        {"ret": 0, "data": {**LIST, "vendor_list": [{**DEVICE, "stockout_list": [], "vendor_status": 2}]}},
        {
            "ret": 0,
            "data": {**LIST, "vendor_list": [{**DEVICE, "stockout_list": [{"aisle_name": "1", "goods_num": 0}]}]},
        },
        {"ret": 1, "msg": "no", "data": {}},
        {"ret": 1, "data": {}},
        '{"ret": 0, "data": NaN}',
    ],
)
async def test_a_server_that_does_not(body: Any) -> None:
    with pytest.raises(AssertionError):
        await talk("vending", body).play(Case("1.0"))


async def test_status_and_kind_of_an_answer_count() -> None:
    with pytest.raises(AssertionError):
        await talk("vending", {"ret": 0, "data": LIST}, status=201).play(Case("1.0"))
    with pytest.raises(AssertionError):
        await talk("vending", {"ret": 0, "data": LIST}, media_type="text/html").play(Case("1.0"))
    with pytest.raises(AssertionError, match="answered, though"):
        await talk("vending", {"ret": 0, "data": LIST}).play(Case("1.0", refused=(0,)))


SUMMARY = {"available": 1.5, "pending": 0}
ENVELOPE = {"total": 1, "status": True, "code": "", "message": ""}


async def test_the_envelope_of_the_other_dialect() -> None:
    case = Case("AE-02.commission", caller="anna")
    assert await talk("iot", {**ENVELOPE, "data": SUMMARY}).play(case) == SUMMARY
    failed = {"total": 0, "data": [], "status": False, "code": "403", "message": "no"}
    await talk("iot", failed, status=403).play(Case("AE-02.commission", caller="anna", refused=(403,)))
    for body, status in (
        ({**ENVELOPE, "data": SUMMARY, "status": 1}, 200),
        ({**ENVELOPE, "data": SUMMARY}, 201),
        ({"data": SUMMARY}, 200),
        (failed, 200),
        ({**failed, "message": ""}, 403),
        ({**ENVELOPE, "data": {"available": 0.001, "pending": 0}}, 200),
    ):
        with pytest.raises(AssertionError):
            await talk("iot", body, status=status).play(case)


async def test_what_is_kept_is_filled_in() -> None:
    asked = talk("vending", {"ret": 0, "data": LIST})
    await asked.play(Case("1.0", keep={"device": "vendor_list.0.vendor_id"}))
    assert asked.filled({"a": ["$device", "D$device"], "b": 1}) == {"a": ["VI1", "DVI1"], "b": 1}
