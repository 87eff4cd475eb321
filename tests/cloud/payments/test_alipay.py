"""Alipay: signed orders, signed answers, signed forms, and yuan that never become another amount on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pytest
from alipay import AliPay as OtherLibrary

from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.members.model import wallet
from cloud.members.wallet import top_up, wallet_balance
from cloud.paging import Ask
from cloud.payments.browse import list_callbacks, payout_of
from cloud.payments.callback import take_callback
from cloud.payments.payout import NewPayout, pay_out
from cloud.payments.refund import refund
from cloud.payments.till import Till
from cloud.providers.directory import Providers
from shared.clock import ManualClock
from tests.cloud.payments.counter import MEMBER, TENANT, Counter, open_counter
from tests.cloud.payments.house import (
    ALIPAY_APP,
    AlipayHouse,
    Said,
    private_pem,
    public_pem,
    serving,
    signed_by,
    text_of,
    write_providers,
)


@dataclass
class Shop:
    """A counter whose Alipay payments go to a house of Alipay on this computer."""

    counter: Counter
    house: AlipayHouse

    async def call_back(self, body: bytes) -> str:
        counter = self.counter
        return (await take_callback(counter.database, counter.till, TENANT, "alipay", {}, body)).body

    async def in_wallet(self) -> int:
        async with self.counter.database.look(tenant=TENANT) as work:
            return await wallet_balance(work, TENANT, MEMBER)

    async def verdicts(self) -> list[tuple[str, str, int]]:
        async with self.counter.database.look(tenant=TENANT) as work:
            found = await list_callbacks(work, TENANT, Ask(sort="first_ms"))
        return [(seen.verdict, seen.reason, seen.times) for seen in found.items]


@pytest.fixture
async def shop(database: Database, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop."""
    house = AlipayHouse()
    async with serving(house.handle) as address:
        write_providers(tmp_path / "providers", TENANT, alipay=address)
        counter = await open_counter(database)
        providers = Providers(tmp_path / "providers", clock)
        counter.till = Till(providers, counter.till.purposes, "https://fleet.example")
        yield Shop(counter, house)
        await providers.close()


async def test_an_app_gets_a_signed_order(shop: Shop) -> None:
    begun = await shop.counter.top_up(1_205, "alipay_app")
    form = dict(parse_qsl(begun.parameters["order"], strict_parsing=True))
    signature = form.pop("sign")
    assert signed_by("seller", text_of(form).encode(), signature)
    assert form["method"] == "alipay.trade.app.pay"
    assert form["notify_url"] == f"https://fleet.example/callbacks/alipay/{TENANT}"
    assert '"total_amount":"12.05"' in form["biz_content"]
    assert '"time_expire":"2026-11-20 12:30:00"' in form["biz_content"]
    wap = await shop.counter.top_up(1_205, "alipay_wap", reference="k2")
    assert wap.parameters["url"].startswith("http://127.0.0.1:")
    code = await shop.counter.top_up(1_205, "alipay_qr", reference="k3")
    assert code.parameters == {"qr_code": f"https://qr.example/{code.payment.payment}"}
    assert len(shop.house.asked) == 1  # only the code needs the gateway


async def test_another_library_signs_the_same(shop: Shop) -> None:
    """Our signature is the one that somebody else's client makes of the same order; it believes our house's forms."""
    other = OtherLibrary(
        appid=ALIPAY_APP,
        app_notify_url=None,
        app_private_key_string=private_pem("seller").decode(),
        alipay_public_key_string=public_pem("alipay").decode(),
        sign_type="RSA2",
    )
    begun = await shop.counter.top_up(1_205, "alipay_app")
    form = dict(parse_qsl(begun.parameters["order"], strict_parsing=True))
    signature = form.pop("sign")
    assert other._sign(text_of(form)) == signature
    paid = dict(parse_qsl(shop.house.callback(shop.house.pay(begun.payment.payment, total="12.05")).decode()))
    signature = paid.pop("sign")
    assert other.verify(dict(paid), signature)
    assert not other.verify({**paid, "total_amount": "12.06"}, signature)


async def test_a_callback_is_applied_once(shop: Shop) -> None:
    begun = await shop.counter.top_up(1_205, "alipay_app")
    body = shop.house.callback(shop.house.pay(begun.payment.payment, total="12.05"))
    for _ in range(100):
        assert await shop.call_back(body) == "success"
    assert await shop.in_wallet() == 1_205
    assert await shop.verdicts() == [("applied", "", 100)]
    assert await shop.counter.drift() == 0


async def test_what_alipay_did_not_sign_is_kept_and_refused(shop: Shop) -> None:
    begun = await shop.counter.top_up(1_205, "alipay_app")
    form = shop.house.pay(begun.payment.payment, total="12.05")
    good = dict(parse_qsl(shop.house.callback(form).decode()))
    for name in good:
        assert await shop.call_back(urlencode({**good, name: good[name] + "0"}).encode()) == "fail"
    assert await shop.call_back(urlencode({**good, "more": "x"}).encode()) == "fail"
    assert await shop.call_back(urlencode([*good.items(), ("total_amount", "12.05")]).encode()) == "fail"
    assert await shop.call_back(b"\xff\x00") == "fail"
    assert await shop.call_back(b"") == "fail"
    shop.house.signer = "somebody"
    assert await shop.call_back(shop.house.callback(form)) == "fail"
    assert await shop.in_wallet() == 0
    assert {verdict for verdict, _, _ in await shop.verdicts()} == {"unbelieved"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"total_amount": "12.04"}, "1204 fen were paid instead of 1205"),
        ({"total_amount": "12.051"}, "-1 fen were paid"),
        ({"total_amount": "NaN"}, "-1 fen were paid"),
        ({"seller_id": "2088000000000001"}, "the money went to merchant '2088000000000001/"),
        ({"app_id": "2021000000000001"}, "the money went to merchant"),
        ({"out_trade_no": "p00000000000000000000"}, "there is no payment"),
    ],
)
async def test_a_signed_callback_that_does_not_fit_is_kept_for_a_person(
    change: dict[str, str], reason: str, shop: Shop
) -> None:
    begun = await shop.counter.top_up(1_205, "alipay_app")
    form = {**shop.house.pay(begun.payment.payment, total="12.05"), **change}
    assert await shop.call_back(shop.house.callback(form)) == "success"
    ((verdict, said, _),) = await shop.verdicts()
    assert verdict == "quarantined"
    assert reason in said
    assert await shop.in_wallet() == 0


async def test_waiting_and_closing_are_told_apart_from_paying(shop: Shop) -> None:
    begun = await shop.counter.top_up(1_205, "alipay_qr")
    form = shop.house.pay(begun.payment.payment, total="12.05")
    assert await shop.call_back(shop.house.callback({**form, "trade_status": "WAIT_BUYER_PAY"})) == "success"
    assert await shop.in_wallet() == 0
    assert await shop.call_back(shop.house.callback(form)) == "success"
    assert await shop.call_back(shop.house.callback({**form, "trade_status": "TRADE_CLOSED"})) == "success"
    assert [verdict for verdict, _, _ in await shop.verdicts()] == ["ignored", "applied", "ignored"]
    assert await shop.in_wallet() == 1_205


async def test_a_payment_is_asked_after_closed_and_refunded(shop: Shop, clock: ManualClock) -> None:
    paid = await shop.counter.top_up(1_205, "alipay_qr")
    idle = await shop.counter.top_up(500, "alipay_qr", reference="k2")
    gone = await shop.counter.top_up(600, "alipay_app", reference="k3")  # nobody ever opened it
    shop.house.pay(paid.payment.payment, total="12.05")
    for _ in range(31):
        clock.advance(60_000)
        await shop.counter.make_calls()
    seen = [(await shop.counter.seen(one.payment.payment)).state for one in (paid, idle, gone)]
    assert seen == ["captured", "closed", "closed"]
    use = partial(
        refund,
        tenant=TENANT,
        payment=paid.payment.payment,
        amount_fen=205,
        reference="r1",
        reason="too much",
        decided_by="tests",
    )
    given = await shop.counter.database.transact(use, tenant=TENANT)
    shop.house.refunds[given.refund] = "2.05"  # done before, and the answer was lost
    await shop.counter.make_calls()
    assert shop.house.refunds == {given.refund: "2.05"}
    assert (await shop.counter.seen(paid.payment.payment)).refunded_fen == 205
    assert await shop.in_wallet() == 1_000
    assert await shop.counter.drift() == 0


async def test_an_answer_that_somebody_else_signed_is_none(shop: Shop) -> None:
    shop.house.signer = "somebody"
    with pytest.raises(FleetError, match="not signed by it"):
        await shop.counter.top_up(channel="alipay_qr")
    shop.house.signer = "alipay"
    shop.house.moods = [None, Said(502, b"<html>"), {"code": "20000", "sub_code": "isp.unknow-error"}]
    for _ in range(3):
        with pytest.raises(FleetError) as silent:
            await shop.counter.top_up(channel="alipay_qr")
        assert silent.value.kind == "unavailable"
    shop.house.moods = [{"code": "40004", "sub_code": "ACQ.INVALID_PARAMETER", "sub_msg": "参数无效"}]
    with pytest.raises(FleetError, match="INVALID_PARAMETER") as refused:
        await shop.counter.top_up(channel="alipay_qr")
    assert refused.value.kind == "conflict"


@pytest.mark.parametrize(("payee", "state"), [("anna@example.com", "done"), ("nobody@example.com", "refused")])
async def test_somebody_is_paid_out(payee: str, state: str, shop: Shop, clock: ManualClock) -> None:
    async def decide(work: Work) -> str:
        await top_up(work, TENANT, MEMBER, 5_000, "opening")
        wanted = NewPayout(
            tenant=TENANT,
            reference="w1",
            account=wallet(MEMBER),
            way="alipay",
            payee=payee,
            payee_name="安娜",
            amount_fen=2_000,
            note="佣金",
            decided_by="tests",
        )
        return (await pay_out(work, shop.counter.till, wanted)).payout

    number = await shop.counter.database.transact(decide, tenant=TENANT)
    shop.house.moods = [{}, None]  # the transfer is asked, and the answer is lost
    await shop.counter.make_calls()
    clock.advance(60_000)
    await shop.counter.make_calls()
    async with shop.counter.database.look(tenant=TENANT) as work:
        assert (await payout_of(work, TENANT, number)).state == state
    assert await shop.in_wallet() == (3_000 if state == "done" else 5_000)
    assert await shop.counter.drift() == 0
