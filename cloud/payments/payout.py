"""Paying somebody out (a commission, for one): the same life as a refund, from any account of the ledger."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import partial

from cloud import outcalls
from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.events import Event, tell
from cloud.members.ledger import Ledger
from cloud.outcalls import Handler, Outcall
from cloud.payments import store
from cloud.payments.model import BEING_ASKED, Payout, next_state, set_aside, settled
from cloud.payments.refund import REFERENCE_CHARS_MAX, TRIES_MAX
from cloud.payments.till import Till
from cloud.providers.payment import OutgoingReport, PayoutAsk, PayoutWay
from shared.ids import mint_payment_id

# The kind under which a payout is asked of its provider.
PAYOUT = "payout"
# An account at a provider: an openid, a login, a card token.
PAYEE_CHARS_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayout:
    """Pay `amount_fen` out of `account` to `payee`, the payee's own account at the provider of `way`.

    `reference` is met once per tenant, for ever. `note` is what the payee reads. `repr` does not show who he is.
    """

    tenant: str
    reference: str
    account: str
    way: PayoutWay
    payee: str
    payee_name: str
    amount_fen: int
    note: str
    decided_by: str

    def __repr__(self) -> str:
        return f"NewPayout({self.reference}, {self.amount_fen} fen, payee hidden)"

    @property
    def digest(self) -> str:
        """The same for the same request."""
        asked = [self.account, self.way, self.payee, self.payee_name, self.amount_fen]
        return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()


async def pay_out(work: Work, till: Till, wanted: NewPayout) -> Payout:
    """Set the money aside and have it paid after the commit; asked again with the same reference, the same payout.

    FleetError: invalid (amount, payee, reference), unavailable (way), conflict when the account does not hold the money
    or the reference was used for something else.
    """
    if not 0 < len(wanted.reference) <= REFERENCE_CHARS_MAX:
        raise FleetError("invalid", f"1 to {REFERENCE_CHARS_MAX} characters are expected", field="reference")
    if wanted.amount_fen <= 0:
        raise FleetError("invalid", f"{wanted.amount_fen} is not above 0", field="amount_fen")
    if not 0 < len(wanted.payee) <= PAYEE_CHARS_MAX:
        raise FleetError("invalid", f"an account of 1 to {PAYEE_CHARS_MAX} characters is expected", field="payee")
    if before := await store.payout_by_reference(work, wanted.tenant, wanted.reference):
        if before.request_hash != wanted.digest:
            raise FleetError("conflict", f"{wanted.reference!r} was used for another payout", field="reference")
        return before
    decided = Payout(
        tenant=wanted.tenant,
        payout=mint_payment_id(),
        reference=wanted.reference,
        request_hash=wanted.digest,
        way=wanted.way,
        provider=till.providers.for_payout(wanted.tenant, wanted.way).name,
        payee=wanted.payee,
        payee_name=wanted.payee_name,
        amount_fen=wanted.amount_fen,
        account=wanted.account,
        note=wanted.note,
        decided_by=wanted.decided_by,
        decided_ms=work.now_ms,
        state="asked",
    )
    await store.put_payout(work, decided)
    ledger = Ledger(work)
    ledger.book(decided.tenant, "pay_out", decided.payout, [set_aside(decided)], note=decided.note)
    await ledger.write()
    await outcalls.enqueue(work, decided.tenant, PAYOUT, decided.payout)
    return decided


async def retry_payout(work: Work, tenant: str, payout: str) -> Payout:
    """Have a stuck payout asked again; FleetError: not_found, or conflict when it is not stuck."""
    found = await store.find_payout(work, tenant, payout, lock=True)
    if found is None:
        raise FleetError("not_found", f"no payout {payout!r}", field="payout")
    asked = replace(found, state=next_state(f"payout {payout}", found.state, "retry"))
    await store.put_payout(work, asked)
    await outcalls.enqueue(work, tenant, PAYOUT, payout)
    return asked


async def decide_payout(work: Work, tenant: str, payout: str, *, went: bool, reason: str, decided_by: str) -> Payout:
    """Say of a stuck payout whether it went; FleetError: not_found, or conflict when it is not stuck."""
    found = await store.find_payout(work, tenant, payout, lock=True)
    if found is None:
        raise FleetError("not_found", f"no payout {payout!r}", field="payout")
    if found.state != "stuck":
        raise FleetError("conflict", f"the payout is {found.state}: only a stuck one is decided", field="payout")
    decision = OutgoingReport(state="done" if went else "refused", detail=f"{decided_by}: {reason}")
    return await _apply(work, found, decision)


def payout_handler(till: Till) -> Handler:
    """How payouts are asked of their providers."""

    async def call(database: Database, line: Outcall) -> int | None:
        async with database.look(tenant=line.tenant) as work:
            found = await store.find_payout(work, line.tenant, line.subject)
        assert found is not None, "payouts are never deleted"
        if found.state not in BEING_ASKED:
            return None
        ask = PayoutAsk(
            payout=found.payout,
            way=found.way,
            payee=found.payee,
            payee_name=found.payee_name,
            amount_fen=found.amount_fen,
            note=found.note,
        )
        report = await till.providers.payment(line.tenant, found.provider).pay_out(ask)
        await database.transact(partial(_report, payout=found.payout, report=report), tenant=line.tenant)
        return outcalls.pause_ms(line.tries) if report.state == "accepted" else None

    async def give_up(database: Database, line: Outcall, detail: str) -> None:
        await database.transact(partial(_stick, payout=line.subject, detail=detail), tenant=line.tenant)

    return Handler(call, give_up, TRIES_MAX)


async def _report(work: Work, payout: str, report: OutgoingReport) -> None:
    """Write what a provider says of a payout; said twice, the second time changes nothing."""
    found = await _locked(work, payout)
    if found.state in BEING_ASKED:
        await _apply(work, found, report)


async def _apply(work: Work, found: Payout, report: OutgoingReport) -> Payout:
    after = replace(
        found,
        state=next_state(f"payout {found.payout}", found.state, report.state),
        transaction=report.transaction or found.transaction,
        detail=report.detail,
        parameters=json.dumps(dict(report.parameters)) if report.parameters else found.parameters,
        ended_ms=None if report.state == "accepted" else work.now_ms,
    )
    await store.put_payout(work, after)
    if move := settled(found, report, found.provider):
        ledger = Ledger(work)
        ledger.book(found.tenant, f"pay_out_{report.state}", found.payout, [move], note=report.transaction)
        await ledger.write()
        await tell(work, [_event(after)])
    return after


async def _stick(work: Work, payout: str, detail: str) -> None:
    found = await _locked(work, payout)
    if found.state not in BEING_ASKED:
        return
    stuck = replace(found, state=next_state(f"payout {payout}", found.state, "unanswered"), detail=detail)
    await store.put_payout(work, stuck)
    await tell(work, [_event(stuck)])


async def _locked(work: Work, payout: str) -> Payout:
    assert work.tenant is not None, "calls are made in their tenant"
    found = await store.find_payout(work, work.tenant, payout, lock=True)
    assert found is not None, "payouts are never deleted"
    return found


def _event(payout: Payout) -> Event:
    data = {"amount_fen": payout.amount_fen, "state": payout.state, "account": payout.account}
    return Event(payout.tenant, f"payout.{payout.state}", payout.payout, data)
