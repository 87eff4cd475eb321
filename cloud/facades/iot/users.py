"""Users: the members of brands. Registered by a code to their number, described, bound to WeChat, taken out."""

from __future__ import annotations

from functools import partial
from typing import Any

from cloud.accounts.brand_profile import brand_named
from cloud.accounts.codes import send_code
from cloud.accounts.model import Brand, Permission
from cloud.database import Work
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.iot.users_shapes import (
    BindAsk,
    CodeAsk,
    MobileAsk,
    MobileChange,
    PasswordChange,
    RecoveryAsk,
    RecoveryCodeAsk,
    RegisterAsk,
    UidTold,
    UserChange,
    UsersAsk,
    UsersTold,
    UserTold,
    WhoAsk,
)
from cloud.facades.iot.wire import BRANDS, CUSTOMERS, OFFICES, PLATFORM, allow, same_id
from cloud.leaving import member_leaves
from cloud.members.browse import MemberSeen, list_members_seen, member_seen
from cloud.members.model import Member, WeChat
from cloud.members.password import brand_asked, change_member_password, recover_password, send_recovery_code
from cloud.members.phone import change_phone, set_phone
from cloud.members.profile import ProfileChange, change_profile
from cloud.members.register import register_member
from cloud.members.wechat import bind_wechat, unbind_wechat

# What a user may not say of himself.
_NOT_HIS = ("remark", "rid", "vid", "dealers_id", "state", "type", "vip", "bonus")


async def list_users(call: Call[Nothing, UsersAsk]) -> UsersTold:
    """Users, newest first: those of all brands for the platform, of one for a brand, of its own for a dealer."""
    found = await list_members_seen(call.work, call.subject.reach, call.query.ask)
    return UsersTold(total=found.total, users=[UserTold.of(seen, call.subject) for seen in found.items])


async def read_user(call: Call[Nothing, Nothing]) -> UserTold:
    """One user. A user reads himself only."""
    return UserTold.of(await _seen(call, call.work), call.subject)


async def send_register_code(call: Call[CodeAsk, Nothing]) -> None:
    """Send a code to a number, for registering or binding WeChat with it. One a minute."""
    body = call.body

    async def send(work: Work) -> None:
        await brand_named(work, body.vid)
        await send_code(work, body.vid, "register", body.mobile, address=call.address)

    await call.parts.database.transact(send, tenant=body.vid)


async def register_user(call: Call[RegisterAsk, Nothing]) -> UidTold:
    """Register with the code that was sent; answers the new user's number. The password may follow by `/users/rst`."""
    body, parts = call.body, call.parts
    await _brand(call, body.vid)
    registered = await register_member(
        parts.database,
        parts.passwords,
        parts.codes,
        tenant=body.vid,
        phone=body.mobile,
        code=body.code,
        name=body.name,
        sent=body.pwd.get_secret_value() or None,
        profile=ProfileChange(
            avatar=body.avatar, email=body.email, area=body.area, address=body.address, referrer=body.rid
        ),
        request_id=call.request_id,
    )
    return UidTold(uid=registered.member)


async def change_user(call: Call[UserChange, Nothing]) -> UserTold:
    """Change what is sent. A user changes his name, picture and addresses; a new number of his goes with a code."""
    same_id("uid", call.body.uid, call.path["uid"])
    seen = await _seen(call, call.work)
    member = seen.member
    if call.subject.level == "customer":
        _check_own(call, seen)
    elif call.body.vid not in (None, "", member.tenant):
        raise FleetError("invalid", "a user does not move to another brand: his wallet is with this one", field="vid")
    change = ProfileChange(
        name=call.body.name or None,
        avatar=call.body.avatar,
        email=call.body.email,
        area=call.body.area,
        address=call.body.address,
    )
    if call.subject.level != "customer":
        change = ProfileChange(
            name=change.name,
            avatar=change.avatar,
            email=change.email,
            area=change.area,
            address=change.address,
            remark=call.body.remark,
            vip=call.body.vip,
            bonus=call.body.bonus,
            kind=call.body.type,
            state=call.body.state,
            referrer=call.body.rid,
            unit=call.body.dealers_id,
        )
        if call.body.mobile and call.body.mobile != member.phone:
            await set_phone(call.work, member.tenant, member.member, call.body.mobile)
    await change_profile(call.work, member.tenant, member.member, change)
    return UserTold.of(await _seen(call, call.work), call.subject)


async def change_user_password(call: Call[PasswordChange, Nothing]) -> None:
    """Set a new password. A user says the old one; all his other sessions end."""
    same_id("uid", call.body.uid, call.path["uid"])
    member = await _looked_at(call)
    await change_member_password(
        call.parts.database,
        call.parts.passwords,
        call.subject,
        tenant=member.tenant,
        member=member.member,
        present=call.body.old_pwd.get_secret_value(),
        new=call.body.new_pwd.get_secret_value(),
        address=call.address,
        token=call.token,
        request_id=call.request_id,
    )


async def send_mobile_code(call: Call[MobileAsk, MobileAsk]) -> None:
    """Send a code to the number that is to be the user's; without one, to the number on file."""
    same_id("uid", call.query.uid or call.body.uid, call.path["uid"])
    member = await _looked_at(call)
    phone = call.query.mobile or call.body.mobile or member.phone
    send = partial(send_code, tenant=member.tenant, purpose="change_phone", phone=phone, address=call.address)
    await call.parts.database.transact(send, tenant=member.tenant)


async def change_mobile(call: Call[MobileChange, Nothing]) -> None:
    """Let a user sign in by another number, with the code that was sent to it."""
    same_id("uid", call.body.uid, call.path["uid"])
    member = await _looked_at(call)
    await change_phone(
        call.parts.database,
        call.parts.codes,
        call.subject,
        tenant=member.tenant,
        member=member.member,
        phone=call.body.mobile,
        code=call.body.code,
        request_id=call.request_id,
    )


async def send_reset_code(call: Call[RecoveryCodeAsk, Nothing]) -> None:
    """Send a code for a new password, if a user has this number; the answer is the same if nobody has.

    An addition: the documentation describes it and gives no path.
    """
    body = call.body
    tenant = await _brand_meant(call, body.vid, body.uid)
    send = partial(send_recovery_code, tenant=tenant, member=body.uid, phone=body.mobile, address=call.address)
    await call.parts.database.transact(send, tenant=tenant)


async def reset_password(call: Call[RecoveryAsk, Nothing]) -> UidTold:
    """Set a new password, or a first one, with the code that was sent; `uid`, or `vid` and `mobile`, say whose."""
    body, parts = call.body, call.parts
    if not body.mobile and not body.uid:
        raise FleetError("invalid", "say who it is: uid, or vid and mobile", field="uid")
    tenant = await _brand_meant(call, body.vid, body.uid)
    uid = await recover_password(
        parts.database,
        parts.passwords,
        parts.codes,
        tenant=tenant,
        member=body.uid,
        phone=body.mobile,
        code=body.code,
        new=body.pwd.get_secret_value(),
        request_id=call.request_id,
    )
    return UidTold(uid=uid)


async def bind_weixin(call: Call[BindAsk, Nothing]) -> UidTold:
    """Bind a WeChat account to the user with this number, who is registered if he is new.

    `wx_code` is what WeChat gave the client. Where the brand has its official account set up, only WeChat's word
    counts; where it has none, the account is taken as `weixin` says it.
    """
    body, parts = call.body, call.parts
    wechat = await _wechat(call, await _brand(call, body.vid))
    uid = await bind_wechat(
        parts.database,
        parts.codes,
        tenant=body.vid,
        phone=body.mobile,
        code=body.code,
        wechat=wechat,
        request_id=call.request_id,
    )
    return UidTold(uid=uid)


async def unbind_weixin(call: Call[Nothing, Nothing]) -> None:
    """End the binding to a WeChat account; the user stays."""
    member = (await _seen(call, call.work)).member
    await unbind_wechat(call.work, member.tenant, member.member)


async def delete_user(call: Call[WhoAsk, Nothing]) -> None:
    """Take a user out for good: what is personal is forgotten, what was booked stays, his number is never used again.

    400 while money of his is held or something of his is underway.
    """
    same_id("uid", call.body.uid, call.path["uid"])
    member = (await _seen(call, call.work)).member
    await member_leaves(call.work, member.tenant, member.member)


async def _seen(call: Call[Any, Any], work: Work) -> MemberSeen:
    return await member_seen(work, call.subject.reach, call.path["uid"])


async def _looked_at(call: Call[Any, Any]) -> Member:
    """The user of the path, for operations that hold no transaction."""
    async with call.parts.database.look(tenant=call.subject.reach.tenant) as work:
        return (await _seen(call, work)).member


async def _brand(call: Call[Any, Any], vid: str) -> Brand:
    async with call.parts.database.look(tenant=vid) as work:
        return await brand_named(work, vid)


async def _brand_meant(call: Call[Any, Any], vid: str, uid: str) -> str:
    async with call.parts.database.look() as work:
        return (await brand_named(work, await brand_asked(work, vid, uid))).tenant


async def _wechat(call: Call[BindAsk, Nothing], brand: Brand) -> WeChat:
    sent = call.body.weixin
    secret = call.parts.vault.open(brand.tenant, "mp_secret", brand.mp_secret_sealed)
    configured = bool(brand.mp_appid and secret)
    said = WeChat(
        brand.tenant,
        "",
        openid=sent.OpenID,
        unionid=sent.UnionID,
        nick=sent.nick,
        avatar=sent.avatar,
        sex=sent.sex,
        subscribed_ms=sent.sbc_tms * 1000 or None,
    )
    if not call.body.wx_code:
        if configured or not sent.OpenID:
            raise FleetError("invalid", "the code that WeChat gave the client is needed", field="wx_code")
        return said
    person = await call.parts.till.providers.people(brand.mp_appid, secret).person(call.body.wx_code)
    return WeChat(
        brand.tenant,
        "",
        openid=person.openid,
        unionid=person.unionid,
        nick=person.nick or said.nick,
        avatar=person.avatar or said.avatar,
        sex=person.sex or said.sex,
        subscribed_ms=said.subscribed_ms,
        proved=person.proved,
    )


def _check_own(call: Call[UserChange, Nothing], seen: MemberSeen) -> None:
    """FleetError for what a user does not change of himself; he may send back what he read."""
    body, member = call.body, seen.member
    told = UserTold.of(seen, call.subject).model_dump()
    present = UserChange.model_validate({**told, "vid": member.tenant, "dealers_id": member.unit})
    for name in _NOT_HIS:
        if getattr(body, name) not in (None, "", getattr(present, name)):
            raise FleetError("forbidden", "a user does not change this of himself", field=name)
    if body.mobile not in (None, "", member.phone):
        raise FleetError("invalid", "a new number needs a code: PUT /users/<UID>/mob", field="mobile")


_READ = allow(OFFICES, Permission.MEMBERS_READ)
_READ_OWN = allow(OFFICES | CUSTOMERS, Permission.MEMBERS_READ)
_CHANGE = allow(BRANDS | CUSTOMERS, Permission.MEMBERS_WRITE)

OPERATIONS = (
    Operation("GET", "/users", _READ, list_users),
    Operation("POST", "/users/code", "public", send_register_code, changes="code.send", success=201, transacted=False),
    Operation("POST", "/users", "public", register_user, changes="member.register", success=201, transacted=False),
    Operation("POST", "/users/rst/code", "public", send_reset_code, changes="code.send", success=201, transacted=False),
    Operation("POST", "/users/rst", "public", reset_password, changes="member.recover", success=201, transacted=False),
    Operation("POST", "/users/bind", "public", bind_weixin, changes="member.bind", success=201, transacted=False),
    Operation("GET", "/users/{uid}", _READ_OWN, read_user),
    Operation("PUT", "/users/{uid}", _CHANGE, change_user, changes="member.change", success=201),
    Operation(
        "PUT",
        "/users/{uid}/pwd",
        _CHANGE,
        change_user_password,
        changes="member.change_password",
        success=201,
        transacted=False,
    ),
    Operation("GET", "/users/{uid}/mob/code", _CHANGE, send_mobile_code, transacted=False),
    Operation(
        "PUT", "/users/{uid}/mob", _CHANGE, change_mobile, changes="member.change_phone", success=201, transacted=False
    ),
    # The path is printed without its slash. Both stand before the deletion of a user, which would take "<UID>bind" for
    # somebody's number.
    Operation(
        "DELETE",
        "/users/{uid}/bind",
        _CHANGE,
        unbind_weixin,
        changes="member.unbind",
        success=204,
        aliases=(("DELETE", "/users/{uid}bind"),),
    ),
    Operation(
        "DELETE",
        "/users/{uid}",
        allow(PLATFORM, Permission.MEMBERS_WRITE),
        delete_user,
        changes="member.leave",
        success=204,
    ),
)
