"""A member's WeChat account: bound by whoever proves the number, and with it the first door for who is new."""

from __future__ import annotations

from dataclasses import replace

from cloud.accounts.audit import record
from cloud.accounts.codes import Codes, use_code
from cloud.accounts.sign_in import customer
from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.members import store
from cloud.members.model import WeChat
from cloud.members.register import new_member
from cloud.members.wallet import member_of


async def bind_wechat(
    database: Database,
    codes: Codes,
    *,
    tenant: str,
    phone: str,
    code: str,
    wechat: WeChat,
    request_id: str,
) -> str:
    """Bind a WeChat account to the member with this number, who is registered if he is new; answers the member.

    `wechat` is the account without its member. FleetError invalid: the code, or an account that is somebody else's.
    """

    async def bind(work: Work) -> str:
        member = await _member(work, tenant, phone, wechat.nick)
        bound = await store.find_wechat(work, tenant, wechat.openid)
        if bound is not None and bound.member != member:
            raise FleetError("invalid", "this WeChat account is bound to another member", field="weixin")
        await store.put_wechat(work, replace(wechat, tenant=tenant, member=member, bound_ms=work.now_ms))
        await record(work, customer(tenant, member), "member.bind_wechat", {}, request_id)
        return member

    return await use_code(database, codes, tenant, "register", phone, code, bind)


async def unbind_wechat(work: Work, tenant: str, member: str) -> None:
    """End the binding; FleetError not_found, gone. Without a binding nothing happens."""
    await member_of(work, tenant, member, lock=True)
    await store.remove_wechat(work, tenant, member)


async def openid_of(work: Work, tenant: str, member: str) -> str:
    """The account under which WeChat knows a member, where WeChat itself has said so; otherwise ''."""
    found = await store.wechat_of_member(work, tenant, member)
    return found.openid if found is not None and found.proved else ""


async def _member(work: Work, tenant: str, phone: str, name: str) -> str:
    known = await store.sign_in_of(work, tenant, phone)
    on_file = [known[0]] if known is not None else await store.members_with_phone(work, tenant, phone)
    if not on_file:
        return (await new_member(work, tenant, name, phone, None)).member
    if len(on_file) > 1:
        raise FleetError("invalid", "several members have this number: ask the brand", field="mobile")
    member = await member_of(work, tenant, on_file[0], lock=True)
    if member.state == "disabled":
        raise FleetError("forbidden", "this account is shut out: ask the brand")
    if known is None:
        await store.put_sign_in(work, tenant, phone, member.member, None)
    if member.state == "inactive":
        await store.put_member(work, replace(member, state="active"))
    return member.member
