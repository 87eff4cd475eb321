"""Users: registered by a code, described, bound to WeChat, found by who may, taken out for good."""

from __future__ import annotations

from typing import Any

import pytest

from cloud.members.wallet import top_up
from shared.clock import ManualClock
from tests.cloud.iot.world import MD5, OTHER_MD5, Iot

PHONE, OTHER_PHONE = "13900001001", "13900001002"
MINUTE_MS = 60_000


async def register(iot: Iot, phone: str = PHONE, **more: Any) -> str:
    await iot.told("", "POST", "/users/code", {"vid": "acme", "mobile": phone})
    code = await iot.code("acme", "register", phone)
    body = {"vid": "acme", "mobile": phone, "code": code, "name": "Chen", "pwd": MD5, **more}
    told = await iot.told("", "POST", "/users", body)
    assert told["uid"] == told["data"]["uid"]
    return str(told["uid"])


async def sign_in(iot: Iot, phone: str = PHONE, pwd: str = MD5) -> int:
    answer = await iot.ask("", "POST", "/login", {"account": phone, "pwd": pwd, "vid": "acme"})
    if answer.status_code == 200:
        iot.tokens[phone] = answer.json()["token"]
    return answer.status_code


async def test_a_user_registers_signs_in_and_reads_himself(iot: Iot) -> None:
    uid = await register(iot, email="chen@example.cn", area="广东省", address="某路 1 号")
    assert len(uid) == 20
    assert await sign_in(iot) == 200
    user = (await iot.told(PHONE, "GET", f"/users/{uid}"))["data"]
    assert (user["uid"], user["name"], user["mobile"], user["state"]) == (uid, "Chen", PHONE, 2)
    assert (user["email"], user["area"], user["reg_tms"]) == ("chen@example.cn", "广东省", "2026-11-20T04:00:00Z")
    assert user["weixin"] == {"nick": "", "avatar": "", "sex": 0, "sbc_tms": 0, "OpenID": "", "UnionID": ""}
    assert not {"vid", "role", "dealers_id"} & user.keys()
    assert (await iot.told("owner-acme", "GET", f"/users/{uid}"))["data"]["vid"] == "acme"


async def test_numbers_of_users_count_up_and_a_number_registers_once(iot: Iot, clock: ManualClock) -> None:
    first, second = await register(iot), await register(iot, OTHER_PHONE)
    assert first[:4] == second[:4]
    assert int(second[4:], 16) == int(first[4:], 16) + 1
    clock.advance(MINUTE_MS)
    await iot.told("", "POST", "/users/code", {"vid": "acme", "mobile": PHONE})
    body = {"vid": "acme", "mobile": PHONE, "code": await iot.code("acme", "register", PHONE), "name": "Again"}
    assert "registered already" in await iot.refused(422, "", "POST", "/users", body)
    await iot.refused(422, "", "POST", "/users", {**body, "code": "000000"})
    await iot.refused(403, "", "POST", "/users/code", {"vid": "acme", "mobile": PHONE})
    await iot.refused(422, "", "POST", "/users/code", {"vid": "nobody", "mobile": PHONE})
    await iot.refused(422, "", "POST", "/users/code", {"vid": "acme"})


async def test_everybody_sees_the_users_he_may(iot: Iot) -> None:
    mine, other = await register(iot), await register(iot, OTHER_PHONE)
    await iot.member("zoe", "rival")
    await iot.told("owner-acme", "PUT", f"/users/{other}", {"dealers_id": "shop-acme"})

    async def seen(who: str, **query: Any) -> list[str]:
        told = await iot.told(who, "GET", "/users", **query)
        assert told["users"] == told["data"]
        assert told["total"] >= len(told["users"])
        return sorted(user["uid"] for user in told["users"])

    assert await seen("admin") == sorted([mine, other, "zoe"])
    assert await seen("owner-acme") == sorted([mine, other])
    assert await seen("agent-acme-boss") == [other]
    assert await seen("owner-rival") == ["zoe"]
    await iot.refused(403, "zoe", "GET", "/users")
    await iot.refused(401, "", "GET", "/users")
    await iot.refused(403, "zoe", "GET", f"/users/{mine}")
    await iot.refused(403, "agent-acme-boss", "GET", f"/users/{mine}")
    await iot.refused(404, "owner-rival", "GET", f"/users/{mine}")
    await iot.refused(404, "admin", "GET", "/users/nobody")


async def test_lists_are_cut_sorted_and_filtered(iot: Iot) -> None:
    uids = [await register(iot, f"139000020{n:02}", name=f"User {n}") for n in range(5)]
    parts = [
        (await iot.told("owner-acme", "GET", "/users", limit=2, offset=start, sort="uid"))["users"]
        for start in (0, 2, 4)
    ]
    assert [user["uid"] for part in parts for user in part] == uids
    down = await iot.told("owner-acme", "GET", "/users", sort="mobile", order="desc", limit=1)
    assert (down["total"], down["users"][0]["uid"]) == (5, uids[-1])
    one = await iot.told("admin", "GET", "/users", mobile="13900002003", nonsense="1", state=2, type="")
    assert [user["uid"] for user in one["users"]] == [uids[3]]
    assert (await iot.told("owner-acme", "GET", "/users", state=0))["users"] == []
    await iot.refused(400, "owner-acme", "GET", "/users", sort="password")
    await iot.refused(422, "owner-acme", "GET", "/users", limit=0)


async def test_a_user_changes_his_addresses_and_nothing_that_is_decided_about_him(iot: Iot) -> None:
    uid = await register(iot)
    referrer = await register(iot, OTHER_PHONE)
    await sign_in(iot)
    body = {"uid": "", "name": "Chen Li", "avatar": "", "mobile": PHONE, "email": "li@example.cn", "vid": "acme"}
    changed = (await iot.told(PHONE, "PUT", f"/users/{uid}", {**body, "rid": "", "remark": ""}))["data"]
    assert (changed["name"], changed["email"]) == ("Chen Li", "li@example.cn")
    await iot.refused(400, PHONE, "PUT", f"/users/{uid}", {"uid": referrer, "name": "x"})
    await iot.refused(422, PHONE, "PUT", f"/users/{uid}", {"mobile": "13900001009"})
    await iot.refused(403, PHONE, "PUT", f"/users/{referrer}", {"name": "x"})
    for decided in ({"rid": referrer}, {"vid": "rival"}, {"remark": "x"}, {"vip": True}, {"bonus": 9}, {"state": 0}):
        await iot.refused(403, PHONE, "PUT", f"/users/{uid}", decided)
    # A program that sends back all that it has read changes what it may.
    (read,) = [(await iot.told(PHONE, "GET", f"/users/{uid}"))["data"]]
    assert (await iot.told(PHONE, "PUT", f"/users/{uid}", {**read, "area": "珠海"}))["data"]["area"] == "珠海"
    known = {"rid": referrer, "remark": "good", "vip": True, "bonus": 120, "type": 3, "mobile": "13900001009"}
    changed = (await iot.told("owner-acme", "PUT", f"/users/{uid}", known))["data"]
    assert {name: changed[name] for name in known} == known
    assert changed["name"] == "Chen Li"
    await iot.refused(422, "owner-acme", "PUT", f"/users/{referrer}", {"rid": uid})
    await iot.refused(422, "owner-acme", "PUT", f"/users/{uid}", {"mobile": OTHER_PHONE})
    await iot.refused(422, "owner-acme", "PUT", f"/users/{uid}", {"vid": "rival"})
    await iot.refused(422, "owner-acme", "PUT", f"/users/{uid}", {"email": "no address"})
    await iot.refused(403, "agent-acme-boss", "PUT", f"/users/{uid}", {"name": "x"})
    assert await sign_in(iot, "13900001009") == 200


async def test_a_user_who_is_shut_out_is_out_at_once(iot: Iot) -> None:
    uid = await register(iot)
    await sign_in(iot)
    await iot.told("admin", "PUT", f"/users/{uid}", {"state": 0})
    await iot.refused(401, PHONE, "GET", f"/users/{uid}")
    assert await sign_in(iot) == 401
    await iot.told("", "POST", "/users/rst/code", {"uid": uid, "mobile": PHONE})
    code = await iot.code("acme", "recover", PHONE)
    await iot.refused(403, "", "POST", "/users/rst", {"uid": uid, "pwd": OTHER_MD5, "code": code})
    await iot.told("admin", "PUT", f"/users/{uid}", {"state": 2})
    assert await sign_in(iot) == 200


async def test_a_password_is_changed_by_who_knows_it_and_ends_other_sessions(iot: Iot) -> None:
    uid = await register(iot)
    await sign_in(iot)
    iot.tokens["elsewhere"] = iot.tokens[PHONE]
    await sign_in(iot)
    body = {"uid": uid, "old_pwd": OTHER_MD5, "new_pwd": OTHER_MD5}
    await iot.refused(401, PHONE, "PUT", f"/users/{uid}/pwd", body)
    await iot.told(PHONE, "PUT", f"/users/{uid}/pwd", {**body, "old_pwd": MD5})
    await iot.told(PHONE, "GET", f"/users/{uid}")
    await iot.refused(401, "elsewhere", "GET", f"/users/{uid}")
    assert (await sign_in(iot), await sign_in(iot, pwd=OTHER_MD5)) == (401, 200)
    await iot.told("owner-acme", "PUT", f"/users/{uid}/pwd", {"new_pwd": MD5})
    await iot.refused(401, PHONE, "GET", f"/users/{uid}")
    assert await sign_in(iot) == 200


async def test_a_number_is_changed_with_a_code_to_the_new_one(iot: Iot) -> None:
    uid = await register(iot)
    await register(iot, OTHER_PHONE)
    await sign_in(iot)
    new = "13900001003"
    await iot.told(PHONE, "GET", f"/users/{uid}/mob/code", mobile=new)
    body = {"uid": uid, "mobile": new, "code": await iot.code("acme", "change_phone", new)}
    await iot.refused(422, PHONE, "PUT", f"/users/{uid}/mob", {**body, "code": "000000"})
    await iot.told(PHONE, "PUT", f"/users/{uid}/mob", body)
    assert (await iot.told(PHONE, "GET", f"/users/{uid}"))["data"]["mobile"] == new
    assert (await sign_in(iot), await sign_in(iot, new)) == (401, 200)
    await iot.told("admin", "GET", f"/users/{uid}/mob/code", {"mobile": OTHER_PHONE})
    code = await iot.code("acme", "change_phone", OTHER_PHONE)
    refusal = await iot.refused(422, "admin", "PUT", f"/users/{uid}/mob", {"mobile": OTHER_PHONE, "code": code})
    assert "registered already" in refusal


async def test_a_lost_password_is_found_by_the_number_also_a_first_one(iot: Iot, clock: ManualClock) -> None:
    await iot.member("old-hand", "acme", PHONE)
    assert await sign_in(iot) == 401
    await iot.told("", "POST", "/users/rst/code", {"vid": "acme", "mobile": PHONE})
    await iot.told(
        "", "POST", "/users/rst/code", {"vid": "acme", "mobile": "13900009999"}
    )  # nobody, and nobody is told
    body = {"vid": "acme", "mobile": PHONE, "pwd": MD5, "code": await iot.code("acme", "recover", PHONE)}
    assert (await iot.told("", "POST", "/users/rst", body))["uid"] == "old-hand"
    assert await sign_in(iot) == 200
    nobody = {**body, "mobile": "13900009999", "code": await iot.code("acme", "recover", "13900009999")}
    await iot.refused(422, "", "POST", "/users/rst", nobody)
    await iot.refused(422, "", "POST", "/users/rst", {"pwd": MD5, "code": "1"})
    clock.advance(MINUTE_MS)
    uid = await register(iot, OTHER_PHONE)
    await iot.told("", "POST", "/users/rst/code", {"uid": uid, "mobile": OTHER_PHONE})
    code = await iot.code("acme", "recover", OTHER_PHONE)
    await iot.told("", "POST", "/users/rst", {"uid": uid, "pwd": OTHER_MD5, "code": code})
    assert await sign_in(iot, OTHER_PHONE, OTHER_MD5) == 200


async def test_binding_wechat_registers_who_is_new(iot: Iot, clock: ManualClock) -> None:
    await iot.told("", "POST", "/users/code", {"vid": "acme", "mobile": PHONE})
    weixin = {"nick": "Xiao Chen", "sex": 1, "sbc_tms": 1386160805, "OpenID": "o-1", "UnionID": "un-1"}
    body = {"vid": "acme", "mobile": PHONE, "code": await iot.code("acme", "register", PHONE), "weixin": weixin}
    uid = (await iot.told("", "POST", "/users/bind", body))["uid"]
    user = (await iot.told("admin", "GET", f"/users/{uid}"))["data"]
    assert (user["name"], user["mobile"], user["weixin"]) == ("Xiao Chen", PHONE, {**weixin, "avatar": ""})

    await iot.told("", "POST", "/users/code", {"vid": "acme", "mobile": OTHER_PHONE})
    other = {**body, "mobile": OTHER_PHONE, "code": await iot.code("acme", "register", OTHER_PHONE)}
    assert "another member" in await iot.refused(422, "", "POST", "/users/bind", other)
    await iot.refused(422, "", "POST", "/users/bind", {**other, "weixin": {}})
    proved = (await iot.told("", "POST", "/users/bind", {**other, "weixin": {}, "wx_code": "from-the-client"}))["uid"]
    bound = (await iot.told("admin", "GET", f"/users/{proved}"))["data"]["weixin"]
    assert bound["OpenID"].startswith("recorded-")

    clock.advance(MINUTE_MS)
    await iot.told("", "POST", "/users/code", {"vid": "acme", "mobile": PHONE})
    again = {**body, "code": await iot.code("acme", "register", PHONE), "weixin": {**weixin, "OpenID": "o-2"}}
    assert (await iot.told("", "POST", "/users/bind", again))["uid"] == uid
    assert (await iot.told("admin", "GET", f"/users/{uid}"))["data"]["weixin"]["OpenID"] == "o-2"


@pytest.mark.parametrize("slash", ["/", ""])
async def test_unbinding_leaves_the_user_in_place(slash: str, iot: Iot) -> None:
    uid = await register(iot)
    await iot.told("owner-acme", "DELETE", f"/users/{uid}{slash}bind")
    assert (await iot.told("owner-acme", "GET", f"/users/{uid}"))["data"]["uid"] == uid


async def test_who_leaves_is_forgotten_and_his_number_is_not_used_again(iot: Iot, clock: ManualClock) -> None:
    uid = await register(iot)
    await sign_in(iot)
    async with iot.database.work(tenant="acme") as work:
        await top_up(work, "acme", uid, 500, "some-money")
    for who in ("owner-acme", "agent-acme-boss", PHONE):
        await iot.refused(403, who, "DELETE", f"/users/{uid}")
    assert "still held" in await iot.refused(400, "admin", "DELETE", f"/users/{uid}")

    poor = await register(iot, OTHER_PHONE)
    await sign_in(iot, OTHER_PHONE)
    await iot.told("admin", "DELETE", f"/users/{poor}")
    await iot.refused(410, "admin", "GET", f"/users/{poor}")
    await iot.refused(410, "owner-acme", "PUT", f"/users/{poor}", {"name": "x"})
    await iot.refused(401, OTHER_PHONE, "GET", f"/users/{poor}")
    assert [user["uid"] for user in (await iot.told("admin", "GET", "/users"))["users"]] == [uid]
    clock.advance(MINUTE_MS)
    assert await register(iot, OTHER_PHONE) > poor
