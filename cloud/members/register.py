"""Members who come by themselves: a number proved by a code, and with it a wallet."""

from __future__ import annotations

from cloud.accounts.audit import record
from cloud.accounts.brands import brand_number
from cloud.accounts.codes import Codes, use_code
from cloud.accounts.passwords import Passwords
from cloud.accounts.sign_in import customer
from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.members import store
from cloud.members.model import SERIAL_DIGITS, Member
from cloud.members.profile import ProfileChange, change_profile
from cloud.members.wallet import join
from cloud.serials import skip_to


async def register_member(
    database: Database,
    passwords: Passwords,
    codes: Codes,
    *,
    tenant: str,
    phone: str,
    code: str,
    name: str,
    sent: str | None,
    profile: ProfileChange,
    request_id: str,
) -> Member:
    """A new member of a brand, who holds `phone` and signs in by it; `sent` is his password, where he has chosen one.

    FleetError invalid: the code, or a number that is registered already (told only to whoever proved that he holds it).
    """
    hashed = await passwords.hash_sent(sent) if sent else None

    async def take_in(work: Work) -> Member:
        if await store.members_with_phone(work, tenant, phone) or await store.sign_in_of(work, tenant, phone):
            raise FleetError("invalid", "this number is registered already", field="mobile")
        member = await new_member(work, tenant, name, phone, hashed)
        await record(work, customer(tenant, member.member), "member.register", {}, request_id)
        return await change_profile(work, tenant, member.member, profile)

    return await use_code(database, codes, tenant, "register", phone, code, take_in)


async def new_member(work: Work, tenant: str, name: str, phone: str, md5_hash: str | None) -> Member:
    """A member with a new number of the brand, who signs in by `phone`; FleetError invalid when it is taken."""
    number = await brand_number(work, tenant, "user")
    if await store.find_member(work, tenant, number) is not None:
        # Numbers that came from elsewhere: ours go on after the highest of them.
        await skip_to(work, tenant, "user", await store.highest_serial(work, tenant, number[:-SERIAL_DIGITS]))
        number = await brand_number(work, tenant, "user")
    member = await join(work, tenant, number, name, phone)
    if not await store.put_sign_in(work, tenant, phone, member.member, md5_hash):
        raise FleetError("invalid", "this number is registered already", field="mobile")
    return member
