"""Paying for a purchase: one open payment at a time and channel, and what happens when its money comes."""

from __future__ import annotations

from dataclasses import replace

from cloud.database import Work
from cloud.errors import IllegalEvent
from cloud.members.ledger import Ledger
from cloud.members.model import advances
from cloud.payments.browse import payments_for
from cloud.payments.model import OPEN, Payment
from cloud.payments.request import OPEN_MS, NewPayment, open_payment
from cloud.payments.till import Till
from cloud.providers.payment import Channel
from cloud.purchases import store
from cloud.purchases.model import Deadlines, PurchaseEvent
from cloud.purchases.steps import purchase_of, step

PURCHASE = "purchase"


async def prepay(work: Work, till: Till, tenant: str, purchase: str, channel: Channel, payer: str = "") -> Payment:
    """The payment of a purchase over a channel: the one that is open, or a new one. `begin` it after the commit.

    FleetError: not_found, conflict when it does not wait for money, unavailable channel.
    """
    found = await purchase_of(work, tenant, purchase, lock=True)
    if found.state != "obligation":
        raise IllegalEvent(f"order {purchase}", found.state, "pay")
    before = await payments_for(work, tenant, PURCHASE, purchase)
    for payment in before:
        if payment.state in OPEN and payment.channel == channel and payment.expires_ms > work.now_ms:
            return payment
    assert found.due_ms is not None, "whoever waits for money does not wait for ever"
    wanted = NewPayment(
        tenant=tenant,
        reference=f"{PURCHASE}/{purchase}/{len(before) + 1}",
        purpose=PURCHASE,
        subject=purchase,
        account=advances(purchase),
        channel=channel,
        amount_fen=found.amount_fen,
        title=found.lines[0].name,
        member=found.member,
        payer=payer,
        open_ms=max(1_000, min(OPEN_MS, found.due_ms - work.now_ms)),
    )
    return await open_payment(work, till, wanted)


async def captured(
    deadlines: Deadlines, work: Work, payment: Payment, ledger: Ledger, *, event: PurchaseEvent | None = None
) -> str | None:
    """Money came for a purchase, which takes it by `event` (None: by its own); or why it does not want it any more."""
    found = await store.find_purchase(work, payment.tenant, payment.subject, lock=True)
    if found is None or found.deleted_ms is not None:
        return f"there is no order {payment.subject}"
    if found.state != "obligation":
        return f"the order {payment.subject} is {found.state} and waits for no money"
    paid = replace(found, payment=payment.payment, pay_channel=payment.channel, transaction=payment.transaction or "")
    await step(work, ledger, paid, event or paid.when_paid, deadlines, "system")
    return None
