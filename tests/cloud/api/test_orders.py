"""Orders, money and machines through the API, as a shop would use it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from cloud.database import Database
from cloud.machines.credentials import Credentials
from cloud.machines.model import MachineState, Origin
from cloud.machines.register import machine_of
from cloud.machines.store import put_states
from cloud.orders.books import Books
from cloud.orders.grant import answer_claim
from cloud.orders.settle import settle
from shared.ids import MachineId
from shared.messages import Claim, VendDelivered
from shared.quantities import format_yuan
from tests.cloud.api.conftest import bearer
from tests.cloud.api.world import SERVER_SECRET, Business


def placing(own: Business, key: str) -> dict[str, Any]:
    return {
        "url": "/api/v1/orders",
        "json": {"member": own.member, "machine": own.machine, "aisle": "a1"},
        "headers": {**bearer(own.tokens["operator"]), "Idempotency-Key": key},
    }


async def balance(client: httpx2.AsyncClient, own: Business) -> int:
    answer = await client.get(f"/api/v1/members/{own.member}/wallet", headers=bearer(own.tokens["finance"]))
    fen: int = answer.json()["balance_fen"]
    return fen


async def deliver(database: Database, own: Business, order: str) -> None:
    """The machine claims the order and delivers it."""
    async with database.work(tenant=own.tenant) as work:
        machine = await machine_of(work, own.tenant, own.machine)
        books = await Books.open(work, orders=[(own.tenant, order)])
        claim = Claim(order=order, nonce="n1", boot_id="b1", epoch="e1")
        answer_claim(books, Credentials(SERVER_SECRET), machine, claim)
        await books.write()
    async with database.work(tenant=own.tenant) as work:
        books = await Books.open(work, orders=[(own.tenant, order)], aisles=[(own.tenant, own.machine, "a1")])
        origin = Origin(own.tenant, MachineId(own.machine), "e1", 1, work.now_ms)
        fact = VendDelivered(
            order=order, aisle="a1", goods=own.goods, price_fen=350, source="order", means="escrow", paid_fen=350, txn=1
        )
        settle(books, origin, fact)
        await books.write()


async def test_the_same_key_is_one_order_for_ever(client: httpx2.AsyncClient, acme: Business) -> None:
    before = await balance(client, acme)
    first = await client.post(**placing(acme, "press-00001"))
    again = await client.post(**placing(acme, "press-00001"))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert before - await balance(client, acme) == first.json()["price_fen"] == 350


async def test_the_same_key_with_another_body_is_refused(client: httpx2.AsyncClient, acme: Business) -> None:
    await client.post(**placing(acme, "press-00001"))
    other = placing(acme, "press-00001")
    other["json"] = {**other["json"], "aisle": "a2"}
    assert (await client.post(**other)).status_code == 409


async def test_twenty_at_once_with_one_key_are_one_order(client: httpx2.AsyncClient, acme: Business) -> None:
    before = await balance(client, acme)
    answers = await asyncio.gather(*(client.post(**placing(acme, "press-00001")) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["order"] for answer in answers}) == 1
    assert before - await balance(client, acme) == 350


async def test_a_key_is_demanded(client: httpx2.AsyncClient, acme: Business) -> None:
    without = placing(acme, "x")
    del without["headers"]["Idempotency-Key"]
    for request in (without, placing(acme, "short"), placing(acme, "x" * 121)):
        answer = await client.post(**request)
        assert answer.status_code == 422
        assert "idempotency" in answer.json()["field"].lower()


async def test_top_ups_are_booked_once(client: httpx2.AsyncClient, acme: Business) -> None:
    before = await balance(client, acme)
    request: dict[str, Any] = {
        "url": f"/api/v1/members/{acme.member}/top-ups",
        "json": {"amount_fen": 2_000, "note": "cash at the desk"},
        "headers": {**bearer(acme.tokens["finance"]), "Idempotency-Key": "receipt-0017"},
    }
    answers = await asyncio.gather(*(client.post(**request) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert await balance(client, acme) - before == 2_000
    request["json"] = {"amount_fen": 3_000}
    assert (await client.post(**request)).status_code == 409


async def test_a_cancelled_order_is_paid_back_once(client: httpx2.AsyncClient, acme: Business) -> None:
    before = await balance(client, acme)
    path, headers = f"/api/v1/orders/{acme.order}/cancel", bearer(acme.tokens["operator"])
    assert (await client.post(path, headers=headers)).json()["state"] == "refunded"
    again = await client.post(path, headers=headers)
    assert again.status_code == 409
    assert await balance(client, acme) - before == 350


async def test_refunds_never_exceed_what_was_paid(
    client: httpx2.AsyncClient, acme: Business, database: Database
) -> None:
    await deliver(database, acme, acme.order)
    before = await balance(client, acme)

    async def refund(amount_fen: int, key: str) -> httpx2.Response:
        headers = {**bearer(acme.tokens["finance"]), "Idempotency-Key": key}
        body = {"amount_fen": amount_fen, "reason": "warm"}
        return await client.post(f"/api/v1/orders/{acme.order}/refunds", json=body, headers=headers)

    assert (await refund(200, "refund-one")).json()["refunded_fen"] == 200
    assert (await refund(200, "refund-one")).json()["refunded_fen"] == 200
    assert (await refund(100, "refund-one")).status_code == 409
    too_much = await refund(151, "refund-two")
    assert (too_much.status_code, too_much.json()["left_fen"]) == (409, 150)
    answers = await asyncio.gather(*(refund(100, f"refund-race-{n}") for n in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert await balance(client, acme) - before == 300


async def test_the_whole_story_of_an_order(client: httpx2.AsyncClient, acme: Business, database: Database) -> None:
    await deliver(database, acme, acme.order)
    headers = {**bearer(acme.tokens["finance"]), "Idempotency-Key": "refund-one"}
    body = {"amount_fen": 50, "reason": "warm"}
    await client.post(f"/api/v1/orders/{acme.order}/refunds", json=body, headers=headers)
    story = (await client.get(f"/api/v1/orders/{acme.order}", headers=headers)).json()
    assert story["order"]["state"] == "delivered"
    assert {moment["what"] for moment in story["timeline"]} == {"placed", "claimed", "delivered", "money_returned"}
    moved = [(one["kind"], one["from_account"], one["to_account"], one["amount_fen"]) for one in story["postings"]]
    assert sorted(moved) == [
        ("capture", "escrow", "revenue", 350),
        ("hold", f"wallet:{acme.member}", "escrow", 350),
        ("refund", "revenue", f"wallet:{acme.member}", 50),
    ]
    assert [refund["reason"] for refund in story["refunds"]] == ["warm"]
    drift = await client.get("/api/v1/ledger/drift", headers=headers)
    assert drift.json() == {"drift_fen": 0}


async def test_an_order_for_a_machine_that_is_away(
    client: httpx2.AsyncClient, acme: Business, database: Database
) -> None:
    async with database.work(tenant=acme.tenant) as work:
        await put_states(work, [MachineState(tenant=acme.tenant, machine=acme.machine, online=False)])
    answer = await client.post(**placing(acme, "press-00001"))
    assert (answer.status_code, answer.json()["field"]) == (503, "machine")


# --- machines ---


async def test_a_machine_is_claimed_once(client: httpx2.AsyncClient, acme: Business) -> None:
    headers = bearer(acme.tokens["operator"])
    path = f"/api/v1/machines/{acme.spare}"
    first = await client.post(f"{path}/claim", headers=headers)
    assert len(bytes.fromhex(first.json()["secret"])) == 32
    assert (await client.post(f"{path}/claim", headers=headers)).status_code == 409
    assert (await client.post(f"{path}/revoke", headers=headers)).json()["revoked_ms"] is not None
    second = await client.post(f"{path}/claim", headers=headers)
    assert second.json()["secret"] != first.json()["secret"]
    log = await client.get("/api/v1/audit", headers=bearer(acme.tokens["finance"]))
    for secret in (first.json()["secret"], second.json()["secret"]):
        assert secret not in log.text


async def test_a_stale_planogram_is_refused(client: httpx2.AsyncClient, acme: Business) -> None:
    headers, path = bearer(acme.tokens["operator"]), f"/api/v1/machines/{acme.machine}"
    seen = (await client.get(f"{path}/planogram", headers=headers)).json()
    assert (await client.put(f"{path}/planogram", json=seen, headers=headers)).json()["version"] == seen["version"] + 1
    stale = await client.put(f"{path}/planogram", json=seen, headers=headers)
    assert (stale.status_code, stale.json()["version"]) == (409, seen["version"] + 1)


async def test_prices_change_alone(client: httpx2.AsyncClient, acme: Business) -> None:
    headers, path = bearer(acme.tokens["operator"]), f"/api/v1/machines/{acme.machine}"
    changed = await client.put(f"{path}/prices", json={"version": 1, "prices": {"a1": 380}}, headers=headers)
    assert changed.json() == {"version": 2, "prices": {"a1": 380}}
    aisle = (await client.get(f"{path}/aisles", headers=headers)).json()["items"][0]
    assert (aisle["goods"], aisle["capacity"], format_yuan(aisle["price_fen"])) == (acme.goods, 10, "3.80")
    unknown = await client.put(f"{path}/prices", json={"version": 2, "prices": {"zz": 1}}, headers=headers)
    assert (unknown.status_code, unknown.json()["field"]) == (422, "prices.zz")


async def test_a_command_is_followed(client: httpx2.AsyncClient, acme: Business) -> None:
    headers = bearer(acme.tokens["technician"])
    path = f"/api/v1/machines/{acme.machine}/aisles/a1/load"
    asked = await client.post(path, json={"quantity": 6}, headers=headers)
    assert asked.status_code == 202
    listed = await client.get("/api/v1/commands?state=waiting&sort=-asked_ms", headers=headers)
    found = {one["command"]: one for one in listed.json()["items"]}[asked.json()["command"]]
    assert (found["kind"], found["state"], found["asked_by"]) == ("load_stock", "waiting", "technician")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["m-acme", "spare-acme", "tap-acme"]),
        ("sort=-machine", ["tap-acme", "spare-acme", "m-acme"]),
        ("online=true", ["m-acme", "tap-acme"]),
        ("online=false", ["spare-acme"]),
        ("search=STORE", ["spare-acme"]),
        ("search=Gate%201", ["m-acme"]),
        ("search=%25", []),
        ("faulty=true", []),
        ("page_size=1", ["m-acme"]),
        ("page_size=1&page=2", ["spare-acme"]),
        ("page=3", []),
    ],
)
async def test_machines_are_filtered_sorted_and_cut_by_the_server(
    query: str, expected: list[str], client: httpx2.AsyncClient, acme: Business
) -> None:
    answer = (await client.get(f"/api/v1/machines?{query}", headers=bearer(acme.tokens["viewer"]))).json()
    assert [machine["machine"] for machine in answer["items"]] == expected
    if "page_size=1" in query:
        assert (answer["total"], answer["next"]) == (3, 2 if query == "page_size=1" else 3)


async def test_phone_numbers_are_masked_in_lists(client: httpx2.AsyncClient, acme: Business) -> None:
    headers = bearer(acme.tokens["operator"])
    listed = (await client.get("/api/v1/members", headers=headers)).json()["items"]
    assert [member["phone"] for member in listed] == ["139****1234"]


async def test_health(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ok", "database": "ok", "broker": "cannot be reached"},
    )
    assert (await client.get("/version")).json()["version"]
    await client.get("/api/v1/me")
    metrics = await client.get("/metrics")
    assert 'aisleflow_http_requests_total{operation="me",status="4xx"}' in metrics.text
