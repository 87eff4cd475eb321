"""Signing in and out. The documentation leaves it open, so this is added: a bearer token by number and password."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, SecretStr

from cloud.accounts.model import PASSWORD_CHARS_MAX, Level
from cloud.accounts.sign_in import sign_in_by_phone, sign_out
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.iot.wire import Asked, Single, iso
from cloud.members.sign_in import sign_in_member


class SessionAsk(Asked):
    account: Annotated[str, Field(min_length=1, max_length=32)]
    pwd: Annotated[SecretStr, Field(min_length=1, max_length=PASSWORD_CHARS_MAX)]
    kind: Literal["staff", "user"] = "user"
    vid: Annotated[str, Field(max_length=48)] = ""


class SessionTold(Single):
    top: ClassVar[tuple[str, ...]] = ("token",)
    token: str
    expire_tms: str
    uid: str
    vid: str
    level: Level


async def login(call: Call[SessionAsk, Nothing]) -> SessionTold:
    """Sign in by phone number and password, plain or as MD5: people who work here (`kind` "staff"), or users.

    `vid` names the brand where several know the number. An addition to the documented operations.
    """
    body, parts = call.body, call.parts
    sent = body.pwd.get_secret_value()
    if body.kind == "staff":
        signed_in, subject = await sign_in_by_phone(
            parts.database,
            parts.passwords,
            phone=body.account,
            sent=sent,
            address=call.address,
            audience="iot",
            request_id=call.request_id,
        )
        token, expires_ms, who = signed_in.token, signed_in.expires_ms, subject.user
        return SessionTold(token=token, expire_tms=iso(expires_ms), uid=who, vid=subject.tenant, level=subject.level)
    member = await sign_in_member(
        parts.database,
        parts.passwords,
        tenant=body.vid or None,
        phone=body.account,
        sent=sent,
        address=call.address,
        audience="iot",
        request_id=call.request_id,
    )
    return SessionTold(
        token=member.token, expire_tms=iso(member.expires_ms), uid=member.member, vid=member.tenant, level="customer"
    )


async def logout(call: Call[Nothing, Nothing]) -> None:
    """Revoke the token of this request. An addition to the documented operations."""
    assert call.token is not None, "a signed-in caller came with a token"
    await sign_out(call.work, call.subject, call.token)


OPERATIONS = (
    Operation("POST", "/login", "public", login, changes="session.begin"),
    Operation("POST", "/logout", "signed_in", logout, changes="session.end", success=201),
)
