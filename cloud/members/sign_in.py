"""Members as callers: by phone number and password, plain or as MD5."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.accounts.audit import record
from cloud.accounts.passwords import Passwords
from cloud.accounts.sign_in import count_try, customer, forget_tries, give_token
from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.members import store


@dataclass(frozen=True, slots=True)
class MemberSignedIn:
    """A new token, answered once."""

    tenant: str
    member: str
    token: str
    expires_ms: int

    def __repr__(self) -> str:
        return f"MemberSignedIn({self.member!r}, hidden)"


async def sign_in_member(
    database: Database,
    passwords: Passwords,
    *,
    tenant: str | None,
    phone: str,
    sent: str,
    address: str,
    audience: str,
    request_id: str,
) -> MemberSignedIn:
    """Exchange number and password for a token. `tenant` None: where the number is known.

    Raises FleetError: unauthenticated (the reasons are not told apart), invalid when several tenants know the number
    and none is named, too_many with `retry_after_s`.
    """
    if tenant is None:
        async with database.look() as work:
            found_in = await store.tenants_of_phone(work, phone)
        if len(found_in) > 1:
            raise FleetError("invalid", "several brands know this number: name one", field="vid")
        tenant = found_in[0] if found_in else ""
    named: str = tenant
    buckets = await database.transact(lambda work: count_try(work, f"member/{named}/{phone}", address))
    async with database.look(tenant=named) as work:
        found = await store.sign_in_of(work, named, phone)
        known = None if found is None else await store.find_member(work, named, found[0])
    matches = await passwords.matches_sent(found[1] if found is not None else None, sent)
    if not matches or found is None or known is None or known.state != "active":
        raise FleetError("unauthenticated", "number and password do not belong together")
    member = found[0]

    async def admit(work: Work) -> MemberSignedIn:
        await forget_tries(work, buckets)
        await record(work, customer(named, member), "session.begin", {"address": address}, request_id)
        return MemberSignedIn(named, member, *await give_token(work, customer(named, member), audience))

    return await database.transact(admit, tenant=named)
