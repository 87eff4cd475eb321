"""A member's number: by it he signs in, and a code sent to it proves who he is."""

from __future__ import annotations

from dataclasses import replace

from cloud.accounts.audit import record
from cloud.accounts.codes import Codes, use_code
from cloud.accounts.model import Subject
from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.members import store
from cloud.members.wallet import member_of


async def change_phone(
    database: Database,
    codes: Codes,
    subject: Subject,
    *,
    tenant: str,
    member: str,
    phone: str,
    code: str,
    request_id: str,
) -> None:
    """Let a member sign in by another number, which the code proves; his password stays.

    FleetError: invalid code, invalid when the number is somebody else's, not_found, gone.
    """

    async def change(work: Work) -> None:
        await set_phone(work, tenant, member, phone)
        if subject.tenant != tenant:
            # Somebody of the platform: what he does stands in the log of his own tenant.
            await work.span_tenants()
        await record(work, subject, "member.change_phone", {"member": member}, request_id)

    await use_code(database, codes, tenant, "change_phone", phone, code, change)


async def set_phone(work: Work, tenant: str, member: str, phone: str) -> None:
    """Give a member another number without asking for a proof: for staff. FleetError as `change_phone`."""
    found = await member_of(work, tenant, member, lock=True)
    others = set(await store.members_with_phone(work, tenant, phone)) - {member}
    known = await store.password_of(work, tenant, member)
    if others or not await store.put_sign_in(work, tenant, phone, member, known[1] if known else None):
        raise FleetError("invalid", "this number is registered already", field="mobile")
    await store.put_member(work, replace(found, phone=phone))
