"""Signing in, people, tenants, and the record of what they did."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cloud.accounts import store
from cloud.accounts.audit import audit_breaks
from cloud.accounts.model import (
    FREE_TRIES_ACCOUNT,
    TOKEN_TTL_MS,
    check_password,
    mint_password,
    mint_token,
    tenant_of_token,
    wait_ms,
)
from cloud.accounts.passwords import CONCURRENT_HASHES, Passwords
from cloud.accounts.people import NewUser, first_administrator
from cloud.database import Database
from cloud.errors import FleetError
from cloud.facades.dialect import Parts
from shared.clock import ManualClock
from tests.cloud.api.conftest import bearer
from tests.cloud.api.world import Business
from tests.cloud.shared_app import app_of

NEW_PASSWORD = "seven bridges over the river"


@pytest.fixture
async def administrator(parts: Parts) -> NewUser:
    """The first administrator, with the password that the console shows once."""
    made = await first_administrator(parts.database, parts.passwords)
    assert made is not None
    return made


async def sign_in(
    client: httpx2.AsyncClient, password: str, *, login: str = "admin", tenant: str = "main"
) -> httpx2.Response:
    return await client.post("/api/v1/login", json={"tenant": tenant, "login": login, "password": password})


async def token_of(client: httpx2.AsyncClient, password: str, *, login: str = "admin", tenant: str = "main") -> str:
    answer = await sign_in(client, password, login=login, tenant=tenant)
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["token"]
    return token


async def test_the_first_administrator_is_made_once(parts: Parts, administrator: NewUser) -> None:
    assert await first_administrator(parts.database, parts.passwords) is None
    assert re.fullmatch(r"([2-9a-hj-km-z]{5}-){3}[2-9a-hj-km-z]{5}", administrator.password)
    assert administrator.password not in repr(administrator)
    async with parts.database.look() as work:
        found = await store.user_by_login(work, "main", "admin")
    assert found is not None
    assert administrator.password not in found[1]
    assert found[1].startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_two_processes_starting_at_once_make_one_administrator(on_postgres: Database) -> None:
    made = await asyncio.gather(
        *(first_administrator(on_postgres, Passwords(b"pepper")) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(one, NewUser) for one in made) == 1
    async with on_postgres.look() as work:
        assert len(await store.users_of(work, "main")) == 1


async def test_signing_in_and_out(client: httpx2.AsyncClient, administrator: NewUser) -> None:
    token = await token_of(client, administrator.password)
    me = await client.get("/api/v1/me", headers=bearer(token))
    assert (me.json()["login"], me.json()["role"], me.json()["tenant"]) == ("admin", "platform", "main")
    assert (await client.post("/api/v1/logout", headers=bearer(token))).status_code == 204
    assert (await client.get("/api/v1/me", headers=bearer(token))).status_code == 401


async def test_a_token_is_stored_as_a_hash_and_expires(
    client: httpx2.AsyncClient, administrator: NewUser, database: Database, clock: ManualClock
) -> None:
    token = await token_of(client, administrator.password)
    async with database.look() as work:
        kept = await work.rows(store.tokens.select())
    assert token not in str(kept)
    assert token.rpartition(".")[2] not in str(kept)
    clock.advance(TOKEN_TTL_MS - 1)
    assert (await client.get("/api/v1/me", headers=bearer(token))).status_code == 200
    clock.advance(1)
    assert (await client.get("/api/v1/me", headers=bearer(token))).status_code == 401


@pytest.mark.parametrize(("tenant", "login"), [("main", "admin"), ("main", "nobody"), ("nowhere", "admin")])
async def test_what_was_wrong_is_not_told(
    tenant: str, login: str, client: httpx2.AsyncClient, administrator: NewUser
) -> None:
    answer = await sign_in(client, "wrong password", tenant=tenant, login=login)
    assert answer.status_code == 401
    assert answer.json()["detail"] == "tenant, login and password do not belong together"


async def test_guessing_is_slowed_down_and_nobody_is_locked_out(
    client: httpx2.AsyncClient, administrator: NewUser, clock: ManualClock
) -> None:
    for _ in range(FREE_TRIES_ACCOUNT):
        assert (await sign_in(client, "wrong")).status_code == 401
    refused = await sign_in(client, administrator.password)
    assert refused.status_code == 429
    wait_s = int(refused.headers["Retry-After"])
    assert wait_s == refused.json()["retry_after_s"] == 1
    clock.advance(wait_s * 1000)
    assert (await sign_in(client, administrator.password)).status_code == 200


async def test_a_login_that_does_not_exist_is_slowed_down_like_one_that_does(
    client: httpx2.AsyncClient, administrator: NewUser
) -> None:
    answers = {
        login: [(await sign_in(client, "wrong", login=login)).status_code for _ in range(FREE_TRIES_ACCOUNT + 1)]
        for login in ("admin", "nobody")
    }
    assert answers["admin"] == answers["nobody"] == [401] * FREE_TRIES_ACCOUNT + [429]


async def test_strangers_cannot_keep_out_who_signed_in_from_his_own_address(
    parts: Parts, administrator: NewUser
) -> None:
    def at(address: str) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app_of(parts), client=(address, 1))
        return httpx2.AsyncClient(transport=transport, base_url="http://cloud.test")

    async with at("192.0.2.10") as office, at("198.51.100.66") as stranger:
        await token_of(office, administrator.password)
        while (await sign_in(stranger, "wrong")).status_code != 429:
            pass
        assert (await sign_in(office, administrator.password)).status_code == 200


async def test_tries_made_at_once_are_all_counted(client: httpx2.AsyncClient, administrator: NewUser) -> None:
    answers = await asyncio.gather(*(sign_in(client, "wrong") for _ in range(20)))
    evaluated = [answer for answer in answers if answer.status_code == 401]
    assert len(evaluated) == FREE_TRIES_ACCOUNT
    assert {answer.status_code for answer in answers} == {401, 429}


def test_an_account_is_guessed_at_most_twenty_times_an_hour() -> None:
    now_ms = tries = 0
    while now_ms < 3_600_000:
        tries += 1
        now_ms += wait_ms(tries, FREE_TRIES_ACCOUNT)
    assert tries <= 20


async def test_a_changed_password_ends_every_session(client: httpx2.AsyncClient, administrator: NewUser) -> None:
    first, second = [await token_of(client, administrator.password) for _ in range(2)]
    body = {"present_password": administrator.password, "new_password": NEW_PASSWORD}
    assert (await client.post("/api/v1/me/password", json=body, headers=bearer(first))).status_code == 204
    for token in (first, second):
        assert (await client.get("/api/v1/me", headers=bearer(token))).status_code == 401
    assert (await sign_in(client, administrator.password)).status_code == 401
    assert (await sign_in(client, NEW_PASSWORD)).status_code == 200


async def test_a_stolen_token_cannot_guess_the_password(client: httpx2.AsyncClient, administrator: NewUser) -> None:
    headers = bearer(await token_of(client, administrator.password))
    body = {"present_password": "wrong", "new_password": NEW_PASSWORD}
    answers = [(await client.post("/api/v1/me/password", json=body, headers=headers)).status_code for _ in range(4)]
    assert answers == [403] * FREE_TRIES_ACCOUNT + [429]


async def test_a_new_person_changes_the_password_first(client: httpx2.AsyncClient, administrator: NewUser) -> None:
    headers = bearer(await token_of(client, administrator.password))
    body = {"login": "bob", "name": "Bob", "role": "owner"}
    added = (await client.post("/api/v1/users", json=body, headers=headers)).json()
    temporary = bearer(await token_of(client, added["password"], login="bob"))
    refused = await client.get("/api/v1/machines", headers=temporary)
    assert refused.status_code == 403
    assert "change it first" in refused.json()["detail"]
    change = {"present_password": added["password"], "new_password": NEW_PASSWORD}
    assert (await client.post("/api/v1/me/password", json=change, headers=temporary)).status_code == 204
    own = bearer(await token_of(client, NEW_PASSWORD, login="bob"))
    assert (await client.get("/api/v1/machines", headers=own)).status_code == 200


@pytest.mark.parametrize("change", [{"role": "technician"}, {"disabled": True}])
async def test_a_new_role_ends_every_session_at_once(
    change: dict[str, object], client: httpx2.AsyncClient, acme: Business
) -> None:
    viewer = bearer(acme.tokens["viewer"])
    assert (await client.get("/api/v1/me", headers=viewer)).status_code == 200
    path = f"/api/v1/users/{acme.viewer}"
    assert (await client.patch(path, json=change, headers=bearer(acme.tokens["owner"]))).status_code == 200
    assert (await client.get("/api/v1/me", headers=viewer)).status_code == 401


async def test_nobody_rises_by_himself(client: httpx2.AsyncClient, acme: Business) -> None:
    owner = bearer(acme.tokens["owner"])
    own = (await client.get("/api/v1/me", headers=owner)).json()["user"]
    assert (await client.patch(f"/api/v1/users/{own}", json={"role": "platform"}, headers=owner)).status_code == 409
    body = {"login": "mallory", "name": "Mallory", "role": "platform"}
    assert (await client.post("/api/v1/users", json=body, headers=owner)).status_code == 403
    promoted = await client.patch(f"/api/v1/users/{acme.viewer}", json={"role": "platform"}, headers=owner)
    assert promoted.status_code == 403


async def test_a_tenant_and_its_owner(client: httpx2.AsyncClient, administrator: NewUser) -> None:
    headers = bearer(await token_of(client, administrator.password))
    body = {"tenant": "acme", "name": "Acme", "owner_login": "boss"}
    opened = await client.post("/api/v1/tenants", json=body, headers=headers)
    assert opened.status_code == 201
    assert (await client.post("/api/v1/tenants", json=body, headers=headers)).status_code == 409
    assert [one["tenant"] for one in (await client.get("/api/v1/tenants", headers=headers)).json()["items"]] == [
        "acme",
        "main",
    ]
    owner = await token_of(client, opened.json()["password"], login="boss", tenant="acme")
    assert (await client.get("/api/v1/me", headers=bearer(owner))).json()["tenant"] == "acme"


async def test_the_same_login_in_two_tenants_is_two_people(client: httpx2.AsyncClient, administrator: NewUser) -> None:
    headers = bearer(await token_of(client, administrator.password))
    body = {"tenant": "acme", "name": "Acme", "owner_login": "admin"}
    await client.post("/api/v1/tenants", json=body, headers=headers)
    assert (await sign_in(client, administrator.password, tenant="acme")).status_code == 401


# --- the audit log ---


async def test_every_change_is_recorded_and_refused_ones_are_not(client: httpx2.AsyncClient, acme: Business) -> None:
    owner = bearer(acme.tokens["owner"])
    await client.patch(f"/api/v1/goods/{acme.goods}", json={"price_fen": 999}, headers=owner)
    await client.patch(f"/api/v1/goods/{acme.goods}", json={"price_fen": 1}, headers=bearer(acme.tokens["viewer"]))
    await client.patch("/api/v1/goods/nothing", json={"price_fen": 1}, headers=owner)
    rows = (await client.get("/api/v1/audit", headers=owner)).json()["items"]
    assert [(row["action"], row["role"], row["detail"]) for row in rows] == [
        ("goods.change", "owner", {"goods": acme.goods, "price_fen": 999})
    ]


async def test_the_audit_log_only_grows(client: httpx2.AsyncClient, acme: Business, database: Database) -> None:
    body = {"locked": True, "reason": "cleaning"}
    path = f"/api/v1/machines/{acme.machine}/aisles/a1/lock"
    for _ in range(3):
        assert (await client.post(path, json=body, headers=bearer(acme.tokens["owner"]))).status_code == 202
    for change in ("UPDATE audit_log SET actor = 'somebody else'", "DELETE FROM audit_log"):
        with pytest.raises(DBAPIError, match="append-only"):
            async with database.work() as work:
                await work.execute(text(change))
    async with database.look() as work:
        assert await audit_breaks(work, acme.tenant) == []


async def test_a_forged_audit_row_is_found(client: httpx2.AsyncClient, acme: Business, database: Database) -> None:
    owner = bearer(acme.tokens["owner"])
    for price_fen in (100, 200, 300):
        await client.patch(f"/api/v1/goods/{acme.goods}", json={"price_fen": price_fen}, headers=owner)
    async with database.work() as work:
        for trigger in ("audit_log_refuses_update", "audit_log_refuses_change"):
            await work.execute(text(_drop(trigger, database)))
        await work.execute(text("UPDATE audit_log SET detail = '{}' WHERE seq = 2"))
    async with database.look() as work:
        assert await audit_breaks(work, acme.tenant) == [2]


def _drop(trigger: str, database: Database) -> str:
    return f"DROP TRIGGER IF EXISTS {trigger}" + ("" if database.is_sqlite else " ON audit_log")


async def test_passwords_are_in_no_audit_row(client: httpx2.AsyncClient, administrator: NewUser) -> None:
    headers = bearer(await token_of(client, administrator.password))
    body = {"login": "bob", "name": "Bob", "role": "viewer"}
    added = (await client.post("/api/v1/users", json=body, headers=headers)).json()
    log = (await client.get("/api/v1/audit", headers=headers)).text
    assert "user.add" in log
    assert added["password"] not in log
    assert administrator.password not in log


# --- pure ---


@pytest.mark.parametrize("password", ["short", "x" * 201, "aaaaaaaaaaaaaaaa", "1212121212121212", "my-admin-password"])
def test_weak_passwords_are_refused(password: str) -> None:
    with pytest.raises(FleetError) as refused:
        check_password(password, "admin")
    assert (refused.value.kind, refused.value.field) == ("invalid", "password")


def test_minted_passwords_are_strong_enough_for_the_rule() -> None:
    minted = {mint_password() for _ in range(100)}
    assert len(minted) == 100
    for password in minted:
        check_password(password, "admin")


@pytest.mark.parametrize("token", ["", "afl", "afl.main", "afl..x", "afl.main.", "jwt.main.x", "afl.a/b.x", "a.b.c.d"])
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(FleetError) as refused:
        tenant_of_token(token)
    assert refused.value.kind == "unauthenticated"


def test_a_token_names_its_tenant() -> None:
    assert tenant_of_token(mint_token("acme")) == "acme"


async def test_hashing_is_bounded() -> None:
    running = most = 0

    class Counted(Passwords):
        def _verify(self, stored: str, password: str) -> bool:
            nonlocal running, most
            running += 1
            most = max(most, running)
            matches = super()._verify(stored, password)
            running -= 1
            return matches

    passwords = Counted(b"pepper")
    assert await asyncio.gather(*(passwords.matches(None, "x") for _ in range(20))) == [False] * 20
    assert 1 <= most <= CONCURRENT_HASHES


def test_parts_show_no_secret(parts: Parts) -> None:
    shown = repr(replace(parts))
    assert bytes(range(32)).hex() not in shown
    assert str(bytes(range(32))) not in shown
