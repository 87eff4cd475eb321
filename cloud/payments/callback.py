"""What providers say unasked. Every callback is kept; only one that is signed and fits our own payment is applied.

Three things can be wrong, and none blocks anything. A callback that cannot be believed is kept under a hash of its
bytes and answered with a refusal, so a real provider calls again. One that is signed and does not fit (another amount,
merchant or order) is kept for a person and acknowledged: calling again would not mend it. One that came before is
counted and acknowledged.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from functools import partial

from cloud.accounts.people import tenant_exists
from cloud.database import Database, Work
from cloud.payments import store
from cloud.payments.capture import apply_report
from cloud.payments.model import Payment, Verdict
from cloud.payments.refund import apply_refund_report
from cloud.payments.till import Till
from cloud.providers.payment import BadCallback, CallbackAnswer, Notice, RefundReport

log = logging.getLogger("cloud.payments")

# A provider's callback has one or two kB.
BODY_CHARS_KEPT = 8_000
# Anybody can send what nobody signed. Enough of it is kept to see what is going on; the rest of a day is only counted.
UNBELIEVED_PER_DAY_MAX = 200
DAY_MS = 24 * 3_600_000


async def take_callback(
    database: Database, till: Till, tenant: str, provider_name: str, headers: Mapping[str, str], body: bytes
) -> CallbackAnswer:
    """Take in one callback and answer what its provider expects; header names are lower case.

    FleetError not_found when the tenant does not use this provider.
    """
    provider = till.providers.payment(tenant, provider_name)
    try:
        notice = provider.read_callback(headers, body, database.clock.wall_ms())
    except BadCallback as bad:
        log.warning("callback of %s for tenant %s: %s", provider_name, tenant, bad)
        await database.transact(partial(_keep_bad, provider=provider_name, bad=bad, body=body), tenant=tenant)
        return provider.answer(bad.reason)
    verdict, reason = await database.transact(
        partial(_apply, till=till, provider=provider_name, notice=notice, body=body), tenant=tenant
    )
    if verdict == "quarantined":
        log.error("callback %s of %s for tenant %s does not fit: %s", notice.event, provider_name, tenant, reason)
    return provider.answer(None)


async def keep_answer(work: Work, payment: Payment, reason: str) -> None:
    """Keep for a person what a provider answered when it was asked after a payment, and what does not fit."""
    row = _row(work, f"{payment.provider}/asked/{payment.payment}", payment.provider, payment.payment, b"")
    await store.keep_callback(work, {**row, "verdict": "quarantined", "reason": reason})


async def _apply(work: Work, till: Till, provider: str, notice: Notice, body: bytes) -> tuple[Verdict, str]:
    assert work.tenant is not None, "a callback names its tenant"
    key = f"{provider}/{notice.event}"
    payment = notice.report.payment if notice.report else None
    # The payment first: whoever changes it takes its lock before anything else.
    found = await store.find_payment(work, work.tenant, payment, lock=True) if payment else None
    if not await store.keep_callback(work, _row(work, key, provider, payment, body)):
        return "again", "this callback came before"
    verdict: Verdict
    if notice.report is None:
        verdict, reason = "ignored", "it is not about a payment"
    elif found is None:
        verdict, reason = "quarantined", f"there is no payment {payment!r}"
    elif isinstance(notice.report, RefundReport):
        verdict, reason = await apply_refund_report(work, till, found, notice.report, provider)
    else:
        verdict, reason = await apply_report(work, till, found, notice.report, provider)
    await store.judge_callback(work, work.tenant, key, verdict, reason)
    return verdict, reason


async def _keep_bad(work: Work, provider: str, bad: BadCallback, body: bytes) -> None:
    assert work.tenant is not None, "a callback names its tenant"
    if not await tenant_exists(work, work.tenant):
        return
    key = f"unbelieved/{provider}/{hashlib.sha256(body).hexdigest()}"
    known = await store.knows_callback(work, work.tenant, key)
    kept = await store.callbacks_since(work, work.tenant, "unbelieved", work.now_ms - DAY_MS)
    if not known and kept >= UNBELIEVED_PER_DAY_MAX:
        return
    row = _row(work, key, provider, None, body)
    await store.keep_callback(work, {**row, "verdict": "unbelieved", "reason": str(bad)})


def _row(work: Work, key: str, provider: str, payment: str | None, body: bytes) -> dict[str, object]:
    # PostgreSQL takes no NUL in a text.
    text = body[:BODY_CHARS_KEPT].decode("utf-8", errors="replace").replace("\0", "\ufffd")
    return {
        "tenant": work.tenant,
        "callback": key,
        "provider": provider,
        "payment": payment,
        "verdict": "applied",
        "reason": "",
        "body": text,
        "times": 1,
        "first_ms": work.now_ms,
        "last_ms": work.now_ms,
    }
