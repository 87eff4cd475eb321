"""Shapes of the chapter on vendors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, SecretStr

from cloud.accounts.brand_profile import BrandChange
from cloud.accounts.browse import BrandSeen
from cloud.accounts.model import Signing
from cloud.accounts.signings import SigningChange
from cloud.facades.iot.users_shapes import STATES, Count, Email, Id, Line, MaybeMobile, NewPassword, State, Url
from cloud.facades.iot.wire import Asked, Figure, Listed, Moment, Money, Single, Told, Window, iso, yuan
from cloud.limits import SECRET_CHARS_MAX

Secret = Annotated[SecretStr, Field(max_length=SECRET_CHARS_MAX)]
# A contract over more than ten million yuan is a mistake in the decimal point.
AMOUNT_MAX = 10_000_000
Amount = Annotated[Decimal, Field(ge=0, le=AMOUNT_MAX, decimal_places=2, description="yuan")]


class VendorsAsk(Window):
    columns: ClassVar[Mapping[str, str]] = {
        "vid": "tenant",
        "user": "user",
        "name": "name",
        "abbv": "short_name",
        "domain": "domain",
        "contact": "contact",
        "mobile": "phone",
        "wechat": "wechat",
        "email": "email",
        "area": "area",
        "address": "address",
        "reg_tms": "opened_ms",
        "remark": "remark",
        "state": "state",
        "type": "kind",
        "mp_gid": "mp_gid",
        "mp_appid": "mp_appid",
        "mch_gid": "mch_gid",
        "mch_appid": "mch_appid",
    }

    vid: Id | None = None
    user: Line | None = None
    name: Line | None = None
    abbv: Line | None = None
    domain: Line | None = None
    contact: Line | None = None
    mobile: Line | None = None
    email: Line | None = None
    area: Line | None = None
    state: State | None = None
    type: Figure | None = None


class VendorTold(Single):
    """A brand. The password and the secrets are never told: their keys hold "", whether or not there is one."""

    state: int
    type: int
    vid: str
    user: str
    pwd: str = ""
    name: str
    abbv: str
    logo: str
    domain: str
    contact: str
    mobile: str
    wechat: str
    email: str
    area: str
    address: str
    reg_tms: str
    remark: str
    mp_gid: str
    mp_appid: str
    mp_secret: str = ""
    mch_gid: str
    mch_appid: str
    mch_secret: str = ""
    reserved: str
    code: str = Field(description="the four letters in the numbers of its users, products, orders and tickets")
    cfg: dict[str, Any]

    @classmethod
    def of(cls, seen: BrandSeen) -> VendorTold:
        """A brand on the wire."""
        brand = seen.brand
        return cls(
            state=STATES.index(brand.state),
            type=brand.kind,
            vid=brand.tenant,
            user=seen.user,
            name=seen.name,
            abbv=brand.short_name,
            logo=brand.logo,
            domain=brand.domain,
            contact=brand.contact,
            mobile=brand.phone,
            wechat=brand.wechat,
            email=brand.email,
            area=brand.area,
            address=brand.address,
            reg_tms=iso(seen.opened_ms),
            remark=brand.remark,
            mp_gid=brand.mp_gid,
            mp_appid=brand.mp_appid,
            mch_gid=brand.mch_gid,
            mch_appid=brand.mch_appid,
            reserved=brand.reserved,
            code=seen.code,
            cfg=json.loads(brand.options),
        )


class VendorsTold(Listed):
    vendors: list[VendorTold]


class VidTold(Single):
    top: ClassVar[tuple[str, ...]] = ("vid",)
    vid: str


class _Described(Asked):
    """What of a brand is described in the same words at its opening and later."""

    abbv: Line | None = None
    logo: Url | None = None
    domain: Line | None = None
    contact: Line | None = None
    mobile: MaybeMobile | None = None
    wechat: Line | None = None
    email: Email | None = None
    area: Line | None = None
    address: Line | None = None
    remark: Line | None = None
    reserved: Line | None = None
    type: Count | None = None
    state: State | None = None

    def change(self, **more: Any) -> BrandChange:
        """In the words of the domain."""
        return BrandChange(
            short_name=self.abbv,
            logo=self.logo,
            domain=self.domain,
            contact=self.contact,
            phone=self.mobile or None,
            wechat=self.wechat,
            email=self.email,
            area=self.area,
            address=self.address,
            remark=self.remark,
            reserved=self.reserved,
            kind=self.type,
            state=self.state,
            **more,
        )


class AccountsAsk(Asked):
    """A brand's WeChat accounts. Keys that are not sent stay as they are, and an empty secret leaves the stored one."""

    mp_gid: Line | None = None
    mp_appid: Line | None = None
    mp_secret: Secret = SecretStr("")
    mch_gid: Line | None = None
    mch_appid: Line | None = None
    mch_secret: Secret = SecretStr("")

    def accounts(self) -> dict[str, Any]:
        """What is not secret of them."""
        return {name: getattr(self, name) for name in ("mp_gid", "mp_appid", "mch_gid", "mch_appid")}


class VendorAsk(_Described, AccountsAsk):
    user: Annotated[str, Field(min_length=1, max_length=60)]
    pwd: NewPassword
    name: Annotated[str, Field(min_length=1, max_length=200)]


class VendorChange(_Described):
    """Keys that are not sent stay as they are; an empty name, user name or number too."""

    vid: Id = ""
    user: Annotated[str, Field(max_length=60)] = ""
    name: Line = ""


class PasswordAsk(Asked):
    vid: Id = ""
    pwd: NewPassword


class MobileAsk(Asked):
    vid: Id = ""
    mobile: Annotated[str, Field(min_length=6, max_length=24, pattern=r"^\+?[0-9]+$")]


class AccountsChange(AccountsAsk):
    vid: Id = ""


class OptionsAsk(Asked):
    """Any JSON object: its keys are set, and those that are null taken away."""

    model_config = ConfigDict(extra="allow", frozen=True)

    vid: Id = ""


class SigningsAsk(Window):
    columns: ClassVar[Mapping[str, str]] = {
        "id": "signing",
        "title": "title",
        "number": "contract",
        "sign_tms": "signed_ms",
        "begin_tms": "begins_ms",
        "end_tms": "ends_ms",
        "amount": "amount_fen",
        "create_tms": "created_ms",
    }

    id: Id | None = None
    title: Line | None = None
    number: Line | None = None


class SigningTold(Told):
    id: str
    title: str
    number: str
    sign_tms: str
    begin_tms: str
    end_tms: str
    amount: Money
    remark: str
    create_tms: str

    @classmethod
    def of(cls, signing: Signing) -> SigningTold:
        """A signed contract on the wire."""
        return cls(
            id=signing.signing,
            title=signing.title,
            number=signing.contract,
            sign_tms=iso(signing.signed_ms),
            begin_tms=iso(signing.begins_ms),
            end_tms=iso(signing.ends_ms),
            amount=yuan(signing.amount_fen),
            remark=signing.remark,
            create_tms=iso(signing.created_ms),
        )


class SigningsTold(Listed):
    signings: list[SigningTold]


class SigningIdTold(Single):
    top: ClassVar[tuple[str, ...]] = ("id",)
    id: str


class SigningAsk(Asked):
    id: Id = ""
    vid: Id = ""
    title: Line | None = None
    number: Line | None = None
    sign_tms: Moment = None
    begin_tms: Moment = None
    end_tms: Moment = None
    amount: Amount | None = None
    remark: Line | None = None

    def change(self) -> SigningChange:
        """In the words of the domain."""
        return SigningChange(
            title=self.title,
            contract=self.number,
            signed_ms=self.sign_tms,
            begins_ms=self.begin_tms,
            ends_ms=self.end_tms,
            amount_fen=None if self.amount is None else int(self.amount * 100),
            remark=self.remark,
        )


class SigningMeant(Asked):
    """In the query, or for clients that send a body with a DELETE, there."""

    id: Id = ""
