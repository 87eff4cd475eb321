"""WeChat Pay: what we ask is signed, what is answered and called back is believed only with its signature."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from wechatpayv3 import WeChatPay as OtherLibrary
from wechatpayv3 import WeChatPayType

from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.members.model import wallet
from cloud.members.wallet import top_up, wallet_balance
from cloud.paging import Ask
from cloud.payments.browse import list_callbacks, payout_of
from cloud.payments.callback import take_callback
from cloud.payments.model import Refund
from cloud.payments.payout import NewPayout, pay_out
from cloud.payments.refund import refund
from cloud.payments.till import Till
from cloud.providers.directory import Providers
from shared.clock import ManualClock
from tests.cloud.payments.counter import MEMBER, TENANT, Counter, open_counter
from tests.cloud.payments.house import (
    API_V3_KEY,
    APP,
    MERCHANT,
    PUBLIC_KEY_ID,
    SERIAL,
    Said,
    WeChatHouse,
    private_pem,
    public_pem,
    serving,
    signed_by,
    write_providers,
)


@dataclass
class Shop:
    """A counter whose WeChat payments go to a house of WeChat on this computer."""

    counter: Counter
    house: WeChatHouse

    async def call_back(self, headers: dict[str, str], body: bytes) -> int:
        counter = self.counter
        return (await take_callback(counter.database, counter.till, TENANT, "wechat", headers, body)).status

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
    house = WeChatHouse(clock.wall_ms)
    async with serving(house.handle) as address:
        write_providers(tmp_path / "providers", TENANT, wechat=address)
        counter = await open_counter(database)
        providers = Providers(tmp_path / "providers", clock)
        counter.till = Till(providers, counter.till.purposes, "https://fleet.example")
        yield Shop(counter, house)
        await providers.close()


async def test_a_mini_program_gets_what_its_library_asks_for(shop: Shop) -> None:
    begun = await shop.counter.top_up(1_234, "weixin_jsapi", payer="o-anna")
    given = dict(begun.parameters)
    package = f"prepay_id=wx{begun.payment.payment}"
    assert (given["appId"], given["signType"], given["package"]) == (APP, "RSA", package)
    text = f"{APP}\n{given['timeStamp']}\n{given['nonceStr']}\n{package}\n"
    assert signed_by("merchant", text.encode(), given["paySign"])
    order = shop.house.orders[begun.payment.payment]
    assert order["amount"] == {"total": 1_234, "currency": "CNY"}
    assert order["notify_url"] == f"https://fleet.example/callbacks/wechat/{TENANT}"
    assert order["time_expire"] == "2026-11-20T12:30:00+08:00"
    assert order["payer"] == {"openid": "o-anna"}
    with pytest.raises(FleetError, match="openid"):
        await shop.counter.top_up(1_234, "weixin_jsapi", reference="k2")


async def test_an_app_and_a_code_get_theirs(shop: Shop) -> None:
    native = await shop.counter.top_up(channel="weixin_native")
    assert native.parameters == {"code_url": f"weixin://pay/{native.payment.payment}"}
    app = await shop.counter.top_up(channel="weixin_app", reference="k2")
    given = app.parameters
    assert (given["partnerid"], given["package"]) == (MERCHANT, "Sign=WXPay")
    text = f"{APP}\n{given['timestamp']}\n{given['noncestr']}\nwx{app.payment.payment}\n"
    assert signed_by("merchant", text.encode(), given["sign"])


async def test_a_refusal_is_final_and_silence_is_not(shop: Shop) -> None:
    with pytest.raises(FleetError, match="no such openid") as refused:
        await shop.counter.top_up(channel="weixin_jsapi", payer="x")
    assert refused.value.kind == "conflict"
    shop.house.moods = [None, Said(500, b"<html>"), Said(429, b'{"code": "FREQUENCY_LIMITED"}')]
    for _ in range(3):
        with pytest.raises(FleetError) as silent:
            await shop.counter.top_up(channel="weixin_native", reference="k2")
        assert silent.value.kind == "unavailable"
    assert (await shop.counter.top_up(channel="weixin_native", reference="k2")).payment.state == "pending"


async def test_an_answer_that_somebody_else_signed_is_none(shop: Shop) -> None:
    shop.house.signer = "somebody"
    with pytest.raises(FleetError, match="not signed by it"):
        await shop.counter.top_up(channel="weixin_native")


async def test_a_callback_is_applied_once(shop: Shop) -> None:
    begun = await shop.counter.top_up(channel="weixin_native")
    headers, body = shop.house.callback(shop.house.pay(begun.payment.payment))
    for _ in range(100):
        assert await shop.call_back(headers, body) == 204
    other_headers, other_body = shop.house.callback(shop.house.pay(begun.payment.payment), event="e-2")
    assert await shop.call_back(other_headers, other_body) == 204
    assert await shop.in_wallet() == 1_000
    assert [(verdict, times) for verdict, _, times in await shop.verdicts()] == [("applied", 100), ("again", 1)]
    assert await shop.counter.drift() == 0


async def test_what_nobody_signed_is_kept_and_refused(shop: Shop) -> None:
    begun = await shop.counter.top_up(channel="weixin_native")
    transaction = shop.house.pay(begun.payment.payment)
    headers, body = shop.house.callback(transaction)
    for name in headers:
        if name != "wechatpay-signature-type":
            wrong = ("2" if headers[name][0] != "2" else "3") + headers[name][1:]
            assert await shop.call_back({**headers, name: wrong}, body) == 401
            assert await shop.call_back({**headers, name: ""}, body) == 401
    assert await shop.call_back(headers, body + b" ") == 401
    assert await shop.call_back(headers, body.replace(b"SUCCESS", b"SUCCESs")) == 401
    shop.house.signer = "somebody"
    assert await shop.call_back(*shop.house.callback(transaction)) == 401
    assert await shop.in_wallet() == 0
    assert {verdict for verdict, _, _ in await shop.verdicts()} == {"unbelieved"}
    shop.house.signer = "wechat"
    assert await shop.call_back(*shop.house.callback(transaction)) == 204  # and none of it is in the way
    assert await shop.in_wallet() == 1_000


@pytest.mark.parametrize("age_ms", [301_000, -301_000])
async def test_a_callback_that_is_played_again_later_is_refused(age_ms: int, shop: Shop) -> None:
    begun = await shop.counter.top_up(channel="weixin_native")
    transaction = shop.house.pay(begun.payment.payment)
    assert await shop.call_back(*shop.house.callback(transaction, age_ms=age_ms)) == 401
    assert [reason.split(":")[0] for _, reason, _ in await shop.verdicts()] == ["late"]
    assert await shop.in_wallet() == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amount": {"total": 1, "currency": "CNY"}}, "1 fen were paid instead of 1000"),
        ({"amount": {"total": 1_000, "currency": "USD"}}, "0 fen were paid instead of 1000"),
        ({"mchid": "1900000001"}, "the money went to merchant '1900000001/"),
        ({"appid": "wx0000000000000001"}, "the money went to merchant"),
        ({"out_trade_no": "p00000000000000000000"}, "there is no payment"),
    ],
)
async def test_a_signed_callback_that_does_not_fit_is_kept_for_a_person(
    change: dict[str, Any], reason: str, shop: Shop
) -> None:
    begun = await shop.counter.top_up(channel="weixin_native")
    transaction = {**shop.house.pay(begun.payment.payment), **change}
    assert await shop.call_back(*shop.house.callback(transaction)) == 204  # calling again would not mend it
    ((verdict, said, _),) = await shop.verdicts()
    assert verdict == "quarantined"
    assert reason in said
    assert await shop.in_wallet() == 0
    assert await shop.call_back(*shop.house.callback(shop.house.pay(begun.payment.payment), event="e-2")) == 204
    assert await shop.in_wallet() == 1_000
    assert await shop.counter.drift() == 0


async def test_a_transaction_pays_one_payment(shop: Shop) -> None:
    first = await shop.counter.top_up(channel="weixin_native")
    second = await shop.counter.top_up(channel="weixin_native", reference="k2")
    paid = shop.house.pay(first.payment.payment)
    await shop.call_back(*shop.house.callback(paid))
    again = {**paid, "out_trade_no": second.payment.payment}
    assert await shop.call_back(*shop.house.callback(again, event="e-2")) == 204
    assert (await shop.verdicts())[1][:2] == (
        "quarantined",
        f"transaction '42000{first.payment.payment}' has paid '{first.payment.payment}'",
    )
    twice = {**paid, "transaction_id": "another"}
    await shop.call_back(*shop.house.callback(twice, event="e-3"))
    assert "paid twice" in (await shop.verdicts())[2][1]
    assert await shop.in_wallet() == 1_000
    assert await shop.counter.drift() == 0


async def test_a_callback_about_something_else_is_kept(shop: Shop) -> None:
    headers, body = shop.house.callback({"complaint_id": "x"}, kind="COMPLAINT.CREATE")
    assert await shop.call_back(headers, body) == 204
    assert [verdict for verdict, _, _ in await shop.verdicts()] == ["ignored"]


async def give_back(shop: Shop) -> Refund:
    """Pay ten yuan into the wallet, and give four of them back; WeChat has taken it on."""
    begun = await shop.counter.top_up(channel="weixin_native")
    await shop.call_back(*shop.house.callback(shop.house.pay(begun.payment.payment)))
    use = partial(
        refund,
        tenant=TENANT,
        payment=begun.payment.payment,
        amount_fen=400,
        reference="r1",
        reason="too much",
        decided_by="tests",
    )
    given = await shop.counter.database.transact(use, tenant=TENANT)
    await shop.counter.make_calls()  # PROCESSING
    return given


def refund_notice(given: Refund, **other: Any) -> dict[str, Any]:
    """What WeChat calls back about a refund."""
    return {
        "mchid": MERCHANT,
        "out_trade_no": given.payment,
        "transaction_id": f"42000{given.payment}",
        "out_refund_no": given.refund,
        "refund_id": f"50000{given.refund}",
        "refund_status": "SUCCESS",
        "amount": {"total": 1_000, "refund": 400, "payer_total": 1_000, "payer_refund": 400},
        **other,
    }


async def test_a_refund_ends_when_wechat_calls_back(shop: Shop, clock: ManualClock) -> None:
    given = await give_back(shop)
    assert shop.house.refunds[given.refund]["notify_url"] == f"https://fleet.example/callbacks/wechat/{TENANT}"
    headers, body = shop.house.callback(refund_notice(given), event="r-1", kind="REFUND.SUCCESS")
    for _ in range(3):
        assert await shop.call_back(headers, body) == 204
    again = shop.house.callback(refund_notice(given), event="r-2", kind="REFUND.SUCCESS")
    assert await shop.call_back(*again) == 204
    after = await shop.counter.seen(given.payment)
    assert (after.state, after.refunded_fen, after.refunding_fen) == ("partly_refunded", 400, 0)
    assert [(verdict, times) for verdict, _, times in (await shop.verdicts())[1:]] == [("applied", 3), ("again", 1)]
    clock.advance(3_600_000)
    assert await shop.counter.make_calls() == 0, "nobody asks after it any more"
    assert await shop.in_wallet() == 600
    assert await shop.counter.drift() == 0


async def test_a_refund_that_wechat_closes_brings_the_money_back(shop: Shop) -> None:
    given = await give_back(shop)
    abnormal = shop.house.callback(refund_notice(given, refund_status="ABNORMAL"), event="r-1", kind="REFUND.ABNORMAL")
    assert await shop.call_back(*abnormal) == 204
    assert (await shop.counter.seen(given.payment)).refunding_fen == 400
    closed = shop.house.callback(refund_notice(given, refund_status="CLOSED"), event="r-2", kind="REFUND.CLOSED")
    assert await shop.call_back(*closed) == 204
    after = await shop.counter.seen(given.payment)
    assert (after.state, after.refunded_fen, after.refunding_fen) == ("captured", 0, 0)
    opposite = shop.house.callback(refund_notice(given), event="r-3", kind="REFUND.SUCCESS")
    assert await shop.call_back(*opposite) == 204
    assert [verdict for verdict, _, _ in await shop.verdicts()] == ["applied", "ignored", "applied", "quarantined"]
    assert await shop.in_wallet() == 1_000
    assert await shop.counter.drift() == 0


@pytest.mark.parametrize(
    "other",
    [
        {"mchid": "1900000999"},
        {"out_refund_no": "nobodys"},
        {"out_trade_no": "nobodys"},
        {"amount": {"total": 1_000, "refund": 401}},
    ],
)
async def test_a_refund_notice_that_does_not_fit_is_kept_for_a_person(other: dict[str, Any], shop: Shop) -> None:
    given = await give_back(shop)
    notice = shop.house.callback(refund_notice(given, **other), event="r-1", kind="REFUND.SUCCESS")
    assert await shop.call_back(*notice) == 204
    assert [verdict for verdict, _, _ in await shop.verdicts()] == ["applied", "quarantined"]
    assert (await shop.counter.seen(given.payment)).refunding_fen == 400
    forged_headers, body = shop.house.callback(refund_notice(given), event="r-2", kind="REFUND.SUCCESS")
    assert await shop.call_back(forged_headers, body + b" ") == 401
    late = shop.house.callback(refund_notice(given), event="r-3", kind="REFUND.SUCCESS", age_ms=6 * 60_000)
    assert await shop.call_back(*late) == 401
    assert (await shop.counter.seen(given.payment)).refunding_fen == 400


async def test_after_a_refund_a_late_callback_changes_nothing(shop: Shop, clock: ManualClock) -> None:
    begun = await shop.counter.top_up(channel="weixin_native")
    paid = shop.house.pay(begun.payment.payment)
    await shop.call_back(*shop.house.callback(paid))
    use = partial(
        refund,
        tenant=TENANT,
        payment=begun.payment.payment,
        amount_fen=400,
        reference="r1",
        reason="too much",
        decided_by="tests",
    )
    given = await shop.counter.database.transact(use, tenant=TENANT)
    await shop.counter.make_calls()  # PROCESSING
    shop.house.moods = [None]  # then silence
    clock.advance(60_000)
    await shop.counter.make_calls()
    clock.advance(60_000)
    await shop.counter.make_calls()  # SUCCESS
    asked = shop.house.refunds[given.refund]
    assert asked["amount"] == {"refund": 400, "total": 1_000, "currency": "CNY"}
    assert len(shop.house.refunds) == 1
    assert await shop.call_back(*shop.house.callback(paid, event="e-2")) == 204
    after = await shop.counter.seen(begun.payment.payment)
    assert (after.state, after.refunded_fen) == ("partly_refunded", 400)
    assert await shop.in_wallet() == 600
    assert await shop.counter.drift() == 0


async def test_a_payment_is_asked_after_and_closed(shop: Shop, clock: ManualClock) -> None:
    paid = await shop.counter.top_up(channel="weixin_native")
    idle = await shop.counter.top_up(channel="weixin_native", reference="k2")
    shop.house.pay(paid.payment.payment)
    clock.advance(10_000)
    await shop.counter.make_calls()
    assert (await shop.counter.seen(paid.payment.payment)).state == "captured"
    for _ in range(30):
        clock.advance(60_000)
        await shop.counter.make_calls()
    assert (await shop.counter.seen(idle.payment.payment)).state == "closed"
    assert shop.house.orders[idle.payment.payment]["trade_state"] == "CLOSED"
    assert await shop.counter.drift() == 0


async def test_a_payer_who_is_faster_than_the_closing_wins(shop: Shop, clock: ManualClock) -> None:
    begun = await shop.counter.top_up(channel="weixin_native")
    unpaid = shop.house._say(200, {**shop.house.orders[begun.payment.payment]})
    shop.house.pay(begun.payment.payment)
    clock.advance(31 * 60_000)
    unpaid = shop.house._say(200, json.loads(unpaid.body) | {"trade_state": "NOTPAY"})
    shop.house.moods = [unpaid]  # the question comes just before the payer, the closing just after
    await shop.counter.make_calls()
    assert (await shop.counter.seen(begun.payment.payment)).state == "pending"
    clock.advance(2_000)
    await shop.counter.make_calls()
    assert (await shop.counter.seen(begun.payment.payment)).state == "captured"


@pytest.mark.parametrize(("payee", "ended"), [("o-anna", "SUCCESS"), ("o-anna", "CANCELLED"), ("nobody", None)])
async def test_somebody_is_paid_out(payee: str, ended: str | None, shop: Shop, clock: ManualClock) -> None:
    async def decide(work: Work) -> str:
        await top_up(work, TENANT, MEMBER, 5_000, "opening")
        wanted = NewPayout(
            tenant=TENANT,
            reference="w1",
            account=wallet(MEMBER),
            way="weixin",
            payee=payee,
            payee_name="安娜",
            amount_fen=2_000,
            note="佣金",
            decided_by="tests",
        )
        decided = await pay_out(work, shop.counter.till, wanted)
        assert (await pay_out(work, shop.counter.till, wanted)).payout == decided.payout
        assert payee not in repr(decided) + repr(wanted)
        return decided.payout

    number = await shop.counter.database.transact(decide, tenant=TENANT)
    assert await shop.in_wallet() == 3_000
    await shop.counter.make_calls()
    async with shop.counter.database.look(tenant=TENANT) as work:
        waiting = await payout_of(work, TENANT, number)
    if ended is None:
        assert waiting.state == "refused"
    else:
        assert json.loads(waiting.parameters or "")["package"] == "p" * 8
        assert shop.house.transfers[number]["transfer_scene_id"] == "1005"
        assert "安娜" not in json.dumps(shop.house.transfers[number], ensure_ascii=False)
        shop.house.transfers[number] = {**shop.house.transfers[number], "state": ended, "package_info": None}
        clock.advance(60_000)
        await shop.counter.make_calls()
        async with shop.counter.database.look(tenant=TENANT) as work:
            after = await payout_of(work, TENANT, number)
        assert after.state == ("done" if ended == "SUCCESS" else "refused")
    posts = [asked for asked in shop.house.asked if asked.method == "POST" and "transfer-bills" in asked.path]
    assert len(posts) == 1
    assert await shop.in_wallet() == (3_000 if ended == "SUCCESS" else 5_000)
    assert await shop.counter.drift() == 0


async def test_another_library_reads_the_same_protocol(shop: Shop) -> None:
    """Our house of WeChat is checked by somebody else's client: it takes its answers and opens its callbacks."""
    begun = await shop.counter.top_up(channel="weixin_native")
    headers, body = shop.house.callback(shop.house.pay(begun.payment.payment))
    other = OtherLibrary(
        wechatpay_type=WeChatPayType.NATIVE,
        mchid=MERCHANT,
        private_key=private_pem("merchant").decode(),
        cert_serial_no=SERIAL,
        apiv3_key=API_V3_KEY,
        appid=APP,
        public_key=public_pem("wechat").decode(),
        public_key_id=PUBLIC_KEY_ID,
    )
    opened = other.callback(headers, body)
    assert opened["resource"]["out_trade_no"] == begun.payment.payment
    assert other.callback(headers, body.replace(b"e-1", b"e-2")) is None
    ours = shop.counter.till.providers.payment(TENANT, "wechat")
    report = ours.read_callback(headers, body, shop.house.now_ms()).report
    assert report is not None
    assert report.transaction == opened["resource"]["transaction_id"]
