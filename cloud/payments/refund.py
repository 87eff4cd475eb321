"""Giving back what was captured: decided in one unit of work, asked of the provider after it, again until told.

The decision sets the money aside and is what the database guards: no refunds beyond what was captured, one effect per
reference. From there the call is a line in the table of calls out; the provider knows our number of the refund, so it
may answer late, or be asked twice.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from cloud import outcalls
from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.events import Event, tell
from cloud.members.ledger import Ledger
from cloud.outcalls import Handler, Outcall
from cloud.payments import store
from cloud.payments.model import (
    BEING_ASKED,
    UNDERWAY,
    Payment,
    Refund,
    Verdict,
    next_state,
    refund_objection,
    returned,
    set_aside,
    settled,
)
from cloud.payments.till import Till
from cloud.providers.payment import OutgoingReport, RefundAsk, RefundReport
from shared.ids import mint_payment_id

# The kind under which a refund is asked of its provider.
REFUND = "refund"
# With pauses that double up to an hour: about two days. Then a person looks.
TRIES_MAX = 60
REFERENCE_CHARS_MAX = 200


async def refund(
    work: Work,
    tenant: str,
    payment: str,
    amount_fen: int,
    *,
    reference: str,
    reason: str,
    decided_by: str,
    account: str | None = None,
) -> Refund:
    """Give back `amount_fen` of a captured payment, out of `account` (None: the one that the payment went to).

    The same reference is carried out once, for ever. FleetError: not_found, invalid amount or reference, conflict when
    more would go back than was captured, the account does not hold it, or the reference was used for something else.
    """
    if not 0 < len(reference) <= REFERENCE_CHARS_MAX:
        raise FleetError("invalid", f"1 to {REFERENCE_CHARS_MAX} characters are expected", field="reference")
    if amount_fen <= 0:
        raise FleetError("invalid", f"{amount_fen} is not above 0", field="amount_fen")
    found = await store.find_payment(work, tenant, payment, lock=True)
    if found is None:
        raise FleetError("not_found", f"no payment {payment!r}", field="payment")
    if before := await store.refund_by_reference(work, tenant, reference):
        if (before.payment, before.amount_fen) != (payment, amount_fen):
            raise FleetError("conflict", f"{reference!r} was used for another refund", field="reference")
        return before
    ledger = Ledger(work)
    decided = await set_aside_refund(work, ledger, found, amount_fen, reference, reason, decided_by, account=account)
    await ledger.write()
    return decided


async def set_aside_refund(
    work: Work,
    ledger: Ledger,
    payment: Payment,
    amount_fen: int,
    reference: str,
    reason: str,
    decided_by: str,
    *,
    account: str | None = None,
) -> Refund:
    """Decide a refund of a payment that this work has locked, booking in the caller's `ledger`."""
    left = payment.refundable_fen
    if amount_fen > left:
        raise FleetError("conflict", f"{left} fen are left to give back", field="amount_fen", data={"left_fen": left})
    decided = Refund(
        tenant=payment.tenant,
        refund=mint_payment_id(),
        reference=reference,
        payment=payment.payment,
        amount_fen=amount_fen,
        account=account or payment.account,
        reason=reason,
        decided_by=decided_by,
        decided_ms=work.now_ms,
        state="asked",
    )
    after = replace(payment, refunding_fen=payment.refunding_fen + amount_fen, steps=payment.steps + 1)
    await store.put_payment(work, after)
    await store.put_refund(work, decided)
    await store.add_step(work, after, "refund_decided", _told(decided) | {"decided_by": decided_by, "reason": reason})
    ledger.book(payment.tenant, "give_back", _subject(decided), [set_aside(decided)], note=reason)
    await outcalls.enqueue(work, payment.tenant, REFUND, decided.refund)
    return decided


async def retry_refund(work: Work, tenant: str, payment: str, refund: str) -> Refund:
    """Have a stuck refund asked again; FleetError: not_found, or conflict when it is not stuck."""
    found = await store.find_refund(work, tenant, refund, lock=True)
    if found is None or found.payment != payment:
        raise FleetError("not_found", f"no refund {refund!r} of payment {payment!r}", field="refund")
    asked = replace(found, state=next_state(f"refund {refund}", found.state, "retry"))
    await store.put_refund(work, asked)
    await outcalls.enqueue(work, tenant, REFUND, refund)
    return asked


async def decide_refund(
    work: Work, till: Till, tenant: str, payment: str, refund: str, *, went: bool, reason: str, decided_by: str
) -> Refund:
    """Say of a stuck refund whether it went; FleetError: not_found, or conflict when it is not stuck."""
    found = await store.find_refund(work, tenant, refund)
    if found is None or found.payment != payment:
        raise FleetError("not_found", f"no refund {refund!r} of payment {payment!r}", field="refund")
    whole, stuck = await _locked(work, tenant, refund)
    if stuck.state != "stuck":
        raise FleetError("conflict", f"the refund is {stuck.state}: only a stuck one is decided", field="refund")
    decision = OutgoingReport(state="done" if went else "refused", detail=f"{decided_by}: {reason}")
    return await _apply(work, till, whole, stuck, decision)


def refund_handler(till: Till) -> Handler:
    """How refunds are asked of their providers."""

    async def call(database: Database, line: Outcall) -> int | None:
        async with database.look(tenant=line.tenant) as work:
            found = await store.find_refund(work, line.tenant, line.subject)
            assert found is not None, "refunds are never deleted"
            payment = await store.find_payment(work, line.tenant, found.payment)
            assert payment is not None, "a refund has its payment"
        if found.state not in BEING_ASKED:
            return None
        ask = RefundAsk(
            refund=found.refund,
            payment=found.payment,
            refund_fen=found.amount_fen,
            captured_fen=payment.captured_fen,
            reason=found.reason,
            notify_url=till.notify_url(line.tenant, payment.provider),
        )
        report = await till.providers.payment(line.tenant, payment.provider).refund(ask)
        await database.transact(partial(_report, till=till, refund=found, report=report), tenant=line.tenant)
        return outcalls.pause_ms(line.tries) if report.state == "accepted" else None

    async def give_up(database: Database, line: Outcall, detail: str) -> None:
        await database.transact(partial(_stick, refund=line.subject, detail=detail), tenant=line.tenant)

    return Handler(call, give_up, TRIES_MAX)


async def apply_refund_report(
    work: Work, till: Till, payment: Payment, said: RefundReport, provider: str
) -> tuple[Verdict, str]:
    """Apply what `provider` says unasked of a refund of a payment that this work has locked; what was made of it.

    A refund that is stuck ends by it as well: nobody has to look any more.
    """
    found = await store.find_refund(work, payment.tenant, said.refund, lock=True)
    if found is None:
        return "quarantined", f"there is no refund {said.refund!r}"
    merchant = till.providers.payment(payment.tenant, payment.provider).merchant
    if wrong := refund_objection(found, payment, said, provider, merchant):
        return "quarantined", wrong
    if said.report.state == "accepted":
        return "ignored", f"nothing follows from {said.report.detail}"
    if found.state not in UNDERWAY:
        return "again", f"it is {found.state} already"
    await _apply(work, till, payment, found, said.report)
    await outcalls.withdraw(work, payment.tenant, REFUND, found.refund)
    return "applied", ""


async def _report(work: Work, till: Till, refund: Refund, report: OutgoingReport) -> None:
    """Write what a provider says of a refund; said twice, the second time changes nothing."""
    payment, found = await _locked(work, refund.tenant, refund.refund)
    if found.state in BEING_ASKED and found.state != report.state:
        await _apply(work, till, payment, found, report)


async def _apply(work: Work, till: Till, payment: Payment, found: Refund, report: OutgoingReport) -> Refund:
    after = replace(
        found,
        state=next_state(f"refund {found.refund}", found.state, report.state),
        transaction=report.transaction or found.transaction,
        detail=report.detail,
        ended_ms=None if report.state == "accepted" else work.now_ms,
    )
    if report.state == "done":
        payment = returned(payment, found.amount_fen, work.now_ms)
    elif report.state == "refused":
        payment = replace(payment, refunding_fen=payment.refunding_fen - found.amount_fen, steps=payment.steps + 1)
    else:
        payment = replace(payment, steps=payment.steps + 1)
    await store.put_payment(work, payment)
    await store.put_refund(work, after)
    detail = _told(after) | {"transaction": after.transaction, "detail": after.detail}
    await store.add_step(work, payment, f"refund_{report.state}", detail)
    if report.state == "done":
        await till.purpose(payment.purpose).returned(work, payment, found.amount_fen)
    if move := settled(found, report, payment.provider):
        ledger = Ledger(work)
        ledger.book(found.tenant, f"give_back_{report.state}", _subject(found), [move], note=report.transaction)
        await ledger.write()
        await tell(work, [Event(found.tenant, f"payment.refund_{report.state}", payment.payment, _told(after))])
    return after


async def _stick(work: Work, refund: str, detail: str) -> None:
    assert work.tenant is not None, "calls are made in their tenant"
    payment, found = await _locked(work, work.tenant, refund)
    if found.state not in BEING_ASKED:
        return
    stuck = replace(found, state=next_state(f"refund {refund}", found.state, "unanswered"), detail=detail)
    payment = replace(payment, steps=payment.steps + 1)
    await store.put_payment(work, payment)
    await store.put_refund(work, stuck)
    await store.add_step(work, payment, "refund_stuck", _told(stuck) | {"detail": detail})
    await tell(work, [Event(found.tenant, "payment.refund_stuck", payment.payment, _told(stuck))])


async def _locked(work: Work, tenant: str, refund: str) -> tuple[Payment, Refund]:
    """A refund and its payment, the payment locked first as everywhere."""
    found = await store.find_refund(work, tenant, refund)
    assert found is not None, "refunds are never deleted"
    payment = await store.find_payment(work, tenant, found.payment, lock=True)
    locked = await store.find_refund(work, tenant, refund, lock=True)
    assert payment is not None, "a refund has its payment"
    assert locked is not None, "refunds are never deleted"
    return payment, locked


def _subject(refund: Refund) -> str:
    """The ledger's subject: found under the payment's id."""
    return f"{refund.payment}/{refund.refund}"


def _told(refund: Refund) -> dict[str, object]:
    return {"refund": refund.refund, "amount_fen": refund.amount_fen, "state": refund.state}
