"""Asking after payments whose callback has not come, and closing those that nobody makes in time."""

from __future__ import annotations

from functools import partial

from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.outcalls import Handler, Outcall
from cloud.payments import store
from cloud.payments.callback import keep_answer
from cloud.payments.capture import apply_report, close_payment
from cloud.payments.model import OPEN, Payment
from cloud.payments.request import FOLLOW_FIRST_MS
from cloud.payments.till import Till
from cloud.providers.payment import PaymentReport

# The longest pause between two questions while somebody may still pay.
FOLLOW_MAX_MS = 5 * 60_000
# A closing that came too late, because somebody has just paid, is followed by a question at once.
JUST_PAID_MS = 2_000
# With pauses up to an hour this is more than two days of a provider that does not answer.
TRIES_MAX = 80


def follow_handler(till: Till) -> Handler:
    """How payments are asked after."""

    async def call(database: Database, line: Outcall) -> int | None:
        async with database.look(tenant=line.tenant) as work:
            payment = await store.find_payment(work, line.tenant, line.subject)
            now_ms = work.now_ms
        assert payment is not None, "payments are never deleted"
        if payment.state not in OPEN:
            return None
        provider = till.providers.payment(payment.tenant, payment.provider)
        report = await provider.query(payment.payment)
        if report.state in ("unpaid", "absent"):
            if now_ms < payment.expires_ms:
                pause = min(FOLLOW_FIRST_MS << min(line.tries - 1, 10), FOLLOW_MAX_MS)
                return min(pause, payment.expires_ms - now_ms)
            if report.state == "unpaid":
                try:
                    await provider.close(payment.payment)
                except FleetError as error:
                    if error.kind == "conflict":
                        return JUST_PAID_MS
                    raise
            report = PaymentReport(payment=payment.payment, state="closed")
        use = partial(_apply, till=till, payment=payment.payment, report=report, provider=provider.name)
        await database.transact(use, tenant=payment.tenant)
        return None

    async def give_up(database: Database, line: Outcall, detail: str) -> None:
        """Stop waiting. Money that comes all the same is still taken."""
        await database.transact(partial(_unanswered, payment=line.subject, detail=detail), tenant=line.tenant)

    return Handler(call, give_up, TRIES_MAX)


async def _apply(work: Work, till: Till, payment: str, report: PaymentReport, provider: str) -> None:
    found = await _locked(work, payment)
    verdict, reason = await apply_report(work, till, found, report, provider)
    if verdict == "quarantined":
        await keep_answer(work, found, reason)
        if found.state in OPEN:
            await close_payment(work, found, f"{provider} tells of another payment: {reason}")


async def _unanswered(work: Work, payment: str, detail: str) -> None:
    found = await _locked(work, payment)
    if found.state in OPEN:
        await close_payment(work, found, f"the provider never answered: {detail}")


async def _locked(work: Work, payment: str) -> Payment:
    assert work.tenant is not None, "calls are made in their tenant"
    found = await store.find_payment(work, work.tenant, payment, lock=True)
    assert found is not None, "payments are never deleted"
    return found
