"""Whose WeChat account it is: the code that a client got from WeChat, exchanged for the account behind it.

Needs a brand's official account. Without one the codes are recorded: they prove nothing, and what is made of them
looks like no id of WeChat's.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode

import httpx2

from cloud.errors import FleetError
from cloud.providers.asking import ask

GATEWAY = "https://api.weixin.qq.com"
_WHO = "WeChat"
# The code is no code, was used, or is too old; everything else is a matter of our account or of theirs.
_BAD_CODES = (40029, 40163, 41008)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeChatPerson:
    """A WeChat account as WeChat tells it. `proved`: WeChat has told it."""

    openid: str
    unionid: str = ""
    nick: str = ""
    avatar: str = ""
    sex: int = 0
    proved: bool = False


class WeChatPeople(Protocol):
    """Knows whose a code is."""

    async def person(self, code: str) -> WeChatPerson:
        """Whose the code is. FleetError: invalid (code), unavailable."""


class RecordingPeople:
    """Asks nobody: the same code is the same account, and every account is made up."""

    async def person(self, code: str) -> WeChatPerson:
        """An account that is named after its code."""
        return WeChatPerson(openid=f"recorded-{hashlib.sha256(code.encode()).hexdigest()[:20]}")


class OfficialAccountPeople:
    """Asks WeChat with the key of one official account (OAuth 2.0 of web pages in WeChat)."""

    def __init__(self, app: str, secret: str, client: httpx2.AsyncClient, gateway: str = GATEWAY) -> None:
        self._app = app
        self._secret = secret
        self._client = client
        self._gateway = gateway

    def __repr__(self) -> str:
        return f"OfficialAccountPeople({self._app!r}, hidden)"

    async def person(self, code: str) -> WeChatPerson:
        """Whose the code is, with name and picture where he allowed it. FleetError: invalid (code), unavailable."""
        asked = {"appid": self._app, "secret": self._secret, "code": code, "grant_type": "authorization_code"}
        told = await self._ask("/sns/oauth2/access_token", asked)
        openid = str(told.get("openid", ""))
        if not openid:
            raise FleetError("unavailable", "WeChat named no account")
        known: dict[str, Any] = {}
        if "snsapi_userinfo" in str(told.get("scope", "")):
            access = {"access_token": str(told.get("access_token", "")), "openid": openid, "lang": "zh_CN"}
            known = await self._ask("/sns/userinfo", access)
        return WeChatPerson(
            openid=openid,
            unionid=str(known.get("unionid") or told.get("unionid") or ""),
            nick=str(known.get("nickname", "")),
            avatar=str(known.get("headimgurl", "")),
            sex=int(known.get("sex") or 0),
            proved=True,
        )

    async def _ask(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        answer = await ask(self._client, _WHO, "GET", f"{self._gateway}{path}?{urlencode(query)}")
        try:
            told = json.loads(answer.content)
        except ValueError as error:
            raise FleetError("unavailable", "WeChat's answer is not JSON") from error
        if not isinstance(told, dict):
            raise FleetError("unavailable", "WeChat's answer is no object")
        if trouble := told.get("errcode"):
            if trouble in _BAD_CODES:
                raise FleetError("invalid", "WeChat does not know this code, or no longer", field="wx_code")
            raise FleetError("unavailable", f"WeChat refuses to answer ({trouble})")
        return told
