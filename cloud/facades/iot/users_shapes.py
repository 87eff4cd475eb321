"""Shapes of the chapter on users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from cloud.accounts.model import PASSWORD_CHARS_MAX, Subject
from cloud.facades.iot.wire import Asked, Figure, Listed, Single, Told, Window, iso
from cloud.limits import FIGURE_MAX, LINK_CHARS_MAX, NAME_CHARS_MAX, OPENID_CHARS_MAX
from cloud.members.browse import MemberSeen
from cloud.members.model import MemberState, WeChat

# The numbers of the documentation: 0 shut out, 1 not active yet, 2 active.
STATES: tuple[MemberState, ...] = ("disabled", "inactive", "active")


def state_named(value: object) -> object:
    """The state that a number means; anything else stays and is refused by the shape."""
    return STATES[int(str(value))] if str(value) in ("0", "1", "2") else value


State = Annotated[MemberState, BeforeValidator(state_named)]
Line = Annotated[str, Field(max_length=NAME_CHARS_MAX)]
Url = Annotated[str, Field(max_length=LINK_CHARS_MAX)]
Id = Annotated[str, Field(max_length=48)]
Code = Annotated[str, Field(max_length=12)]
Mobile = Annotated[str, Field(min_length=6, max_length=24, pattern=r"^\+?[0-9]+$")]
MaybeMobile = Annotated[str, Field(max_length=24, pattern=r"^(\+?[0-9]{6,})?$")]
Password = Annotated[SecretStr, Field(max_length=PASSWORD_CHARS_MAX)]
NewPassword = Annotated[SecretStr, Field(min_length=1, max_length=PASSWORD_CHARS_MAX)]
Count = Annotated[int, Field(ge=0, le=FIGURE_MAX)]


def _address(value: str) -> str:
    if value and ("@" not in value[1:-1] or any(char.isspace() for char in value)):
        raise ValueError(f"{value[:60]!r} is not an e-mail address")
    return value


Email = Annotated[str, Field(max_length=NAME_CHARS_MAX), AfterValidator(_address)]


class UsersAsk(Window):
    columns: ClassVar[Mapping[str, str]] = {
        "uid": "member",
        "name": "name",
        "avatar": "avatar",
        "mobile": "phone",
        "email": "email",
        "area": "area",
        "address": "address",
        "remark": "remark",
        "reg_tms": "joined_ms",
        "state": "state",
        "type": "kind",
        "vip": "vip",
        "bonus": "bonus",
        "devices": "machines",
        "vid": "tenant",
        "rid": "referrer",
        "dealers_id": "unit",
    }

    uid: Id | None = None
    name: Line | None = None
    mobile: Line | None = None
    email: Line | None = None
    area: Line | None = None
    address: Line | None = None
    remark: Line | None = None
    state: State | None = None
    type: Figure | None = None
    vip: bool | None = None
    bonus: Figure | None = None
    devices: Figure | None = None
    vid: Id | None = None
    rid: Id | None = None
    dealers_id: Id | None = None


class WeixinTold(Told):
    nick: str = ""
    avatar: str = ""
    sex: int = 0
    sbc_tms: int = Field(default=0, description="seconds since 1970, as WeChat tells it; 0: not known")
    OpenID: str = ""
    UnionID: str = ""

    @classmethod
    def of(cls, wechat: WeChat | None) -> WeixinTold:
        """The binding, or empty values."""
        if wechat is None:
            return cls()
        return cls(
            nick=wechat.nick,
            avatar=wechat.avatar,
            sex=wechat.sex,
            sbc_tms=(wechat.subscribed_ms or 0) // 1000,
            OpenID=wechat.openid,
            UnionID=wechat.unionid,
        )


# Told to the platform and to brands only; for others the key is not there.
ForOffices = Annotated[str | None, Field(exclude_if=lambda value: value is None)]


class UserTold(Single):
    state: int
    type: int
    uid: str
    name: str
    avatar: str
    mobile: str
    email: str
    area: str
    address: str
    reg_tms: str
    remark: str
    vip: bool
    bonus: int
    devices: int
    role: ForOffices = None
    vid: ForOffices = None
    dealers_id: ForOffices = None
    rid: str
    weixin: WeixinTold

    @classmethod
    def of(cls, seen: MemberSeen, to: Subject) -> UserTold:
        """As this caller may see him."""
        member, office = seen.member, to.level in ("platform", "brand")
        return cls(
            state=STATES.index(member.state),
            type=member.kind,
            uid=member.member,
            name=member.name,
            avatar=member.avatar,
            mobile=member.phone,
            email=member.email,
            area=member.area,
            address=member.address,
            reg_tms=iso(member.joined_ms),
            remark=member.remark if to.level != "customer" else "",
            vip=member.vip,
            bonus=member.bonus,
            devices=seen.machines,
            role="customer" if office else None,
            vid=member.tenant if office else None,
            dealers_id=(member.unit or "") if office else None,
            rid=member.referrer or "",
            weixin=WeixinTold.of(seen.wechat),
        )


class UsersTold(Listed):
    users: list[UserTold]


class UidTold(Single):
    """Who it is about: an addition, because otherwise nobody learns his number."""

    top: ClassVar[tuple[str, ...]] = ("uid",)
    uid: str


class CodeAsk(Asked):
    vid: Annotated[str, Field(min_length=1, max_length=48)]
    mobile: Mobile


class RegisterAsk(Asked):
    vid: Annotated[str, Field(min_length=1, max_length=48)]
    mobile: Mobile
    code: Annotated[str, Field(min_length=1, max_length=12)]
    name: Annotated[str, Field(min_length=1, max_length=NAME_CHARS_MAX)]
    pwd: Password = SecretStr("")
    avatar: Url = ""
    email: Email = ""
    area: Line = ""
    address: Line = ""
    rid: Id = ""


class UserChange(Asked):
    """Keys that are not sent stay as they are."""

    uid: Id = ""
    name: Line | None = None
    avatar: Url | None = None
    mobile: MaybeMobile | None = None
    email: Email | None = None
    area: Line | None = None
    address: Line | None = None
    remark: Line | None = None
    vid: Id | None = None
    rid: Id | None = None
    dealers_id: Id | None = None
    state: State | None = None
    type: Count | None = None
    vip: bool | None = None
    bonus: Count | None = None


class PasswordChange(Asked):
    uid: Id = ""
    old_pwd: Password = SecretStr("")
    new_pwd: NewPassword


class WhoAsk(Asked):
    """Clients repeat in a body what the path says."""

    uid: Id = ""


class MobileAsk(Asked):
    """In the query, or for clients that send a body with a GET, there."""

    uid: Id = ""
    mobile: MaybeMobile = ""


class MobileChange(Asked):
    uid: Id = ""
    mobile: Mobile
    code: Annotated[str, Field(min_length=1, max_length=12)]


class RecoveryCodeAsk(Asked):
    uid: Id = ""
    vid: Id = ""
    mobile: Mobile


class RecoveryAsk(Asked):
    uid: Id = ""
    vid: Id = ""
    mobile: MaybeMobile = ""
    pwd: NewPassword
    code: Annotated[str, Field(min_length=1, max_length=12)]


class WeixinAsk(Asked):
    nick: Line = ""
    avatar: Url = ""
    sex: Annotated[int, Field(ge=0, le=9)] = 0
    sbc_tms: Annotated[int, Field(ge=0, le=2**40)] = 0
    OpenID: Annotated[str, Field(max_length=OPENID_CHARS_MAX)] = ""
    UnionID: Annotated[str, Field(max_length=OPENID_CHARS_MAX)] = ""


class BindAsk(Asked):
    vid: Annotated[str, Field(min_length=1, max_length=48)]
    mobile: Mobile
    code: Annotated[str, Field(min_length=1, max_length=12)]
    wx_code: Annotated[str, Field(max_length=128, description="what WeChat gave the client; proves the account")] = ""
    weixin: WeixinAsk = WeixinAsk()
