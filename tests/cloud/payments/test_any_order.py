"""Anything may happen to payments in any order: the ledger fits the payments, and the bank's books fit ours."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest

from cloud.database import Database
from cloud.errors import FleetError
from cloud.members.audit import balances_of
from cloud.members.model import wallet
from cloud.payments.callback import take_callback
from cloud.payments.payout import NewPayout, decide_payout, pay_out, retry_payout
from cloud.payments.refund import decide_refund, refund, retry_refund
from shared.clock import ManualClock
from tests.cloud.payments.counter import MEMBER, TENANT, Counter, open_counter

STEPS = 120


class Story:
    """One counter, one bank in changing moods, and the dice."""

    def __init__(self, counter: Counter, clock: ManualClock, seed: int) -> None:
        self.counter = counter
        self.clock = clock
        self.dice = random.Random(seed)
        self.payments: list[str] = []
        self.refunds: list[tuple[str, str]] = []
        self.payouts: list[str] = []

    async def step(self, number: int) -> None:
        """One thing, likely or not; what the rules refuse must change nothing."""
        acts = (self.top_up, self.buy, self.pay, self.pay, self.call_back, self.call_back, self.give_back, self.wait)
        act = self.dice.choice((*acts, self.wait, self.withdraw, self.decide, self.sulk))
        try:
            await act(number)
        except FleetError as refused:
            if refused.kind not in ("conflict", "unavailable", "not_found"):
                raise

    def any_payment(self) -> str:
        return self.dice.choice(self.payments) if self.payments else "p-none"

    async def top_up(self, number: int) -> None:
        self.payments.append(
            (await self.counter.top_up(self.dice.randint(1, 900), reference=f"k{number}")).payment.payment
        )

    async def buy(self, number: int) -> None:
        self.payments.append((await self.counter.purchase(f"O{number}", self.dice.randint(1, 900))).payment.payment)
        self.counter.unwanted = self.dice.choice([None, None, "sold out"])

    async def pay(self, number: int) -> None:
        payment = await self.counter.seen(self.any_payment())
        self.counter.bank.pay(payment.payment, payment.amount_fen)

    async def call_back(self, number: int) -> None:
        payment = self.any_payment()
        if payment in self.counter.bank.paid:
            headers = {"signature": self.dice.choice(["genuine", "genuine", "forged"])}
            body = f"e{self.dice.randint(1, 40)} {payment}".encode()
            await take_callback(self.counter.database, self.counter.till, TENANT, "tonglian", headers, body)

    async def give_back(self, number: int) -> None:
        payment = self.any_payment()
        use = partial(
            refund,
            tenant=TENANT,
            payment=payment,
            amount_fen=self.dice.randint(1, 900),
            reference=f"r{self.dice.randint(1, 20)}",
            reason="",
            decided_by="dice",
        )
        self.refunds.append((payment, (await self.counter.database.transact(use, tenant=TENANT)).refund))

    async def withdraw(self, number: int) -> None:
        wanted = NewPayout(
            tenant=TENANT,
            reference=f"w{self.dice.randint(1, 10)}",
            account=wallet(MEMBER),
            way="bank",
            payee="an account",
            payee_name="",
            amount_fen=self.dice.choice([50, 100]),
            note="",
            decided_by="dice",
        )
        use = partial(pay_out, till=self.counter.till, wanted=wanted)
        self.payouts.append((await self.counter.database.transact(use, tenant=TENANT)).payout)

    async def decide(self, number: int) -> None:
        """Somebody looks at what may be stuck: the bank's books say whether it went, or it is asked again."""
        database, till = self.counter.database, self.counter.till
        if self.refunds and self.dice.random() < 0.5:
            payment, number_of = self.dice.choice(self.refunds)
            where: dict[str, Any] = {"tenant": TENANT, "payment": payment, "refund": number_of}
            went = number_of in self.counter.bank.moved
            decision = partial(decide_refund, till=till, **where, went=went, reason="", decided_by="dice")
            again = partial(retry_refund, **where)
            await database.transact(self.dice.choice([decision, again]), tenant=TENANT)
        elif self.payouts:
            payout = self.dice.choice(self.payouts)
            went = payout in self.counter.bank.moved
            decided = partial(decide_payout, tenant=TENANT, payout=payout, went=went, reason="", decided_by="dice")
            asked = partial(retry_payout, tenant=TENANT, payout=payout)
            await database.transact(self.dice.choice([decided, asked]), tenant=TENANT)

    async def sulk(self, number: int) -> None:
        """The bank is out of reach for a while, or slow with what goes out."""
        mood = self.dice.choice([FleetError("unavailable", "no answer"), FleetError("unavailable", "busy")])
        self.counter.bank.moods = [mood] * self.dice.choice([1, 3, 30])

    async def wait(self, number: int) -> None:
        self.clock.advance(self.dice.choice([1_000, 60_000, 3_600_000]))
        while await self.counter.make_calls():
            pass


@pytest.mark.parametrize("seed", range(4))
async def test_the_books_always_fit(seed: int, database: Database, clock: ManualClock) -> None:
    counter = await open_counter(database)
    story = Story(counter, clock, seed)
    for number in range(STEPS):
        await story.step(number)
        assert await counter.drift() == 0, f"after step {number}"
    counter.bank.moods = []
    for _ in range(100):  # everything that is underway comes to its end
        clock.advance(3_600_000)
        await counter.make_calls()
    assert await counter.drift() == 0
    async with database.look(tenant=TENANT) as work:
        channels = await balances_of(work, TENANT, "channel")
    captured = [await counter.seen(payment) for payment in story.payments]
    came = sum(payment.captured_fen for payment in captured)
    # What the bank has moved is what we say has gone.
    assert -channels.get("tonglian", 0) == came - sum(counter.bank.moved.values())
    # Whoever paid has either the money's worth or the money back.
    assert all(
        payment.captured_fen == counter.bank.paid[payment.payment] for payment in captured if payment.captured_fen
    )
