"""What is asked and told of payments."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field

from cloud.facades.dialect import Wire
from cloud.facades.native.members import PostingTold
from cloud.facades.native.shapes import Amount, Id, Moment, Note, PageFilter, Told
from cloud.payments.browse import PaymentFilter as Wanted
from cloud.payments.model import OutgoingState, PaymentState, Payout
from cloud.providers.payment import Channel, PayoutWay

Word = Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]
# What was made of a callback; unbelieved: nobody we know has signed it, or it came too late.
Judged = Literal["applied", "again", "ignored", "quarantined", "unbelieved"]

# --- asked ---


class PaymentAsk(Wire):
    """`payer` is who pays as the provider knows him: the openid, for weixin_jsapi."""

    amount_fen: Amount
    channel: Channel
    payer: Annotated[str, Field(max_length=128)] = ""


class PaymentFilter(PageFilter):
    """Which payments. Times in ms: from `created_from_ms` on, before `created_before_ms`."""

    state: PaymentState | None = None
    channel: Channel | None = None
    provider: Word | None = None
    purpose: Word | None = None
    subject: Id | None = None
    member: Id | None = None
    created_from_ms: Moment | None = None
    created_before_ms: Moment | None = None

    def wanted(self) -> Wanted:
        names = Wanted.__dataclass_fields__
        return Wanted(**{name: getattr(self, name) for name in names})


class PaymentRefundAsk(Wire):
    amount_fen: Amount
    reason: Note


class WentAsk(Wire):
    """Whether money that nobody could get an answer about did go, by the provider's own books."""

    went: bool
    reason: Note


class PayoutFilter(PageFilter):
    state: OutgoingState | None = None
    account: Annotated[str, Field(min_length=1, max_length=80)] | None = None


class CallbackFilter(PageFilter):
    verdict: Judged | None = None


# --- told ---


class PaymentTold(Told):
    """One payment. `subject` is what it pays for, in the words of its `purpose`; `account` is where the money went."""

    payment: str
    purpose: str
    subject: str
    member: str | None
    channel: Channel
    provider: str
    amount_fen: int
    state: PaymentState
    account: str
    created_ms: int
    expires_ms: int
    captured_fen: int
    refunding_fen: int
    refunded_fen: int
    transaction: str | None
    captured_ms: int | None
    ended_ms: int | None
    reason: str | None


class PaymentBegun(Told):
    """A payment that can be made now; `parameters` are what the payer's client library of that channel is given."""

    payment: PaymentTold
    parameters: dict[str, str]


class PaymentStep(Told):
    """One line of a payment's story."""

    step: int
    at_ms: int
    what: str
    detail: dict[str, Any]


class PaymentRefundTold(Told):
    """Money on its way back. stuck: nobody could get an answer, and a person has to look."""

    refund: str
    payment: str
    amount_fen: int
    account: str
    reason: str
    decided_by: str
    decided_ms: int
    state: OutgoingState
    transaction: str
    detail: str
    ended_ms: int | None


class CallbackTold(Told):
    """What a provider (or somebody in its name) said, and what was made of it; `times` counts repetitions."""

    callback: str
    provider: str
    payment: str | None
    verdict: Judged
    reason: str
    body: str
    times: int
    first_ms: int
    last_ms: int


class PaymentStory(Told):
    payment: PaymentTold
    steps: list[PaymentStep]
    callbacks: list[CallbackTold]
    refunds: list[PaymentRefundTold]
    postings: list[PostingTold]


class PayoutTold(Told):
    """Money on its way out. `payee` shows the last four characters; `parameters` are for the payee's client, if any."""

    payout: str
    way: PayoutWay
    provider: str
    payee: str
    amount_fen: int
    account: str
    note: str
    decided_by: str
    decided_ms: int
    state: OutgoingState
    transaction: str
    detail: str
    parameters: dict[str, str]
    ended_ms: int | None


class CodeTold(Told):
    """A code that was sent to nobody, because nobody sends this tenant's messages."""

    phone: str
    purpose: str
    code: str
    expires_ms: int


def payout_told(payout: Payout) -> PayoutTold:
    """A payout without the payee's account."""
    names = [name for name in PayoutTold.model_fields if name not in ("payee", "parameters")]
    shown = {name: getattr(payout, name) for name in names}
    return PayoutTold(**shown, payee="*" * 4 + payout.payee[-4:], parameters=json.loads(payout.parameters or "{}"))
