"""Whose WeChat account a code stands for: asked of a gateway on this computer, which says no in all its ways."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest

from cloud.errors import FleetError
from cloud.providers.asking import open_client
from cloud.providers.wechat_people import OfficialAccountPeople, WeChatPerson
from tests.cloud.payments.house import Asked, Said, serving

APP, SECRET = "wx-test-app", "not-a-real-secret"
PERSON = WeChatPerson(openid="o-anna", unionid="u-anna", nick="安安", avatar="http://pic.example/a", sex=2, proved=True)


@dataclass
class Gateway:
    """WeChat's side: codes are good once. `moods` are the next answers instead of the usual ones."""

    codes: dict[str, str] = field(default_factory=lambda: {"fresh": "snsapi_userinfo", "silent": "snsapi_base"})
    asked: list[str] = field(default_factory=list)
    moods: list[Said | None] = field(default_factory=list)

    def handle(self, asked: Asked) -> Said | None:
        path = urlsplit(asked.path)
        query = {name: values[0] for name, values in parse_qs(path.query).items()}
        self.asked.append(path.path)
        if self.moods:
            return self.moods.pop(0)
        if path.path == "/sns/userinfo":
            assert (query["access_token"], query["openid"]) == ("access", "o-anna")
            told = {"openid": "o-anna", "unionid": "u-anna", "nickname": "安安", "headimgurl": PERSON.avatar, "sex": 2}
            return said(told)
        assert path.path == "/sns/oauth2/access_token"
        assert query["grant_type"] == "authorization_code"
        if (query["appid"], query["secret"]) != (APP, SECRET):
            return said({"errcode": 40125, "errmsg": "invalid appsecret"})
        scope = self.codes.pop(query["code"], None)
        if scope is None:
            return said({"errcode": 40163, "errmsg": "code been used"})
        return said({"access_token": "access", "openid": "o-anna", "scope": scope})


def said(body: object, status: int = 200) -> Said:
    return Said(status, json.dumps(body).encode())


@dataclass
class Door:
    """The gateway and who asks there."""

    gateway: Gateway
    people: OfficialAccountPeople
    stranger: OfficialAccountPeople


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """A gateway, an account that it knows, and one with a wrong secret."""
    gateway = Gateway()
    async with serving(gateway.handle) as address, open_client() as client:
        yield Door(
            gateway,
            OfficialAccountPeople(APP, SECRET, client, address),
            OfficialAccountPeople(APP, "wrong", client, address),
        )


async def test_a_code_is_exchanged_for_the_account_behind_it(door: Door) -> None:
    assert await door.people.person("fresh") == PERSON
    assert door.gateway.asked == ["/sns/oauth2/access_token", "/sns/userinfo"]


async def test_who_allowed_no_more_is_known_by_his_id_alone(door: Door) -> None:
    assert await door.people.person("silent") == WeChatPerson(openid="o-anna", proved=True)
    assert door.gateway.asked == ["/sns/oauth2/access_token"]


async def test_a_code_is_good_once(door: Door) -> None:
    await door.people.person("fresh")
    for code in ("fresh", "never given", "a&b=c d"):
        with pytest.raises(FleetError, match="does not know this code") as refused:
            await door.people.person(code)
        assert (refused.value.kind, refused.value.field) == ("invalid", "wx_code")


@pytest.mark.parametrize(
    "mood",
    [
        None,
        said({"errcode": 45011, "errmsg": "api minute-quota reach limit"}),
        said({"errcode": -1, "errmsg": "system error"}),
        said({"errcode": "?", "errmsg": "no number"}),
        said({"errmsg": "nothing at all"}),
        said(["no", "object"]),
        Said(200, b"<html>maintenance</html>"),
        Said(200, b"\xff\xfe"),
        Said(502, b""),
        Said(302, b"", {"Location": "http://elsewhere.example/"}),
    ],
)
async def test_a_gateway_that_does_not_answer_says_nothing_of_the_code(mood: Said | None, door: Door) -> None:
    door.gateway.moods = [mood]
    with pytest.raises(FleetError) as refused:
        await door.people.person("fresh")
    assert refused.value.kind == "unavailable"
    assert SECRET not in str(refused.value)
    assert await door.people.person("fresh") == PERSON, "the same code may be tried again"


async def test_a_wrong_secret_is_our_trouble_and_not_the_codes(door: Door) -> None:
    with pytest.raises(FleetError, match="40125") as refused:
        await door.stranger.person("fresh")
    assert refused.value.kind == "unavailable"
    assert SECRET not in repr(door.people)
