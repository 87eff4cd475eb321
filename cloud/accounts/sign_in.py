"""Signing in and out, and telling who a token belongs to.

Guessing is slowed down in two counters that are moved *before* the password is looked at, so that a hundred tries at
once count as a hundred: one for the address, and one for the account. The account's counter is shared by all strange
addresses, while an address from which the user has signed in before has a counter of its own: somebody who guesses from
elsewhere cannot lock the owner out. A login that does not exist is counted and answered like one that does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cloud.accounts import store
from cloud.accounts.audit import record
from cloud.accounts.model import (
    FORGET_AFTER_MS,
    FREE_TRIES_ACCOUNT,
    FREE_TRIES_ADDRESS,
    TOKEN_TTL_MS,
    Subject,
    Unit,
    User,
    check_password,
    mint_token,
    tenant_of_token,
    token_hash,
    wait_ms,
)
from cloud.accounts.passwords import Passwords
from cloud.database import Database, Work
from cloud.errors import FleetError


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new token, answered once."""

    token: str
    expires_ms: int
    user: User

    def __repr__(self) -> str:
        return f"SignedIn({self.user.login!r}, hidden)"


async def sign_in(
    database: Database, passwords: Passwords, *, tenant: str, login: str, password: str, address: str, request_id: str
) -> SignedIn:
    """Exchange login and password for a token.

    Raises FleetError: unauthenticated (wrong tenant, login or password: the three are not told apart), or too_many with
    `retry_after_s` in its data. Hashing happens between transactions, because it is slow.
    """
    buckets = await database.transact(lambda work: _count_try(work, tenant, login, address), tenant=tenant)
    async with database.look(tenant=tenant) as work:
        found = await store.user_by_login(work, tenant, login)
    user, stored = found if found is not None else (None, None)
    matches = await passwords.matches(stored, password)
    if user is None or user.disabled or not matches:
        raise FleetError("unauthenticated", "tenant, login and password do not belong together")
    known: User = user

    async def admit(work: Work) -> SignedIn:
        await store.remove_tries(work, buckets)
        await store.remember_address(work, tenant, known.user, address)
        subject = subject_of(known, await unit_of(work, known))
        await record(work, subject, "session.begin", {"address": address}, request_id)
        return SignedIn(*await give_token(work, subject, "native"), known)

    return await database.transact(admit, tenant=tenant)


async def sign_in_by_phone(
    database: Database, passwords: Passwords, *, phone: str, sent: str, address: str, audience: str, request_id: str
) -> tuple[SignedIn, Subject]:
    """Exchange a phone number and a password, plain or as MD5, for a token of the dialect `audience`.

    For staff of any tenant. Raises like `sign_in`; counted in the same way, by the number.
    """
    async with database.look() as work:
        tenant = await store.tenant_of_phone(work, phone)
    buckets = await database.transact(lambda work: _count_phone(work, phone, address))
    found = None
    if tenant is not None:
        async with database.look(tenant=tenant) as work:
            found = await store.user_by_phone(work, tenant, phone)
            unit = await unit_of(work, found[0]) if found is not None else None
    matches = await passwords.matches_sent(found[2] if found is not None else None, sent)
    if found is None or not matches or found[0].disabled or (unit is not None and unit.disabled):
        raise FleetError("unauthenticated", "number and password do not belong together")
    subject = subject_of(found[0], unit)

    async def admit(work: Work) -> SignedIn:
        await store.remove_tries(work, buckets)
        await store.remember_address(work, subject.tenant, subject.user, address)
        await record(work, subject, "session.begin", {"address": address, "dialect": audience}, request_id)
        return SignedIn(*await give_token(work, subject, audience), found[0])

    return await database.transact(admit, tenant=subject.tenant), subject


async def give_token(work: Work, subject: Subject, audience: str) -> tuple[str, int]:
    """A new token of the dialect `audience`, and its expiry in ms, for somebody who has just proved who he is.

    FleetError unauthenticated when his brand is shut out or was closed.
    """
    if (await store.find_brand(work, subject.tenant)).state != "active":
        raise FleetError("unauthenticated", "this brand does not let anybody in now")
    token, expires_ms = mint_token(subject.tenant), work.now_ms + TOKEN_TTL_MS
    holder = "member" if subject.level == "customer" else "user"
    hashed = token_hash(token)
    await store.add_token(work, subject.tenant, hashed, subject.user, expires_ms, audience=audience, holder=holder)
    return token, expires_ms


async def recognise(work: Work, token: str, audience: str = "native") -> Subject:
    """Whose token this is; FleetError unauthenticated when it was never given, has expired or was revoked.

    A token opens the dialect in which it was given and no other.
    """
    tenant = tenant_of_token(token)
    held_by = await store.holder_of_token(work, tenant, token_hash(token), audience)
    if isinstance(held_by, str):
        return customer(tenant, held_by)
    if held_by is None or held_by[0].disabled or (held_by[1] is not None and held_by[1].disabled):
        raise FleetError("unauthenticated", "the token is not valid, or no longer")
    return subject_of(*held_by)


async def sign_out(work: Work, subject: Subject, token: str) -> None:
    """Revoke the token that the caller came with."""
    await store.remove_token(work, subject.tenant, token_hash(token))


async def end_sessions(
    work: Work, tenant: str, who: str, *, holder: Literal["user", "member"], but_token: str | None = None
) -> None:
    """Revoke every token of a user or of a member; `but_token`, the one he came with, stays."""
    kept = None if but_token is None else token_hash(but_token)
    await store.remove_tokens_of(work, tenant, who, holder=holder, but=kept)


async def change_password(
    database: Database, passwords: Passwords, subject: Subject, *, present: str, new: str, request_id: str
) -> None:
    """Replace the caller's own password; every token of his, this one included, is revoked.

    The present password is asked again and counted like a sign-in: a stolen token must not be enough, nor guess.
    """
    check_password(new, subject.login)
    bucket = f"password/{subject.tenant}/{subject.user}"
    await database.transact(lambda work: _count(work, bucket, FREE_TRIES_ACCOUNT))
    async with database.look(tenant=subject.tenant) as work:
        found = await store.user_by_login(work, subject.tenant, subject.login)
    if not await passwords.matches(found[1] if found else None, present):
        raise FleetError("forbidden", "the present password is another one", field="present_password")
    hashed = await passwords.hash(new)

    async def replace(work: Work) -> None:
        await store.remove_tries(work, [bucket])
        await store.change_user(work, subject.tenant, subject.user, password_hash=hashed, password_is_temporary=False)
        await store.remove_tokens_of(work, subject.tenant, subject.user)
        await record(work, subject, "password.change", {}, request_id)

    await database.transact(replace, tenant=subject.tenant)


def subject_of(user: User, unit: Unit | None = None) -> Subject:
    """A user as a caller."""
    return Subject(user.tenant, user.user, user.login, user.role, user.password_is_temporary, user.name, unit)


def customer(tenant: str, member: str) -> Subject:
    """A member as a caller."""
    return Subject(tenant, member, member, "customer")


async def unit_of(work: Work, user: User) -> Unit | None:
    """The unit that a user works for; None: the whole tenant."""
    return None if user.unit is None else await store.find_unit(work, user.tenant, user.unit)


async def count_try(work: Work, account: str, address: str) -> list[str]:
    """Count one try to sign in as `account` (whatever names it) from `address`, or refuse it with too_many.

    Answers the buckets that success clears (`forget_tries`).
    """
    await store.remove_tries_before(work, work.now_ms - FORGET_AFTER_MS)
    await _count(work, f"address/{address}", FREE_TRIES_ADDRESS)
    await _count(work, account, FREE_TRIES_ACCOUNT)
    return [account]


async def forget_tries(work: Work, buckets: list[str]) -> None:
    """The right password was given: the account's count begins anew."""
    await store.remove_tries(work, buckets)


async def _count_phone(work: Work, phone: str, address: str) -> list[str]:
    """A number that has signed in from this address before has a counter of its own there."""
    tenant = await store.tenant_of_phone(work, phone)
    found = await store.user_by_phone(work, tenant, phone) if tenant is not None else None
    known = found is not None and await store.knows_address(work, found[0].tenant, found[0].login, address)
    return await count_try(work, f"phone/{phone}" + (f"/{address}" if known else ""), address)


async def _count_try(work: Work, tenant: str, login: str, address: str) -> list[str]:
    """Count one try at both counters, or refuse it; answers the account's bucket, which success clears."""
    known = await store.knows_address(work, tenant, login, address)
    # The address is not cleared: somebody with one account of his own must not buy guesses at others with it.
    return await count_try(work, f"account/{tenant}/{login}" + (f"/{address}" if known else ""), address)


async def _count(work: Work, bucket: str, free_tries: int) -> None:
    failures, not_before_ms = await store.tries(work, bucket)
    if work.now_ms < not_before_ms:
        left_s = -(-(not_before_ms - work.now_ms) // 1000)
        raise FleetError("too_many", f"too many tries: the next one in {left_s} s", data={"retry_after_s": left_s})
    failures += 1
    await store.set_tries(work, bucket, failures, work.now_ms + wait_ms(failures, free_tries))
