"""A tenant with a member, a till, and a provider beside the recording one whose moods the test sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cloud.accounts import store as accounts
from cloud.accounts.codes import Codes
from cloud.accounts.model import Tenant
from cloud.audit import ledger_drift
from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.machines.credentials import Credentials
from cloud.members.ledger import Ledger
from cloud.members.model import advances
from cloud.members.wallet import join
from cloud.outcalls import make_due
from cloud.payments.browse import payment_of
from cloud.payments.model import Payment
from cloud.payments.request import Begun, NewPayment, begin, open_payment, open_top_up
from cloud.payments.till import TOP_UP, Purpose, Till
from cloud.providers.directory import Chosen, Providers, recording_only
from cloud.providers.payment import (
    BadCallback,
    CallbackAnswer,
    Channel,
    Notice,
    OutgoingReport,
    PaymentProvider,
    PaymentReport,
    PayoutAsk,
    PrepayAsk,
    RefundAsk,
)
from cloud.wiring import handlers
from shared.clock import ManualClock

TENANT = "t1"
MEMBER = "anna"
CODES = Codes(bytes(range(32)))


@dataclass
class Bank:
    """Somebody else's payment service with a memory and moods; it carries the cards."""

    name: str = "tonglian"
    merchant: str = "M-1"
    paid: dict[str, int] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    moved: dict[str, int] = field(default_factory=dict)
    asked: list[object] = field(default_factory=list)
    # What the next answers are: an error is raised, a report is given instead of the usual one.
    moods: list[FleetError | OutgoingReport | PaymentReport] = field(default_factory=list)

    async def begin(self, ask: PrepayAsk) -> dict[str, str]:
        self.asked.append(ask)
        self._raise()
        return {"token": f"pay-{ask.payment}"}

    async def query(self, payment: str) -> PaymentReport:
        self.asked.append(payment)
        if mood := self._raise():
            assert isinstance(mood, PaymentReport)
            return mood
        if payment in self.paid:
            return self.captured(payment)
        return PaymentReport(payment=payment, state="closed" if payment in self.closed else "unpaid")

    async def close(self, payment: str) -> None:
        if payment in self.paid:
            raise FleetError("conflict", "somebody has paid")
        self.closed.add(payment)

    async def refund(self, ask: RefundAsk) -> OutgoingReport:
        return self._move(ask.refund, ask.refund_fen, ask)

    async def pay_out(self, ask: PayoutAsk) -> OutgoingReport:
        return self._move(ask.payout, ask.amount_fen, ask)

    def read_callback(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> Notice:
        if headers.get("signature") != "genuine":
            raise BadCallback("forged", "no signature of ours")
        event, payment = body.decode().split()
        return Notice(event=event, report=self.captured(payment))

    def answer(self, trouble: str | None) -> CallbackAnswer:
        return CallbackAnswer(400 if trouble else 200, "text/plain", trouble or "ok")

    def pay(self, payment: str, amount_fen: int) -> None:
        """Somebody pays."""
        self.paid[payment] = amount_fen

    def captured(self, payment: str) -> PaymentReport:
        return PaymentReport(
            payment=payment,
            state="captured",
            amount_fen=self.paid.get(payment, 0),
            merchant=self.merchant,
            transaction=f"tx-{payment}",
        )

    def _move(self, number: str, amount_fen: int, ask: object) -> OutgoingReport:
        self.asked.append(ask)
        if mood := self._raise():
            assert isinstance(mood, OutgoingReport)
            return mood
        self.moved[number] = amount_fen
        return OutgoingReport(state="done", transaction=f"tx-{number}")

    def _raise(self) -> OutgoingReport | PaymentReport | None:
        mood = self.moods.pop(0) if self.moods else None
        if isinstance(mood, FleetError):
            raise mood
        return mood


class Fixed(Providers):
    """The same providers for every tenant."""

    def __init__(self, bank: PaymentProvider) -> None:
        super().__init__(Path("nowhere"), ManualClock())
        chosen = recording_only()
        cards: Mapping[str, str] = {"credit": bank.name, "debit": bank.name}
        self.chosen = replace(
            chosen,
            payment={**chosen.payment, bank.name: bank},
            channels={**chosen.channels, **cards},
            payouts={**chosen.payouts, "bank": bank.name},
        )

    def of(self, tenant: str) -> Chosen:
        return self.chosen


@dataclass
class Counter:
    """Everything that a test of payments needs."""

    database: Database
    bank: Bank
    till: Till
    captured: list[str] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    # Set: why purchases are no longer wanted.
    unwanted: str | None = None

    async def top_up(
        self, amount_fen: int = 1_000, channel: Channel = "credit", reference: str = "k1", payer: str = ""
    ) -> Begun:
        """Begin a payment into the member's wallet."""

        async def use(work: Work) -> Payment:
            return await open_top_up(
                work, self.till, TENANT, MEMBER, amount_fen, channel, reference=reference, payer=payer
            )

        return await begin(self.database, self.till, await self.database.transact(use, tenant=TENANT))

    async def purchase(self, order: str = "O1", amount_fen: int = 1_000, channel: Channel = "credit") -> Begun:
        """Begin a payment for goods."""
        wanted = NewPayment(
            tenant=TENANT,
            reference=f"purchase/{order}/{channel}",
            purpose="purchase",
            subject=order,
            account=advances(order),
            channel=channel,
            amount_fen=amount_fen,
            title="滤芯",
            member=MEMBER,
        )

        async def use(work: Work) -> Payment:
            return await open_payment(work, self.till, wanted)

        return await begin(self.database, self.till, await self.database.transact(use, tenant=TENANT))

    async def seen(self, payment: str) -> Payment:
        async with self.database.look(tenant=TENANT) as work:
            return await payment_of(work, TENANT, payment)

    async def make_calls(self) -> int:
        """Make the calls out that are due now."""
        return await make_due(self.database, handlers(self.till, CODES, Credentials(bytes(range(32)))))

    async def drift(self) -> int:
        async with self.database.look(tenant=TENANT) as work:
            return await ledger_drift(work, TENANT)


async def open_counter(database: Database) -> Counter:
    """A tenant with a member and an empty wallet."""
    async with database.work() as work:
        await accounts.add_tenant(work, Tenant(TENANT, "One", work.now_ms))
    async with database.work(tenant=TENANT) as work:
        await join(work, TENANT, MEMBER, "Anna")
    bank = Bank()
    counter = Counter(database, bank, Till(Fixed(bank)))

    async def captured(work: Work, payment: Payment, ledger: Ledger) -> str | None:
        counter.captured.append(payment.subject)
        return counter.unwanted

    async def returned(work: Work, payment: Payment, amount_fen: int) -> None:
        counter.returned.append(amount_fen)

    goods = Purpose(name="purchase", captured=captured, returned=returned)
    counter.till = Till(counter.till.providers, {TOP_UP.name: TOP_UP, goods.name: goods})
    return counter
