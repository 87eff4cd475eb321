"""Payments through providers: beginning, following and giving back; what was paid out; what nobody could get sent."""

from __future__ import annotations

from cloud.accounts.audit import record
from cloud.accounts.codes import codes_to_read
from cloud.accounts.model import Permission
from cloud.database import Work
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.native.members import PostingTold
from cloud.facades.native.payment_shapes import (
    CallbackFilter,
    CallbackTold,
    CodeTold,
    PaymentAsk,
    PaymentBegun,
    PaymentFilter,
    PaymentRefundAsk,
    PaymentRefundTold,
    PaymentStep,
    PaymentStory,
    PaymentTold,
    PayoutFilter,
    PayoutTold,
    WentAsk,
    payout_told,
)
from cloud.facades.native.shapes import All, PageFilter, PageOf, all_of, page_of
from cloud.members.browse import list_postings
from cloud.paging import PAGE_SIZE_MAX
from cloud.payments import browse, capture, payout, refund
from cloud.payments.model import Payment
from cloud.payments.request import begin, open_top_up
from cloud.providers.recording import RECORDING


async def begin_top_up(call: Call[PaymentAsk, Nothing]) -> PaymentBegun:
    """Begin a payment into a member's wallet; the answer holds what the payer's client library is to be given.

    The same Idempotency-Key with the same body answers the same payment, for ever; with another body 409. 503 when the
    channel is not offered or its provider does not answer: asking again goes on where it stopped.
    """
    assert call.idempotency_key is not None, "the operation is keyed"
    key, body, till, database = call.idempotency_key, call.body, call.parts.till, call.parts.database

    async def opened(work: Work) -> Payment:
        payment = await open_top_up(
            work, till, call.tenant, call.path["member"], body.amount_fen, body.channel, reference=key, payer=body.payer
        )
        asked = {**call.path, "payment": payment.payment, "amount_fen": body.amount_fen, "channel": body.channel}
        await record(work, call.subject, "payment.begin", asked, call.request_id)
        return payment

    begun = await begin(database, till, await database.transact(opened, tenant=call.tenant))
    return PaymentBegun(payment=PaymentTold.model_validate(begun.payment), parameters=dict(begun.parameters))


async def list_payments(call: Call[Nothing, PaymentFilter]) -> PageOf[PaymentTold]:
    """Payments, newest first; sorted by created_ms or captured_ms on wish."""
    found = await browse.list_payments(call.work, call.tenant, call.query.wanted(), call.query.ask)
    return page_of(PaymentTold.model_validate, found)


async def payment_detail(call: Call[Nothing, Nothing]) -> PaymentStory:
    """One payment with its whole story: its steps, what its provider said, what went back, every move of money."""
    work, tenant = call.work, call.tenant
    payment = await browse.payment_of(work, tenant, call.path["payment"])
    everything = PageFilter(page_size=PAGE_SIZE_MAX).ask
    postings = (await list_postings(work, tenant, everything, subject=payment.payment)).items
    return PaymentStory(
        payment=PaymentTold.model_validate(payment),
        steps=[PaymentStep.model_validate(step) for step in await browse.steps_of(work, tenant, payment.payment)],
        callbacks=[CallbackTold.model_validate(x) for x in await browse.callbacks_of(work, tenant, payment.payment)],
        refunds=[PaymentRefundTold.model_validate(x) for x in await browse.refunds_of(work, tenant, payment.payment)],
        postings=[PostingTold.model_validate(posting) for posting in postings],
    )


async def refund_payment(call: Call[PaymentRefundAsk, Nothing]) -> PaymentRefundTold:
    """Give back money of a captured payment, never more than was captured; the provider is asked after the answer.

    The same Idempotency-Key is carried out once, for ever; used for another refund it is answered with 409.
    """
    assert call.idempotency_key is not None, "the operation is keyed"
    decided = await refund.refund(
        call.work,
        call.tenant,
        call.path["payment"],
        call.body.amount_fen,
        reference=call.idempotency_key,
        reason=call.body.reason,
        decided_by=call.subject.login,
    )
    return PaymentRefundTold.model_validate(decided)


async def retry_payment_refund(call: Call[Nothing, Nothing]) -> PaymentRefundTold:
    """Have a stuck refund asked of its provider again. 409 when it is not stuck."""
    asked = await refund.retry_refund(call.work, call.tenant, call.path["payment"], call.path["refund"])
    return PaymentRefundTold.model_validate(asked)


async def decide_payment_refund(call: Call[WentAsk, Nothing]) -> PaymentRefundTold:
    """Say of a stuck refund whether it went, by the provider's own books. 409 when it is not stuck."""
    decided = await refund.decide_refund(
        call.work,
        call.parts.till,
        call.tenant,
        call.path["payment"],
        call.path["refund"],
        went=call.body.went,
        reason=call.body.reason,
        decided_by=call.subject.login,
    )
    return PaymentRefundTold.model_validate(decided)


async def settle_payment(call: Call[Nothing, Nothing]) -> PaymentTold:
    """Say that a payment at the recording provider was made. 409 when a real provider carries it."""
    settled = await capture.settle_recorded(call.work, call.parts.till, call.tenant, call.path["payment"])
    return PaymentTold.model_validate(settled)


async def list_callbacks(call: Call[Nothing, CallbackFilter]) -> PageOf[CallbackTold]:
    """What providers said unasked, newest first; verdict=quarantined are those that a person has to look at."""
    found = await browse.list_callbacks(call.work, call.tenant, call.query.ask, verdict=call.query.verdict)
    return page_of(CallbackTold.model_validate, found)


async def list_payouts(call: Call[Nothing, PayoutFilter]) -> PageOf[PayoutTold]:
    """Money paid out, newest first; sorted by decided_ms on wish."""
    query = call.query
    found = await browse.list_payouts(call.work, call.tenant, query.ask, state=query.state, account=query.account)
    return page_of(payout_told, found)


async def retry_payout(call: Call[Nothing, Nothing]) -> PayoutTold:
    """Have a stuck payout asked of its provider again. 409 when it is not stuck."""
    return payout_told(await payout.retry_payout(call.work, call.tenant, call.path["payout"]))


async def decide_payout(call: Call[WentAsk, Nothing]) -> PayoutTold:
    """Say of a stuck payout whether it went, by the provider's own books. 409 when it is not stuck."""
    decided = await payout.decide_payout(
        call.work,
        call.tenant,
        call.path["payout"],
        went=call.body.went,
        reason=call.body.reason,
        decided_by=call.subject.login,
    )
    return payout_told(decided)


async def list_codes(call: Call[Nothing, Nothing]) -> All[CodeTold]:
    """The codes that can be used now, in a demo where no provider sends them. 409 where one does."""
    if (name := call.parts.till.providers.sms(call.tenant).name) != RECORDING:
        raise FleetError("conflict", f"codes are sent by {name}, and nobody else reads them")
    return all_of(CodeTold.model_validate, await codes_to_read(call.work, call.parts.codes, call.tenant))


P = Permission
OPERATIONS = (
    Operation(
        "POST",
        "/members/{member}/payments",
        P.PAYMENTS_BEGIN,
        begin_top_up,
        changes="payment.begin",
        keyed=True,
        success=201,
        transacted=False,
    ),
    Operation("GET", "/payments", P.PAYMENTS_READ, list_payments),
    Operation("GET", "/payments/{payment}", P.PAYMENTS_READ, payment_detail),
    Operation(
        "POST", "/payments/{payment}/refunds", P.PAYMENTS_REFUND, refund_payment, changes="payment.refund", keyed=True
    ),
    Operation(
        "POST",
        "/payments/{payment}/refunds/{refund}/retry",
        P.PAYMENTS_REFUND,
        retry_payment_refund,
        changes="payment.retry_refund",
    ),
    Operation(
        "POST",
        "/payments/{payment}/refunds/{refund}/decision",
        P.PAYMENTS_REFUND,
        decide_payment_refund,
        changes="payment.decide_refund",
    ),
    Operation(
        "POST", "/payments/{payment}/settlement", P.PAYMENTS_SETTLE, settle_payment, changes="payment.settle_recorded"
    ),
    Operation("GET", "/payment-callbacks", P.PAYMENTS_READ, list_callbacks),
    Operation("GET", "/payouts", P.PAYMENTS_READ, list_payouts),
    Operation("POST", "/payouts/{payout}/retry", P.PAYMENTS_REFUND, retry_payout, changes="payout.retry"),
    Operation("POST", "/payouts/{payout}/decision", P.PAYMENTS_REFUND, decide_payout, changes="payout.decide"),
    Operation("GET", "/codes", P.CODES_READ, list_codes),
)
