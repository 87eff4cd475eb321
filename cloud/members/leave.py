"""A member leaves. What was booked stays; everything personal goes."""

from __future__ import annotations

from cloud.accounts.sign_in import end_sessions
from cloud.database import Work
from cloud.errors import FleetError
from cloud.members import store
from cloud.members.model import Member
from cloud.members.wallet import member_of


async def leave(work: Work, tenant: str, member: str) -> None:
    """Take a member out: signed out everywhere, his devices free, his name, number and addresses forgotten.

    His id is never given again. FleetError: not_found, gone, or conflict while money of his is held: spend it or pay it
    out first. Whether something of his is still underway is for the caller to ask (`cloud.leaving`).
    """
    found = await member_of(work, tenant, member, lock=True)
    if held := await store.money_of(work, tenant, member):
        accounts = ", ".join(f"{account} {fen} fen" for account, fen in held)
        raise FleetError(
            "conflict", f"money of his is still held ({accounts}): spend it or pay it out first", field="wallet"
        )
    await store.put_member(work, Member(tenant, member, "", "", found.joined_ms, left_ms=work.now_ms))
    await store.remove_sign_in(work, tenant, member)
    await store.remove_wechat(work, tenant, member)
    await store.remove_bindings(work, tenant, member=member)
    await end_sessions(work, tenant, member, holder="member")
