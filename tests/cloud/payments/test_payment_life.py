"""The life of a payment: requested, begun, made or not, given back, with the ledger in step at every moment."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from cloud.database import Database
from cloud.errors import FleetError
from cloud.members.audit import balances_of
from cloud.members.store import balance_of
from cloud.members.wallet import wallet_balance
from cloud.outcalls import Outcall
from cloud.payments.browse import callbacks_of, paid_payment, refunds_of, steps_of
from cloud.payments.callback import take_callback
from cloud.payments.capture import settle_recorded
from cloud.payments.model import Payment, Refund
from cloud.payments.refund import REFUND, refund, refund_handler, retry_refund
from cloud.payments.request import OPEN_MS
from cloud.providers.payment import OutgoingReport, PaymentReport
from shared.clock import ManualClock
from tests.cloud.payments.counter import MEMBER, TENANT, Counter, open_counter

GENUINE = {"signature": "genuine"}
HOUR_MS = 3_600_000


async def call_back(counter: Counter, payment: str, event: str = "e1", provider: str = "tonglian") -> int:
    body = f"{event} {payment}".encode()
    return (await take_callback(counter.database, counter.till, TENANT, provider, GENUINE, body)).status


async def give_back(
    counter: Counter, payment: str, amount_fen: int, reference: str = "r1", account: str | None = None
) -> Refund:
    use = partial(
        refund,
        tenant=TENANT,
        payment=payment,
        amount_fen=amount_fen,
        reference=reference,
        reason="faulty",
        decided_by="tests",
        account=account,
    )
    return await counter.database.transact(use, tenant=TENANT)


async def in_wallet(counter: Counter) -> int:
    async with counter.database.look(tenant=TENANT) as work:
        return await wallet_balance(work, TENANT, MEMBER)


async def held(counter: Counter) -> dict[str, int]:
    async with counter.database.look(tenant=TENANT) as work:
        return await balances_of(work, TENANT, "channel")


async def paid_top_up(counter: Counter, amount_fen: int = 1_000, reference: str = "k1") -> Payment:
    begun = await counter.top_up(amount_fen, reference=reference)
    counter.bank.pay(begun.payment.payment, amount_fen)
    assert await call_back(counter, begun.payment.payment, f"e-{reference}") == 200
    return await counter.seen(begun.payment.payment)


async def test_a_top_up_arrives_in_the_wallet_once(counter: Counter) -> None:
    begun = await counter.top_up(1_000)
    assert begun.parameters == {"token": f"pay-{begun.payment.payment}"}
    assert begun.payment.state == "pending"
    assert await in_wallet(counter) == 0
    counter.bank.pay(begun.payment.payment, 1_000)
    for event in ("e1", "e1", "e2"):
        assert await call_back(counter, begun.payment.payment, event) == 200
    assert await in_wallet(counter) == 1_000
    assert await held(counter) == {"tonglian": -1_000}
    after = await counter.seen(begun.payment.payment)
    assert (after.state, after.captured_fen) == ("captured", 1_000)
    assert await counter.drift() == 0
    counter.database.clock.advance(OPEN_MS)  # type: ignore[attr-defined]
    assert await counter.make_calls() == 0  # nobody asks after it any more


async def test_the_story_is_told_in_order(counter: Counter) -> None:
    payment = await paid_top_up(counter)
    await give_back(counter, payment.payment, 400)
    await counter.make_calls()
    async with counter.database.look(tenant=TENANT) as work:
        story = [step.what for step in await steps_of(work, TENANT, payment.payment)]
        said = await callbacks_of(work, TENANT, payment.payment)
    assert story == ["created", "begun", "captured", "refund_decided", "refund_done"]
    assert [(callback.callback, callback.verdict) for callback in said] == [("tonglian/e-k1", "applied")]


async def test_requesting_again_goes_on_where_it_stands(counter: Counter) -> None:
    counter.bank.moods.append(FleetError("unavailable", "no answer"))
    with pytest.raises(FleetError, match="no answer"):
        await counter.top_up()
    begun = await counter.top_up()
    again = await counter.top_up()
    assert again == begun
    assert len(counter.bank.asked) == 2  # the one that failed, the one that did not; the third was remembered
    with pytest.raises(FleetError, match="used for another payment"):
        await counter.top_up(1_001)


async def test_a_refusal_ends_the_payment(counter: Counter) -> None:
    counter.bank.moods.append(FleetError("conflict", "the channel is closed for this merchant"))
    with pytest.raises(FleetError, match="closed for this merchant"):
        await counter.top_up()
    with pytest.raises(FleetError, match="the payment is failed"):
        await counter.top_up()


async def test_a_payment_whose_callback_never_came_is_asked_after(counter: Counter, clock: ManualClock) -> None:
    begun = await counter.top_up()
    assert await counter.make_calls() == 0
    clock.advance(10_000)
    assert await counter.make_calls() == 1
    assert (await counter.seen(begun.payment.payment)).state == "pending"
    counter.bank.pay(begun.payment.payment, 1_000)
    counter.bank.moods.append(FleetError("unavailable", "no answer"))
    clock.advance(60_000)
    assert await counter.make_calls() == 1
    assert (await counter.seen(begun.payment.payment)).state == "pending"
    clock.advance(60_000)
    assert await counter.make_calls() == 1
    assert (await counter.seen(begun.payment.payment)).state == "captured"
    assert await in_wallet(counter) == 1_000
    assert await counter.drift() == 0


async def pass_time(counter: Counter, clock: ManualClock, duration_ms: int, step_ms: int = 60_000) -> None:
    for _ in range(duration_ms // step_ms):
        clock.advance(step_ms)
        await counter.make_calls()


async def test_an_unpaid_payment_is_closed_on_time(counter: Counter, clock: ManualClock) -> None:
    begun = await counter.top_up()
    await pass_time(counter, clock, OPEN_MS)
    assert (await counter.seen(begun.payment.payment)).state == "closed"
    assert counter.bank.closed == {begun.payment.payment}
    clock.advance(HOUR_MS)
    assert await counter.make_calls() == 0
    with pytest.raises(FleetError, match="the payment is closed"):
        await counter.top_up()


async def test_money_that_comes_after_the_end_is_taken(counter: Counter, clock: ManualClock) -> None:
    begun = await counter.top_up()
    await pass_time(counter, clock, OPEN_MS)
    counter.bank.pay(begun.payment.payment, 1_000)
    assert await call_back(counter, begun.payment.payment) == 200
    assert await in_wallet(counter) == 1_000
    assert await counter.drift() == 0


async def test_a_purchase_that_is_no_longer_wanted_goes_back_whole(counter: Counter) -> None:
    begun = await counter.purchase("O1", 2_500)
    counter.unwanted = "the order was cancelled"
    counter.bank.pay(begun.payment.payment, 2_500)
    assert await call_back(counter, begun.payment.payment) == 200
    assert await counter.drift() == 0
    await counter.make_calls()
    after = await counter.seen(begun.payment.payment)
    assert (after.state, after.refunded_fen) == ("refunded", 2_500)
    assert list(counter.bank.moved.values()) == [2_500]
    assert (counter.captured, counter.returned) == (["O1"], [2_500])
    assert await held(counter) == {"tonglian": 0}
    assert await counter.drift() == 0


async def test_a_purchase_waits_in_advances(counter: Counter) -> None:
    begun = await counter.purchase("O1", 2_500)
    counter.bank.pay(begun.payment.payment, 2_500)
    await call_back(counter, begun.payment.payment)
    async with counter.database.look(tenant=TENANT) as work:
        assert await balance_of(work, TENANT, "advances:O1") == 2_500
        found = await paid_payment(work, TENANT, "purchase", "O1")
        assert found is not None
        assert found.payment == begun.payment.payment
        assert await paid_payment(work, TENANT, "purchase", "O2") is None


async def test_refunds_stay_within_what_was_captured(counter: Counter) -> None:
    payment = await paid_top_up(counter, 1_000)
    await give_back(counter, payment.payment, 600, "r1")
    assert await counter.drift() == 0
    with pytest.raises(FleetError, match="400 fen are left"):
        await give_back(counter, payment.payment, 401, "r2")
    again = await give_back(counter, payment.payment, 600, "r1")
    assert again.amount_fen == 600
    with pytest.raises(FleetError, match="used for another refund"):
        await give_back(counter, payment.payment, 599, "r1")
    assert await counter.make_calls() == 1
    assert (await counter.seen(payment.payment)).state == "partly_refunded"
    await give_back(counter, payment.payment, 400, "r2")
    await counter.make_calls()
    after = await counter.seen(payment.payment)
    assert (after.state, after.refunded_fen, after.refunding_fen) == ("refunded", 1_000, 0)
    assert await in_wallet(counter) == 0
    assert await held(counter) == {"tonglian": 0}
    assert await counter.drift() == 0


async def test_the_database_refuses_what_the_code_would_let_through(counter: Counter) -> None:
    payment = await paid_top_up(counter, 1_000)
    wrong = (
        "refunded_fen = 1001",
        "refunding_fen = 600, refunded_fen = 600",
        "captured_fen = 999",
        "refunding_fen = -1",
    )
    for values in wrong:
        with pytest.raises(IntegrityError):
            async with counter.database.work(tenant=TENANT) as work:
                await work.execute(text(f"UPDATE payments SET {values}"))
    with pytest.raises(DBAPIError):
        async with counter.database.work(tenant=TENANT) as work:
            await work.execute(text("UPDATE payment_steps SET what = 'nothing'"))
    assert (await counter.seen(payment.payment)).refunded_fen == 0


async def test_money_that_was_spent_does_not_go_back_to_the_card(counter: Counter) -> None:
    payment = await paid_top_up(counter, 1_000)
    async with counter.database.work(tenant=TENANT) as work:
        await work.execute(text("UPDATE ledger_accounts SET balance_fen = 300 WHERE kind = 'wallet'"))
    with pytest.raises(FleetError, match="does not hold enough money"):
        await give_back(counter, payment.payment, 301)
    assert (await give_back(counter, payment.payment, 300)).state == "asked"


async def test_parallel_refunds_with_one_reference_have_one_effect(on_postgres: Database) -> None:
    counter = await open_counter(on_postgres)
    payment = await paid_top_up(counter, 1_000)
    tries = [give_back(counter, payment.payment, 600, "r1") for _ in range(10)]
    found = await asyncio.gather(*tries)
    assert len({one.refund for one in found}) == 1
    others = [give_back(counter, payment.payment, 300, f"s{n}") for n in range(5)]
    ended = await asyncio.gather(*others, return_exceptions=True)
    assert sum(isinstance(one, Refund) for one in ended) == 1
    assert await counter.drift() == 0


async def test_a_provider_that_answers_late_is_asked_again(counter: Counter, clock: ManualClock) -> None:
    payment = await paid_top_up(counter)
    given = await give_back(counter, payment.payment, 1_000)
    counter.bank.moods += [FleetError("unavailable", "no answer"), OutgoingReport(state="accepted")]
    await counter.make_calls()
    assert await counter.make_calls() == 0  # not before the pause is over
    assert await counter.drift() == 0
    clock.advance(60_000)
    await counter.make_calls()
    async with counter.database.look(tenant=TENANT) as work:
        assert [one.state for one in await refunds_of(work, TENANT, payment.payment)] == ["accepted"]
    clock.advance(60_000)
    await counter.make_calls()
    assert counter.bank.moved == {given.refund: 1_000}
    assert (await counter.seen(payment.payment)).state == "refunded"
    clock.advance(HOUR_MS)
    assert await counter.make_calls() == 0
    assert await counter.drift() == 0


async def test_a_provider_that_is_asked_twice_at_once_has_one_effect(counter: Counter) -> None:
    """A lease that ran out, or a second worker: both ask, both are answered, and the books take it once."""
    payment = await paid_top_up(counter)
    given = await give_back(counter, payment.payment, 400)
    line = Outcall(TENANT, REFUND, given.refund, 1)
    call = refund_handler(counter.till).call
    assert await asyncio.gather(*(call(counter.database, line) for _ in range(3))) == [None, None, None]
    assert counter.bank.moved == {given.refund: 400}
    assert (await counter.seen(payment.payment)).refunded_fen == 400
    assert await counter.drift() == 0


async def test_a_refused_refund_returns_to_where_it_was_taken(counter: Counter) -> None:
    payment = await paid_top_up(counter)
    await give_back(counter, payment.payment, 1_000)
    assert await in_wallet(counter) == 0
    counter.bank.moods.append(OutgoingReport(state="refused", detail="the card is gone"))
    await counter.make_calls()
    assert await in_wallet(counter) == 1_000
    after = await counter.seen(payment.payment)
    assert (after.state, after.refundable_fen) == ("captured", 1_000)
    assert await counter.drift() == 0


async def test_what_nobody_answers_is_a_persons_job(counter: Counter, clock: ManualClock) -> None:
    payment = await paid_top_up(counter)
    given = await give_back(counter, payment.payment, 1_000)
    counter.bank.moods += [FleetError("unavailable", "no answer")] * 60
    for _ in range(60):
        assert await counter.make_calls() == 1
        clock.advance(HOUR_MS)
    assert await counter.make_calls() == 0
    async with counter.database.look(tenant=TENANT) as work:
        stuck = (await refunds_of(work, TENANT, payment.payment))[0]
        assert (stuck.state, stuck.detail) == ("stuck", "no answer")
    assert await counter.drift() == 0
    use = partial(retry_refund, tenant=TENANT, payment=payment.payment, refund=given.refund)
    await counter.database.transact(use, tenant=TENANT)
    with pytest.raises(FleetError, match="'retry' is not possible"):
        await counter.database.transact(use, tenant=TENANT)
    await counter.make_calls()
    assert (await counter.seen(payment.payment)).state == "refunded"
    assert await counter.drift() == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amount_fen": 999}, "999 fen were paid instead of 1000"),
        ({"merchant": "M-2"}, "instead of 'M-1'"),
        ({"payment": "p0"}, "it is about payment 'p0'"),
        ({"transaction": ""}, "it names no transaction"),
    ],
)
async def test_an_answer_that_does_not_fit_is_kept_and_applied_to_nothing(
    change: dict[str, object], reason: str, counter: Counter, clock: ManualClock
) -> None:
    begun = await counter.top_up()
    counter.bank.pay(begun.payment.payment, 1_000)
    good = counter.bank.captured(begun.payment.payment)
    fields = {name: getattr(good, name) for name in PaymentReport.__dataclass_fields__}
    counter.bank.moods.append(PaymentReport(**{**fields, **change}))  # type: ignore[arg-type]
    clock.advance(10_000)
    await counter.make_calls()
    assert await in_wallet(counter) == 0
    after = await counter.seen(begun.payment.payment)
    assert after.state == "closed"
    assert after.reason is not None
    assert reason in after.reason
    async with counter.database.look(tenant=TENANT) as work:
        assert [one.verdict for one in await callbacks_of(work, TENANT, begun.payment.payment)] == ["quarantined"]
    assert await counter.drift() == 0


async def test_the_recording_provider_is_settled_by_saying_so(counter: Counter) -> None:
    begun = await counter.top_up(channel="weixin_native")
    assert begun.payment.provider == "recording"
    assert "no money moves" in begun.parameters["note"]
    use = partial(settle_recorded, till=counter.till, tenant=TENANT, payment=begun.payment.payment)
    for _ in range(2):
        settled = await counter.database.transact(use, tenant=TENANT)
        assert settled.state == "captured"
        assert settled.transaction == f"recording-{settled.payment}"
    assert await in_wallet(counter) == 1_000
    real = await counter.top_up(reference="k2")
    other = partial(settle_recorded, till=counter.till, tenant=TENANT, payment=real.payment.payment)
    with pytest.raises(FleetError, match="only tonglian can say"):
        await counter.database.transact(other, tenant=TENANT)
    assert await counter.drift() == 0


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE payments SET refunded_fen = refunded_fen + 1",
        "UPDATE payments SET refunding_fen = 0",
        "UPDATE payment_refunds SET amount_fen = amount_fen + 1",
        "DELETE FROM payment_refunds",
        "UPDATE payment_refunds SET state = 'done'",
        "UPDATE payments SET provider = 'other'",
        "UPDATE ledger_accounts SET balance_fen = balance_fen + 1 WHERE kind = 'channel'",
        "UPDATE ledger_accounts SET balance_fen = balance_fen - 1 WHERE kind = 'leaving'",
    ],
)
async def test_the_audit_finds_what_does_not_fit(tampering: str, counter: Counter) -> None:
    payment = await paid_top_up(counter)
    await give_back(counter, payment.payment, 300, "r1")
    await counter.make_calls()
    await give_back(counter, payment.payment, 200, "r2")
    assert await counter.drift() == 0
    async with counter.database.work(tenant=TENANT) as work:
        await work.execute(text(tampering))
    assert await counter.drift() > 0
