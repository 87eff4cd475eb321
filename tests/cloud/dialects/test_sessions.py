"""Signing in by number: in each dialect for itself, plain or as MD5, and slowly for who guesses."""

from __future__ import annotations

import hashlib

import httpx2
import pytest
from sqlalchemy import select

from cloud.accounts import store
from cloud.accounts.model import mint_token, token_hash
from cloud.accounts.store import tokens, users
from cloud.database import Database
from cloud.facades.dialect import Parts
from tests.cloud.dialects.conftest import MEMBER_PHONE, PASSWORD, PHONES
from tests.cloud.shared_app import app_of

MD5 = hashlib.md5(PASSWORD.encode(), usedforsecurity=False).hexdigest()


async def vending_login(client: httpx2.AsyncClient, phone: str, password: str) -> httpx2.Response:
    body = {"login_mp": 1, "phone": phone, "password_md5": password}
    return await client.post("/vending/login_save.php", json=body)


@pytest.mark.parametrize("sent", [PASSWORD, MD5, MD5.upper()])
async def test_the_password_may_come_plain_or_as_md5(client: httpx2.AsyncClient, brand: str, sent: str) -> None:
    answer = await vending_login(client, PHONES["owner"], sent)
    assert answer.json()["ret"] == 0
    assert [shop["shop_id"] for shop in answer.json()["data"]["shop_list"]] == ["SH1", "SH2"]
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


@pytest.mark.parametrize(("who", "seen"), [("clerk", ["SH1"]), ("agent", ["SH1"]), ("rival", ["SH9"])])
async def test_an_account_sees_the_shops_within_its_reach(
    client: httpx2.AsyncClient, brand: str, who: str, seen: list[str]
) -> None:
    answer = await vending_login(client, PHONES[who], MD5)
    assert [shop["shop_id"] for shop in answer.json()["data"]["shop_list"]] == seen


async def test_a_wrong_password_and_an_unknown_number_are_answered_alike(
    client: httpx2.AsyncClient, brand: str
) -> None:
    wrong = (await vending_login(client, PHONES["owner"], "guess")).json()
    unknown = (await vending_login(client, "13911111111", "guess")).json()
    assert wrong["ret"] == unknown["ret"] == 401
    assert wrong["msg"] == unknown["msg"]


async def test_guessing_elsewhere_is_slowed_down_and_does_not_keep_the_owner_out(
    client: httpx2.AsyncClient, brand: str, parts: Parts
) -> None:
    assert (await vending_login(client, PHONES["owner"], MD5)).json()["ret"] == 0
    stranger = httpx2.ASGITransport(app_of(parts), client=("192.0.2.7", 4000))
    async with httpx2.AsyncClient(transport=stranger, base_url="http://cloud.test") as elsewhere:
        rets = [(await vending_login(elsewhere, PHONES["owner"], f"guess {n}")).json()["ret"] for n in range(6)]
    assert rets[0] == 401
    assert rets[-1] == 429
    assert (await vending_login(client, PHONES["owner"], MD5)).json()["ret"] == 0


async def test_nothing_stored_is_or_holds_the_md5(client: httpx2.AsyncClient, brand: str, database: Database) -> None:
    async with database.look() as work:
        stored = [row.md5_hash for row in await work.rows(select(users.c.md5_hash))]
    assert stored
    for one in stored:
        assert one.startswith("$argon2id$")
        assert MD5 not in one


async def test_a_token_opens_the_dialect_that_gave_it_and_no_other(client: httpx2.AsyncClient, brand: str) -> None:
    token = (await vending_login(client, PHONES["owner"], MD5)).json()["data"]["token"]
    client.cookies.clear()
    headers = {"Authorization": f"Bearer {token}"}
    assert (await client.get("/api/v1/machines", headers=headers)).status_code == 401
    assert (await client.post("/iot/logout", headers=headers)).status_code == 401


async def test_staff_and_users_sign_in_to_the_iot_dialect(
    client: httpx2.AsyncClient, brand: str, database: Database
) -> None:
    staff = await client.post("/iot/login", json={"account": PHONES["agent"], "pwd": MD5, "kind": "staff"})
    assert staff.json()["data"]["level"] == "agent"
    user = await client.post("/iot/login", json={"account": MEMBER_PHONE, "pwd": MD5, "vid": brand})
    told = user.json()
    assert told["status"] is True
    assert told["data"]["uid"] == "CU1"
    assert told["token"] == told["data"]["token"]
    out = await client.post("/iot/logout", headers={"Authorization": f"Bearer {told['token']}"})
    assert out.json() == {"total": 0, "data": [], "status": True, "code": "", "message": ""}
    async with database.look() as work:
        left = [row.holder for row in await work.rows(select(tokens.c.holder))]
    assert left == ["user"]


async def test_people_of_a_unit_do_not_use_the_native_api(
    client: httpx2.AsyncClient, brand: str, database: Database
) -> None:
    token = mint_token(brand)
    async with database.work(tenant=brand) as work:
        await store.add_token(work, brand, token_hash(token), "u-agent", work.now_ms + 60_000)
    answer = await client.get("/api/v1/machines", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403
