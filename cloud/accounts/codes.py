"""Codes sent to phones: six digits that prove who holds a number, for five minutes, once.

A code is nowhere at rest. It follows from the number of its message under a key that is derived from the server's
secret, so the message can be sent again after a crash, a copy of the database opens nothing, and six digits behind a
plain hash would be found in a second anyhow.

Sending costs money and annoys whoever is not the owner, so it is limited four ways. Nothing in the answer depends on
whether a number is registered; whoever must not write to a number that is not passes `deliver=False`, and everything
else stays the same. Trying is counted before the code is looked at, in a unit of work of its own: a refusal must not
undo its own count.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from cloud import outcalls
from cloud.accounts import store
from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.outcalls import Handler, Outcall
from cloud.providers.sms import Sms, SmsProvider, Template
from shared.ids import mint_nonce

log = logging.getLogger("cloud.accounts")

T = TypeVar("T")

# What a code proves a number for; each has a message of its own.
CodePurpose = Template

CODE_DIGITS = 6
# Long enough for a slow network and slow fingers.
CODE_TTL_MS = 5 * 60_000
# With five tries a guesser hits one of 200,000 codes.
CODE_TRIES_MAX = 5
# A message takes some seconds; who asks again within this has not waited for it.
CODE_GAP_MS = 60_000
# A person registers, forgets and tries again; a program does not stop there.
CODES_PER_PHONE_HOUR = 5
CODES_PER_PHONE_DAY = 10
# Many people may stand behind one address; a shop full of them does not register within an hour.
CODES_PER_ADDRESS_HOUR = 30
# What a day of the business may cost when somebody finds a way around the others: some hundred yuan.
CODES_PER_TENANT_DAY = 5_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# Within the time that a code lives; a message after that is of no use.
SMS_TRIES_MAX = 8
# What the operator of a demo is shown.
LIVE_CODES_MAX = 100
# The kind under which messages are sent.
SMS = "sms"

_PHONE = re.compile(r"\+?[0-9]{6,20}")
_WRONG = "the code is wrong, was used, or is too old"


class Codes:
    """Computes codes; its `repr` shows nothing."""

    def __init__(self, server_secret: bytes) -> None:
        self._key = hmac.new(server_secret, b"aisleflow phone codes v1", hashlib.sha256).digest()

    def code(self, tenant: str, message: str) -> str:
        """The code that the message carries."""
        mac = hmac.new(self._key, f"{tenant}/{message}".encode(), hashlib.sha256).hexdigest()
        return str(int(mac, 16) % 10**CODE_DIGITS).zfill(CODE_DIGITS)


@dataclass(frozen=True, slots=True)
class LiveCode:
    """A code that can still be used, for the eyes of a demo's operator."""

    phone: str
    purpose: str
    code: str
    expires_ms: int

    def __repr__(self) -> str:
        return f"LiveCode({self.purpose}, hidden)"


class SmsProviders(Protocol):
    """Who knows each tenant's SMS provider."""

    def sms(self, tenant: str) -> SmsProvider:
        """The provider that sends this tenant's messages."""


async def send_code(
    work: Work, tenant: str, purpose: CodePurpose, phone: str, *, address: str, deliver: bool = True
) -> int:
    """Send a new code after the commit; the one before is void. Answers until when it can be used, in ms.

    `address` is the caller's. FleetError: invalid (phone), or too_many with `retry_after_s`.
    """
    if _PHONE.fullmatch(phone) is None:
        raise FleetError("invalid", f"{phone[:24]!r} is not a phone number of 6 to 20 digits", field="phone")
    before = await store.find_code(work, tenant, purpose, phone, lock=True)
    if before is not None and work.now_ms < before.sent_ms + CODE_GAP_MS:
        raise _too_many("a code was sent just now", before.sent_ms + CODE_GAP_MS - work.now_ms)
    await store.remove_old_codes(work, tenant, work.now_ms - 2 * DAY_MS)
    for bucket, period, most in (
        (f"phone-hour/{phone}", HOUR_MS, CODES_PER_PHONE_HOUR),
        (f"phone-day/{phone}", DAY_MS, CODES_PER_PHONE_DAY),
        (f"address-hour/{address}", HOUR_MS, CODES_PER_ADDRESS_HOUR),
        ("tenant-day", DAY_MS, CODES_PER_TENANT_DAY),
    ):
        start_ms = work.now_ms - work.now_ms % period
        if await store.count_code(work, tenant, bucket, start_ms) > most:
            raise _too_many(f"{most} codes were sent already", start_ms + period - work.now_ms)
    message = mint_nonce()
    expires_ms = work.now_ms + CODE_TTL_MS
    row = {
        "tenant": tenant,
        "purpose": purpose,
        "phone": phone,
        "message": message,
        "sent_ms": work.now_ms,
        "expires_ms": expires_ms,
        "tries": 0,
        "used_ms": None,
    }
    await store.put_code(work, row)
    if deliver:
        await outcalls.enqueue(work, tenant, SMS, message)
    return expires_ms


async def use_code(
    database: Database,
    codes: Codes,
    tenant: str,
    purpose: CodePurpose,
    phone: str,
    code: str,
    then: Callable[[Work], Awaitable[T]],
) -> T:
    """Do `then` if this is the code that was sent to `phone`, in the unit of work that uses it up.

    What `then` raises leaves the code unused, and the try counted. FleetError invalid for a wrong, used or old code:
    the three are not told apart.
    """
    count = partial(store.count_code_try, tenant=tenant, purpose=purpose, phone=phone, tries_max=CODE_TRIES_MAX)
    if not await database.transact(count, tenant=tenant):
        raise FleetError("invalid", _WRONG, field="code")

    async def use(work: Work) -> T:
        found = await store.find_code(work, tenant, purpose, phone, lock=True)
        usable = found is not None and found.used_ms is None and work.now_ms < found.expires_ms
        # Compared in any case, and in constant time: how long it takes tells nothing.
        expected = codes.code(tenant, found.message if found is not None else "")
        if not (hmac.compare_digest(expected.encode(), code.encode()) and usable):
            raise FleetError("invalid", _WRONG, field="code")
        await store.set_code_used(work, tenant, purpose, phone)
        return await then(work)

    return await database.transact(use, tenant=tenant)


async def codes_to_read(work: Work, codes: Codes, tenant: str) -> list[LiveCode]:
    """The codes that can be used now, newest first: only for a tenant whose messages nobody sends."""
    return [
        LiveCode(row.phone, row.purpose, codes.code(tenant, row.message), row.expires_ms)
        for row in await store.live_codes(work, tenant, LIVE_CODES_MAX)
    ]


def sms_handler(codes: Codes, providers: SmsProviders) -> Handler:
    """How messages with codes are sent."""

    async def call(database: Database, line: Outcall) -> int | None:
        async with database.look(tenant=line.tenant) as work:
            found = await store.code_by_message(work, line.tenant, line.subject)
            now_ms = work.now_ms
        if found is None or found.used_ms is not None or now_ms >= found.expires_ms:
            return None
        sms = Sms(
            phone=found.phone,
            template=found.purpose,
            code=codes.code(line.tenant, line.subject),
            reference=line.subject,
        )
        try:
            await providers.sms(line.tenant).send(sms)
        except FleetError as error:
            if error.kind != "conflict":
                raise
            log.warning("message %s of tenant %s is refused: %s", line.subject, line.tenant, error.detail)
        return None

    async def give_up(database: Database, line: Outcall, detail: str) -> None:
        log.warning("message %s of tenant %s could not be sent: %s", line.subject, line.tenant, detail)

    return Handler(call, give_up, SMS_TRIES_MAX)


def _too_many(detail: str, left_ms: int) -> FleetError:
    left_s = -(-left_ms // 1000)
    return FleetError("too_many", f"{detail}: the next one in {left_s} s", data={"retry_after_s": left_s})
