"""A payment: money that somebody brings through a provider, and what goes back or out the same way.

A payment is `created` before its provider hears of it, so that whatever the provider says of it finds it. Once the
provider has taken it on it is `pending`: somebody may pay, and until its time is over nobody knows whether he will. A
payment ends three ways: `captured` when the money is there, `closed` when nobody paid in time, `failed` when the
provider would not have it. The second and third end only our asking. Should the money come all the same (the payer was
quick, the provider slow) it is captured: money that is there is never denied, and what it was for then says whether it
is still wanted. If not, all of it goes back at once.

What a payment is for is its `purpose` and `subject`; the purpose knows the account that the money goes to. Captured
money moves `channel:<provider>` -> that account, so the channel's account shows (negative) what the provider holds for
us. Money on its way out, back to a payer (a refund) or to somebody else (a payout), waits in `leaving` from the
decision until the provider says that it is gone, or that it never will be:

    captured    channel:<provider> -> account
    asked       account -> leaving          refunds and payouts alike
    done        leaving -> channel:<provider>
    refused     leaving -> account

An outgoing call that nobody can get an answer to is `stuck`: its money stays in `leaving` until a person has looked in
the provider's own books, and says that it went, that it did not, or that it is to be asked again. The provider knows
our number and never pays it twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from cloud.errors import IllegalEvent
from cloud.members.model import LEAVING, Posting, channel
from cloud.providers.payment import Channel, OutgoingReport, PaymentReport, PayoutWay, RefundReport

PaymentState = Literal["created", "pending", "captured", "partly_refunded", "refunded", "failed", "closed"]
PaymentEvent = Literal[
    "begun",  # the provider has taken it on
    "refused",  # the provider would not have it
    "captured",  # the money is there
    "closed",  # its time is over, and nobody paid
    "part_returned",  # a refund is done, and something is left
    "all_returned",  # a refund is done, and nothing is left
]

PAYMENT: Mapping[tuple[PaymentState, PaymentEvent], PaymentState] = {
    ("created", "begun"): "pending",
    ("created", "refused"): "failed",
    # The payer may be faster than the provider's answer.
    ("created", "captured"): "captured",
    ("created", "closed"): "closed",
    ("pending", "captured"): "captured",
    ("pending", "closed"): "closed",
    # We had stopped waiting; the money came all the same.
    ("closed", "captured"): "captured",
    ("failed", "captured"): "captured",
    ("captured", "part_returned"): "partly_refunded",
    ("captured", "all_returned"): "refunded",
    ("partly_refunded", "part_returned"): "partly_refunded",
    ("partly_refunded", "all_returned"): "refunded",
}

# Payments that somebody may still make; we ask after them.
OPEN: tuple[PaymentState, ...] = ("created", "pending")
# Payments whose money came, whatever became of it since.
PAID: tuple[PaymentState, ...] = ("captured", "partly_refunded", "refunded")

OutgoingState = Literal["asked", "accepted", "done", "refused", "stuck"]
OutgoingEvent = Literal["accepted", "done", "refused", "unanswered", "retry"]

# The life of a refund and of a payout.
OUTGOING: Mapping[tuple[OutgoingState, OutgoingEvent], OutgoingState] = {
    ("asked", "accepted"): "accepted",
    ("asked", "done"): "done",
    ("asked", "refused"): "refused",
    ("asked", "unanswered"): "stuck",
    ("accepted", "accepted"): "accepted",
    ("accepted", "done"): "done",
    ("accepted", "refused"): "refused",
    ("accepted", "unanswered"): "stuck",
    # A person has looked: ask again, or it did go, or it did not.
    ("stuck", "retry"): "asked",
    ("stuck", "done"): "done",
    ("stuck", "refused"): "refused",
}

# Outgoing money that the provider is being asked for.
BEING_ASKED: tuple[OutgoingState, ...] = ("asked", "accepted")
# What was made of a provider's word.
Verdict = Literal["applied", "again", "ignored", "quarantined"]
# Outgoing money that lies in `leaving`.
UNDERWAY: tuple[OutgoingState, ...] = ("asked", "accepted", "stuck")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One payment. Times in ms on the cloud's clock, amounts in fen; `parameters` is for the payer's client (JSON)."""

    tenant: str
    payment: str
    reference: str
    request_hash: str
    purpose: str
    subject: str
    member: str | None
    channel: Channel
    provider: str
    amount_fen: int
    title: str
    payer: str
    state: PaymentState
    account: str
    created_ms: int
    expires_ms: int
    captured_fen: int = 0
    refunding_fen: int = 0
    refunded_fen: int = 0
    transaction: str | None = None
    parameters: str | None = None
    captured_ms: int | None = None
    ended_ms: int | None = None
    reason: str | None = None
    steps: int = 0

    @property
    def refundable_fen(self) -> int:
        """What may still be given back."""
        return self.captured_fen - self.refunding_fen - self.refunded_fen


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money of a payment on its way back. `account` is where it was taken from, and returns to when refused."""

    tenant: str
    refund: str
    reference: str
    payment: str
    amount_fen: int
    account: str
    reason: str
    decided_by: str
    decided_ms: int
    state: OutgoingState
    transaction: str = ""
    detail: str = ""
    ended_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """Money on its way to somebody, from `account`. `payee` is his account at the provider; `repr` does not show it."""

    tenant: str
    payout: str
    reference: str
    request_hash: str
    way: PayoutWay
    provider: str
    payee: str
    payee_name: str
    amount_fen: int
    account: str
    note: str
    decided_by: str
    decided_ms: int
    state: OutgoingState
    transaction: str = ""
    detail: str = ""
    parameters: str | None = None
    ended_ms: int | None = None

    def __repr__(self) -> str:
        return f"Payout({self.payout}, {self.amount_fen} fen, {self.state}, payee hidden)"


def advance(payment: Payment, event: PaymentEvent, now_ms: int) -> Payment:
    """The payment after `event`; raises `IllegalEvent` and changes nothing otherwise."""
    try:
        state = PAYMENT[payment.state, event]
    except KeyError:
        raise IllegalEvent(f"payment {payment.payment}", payment.state, event) from None
    return replace(payment, state=state, ended_ms=None if state in OPEN else now_ms, steps=payment.steps + 1)


def objection(payment: Payment, report: PaymentReport, provider: str, merchant: str) -> str | None:
    """Why a provider's word on a payment must not be applied to ours; None when it fits."""
    if report.payment != payment.payment:
        return f"it is about payment {report.payment!r}"
    if provider != payment.provider:
        return f"the payment was begun at {payment.provider}, and {provider} reports it"
    if report.state != "captured":
        return None
    if report.merchant != merchant:
        return f"the money went to merchant {report.merchant!r} instead of {merchant!r}"
    if report.amount_fen != payment.amount_fen:
        return f"{report.amount_fen} fen were paid instead of {payment.amount_fen}"
    if not report.transaction:
        return "it names no transaction"
    if payment.state in PAID and report.transaction != payment.transaction:
        return f"paid twice: {report.transaction!r} after {payment.transaction!r}"
    return None


def refund_objection(refund: Refund, payment: Payment, said: RefundReport, provider: str, merchant: str) -> str | None:
    """Why a provider's word on a refund must not be applied to ours; None when it fits."""
    if provider != payment.provider:
        return f"the payment was begun at {payment.provider}, and {provider} reports its refund"
    if said.payment != refund.payment:
        return f"it is about payment {said.payment!r}"
    if said.merchant != merchant:
        return f"the money came from merchant {said.merchant!r} instead of {merchant!r}"
    if said.amount_fen != refund.amount_fen:
        return f"{said.amount_fen} fen went back instead of {refund.amount_fen}"
    if refund.state not in UNDERWAY and said.report.state not in (refund.state, "accepted"):
        return f"it is {said.report.state}, and was {refund.state} before"
    return None


def returned(payment: Payment, amount_fen: int, now_ms: int) -> Payment:
    """The payment once `amount_fen` of what was on its way back has arrived there."""
    refunded_fen = payment.refunded_fen + amount_fen
    after = replace(payment, refunding_fen=payment.refunding_fen - amount_fen, refunded_fen=refunded_fen)
    return advance(after, "all_returned" if refunded_fen == payment.captured_fen else "part_returned", now_ms)


def next_state(thing: str, state: OutgoingState, event: OutgoingEvent) -> OutgoingState:
    """The state of a refund or payout after `event`; raises `IllegalEvent`."""
    try:
        return OUTGOING[state, event]
    except KeyError:
        raise IllegalEvent(thing, state, event) from None


def received(payment: Payment) -> Posting:
    """The money of a captured payment arrives."""
    return Posting(channel(payment.provider), payment.account, payment.captured_fen)


def set_aside(outgoing: Refund | Payout) -> Posting:
    """Money is decided to leave."""
    return Posting(outgoing.account, LEAVING, outgoing.amount_fen)


def settled(outgoing: Refund | Payout, report: OutgoingReport, provider: str) -> Posting | None:
    """Where the money that was set aside goes after a provider's word; None while it is not the last one."""
    if report.state == "accepted":
        return None
    target = channel(provider) if report.state == "done" else outgoing.account
    return Posting(LEAVING, target, outgoing.amount_fen)


def diagram() -> str:
    """The table of a payment as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> created: requested"]
    lines += [f"    {state} --> {after}: {event}" for (state, event), after in PAYMENT.items()]
    return "\n".join(lines)


def outgoing_diagram() -> str:
    """The table of a refund or payout as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> asked: decided"]
    lines += [f"    {state} --> {after}: {event}" for (state, event), after in OUTGOING.items()]
    return "\n".join(lines)
