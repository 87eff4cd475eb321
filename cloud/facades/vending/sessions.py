"""Signing in by phone number."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from cloud.accounts.brand_profile import brand_of
from cloud.accounts.model import PASSWORD_CHARS_MAX, TOKEN_TTL_MS
from cloud.accounts.sign_in import sign_in_by_phone
from cloud.accounts.units import shops_seen
from cloud.facades.dialect import Call, Lenient, Nothing, Operation
from cloud.facades.vending.wire import COOKIE, Told


class LoginAsk(Lenient):
    phone: Annotated[str, Field(min_length=1, max_length=32)]
    password_md5: Annotated[SecretStr, Field(min_length=1, max_length=PASSWORD_CHARS_MAX)]


class ShopTold(Told):
    shop_id: str
    shop_name: str
    shop_logo: str


class LoginTold(Told):
    shop_list: list[ShopTold]
    token: str
    use_name: str
    platform_logo: str


async def login_mp(call: Call[LoginAsk, Nothing]) -> LoginTold:
    """Sign in by phone number and password, plain or as MD5; answers the shops that the account may see.

    The session is set as a cookie and told as `token`, for clients that keep no cookies.
    """
    signed_in, subject = await sign_in_by_phone(
        call.parts.database,
        call.parts.passwords,
        phone=call.body.phone,
        sent=call.body.password_md5.get_secret_value(),
        address=call.address,
        audience="vending",
        request_id=call.request_id,
    )
    secure = call.parts.settings.public_url.startswith("https:")
    call.reply.set_cookie(
        COOKIE, signed_in.token, max_age=TOKEN_TTL_MS // 1000, httponly=True, samesite="lax", secure=secure
    )
    async with call.parts.database.look(tenant=subject.tenant) as work:
        shops = await shops_seen(work, subject.reach, subject.tenant)
        logo = (await brand_of(work, subject.tenant)).logo
    return LoginTold(
        shop_list=[ShopTold(shop_id=shop.unit, shop_name=shop.name, shop_logo=shop.logo) for shop in shops],
        token=signed_in.token,
        use_name=signed_in.user.name,
        platform_logo=logo,
    )


OPERATIONS = (Operation("POST", "/login_save.php", "public", login_mp, changes="session.begin", flag="login_mp"),)
