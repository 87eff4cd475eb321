"""A member's password: changed by who knows it, found again by who holds the number, set anew by staff."""

from __future__ import annotations

from dataclasses import replace

from cloud.accounts.audit import record
from cloud.accounts.brands import tenant_of_number
from cloud.accounts.codes import Codes, send_code, use_code
from cloud.accounts.model import Subject
from cloud.accounts.passwords import Passwords
from cloud.accounts.sign_in import count_try, customer, end_sessions, forget_tries
from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.members import store
from cloud.members.wallet import member_of


async def change_member_password(
    database: Database,
    passwords: Passwords,
    subject: Subject,
    *,
    tenant: str,
    member: str,
    present: str,
    new: str,
    address: str,
    token: str | None,
    request_id: str,
) -> None:
    """Replace a member's password, and sign him out everywhere but where he came from with `token`.

    He says the present one, counted like a sign-in: a stolen token must not be enough, nor guess. Staff need not.
    FleetError: unauthenticated (the present one is another), too_many, conflict without a number, not_found, gone.
    """
    hashed = await passwords.hash_sent(new)
    buckets: list[str] = []
    if subject.level == "customer":
        buckets = await database.transact(lambda work: count_try(work, f"password/{tenant}/{member}", address))
        async with database.look(tenant=tenant) as work:
            known = await store.password_of(work, tenant, member)
        if not await passwords.matches_sent(known[1] if known is not None else None, present):
            raise FleetError("unauthenticated", "the present password is another one", field="old_pwd")

    async def replace_(work: Work) -> None:
        await forget_tries(work, buckets)
        await _set(work, tenant, member, hashed)
        await end_sessions(work, tenant, member, holder="member", but_token=token)
        await record(work, subject, "member.change_password", {"member": member}, request_id)

    await database.transact(replace_, tenant=subject.reach.tenant)


async def send_recovery_code(work: Work, *, tenant: str, member: str, phone: str, address: str) -> None:
    """Send a code for a new password, if a member of the brand has this number; whether he has shows in nothing."""
    found = await _holder(work, tenant, phone)
    matches = found is not None and member in ("", found)
    await send_code(work, tenant, "recover", phone, address=address, deliver=matches)


async def recover_password(
    database: Database,
    passwords: Passwords,
    codes: Codes,
    *,
    tenant: str,
    member: str,
    phone: str,
    code: str,
    new: str,
    request_id: str,
) -> str:
    """Give whoever holds the number a new password, also a first one; answers the member. All his sessions end.

    `phone` "" is the number on file of `member`. FleetError: invalid for a wrong code, also when there is no such
    member; forbidden when he is shut out.
    """
    hashed = await passwords.hash_sent(new)
    if not phone:
        async with database.look(tenant=tenant) as work:
            phone = await _phone(work, tenant, member)

    async def renew(work: Work) -> str:
        found = await _holder(work, tenant, phone)
        if found is None or member not in ("", found):
            raise FleetError("invalid", "the code is wrong, was used, or is too old", field="code")
        known = await member_of(work, tenant, found, lock=True)
        if known.state == "disabled":
            raise FleetError("forbidden", "this account is shut out: ask the brand")
        if not await store.put_sign_in(work, tenant, phone, found, hashed):
            raise FleetError("invalid", "this number is somebody else's", field="mobile")
        await store.put_member(work, replace(known, phone=phone, state="active"))
        await end_sessions(work, tenant, found, holder="member")
        await record(work, customer(tenant, found), "member.recover_password", {}, request_id)
        return found

    return await use_code(database, codes, tenant, "recover", phone, code, renew)


async def brand_asked(work: Work, vid: str, member: str) -> str:
    """Which brand somebody means who is not signed in: the one he names, or whose letters his number bears."""
    tenant = vid or await tenant_of_number(work, member)
    if not tenant:
        raise FleetError("invalid", "say which brand you are with", field="vid")
    return tenant


async def _set(work: Work, tenant: str, member: str, md5_hash: str) -> None:
    found = await member_of(work, tenant, member, lock=True)
    known = await store.password_of(work, tenant, member)
    phone = known[0] if known is not None else found.phone
    if not phone:
        raise FleetError("conflict", "a password needs a number to sign in by", field="mobile")
    if not await store.put_sign_in(work, tenant, phone, member, md5_hash):
        raise FleetError("conflict", "his number is that by which somebody else signs in", field="mobile")


async def _holder(work: Work, tenant: str, phone: str) -> str | None:
    """The member who signs in by a number, or the only one who has it on file."""
    if (known := await store.sign_in_of(work, tenant, phone)) is not None:
        return known[0]
    on_file = await store.members_with_phone(work, tenant, phone)
    return on_file[0] if len(on_file) == 1 else None


async def _phone(work: Work, tenant: str, member: str) -> str:
    """The number on file of a member; "" when there is none, or no such member."""
    if (known := await store.password_of(work, tenant, member)) is not None:
        return known[0]
    found = await store.find_member(work, tenant, member)
    return "" if found is None else found.phone
