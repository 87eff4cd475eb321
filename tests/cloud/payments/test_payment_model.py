"""The tables of payments and of outgoing money, cell by cell."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

from cloud.errors import IllegalEvent
from cloud.payments.model import (
    BEING_ASKED,
    OPEN,
    OUTGOING,
    PAID,
    PAYMENT,
    UNDERWAY,
    OutgoingEvent,
    OutgoingState,
    Payment,
    PaymentEvent,
    PaymentState,
    Refund,
    advance,
    next_state,
    objection,
    received,
    returned,
    set_aside,
    settled,
)
from cloud.providers.payment import OutgoingReport, PaymentReport

NOW = 1_000


def payment(state: PaymentState = "pending", **more: object) -> Payment:
    known: dict[str, object] = {
        "tenant": "t1",
        "payment": "p1",
        "reference": "r1",
        "request_hash": "h",
        "purpose": "top_up",
        "subject": "anna",
        "member": "anna",
        "channel": "credit",
        "provider": "bank",
        "amount_fen": 1_000,
        "title": "",
        "payer": "",
        "account": "wallet:anna",
        "created_ms": 1,
        "expires_ms": 2,
    }
    return Payment(**{**known, "state": state, **more})  # type: ignore[arg-type]


def test_every_cell_of_the_table() -> None:
    for state, event in product(get_args(PaymentState), get_args(PaymentEvent)):
        before = payment(state)
        if (state, event) in PAYMENT:
            after = advance(before, event, NOW)
            assert after.state == PAYMENT[state, event]
            assert after.steps == 1
            assert after.ended_ms == (None if after.state in OPEN else NOW)
        else:
            with pytest.raises(IllegalEvent):
                advance(before, event, NOW)


def test_money_that_came_is_never_denied() -> None:
    """From every state without money there is a way to it, and from none with money a way back to one without."""
    for state in get_args(PaymentState):
        if state not in PAID:
            assert PAYMENT[state, "captured"] == "captured"
    assert {after for (before, _), after in PAYMENT.items() if before in PAID} <= set(PAID)


def test_every_cell_of_the_outgoing_table() -> None:
    for state, event in product(get_args(OutgoingState), get_args(OutgoingEvent)):
        if (state, event) in OUTGOING:
            assert next_state("refund f1", state, event) == OUTGOING[state, event]
        else:
            with pytest.raises(IllegalEvent):
                next_state("refund f1", state, event)
    ended = set(get_args(OutgoingState)) - set(UNDERWAY)
    assert not any(state in ended for state, _ in OUTGOING)
    assert set(BEING_ASKED) < set(UNDERWAY)


GOOD = PaymentReport(payment="p1", state="captured", amount_fen=1_000, merchant="M", transaction="x1")


@pytest.mark.parametrize(
    ("ours", "report", "provider", "complaint"),
    [
        (payment(), GOOD, "bank", None),
        (payment("closed"), GOOD, "bank", None),
        (payment("captured", transaction="x1"), GOOD, "bank", None),
        (payment("captured", transaction="x2"), GOOD, "bank", "paid twice: 'x1' after 'x2'"),
        (payment("refunded", transaction="x2"), GOOD, "bank", "paid twice: 'x1' after 'x2'"),
        (payment(), GOOD, "other", "begun at bank, and other reports it"),
        (payment(), replace(GOOD, payment="p2"), "bank", "about payment 'p2'"),
        (payment(), replace(GOOD, amount_fen=999), "bank", "999 fen were paid instead of 1000"),
        (payment(), replace(GOOD, amount_fen=1_001), "bank", "1001 fen were paid instead of 1000"),
        (payment(), replace(GOOD, merchant="N"), "bank", "merchant 'N' instead of 'M'"),
        (payment(), replace(GOOD, transaction=""), "bank", "no transaction"),
        (payment(), PaymentReport(payment="p1", state="closed"), "bank", None),
    ],
)
def test_a_word_that_does_not_fit(ours: Payment, report: PaymentReport, provider: str, complaint: str | None) -> None:
    found = objection(ours, report, provider, "M")
    assert (found is None) == (complaint is None)
    assert complaint is None or complaint in str(found)


def test_where_the_money_goes() -> None:
    captured = payment("captured", captured_fen=1_000)
    assert (received(captured).from_account, received(captured).to_account) == ("channel:bank", "wallet:anna")
    refund = Refund(
        tenant="t1",
        refund="f1",
        reference="r",
        payment="p1",
        amount_fen=400,
        account="wallet:anna",
        reason="",
        decided_by="",
        decided_ms=1,
        state="asked",
    )
    assert (set_aside(refund).from_account, set_aside(refund).to_account) == ("wallet:anna", "leaving")
    done = settled(refund, OutgoingReport(state="done"), "bank")
    refused = settled(refund, OutgoingReport(state="refused"), "bank")
    assert done is not None
    assert refused is not None
    assert (done.from_account, done.to_account, done.amount_fen) == ("leaving", "channel:bank", 400)
    assert (refused.from_account, refused.to_account, refused.amount_fen) == ("leaving", "wallet:anna", 400)
    assert settled(refund, OutgoingReport(state="accepted"), "bank") is None


def test_what_is_returned_is_counted() -> None:
    part = returned(payment("captured", captured_fen=1_000, refunding_fen=1_000), 400, NOW)
    assert (part.state, part.refunding_fen, part.refunded_fen, part.refundable_fen) == ("partly_refunded", 600, 400, 0)
    assert returned(part, 600, NOW).state == "refunded"
