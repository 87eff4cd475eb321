"""Water through the API: what a purifier is, a pour from asking to its story, a doubt and its decision."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from cloud.database import Database
from cloud.ingest.batch import ingest_batch
from cloud.machines.credentials import Credentials
from shared.clock import ManualClock
from shared.messages import Fact, PourEnded, WaterLeaked
from tests.cloud.api.conftest import bearer
from tests.cloud.api.world import SERVER_SECRET, Business
from tests.cloud.fleet import Device

DAY = {"from_ms": "1795104000000", "before_ms": "1795190400000"}


@pytest.fixture
def tap(acme: Business, clock: ManualClock) -> Device:
    """The purifier of acme."""
    return Device(acme.purifier, clock)


async def tell(database: Database, tap: Device, *facts: Fact) -> None:
    await ingest_batch(database, Credentials(SERVER_SECRET), [tap.began(), *(tap.fact(fact) for fact in facts)])


def end(order: str, poured_ml: int, charged_fen: int, *, certain: bool = True) -> PourEnded:
    """The end of the litre of cold water that acme's world has ordered, at 50 fen."""
    return PourEnded(
        order=order,
        outlet="cold",
        source="order",
        means="escrow",
        asked_ml=1_000,
        poured_ml=poured_ml,
        price_fen_per_litre=50,
        charged_fen=charged_fen,
        reason="stopped",
        certain=certain,
        txn=1,
        plan="plan-acme",
    )


async def ask(client: httpx2.AsyncClient, own: Business, path: str, **query: str) -> Any:
    answer = await client.get(f"/api/v1{path}", params=query, headers=bearer(own.tokens["owner"]))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_purifier_is_read_as_it_was_written(client: httpx2.AsyncClient, acme: Business) -> None:
    path, headers = f"/api/v1/machines/{acme.purifier}/purifier", bearer(acme.tokens["operator"])
    body = {
        "version": 1,
        "outlets": [{"warmth": "hot", "relay": 3, "price_fen_per_litre": 80, "nominal_ml_per_s": 25}],
        "plan": {
            "plan": "lease-7",
            "mode": "metered_rental",
            "began_wall_ms": 1_795_000_000_000,
            "ends_wall_ms": 1_799_000_000_000,
            "prepaid_ml": 500_000,
            "minimum_ml_per_day": 1_000,
        },
        "filters": [
            {
                "position": 1,
                "name": "炭棒 Carbon",
                "timer_mode": "working",
                "lifetime_hours": 4_000,
                "worklife_hours": 900,
                "litres_max": 6_000,
                "warn_percent": 15,
            }
        ],
        "limits": {
            "pour_ml_max": 3_000,
            "pour_ms_max": 120_000,
            "stall_ms": 4_000,
            "leak_ml": 80,
            "tds_ppm_max": 60,
            "stop_when_unfit": False,
        },
    }
    put = await client.put(path, json=body, headers=headers)
    assert put.status_code == 200, put.text
    assert put.json() == (await client.get(path, headers=headers)).json() == {**body, "version": 2}
    assert (await client.put(path, json=body, headers=headers)).status_code == 409
    condition = await ask(client, acme, f"/machines/{acme.purifier}/water")
    assert condition["mode"] == "metered_rental"
    assert condition["left_ml"] == 500_000 - condition["used_ml"]
    assert condition["no_sale"] == []


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"outlets": []}, "outlets"),
        ({"outlets": [{"warmth": "lukewarm", "relay": 1}]}, "outlets.0.warmth"),
        ({"outlets": [{"warmth": "cold", "relay": 1}, {"warmth": "cold", "relay": 2}]}, "purifier"),
        ({"plan": {"plan": "p", "mode": "timed_rental"}}, "purifier"),
        ({"colour": "blue"}, "colour"),
    ],
)
async def test_a_wrong_purifier_is_refused_by_its_field(
    client: httpx2.AsyncClient, acme: Business, wrong: dict[str, Any], field: str
) -> None:
    right = {"version": 1, "outlets": [{"warmth": "cold", "relay": 1}], "plan": {"plan": "p", "mode": "sale"}}
    answer = await client.put(
        f"/api/v1/machines/{acme.purifier}/purifier",
        json=right | wrong,
        headers=bearer(acme.tokens["operator"]),
    )
    assert answer.status_code == 422
    assert field in answer.json()["field"]


async def test_a_machine_that_is_no_purifier_says_so(client: httpx2.AsyncClient, acme: Business) -> None:
    for path in ("purifier", "water"):
        answer = await client.get(f"/api/v1/machines/{acme.machine}/{path}", headers=bearer(acme.tokens["viewer"]))
        assert (answer.status_code, answer.json()["field"]) == (404, "machine")


async def test_a_pour_tells_its_whole_story(
    client: httpx2.AsyncClient, database: Database, acme: Business, tap: Device
) -> None:
    await ingest_batch(database, Credentials(SERVER_SECRET), [tap.claim(acme.pour)])
    await tell(database, tap, end(acme.pour, 600, 30), WaterLeaked(leaked_ml=70))
    story = await ask(client, acme, f"/pours/{acme.pour}")
    pour = story["pour"]
    assert (pour["state"], pour["poured_ml"], pour["paid_fen"], pour["charged_fen"]) == ("poured", 600, 50, 30)
    assert {step["what"] for step in story["timeline"]} == {"placed", "claimed", "poured", "pour_ended"}
    moves = {(move["from_account"], move["to_account"]): move["amount_fen"] for move in story["postings"]}
    wallet = f"wallet:{acme.member}"
    assert moves == {(wallet, "escrow"): 50, ("escrow", "revenue"): 30, ("escrow", wallet): 20}
    assert [(line["kind"], line["sold_ml"], line["given_ml"]) for line in story["flows"]] == [("pour", 600, 0)]
    account = await ask(client, acme, f"/machines/{acme.purifier}/account", **DAY)
    assert account["items"] == []
    assert account["water"] == {"metered_ml": 670, "sold_ml": 600, "given_ml": 0, "leaked_ml": 70, "doubtful_ml": 0}
    flows = await ask(client, acme, f"/machines/{acme.purifier}/water/flows")
    assert [(line["kind"], line["leaked_ml"]) for line in flows["items"]] == [("leak", 70), ("pour", 0)]
    (hour,) = [row for row in (await ask(client, acme, "/reports/sales-by-hour", **DAY))["items"] if row["pours"]]
    assert (hour["poured_ml"], hour["revenue_fen"]) == (600, 30)
    (plan,) = (await ask(client, acme, "/reports/water-by-plan", **DAY))["items"]
    assert (plan["machine"], plan["plan"], plan["sold_ml"]) == (acme.purifier, "plan-acme", 600)


async def test_a_charged_pour_is_refunded_within_what_was_charged(
    client: httpx2.AsyncClient, database: Database, acme: Business, tap: Device
) -> None:
    await ingest_batch(database, Credentials(SERVER_SECRET), [tap.claim(acme.pour)])
    path = f"/api/v1/pours/{acme.pour}/refunds"

    async def refund(amount_fen: int, key: str, who: str = "finance") -> httpx2.Response:
        headers = {**bearer(acme.tokens[who]), "Idempotency-Key": key}
        return await client.post(path, json={"amount_fen": amount_fen, "reason": "warm"}, headers=headers)

    assert (await refund(10, "too-early")).status_code == 409
    await tell(database, tap, end(acme.pour, 600, 30))
    assert (await refund(10, "refund-one", "operator")).status_code == 403
    for _ in range(2):  # asked again: the same answer, no second effect
        assert [given["amount_fen"] for given in (await refund(10, "refund-one")).json()["items"]] == [10]
    assert (await refund(5, "refund-one")).status_code == 409
    too_much = await refund(21, "refund-two")
    assert (too_much.status_code, too_much.json()["left_fen"]) == (409, 20)
    answers = await asyncio.gather(*(refund(15, f"refund-race-{n}") for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert (await refund(5, "the-rest")).status_code == 200
    given = await ask(client, acme, f"/pours/{acme.pour}/refunds")
    assert [(one["amount_fen"], one["reason"]) for one in given["items"]] == [(10, "warm"), (15, "warm"), (5, "warm")]
    story = await ask(client, acme, f"/pours/{acme.pour}")
    assert story["pour"]["charged_fen"] == sum(one["amount_fen"] for one in story["refunds"]) == 30
    assert [step["what"] for step in story["timeline"]].count("money_returned") == 3
    wallet = f"wallet:{acme.member}"
    back = [move["amount_fen"] for move in story["postings"] if move["kind"] == "refund"]
    assert sorted(back) == [5, 10, 15]
    assert {move["to_account"] for move in story["postings"] if move["kind"] == "refund"} == {wallet}
    assert (await ask(client, acme, "/ledger/drift"))["drift_fen"] == 0
    (hour,) = [row for row in (await ask(client, acme, "/reports/sales-by-hour", **DAY))["items"] if row["pours"]]
    assert (hour["poured_ml"], hour["revenue_fen"]) == (600, 0)


async def test_a_doubtful_pour_is_found_decided_and_written_down(
    client: httpx2.AsyncClient, database: Database, acme: Business, tap: Device
) -> None:
    await tell(database, tap, end(acme.pour, 600, 30, certain=False))
    (waiting,) = (await ask(client, acme, "/pours", state="review"))["items"]
    assert (waiting["order"], waiting["poured_ml"], waiting["charged_fen"]) == (acme.pour, 600, 0)
    decision = f"/api/v1/pours/{acme.pour}/decision"
    body = {"poured_ml": 500, "reason": "a half-litre bottle stands full"}
    assert (await client.post(decision, json=body, headers=bearer(acme.tokens["operator"]))).status_code == 403
    decided = await client.post(decision, json=body, headers=bearer(acme.tokens["finance"]))
    assert decided.status_code == 200, decided.text
    assert (decided.json()["state"], decided.json()["charged_fen"], decided.json()["decided_by"]) == (
        "poured",
        25,
        "finance",
    )
    assert (await client.post(decision, json=body, headers=bearer(acme.tokens["finance"]))).status_code == 409
    assert (await ask(client, acme, "/ledger/drift"))["drift_fen"] == 0
    audit = (await ask(client, acme, "/audit"))["items"]
    assert "pour.decide" in [row["action"] for row in audit]


async def test_more_than_was_asked_cannot_be_decided(
    client: httpx2.AsyncClient, database: Database, acme: Business, tap: Device
) -> None:
    await tell(database, tap, end(acme.pour, 600, 30, certain=False))
    answer = await client.post(
        f"/api/v1/pours/{acme.pour}/decision",
        json={"poured_ml": 1_001, "reason": "typed too much"},
        headers=bearer(acme.tokens["finance"]),
    )
    assert (answer.status_code, answer.json()["field"]) == (422, "poured_ml")


async def test_the_same_key_is_one_pour(client: httpx2.AsyncClient, acme: Business) -> None:
    body = {"member": acme.member, "machine": acme.purifier, "outlet": "cold", "asked_ml": 300}
    headers = {**bearer(acme.tokens["operator"]), "Idempotency-Key": "thirst-0001"}
    first = await client.post("/api/v1/pours", json=body, headers=headers)
    again = await client.post("/api/v1/pours", json=body, headers=headers)
    other = await client.post("/api/v1/pours", json={**body, "asked_ml": 301}, headers=headers)
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 409)
    assert first.json() == again.json()
    assert first.json()["paid_fen"] == 15


@pytest.mark.parametrize("swapped", ["member", "machine"])
async def test_ids_of_another_tenant_cannot_be_used(
    client: httpx2.AsyncClient, acme: Business, rival: Business, swapped: str
) -> None:
    theirs = {"member": acme.member, "machine": acme.purifier}
    body = {"member": rival.member, "machine": rival.purifier, "outlet": "cold", "asked_ml": 300}
    body[swapped] = theirs[swapped]
    headers = {**bearer(rival.tokens["owner"]), "Idempotency-Key": "swapped-ids"}
    assert (await client.post("/api/v1/pours", json=body, headers=headers)).status_code == 404
