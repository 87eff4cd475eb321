"""Payments over HTTP: the whole way of a top-up with the recording provider, and what providers hear at their door."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import func, select

from cloud.accounts.codes import send_code
from cloud.audit import ledger_drift
from cloud.database import Database
from cloud.facades.mount import BODY_BYTES_MAX
from cloud.outcalls import make_due
from cloud.paging import Ask
from cloud.payments.browse import list_callbacks
from cloud.payments.callback import UNBELIEVED_PER_DAY_MAX
from cloud.payments.store import payment_callbacks
from cloud.settings import Settings
from cloud.wiring import handlers
from shared.clock import ManualClock
from tests.cloud.api.conftest import bearer
from tests.cloud.api.world import Business, open_business, parts_of
from tests.cloud.payments.house import API_V3_KEY, WeChatHouse, serving, write_providers
from tests.cloud.shared_app import app_of


class Cloud:
    """The application, a tenant in it, and a house of WeChat that the tenant may turn to."""

    def __init__(self, database: Database, own: Business, client: httpx2.AsyncClient, house: WeChatHouse) -> None:
        self.database = database
        self.own = own
        self.client = client
        self.house = house
        self.use_wechat = lambda: Path()
        self.calls = lambda: make_due(database, {})

    async def ask(
        self, method: str, path: str, *, role: str = "finance", key: str = "", **body: object
    ) -> httpx2.Response:
        headers = bearer(self.own.tokens[role]) | ({"Idempotency-Key": key} if key else {})  # type: ignore[index]
        return await self.client.request(method, f"/api/v1{path}", headers=headers, json=body or None)

    async def drift(self) -> int:
        async with self.database.look(tenant=self.own.tenant) as work:
            return await ledger_drift(work, self.own.tenant)


@pytest.fixture
async def cloud(database: Database, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Cloud]:
    """A cloud."""
    own = await open_business(database, "acme")
    parts = parts_of(database, replace(Settings(), data=tmp_path, public_url="https://fleet.example"))
    transport = httpx2.ASGITransport(app_of(parts), raise_app_exceptions=False)
    house = WeChatHouse(clock.wall_ms)
    async with serving(house.handle) as address, httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
        opened = Cloud(database, own, client, house)
        opened.use_wechat = lambda: write_providers(tmp_path / "providers", "acme", wechat=address)
        opened.calls = lambda: make_due(database, handlers(parts.till, parts.codes, parts.credentials))
        yield opened
    await parts.till.providers.close()


async def test_a_top_up_with_the_recording_provider(cloud: Cloud) -> None:
    path = f"/members/{cloud.own.member}/payments"
    begun = await cloud.ask("POST", path, key="key-00001", amount_fen=700, channel="weixin_native")
    assert begun.status_code == 201
    assert begun.json()["parameters"]["provider"] == "recording"
    again = await cloud.ask("POST", path, key="key-00001", amount_fen=700, channel="weixin_native")
    assert again.json() == begun.json()
    other = await cloud.ask("POST", path, key="key-00001", amount_fen=701, channel="weixin_native")
    assert other.status_code == 409
    payment = begun.json()["payment"]["payment"]
    before = (await cloud.ask("GET", f"/members/{cloud.own.member}/wallet")).json()["balance_fen"]
    settled = await cloud.ask("POST", f"/payments/{payment}/settlement")
    assert settled.json()["state"] == "captured"
    assert (await cloud.ask("GET", f"/members/{cloud.own.member}/wallet")).json()["balance_fen"] == before + 700
    refunded = await cloud.ask(
        "POST", f"/payments/{payment}/refunds", key="key-00002", amount_fen=200, reason="too much"
    )
    assert refunded.json()["state"] == "asked"
    while await cloud.calls():
        pass
    story = (await cloud.ask("GET", f"/payments/{payment}")).json()
    assert story["payment"]["state"] == "partly_refunded"
    assert [step["what"] for step in story["steps"]] == [
        "created",
        "begun",
        "captured",
        "refund_decided",
        "refund_done",
    ]
    assert [(refund["state"], refund["transaction"][:9]) for refund in story["refunds"]] == [("done", "recording")]
    assert sorted(posting["kind"] for posting in story["postings"]) == ["give_back", "give_back_done", "receive"]
    listed = (await cloud.ask("GET", "/payments?state=partly_refunded&sort=-captured_ms")).json()
    assert {one["payment"] for one in listed["items"]} == {payment, cloud.own.paid}
    assert (await cloud.ask("GET", f"/payments?member={cloud.own.member}")).json()["total"] == 3
    assert await cloud.drift() == 0
    audit = (await cloud.ask("GET", "/audit?limit=50")).json()["items"]
    assert [row["action"] for row in audit] == ["payment.begin"] * 2 + ["payment.settle_recorded", "payment.refund"]


async def test_where_a_real_provider_is_used_nothing_is_settled_by_saying_so(cloud: Cloud) -> None:
    cloud.use_wechat()
    path = f"/members/{cloud.own.member}/payments"
    begun = await cloud.ask("POST", path, key="key-00001", amount_fen=700, channel="weixin_native")
    payment = begun.json()["payment"]["payment"]
    assert begun.json()["parameters"] == {"code_url": f"weixin://pay/{payment}"}
    refused = await cloud.ask("POST", f"/payments/{payment}/settlement")
    assert refused.status_code == 409
    assert (await cloud.ask("POST", path, key="key-00002", amount_fen=700, channel="credit")).status_code == 503
    cloud.house.moods = [None]
    silent = await cloud.ask("POST", path, key="key-00003", amount_fen=700, channel="weixin_native")
    assert silent.status_code == 503
    assert "WeChat Pay does not answer" in silent.json()["detail"]
    again = await cloud.ask("POST", path, key="key-00003", amount_fen=700, channel="weixin_native")
    assert again.status_code == 201


async def test_wechat_is_answered_as_it_expects(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    cloud.use_wechat()
    path = f"/members/{cloud.own.member}/payments"
    begun = await cloud.ask("POST", path, key="key-00001", amount_fen=700, channel="weixin_native")
    payment = begun.json()["payment"]["payment"]
    headers, body = cloud.house.callback(cloud.house.pay(payment))
    door = "/callbacks/wechat/acme"
    with caplog.at_level(logging.DEBUG):
        forged = await cloud.client.post(door, headers={**headers, "wechatpay-nonce": "x"}, content=body)
        believed = await cloud.client.post(door, headers=headers, content=body)
    assert (forged.status_code, forged.json()) == (401, {"code": "FAIL", "message": "forged"})
    assert (believed.status_code, believed.content) == (204, b"")
    story = (await cloud.ask("GET", f"/payments/{payment}")).json()
    assert story["payment"]["state"] == "captured"
    assert [seen["verdict"] for seen in story["callbacks"]] == ["applied"]
    listed = (await cloud.ask("GET", "/payment-callbacks?verdict=unbelieved")).json()
    assert [seen["reason"] for seen in listed["items"]] == ["forged: WeChat's key has not signed this"]
    for secret in (API_V3_KEY, "PRIVATE KEY"):
        assert secret not in caplog.text
    assert await cloud.drift() == 0


async def test_the_door_is_closed_to_nobodys_providers(cloud: Cloud) -> None:
    for path in ("/callbacks/wechat/acme", "/callbacks/nothing/acme", "/callbacks/wechat/..%2Facme"):
        answer = await cloud.client.post(path, content=b"{}")
        assert answer.status_code == 404, path
    assert (await cloud.client.get("/callbacks/recording/acme")).status_code == 405
    assert (await cloud.client.post("/callbacks/recording/acme", content=b"{}")).status_code == 400
    assert (await cloud.client.post("/callbacks/recording/nobody", content=b"{}")).status_code == 400
    too_large = b" " * (BODY_BYTES_MAX + 1)
    assert (await cloud.client.post("/callbacks/recording/acme", content=too_large)).status_code == 413
    listed = (await cloud.ask("GET", "/payment-callbacks")).json()
    assert listed["total"] == 1  # nothing is kept for tenants that do not exist


async def test_strangers_do_not_fill_the_disk(cloud: Cloud, clock: ManualClock) -> None:
    async def knock(body: bytes) -> None:
        await cloud.client.post("/callbacks/recording/acme", content=body)

    async def kept() -> int:
        async with cloud.database.look(tenant="acme") as work:
            return (await list_callbacks(work, "acme", Ask(page_size=1), verdict="unbelieved")).total

    await knock(b"the first\0")
    async with cloud.database.work(tenant="acme") as work:
        (row,) = await work.rows(select(payment_callbacks))
        filling = ({**row._mapping, "callback": f"unbelieved/{n}"} for n in range(UNBELIEVED_PER_DAY_MAX - 2))
        await work.insert(payment_callbacks, filling)
    for body in (b"the last", b"one too many", b"another", b"the first\0"):
        await knock(body)
    assert await kept() == UNBELIEVED_PER_DAY_MAX
    async with cloud.database.look(tenant="acme") as work:
        assert await work.scalar(select(func.sum(payment_callbacks.c.times))) == UNBELIEVED_PER_DAY_MAX + 1
    clock.advance(25 * 3_600_000)
    await knock(b"the next day")
    assert await kept() == UNBELIEVED_PER_DAY_MAX + 1


async def test_codes_are_read_only_where_nobody_sends_them(cloud: Cloud) -> None:
    use = partial(send_code, tenant="acme", purpose="register", phone="13900001234", address="10.0.0.1")
    await cloud.database.transact(use, tenant="acme")
    (code,) = (await cloud.ask("GET", "/codes", role="owner")).json()["items"]
    assert code["phone"] == "13900001234"
    assert len(code["code"]) == 6
    assert (await cloud.ask("GET", "/codes", role="operator")).status_code == 403
