"""Applying a provider's word on a payment: the same whether it called, was asked, or is the recording one.

Everything happens in one unit of work: the payment, the money, and what was paid for. A word that does not fit our
payment changes nothing and is answered with the objection.
"""

from __future__ import annotations

from dataclasses import replace

from cloud import outcalls
from cloud.database import Work
from cloud.errors import FleetError
from cloud.events import Event, tell
from cloud.members.ledger import Ledger
from cloud.payments import store
from cloud.payments.model import OPEN, PAID, Payment, Verdict, advance, objection, received
from cloud.payments.refund import set_aside_refund
from cloud.payments.request import FOLLOW
from cloud.payments.till import Till
from cloud.providers.payment import PaymentReport
from cloud.providers.recording import RECORDING, settled


async def apply_report(
    work: Work, till: Till, payment: Payment, report: PaymentReport, provider: str
) -> tuple[Verdict, str]:
    """Apply what `provider` says of a payment that this work has locked; answers what was made of it, and why."""
    merchant = till.providers.payment(payment.tenant, payment.provider).merchant
    if wrong := objection(payment, report, provider, merchant):
        return "quarantined", wrong
    if report.state == "captured":
        return await _capture(work, till, payment, report)
    if report.state == "closed" and payment.state in OPEN:
        await close_payment(work, payment, "closed at the provider")
        return "applied", ""
    return "ignored", f"nothing follows from {report.state}"


async def close_payment(work: Work, payment: Payment, reason: str) -> Payment:
    """Wait no more for an open payment that this work has locked."""
    closed = replace(advance(payment, "closed", work.now_ms), reason=reason)
    await store.put_payment(work, closed)
    await store.add_step(work, closed, "closed", {"reason": reason})
    await outcalls.withdraw(work, closed.tenant, FOLLOW, closed.payment)
    await tell(work, [_event(closed, "payment.closed")])
    return closed


async def settle_recorded(work: Work, till: Till, tenant: str, payment: str) -> Payment:
    """Say that a payment at the recording provider was made.

    FleetError: not_found, or conflict when a real provider carries it or its time is over.
    """
    found = await store.find_payment(work, tenant, payment, lock=True)
    if found is None:
        raise FleetError("not_found", f"no payment {payment!r}", field="payment")
    if found.provider != RECORDING:
        raise FleetError("conflict", f"only {found.provider} can say that this payment was made", field="payment")
    if found.state not in OPEN and found.state not in PAID:
        raise FleetError("conflict", f"the payment is {found.state}", field="payment", data={"state": found.state})
    await apply_report(work, till, found, settled(payment, found.amount_fen), RECORDING)
    after = await store.find_payment(work, tenant, payment)
    assert after is not None, "it was there before"
    return after


async def _capture(work: Work, till: Till, payment: Payment, report: PaymentReport) -> tuple[Verdict, str]:
    if payment.state in PAID:
        return "again", "the payment was captured before"
    if other := await store.payment_by_transaction(work, payment.tenant, payment.provider, report.transaction):
        return "quarantined", f"transaction {report.transaction!r} has paid {other.payment!r}"
    was_open = payment.state in OPEN
    captured = replace(
        advance(payment, "captured", work.now_ms),
        captured_fen=payment.amount_fen,
        captured_ms=work.now_ms,
        transaction=report.transaction,
        reason=None,
    )
    await store.put_payment(work, captured)
    await store.add_step(work, captured, "captured", {"transaction": report.transaction, "in_time": was_open})
    ledger = Ledger(work)
    ledger.book(captured.tenant, "receive", captured.payment, [received(captured)], note=captured.purpose)
    unwanted = await till.purpose(captured.purpose).captured(work, captured, ledger)
    if unwanted is not None:
        reference = f"unwanted/{captured.payment}"
        await set_aside_refund(work, ledger, captured, captured.captured_fen, reference, unwanted, decided_by="system")
    await ledger.write()
    await outcalls.withdraw(work, captured.tenant, FOLLOW, captured.payment)
    await tell(work, [_event(captured, "payment.captured")])
    return "applied", unwanted or ""


def _event(payment: Payment, kind: str) -> Event:
    data = {
        "purpose": payment.purpose,
        "subject": payment.subject,
        "amount_fen": payment.amount_fen,
        "provider": payment.provider,
        "state": payment.state,
    }
    return Event(payment.tenant, kind, payment.payment, data)
