"""What a payment provider is: whoever moves money between a person's phone or bank and the tenant's account there.

A provider is asked outside any transaction and may answer late, twice or never, so every question carries an id of ours
(`payment`, `refund`, `payout`), and asking again with the same id has no second effect. A provider that does not answer
raises `FleetError` unavailable, and one that says no for good raises `FleetError` conflict. Whatever it says unasked (a
callback) is believed only after `read_callback` has checked who signed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args

# How a person pays. weixin_*: in WeChat's browser or mini program, by a code to scan, or in an app. alipay_*: in an
# app, in a phone's browser, or by a code to scan. credit, debit: a bank card on the page of an aggregator.
Channel = Literal[
    "weixin_jsapi", "weixin_native", "weixin_app", "alipay_app", "alipay_wap", "alipay_qr", "credit", "debit"
]
CHANNELS: tuple[Channel, ...] = get_args(Channel)

# Where money that is paid out arrives.
PayoutWay = Literal["weixin", "alipay", "bank"]
PAYOUT_WAYS: tuple[PayoutWay, ...] = get_args(PayoutWay)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepayAsk:
    """Let somebody pay `amount_fen` until `expires_ms`. `payer` is who he is to the provider (an openid), or ''."""

    payment: str
    channel: Channel
    amount_fen: int
    title: str
    payer: str
    expires_ms: int
    notify_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundAsk:
    """Give back `refund_fen` of a payment of `captured_fen`; `notify_url` is told how it ended, where that is done."""

    refund: str
    payment: str
    refund_fen: int
    captured_fen: int
    reason: str
    notify_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutAsk:
    """Pay `amount_fen` to `payee`, who is known to the provider by that account and bears `payee_name` (or '')."""

    payout: str
    way: PayoutWay
    payee: str
    payee_name: str
    amount_fen: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentReport:
    """What a provider says of one payment. `merchant` is whose money it is, in the form of the provider's own one.

    unpaid: nobody has paid yet. captured: the money is here. closed: nobody can pay any more. absent: never heard of.
    """

    payment: str
    state: Literal["unpaid", "captured", "closed", "absent"]
    amount_fen: int = 0
    merchant: str = ""
    transaction: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingReport:
    """What a provider says of a refund or payout: taken on, done, or refused for good.

    `parameters` is what a payee's client needs to take the money, where he has to confirm it.
    """

    state: Literal["accepted", "done", "refused"]
    transaction: str = ""
    detail: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundReport:
    """What a provider says unasked of one refund; `merchant` is out of whose money it went."""

    refund: str
    payment: str
    amount_fen: int
    merchant: str
    report: OutgoingReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A callback that its provider has signed: `event` is its number there. Without a report: about something else."""

    event: str
    report: PaymentReport | RefundReport | None


class BadCallback(Exception):
    """A callback that cannot be believed: `reason` is forged, late or unreadable."""

    def __init__(self, reason: Literal["forged", "late", "unreadable"], detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class CallbackAnswer:
    """What a provider expects to hear after a callback; anything else makes it call again."""

    status: int
    media_type: str
    body: str


class PaymentProvider(Protocol):
    """One provider with one tenant's credentials."""

    @property
    def name(self) -> str:
        """The name under which it stands in accounts and paths."""

    @property
    def merchant(self) -> str:
        """Whose money arrives, as the provider names him."""

    async def begin(self, ask: PrepayAsk) -> dict[str, str]:
        """Let somebody pay; answers what the client's library of this channel is to be given."""

    async def query(self, payment: str) -> PaymentReport:
        """What has become of a payment."""

    async def close(self, payment: str) -> None:
        """Let nobody pay any more; FleetError conflict when somebody has."""

    async def refund(self, ask: RefundAsk) -> OutgoingReport:
        """Give money back, or tell how far it is when asked before."""

    async def pay_out(self, ask: PayoutAsk) -> OutgoingReport:
        """Pay somebody, or tell how far it is when asked before."""

    def read_callback(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> Notice:
        """Check who signed a callback and read it; header names are lower case. Raises BadCallback."""

    def answer(self, trouble: str | None) -> CallbackAnswer:
        """What this provider is to be told: that its callback was kept, or what was wrong with it."""
