"""Requesting a payment: written first, then begun at its provider, then handed to the payer's client.

Between the two steps no transaction is open, because a provider may take seconds. Whatever happens there is harmless: a
payment that was written is asked after until it ends, and requesting it again with the same reference goes on where it
stands.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from cloud import outcalls
from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.members.model import wallet
from cloud.members.wallet import TOP_UP_MAX_FEN, member_of
from cloud.payments import store
from cloud.payments.model import OPEN, Payment, advance
from cloud.payments.till import TOP_UP, Till
from cloud.providers.payment import Channel, PrepayAsk
from shared.ids import mint_payment_id

# How long somebody may take to pay: to look for the phone, the card, the password. WeChat's own limit is two hours.
OPEN_MS = 30 * 60_000
# The first question after the payer, when no callback has come by then.
FOLLOW_FIRST_MS = 10_000
# The kind under which a payment is asked after.
FOLLOW = "payment"
# What clients send is a UUID or a number of theirs; more is a mistake.
REFERENCE_CHARS_MAX = 200
# What the payer reads while he pays; the shortest limit among the providers.
TITLE_CHARS_MAX = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayment:
    """A payment that somebody wants to make.

    `subject` is what it pays for, in the words of its `purpose`; `account` is where the money goes. `payer` is who pays
    as the provider knows him (an openid for weixin_jsapi), or ''. `reference` is met once per tenant, for ever.
    """

    tenant: str
    reference: str
    purpose: str
    subject: str
    account: str
    channel: Channel
    amount_fen: int
    title: str
    member: str | None = None
    payer: str = ""
    open_ms: int = OPEN_MS

    @property
    def digest(self) -> str:
        """The same for the same request."""
        asked = [self.purpose, self.subject, self.account, self.channel, self.amount_fen, self.member, self.payer]
        return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Begun:
    """A payment that can be made now, and what the payer's client library is to be given."""

    payment: Payment
    parameters: Mapping[str, str]


async def open_payment(work: Work, till: Till, wanted: NewPayment) -> Payment:
    """Write a payment that its provider does not know yet; asked again with the same reference, the same payment.

    The caller has locked what is paid for, so that one reference is met once. FleetError: invalid (amount, reference),
    unavailable (channel), conflict when the reference was used for another request.
    """
    if not 0 < len(wanted.reference) <= REFERENCE_CHARS_MAX:
        raise FleetError("invalid", f"1 to {REFERENCE_CHARS_MAX} characters are expected", field="reference")
    if wanted.amount_fen <= 0:
        raise FleetError("invalid", f"{wanted.amount_fen} is not above 0", field="amount_fen")
    if wanted.channel == "weixin_jsapi" and not wanted.payer:
        raise FleetError("invalid", "weixin_jsapi needs the payer's openid", field="payer")
    assert wanted.purpose in till.purposes, f"nobody registered the purpose {wanted.purpose}"
    if before := await store.payment_by_reference(work, wanted.tenant, wanted.reference):
        if before.request_hash != wanted.digest:
            raise FleetError("conflict", f"{wanted.reference!r} was used for another payment", field="reference")
        return before
    payment = Payment(
        tenant=wanted.tenant,
        payment=mint_payment_id(),
        reference=wanted.reference,
        request_hash=wanted.digest,
        purpose=wanted.purpose,
        subject=wanted.subject,
        member=wanted.member,
        channel=wanted.channel,
        provider=till.providers.for_channel(wanted.tenant, wanted.channel).name,
        amount_fen=wanted.amount_fen,
        title=wanted.title[:TITLE_CHARS_MAX],
        payer=wanted.payer,
        state="created",
        account=wanted.account,
        created_ms=work.now_ms,
        expires_ms=work.now_ms + wanted.open_ms,
    )
    await store.put_payment(work, payment)
    await store.add_step(work, payment, "created", {"channel": payment.channel, "provider": payment.provider})
    await outcalls.enqueue(work, payment.tenant, FOLLOW, payment.payment, after_ms=FOLLOW_FIRST_MS)
    return payment


async def open_top_up(
    work: Work,
    till: Till,
    tenant: str,
    member: str,
    amount_fen: int,
    channel: Channel,
    *,
    reference: str,
    payer: str = "",
) -> Payment:
    """Write a payment into a member's wallet; FleetError as `open_payment`, and not_found."""
    if not 0 < amount_fen <= TOP_UP_MAX_FEN:
        raise FleetError("invalid", f"{amount_fen} is not between 1 and {TOP_UP_MAX_FEN} fen", field="amount_fen")
    await member_of(work, tenant, member, lock=True)
    wanted = NewPayment(
        tenant=tenant,
        reference=f"{TOP_UP.name}/{member}/{reference}",
        purpose=TOP_UP.name,
        subject=member,
        account=wallet(member),
        channel=channel,
        amount_fen=amount_fen,
        title="钱包充值",
        member=member,
        payer=payer,
    )
    return await open_payment(work, till, wanted)


async def begin(database: Database, till: Till, payment: Payment) -> Begun:
    """Have a written payment begun at its provider, unless it is already; outside any transaction.

    FleetError: unavailable when the provider does not answer (requesting again goes on), conflict when it refuses or
    the payment has ended.
    """
    if payment.state == "pending":
        return _begun(payment)
    if payment.state not in OPEN:
        raise FleetError("conflict", f"the payment is {payment.state}", field="payment", data={"state": payment.state})
    provider = till.providers.payment(payment.tenant, payment.provider)
    ask = PrepayAsk(
        payment=payment.payment,
        channel=payment.channel,
        amount_fen=payment.amount_fen,
        title=payment.title,
        payer=payment.payer,
        expires_ms=payment.expires_ms,
        notify_url=till.notify_url(payment.tenant, payment.provider),
    )
    try:
        parameters = await provider.begin(ask)
    except FleetError as error:
        if error.kind == "conflict":
            await database.transact(partial(_fail, payment=payment, reason=error.detail), tenant=payment.tenant)
        raise
    begun = await database.transact(partial(_pend, payment=payment, parameters=parameters), tenant=payment.tenant)
    return _begun(begun)


async def _pend(work: Work, payment: Payment, parameters: Mapping[str, str]) -> Payment:
    found = await _locked(work, payment)
    if found.state != "created":  # captured meanwhile, or begun by somebody who asked at the same time
        return found
    pending = replace(advance(found, "begun", work.now_ms), parameters=json.dumps(parameters, ensure_ascii=False))
    await store.put_payment(work, pending)
    await store.add_step(work, pending, "begun", {})
    return pending


async def _fail(work: Work, payment: Payment, reason: str) -> None:
    found = await _locked(work, payment)
    if found.state == "created":
        failed = replace(advance(found, "refused", work.now_ms), reason=reason)
        await store.put_payment(work, failed)
        await store.add_step(work, failed, "failed", {"reason": reason})
        await outcalls.withdraw(work, failed.tenant, FOLLOW, failed.payment)


async def _locked(work: Work, payment: Payment) -> Payment:
    found = await store.find_payment(work, payment.tenant, payment.payment, lock=True)
    assert found is not None, "payments are never deleted"
    return found


def _begun(payment: Payment) -> Begun:
    return Begun(payment, json.loads(payment.parameters or "{}"))
