"""Vendors: brands opened, described, equipped with secrets that nobody is told, and closed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from cloud.accounts.store import audit_log, brand_profiles
from cloud.members.wallet import top_up
from tests.cloud.iot.world import MD5, OTHER_MD5, Iot

SECRET = "hush-hush-0001"


async def open_vendor(iot: Iot, user: str = "morning", **more: Any) -> str:
    body = {"user": user, "pwd": MD5, "name": "Morning Water Ltd", "mobile": "13900005001", **more}
    return str((await iot.told("admin", "POST", "/vendors", body))["vid"])


async def sign_in(iot: Iot, account: str, pwd: str = MD5) -> int:
    answer = await iot.ask("", "POST", "/login", {"account": account, "pwd": pwd, "kind": "staff"})
    if answer.status_code == 200:
        iot.tokens[account] = answer.json()["token"]
    return answer.status_code


async def test_a_brand_is_opened_and_its_owner_signs_in(iot: Iot) -> None:
    vid = await open_vendor(iot, abbv="Morning", contact="Lin", email="hi@example.cn", type=2)
    vendor = (await iot.told("admin", "GET", f"/vendors/{vid}"))["data"]
    assert (vendor["user"], vendor["name"], vendor["abbv"], vendor["contact"]) == (
        "morning",
        "Morning Water Ltd",
        "Morning",
        "Lin",
    )
    assert (vendor["state"], vendor["type"], vendor["pwd"]) == (2, 2, "")
    assert len(vendor["code"]) == 4
    for account in ("morning", "13900005001"):
        assert await sign_in(iot, account) == 200
    assert (await iot.told("morning", "GET", "/users"))["users"] == []
    again = {"user": "morning", "pwd": MD5, "name": "Other"}
    assert "taken" in await iot.refused(422, "admin", "POST", "/vendors", again)
    await iot.refused(422, "admin", "POST", "/vendors", {**again, "user": "13900005009"})
    await iot.refused(422, "admin", "POST", "/vendors", {**again, "user": "evening", "mobile": "13900005001"})
    await iot.refused(403, "morning", "GET", "/vendors")
    listed = await iot.told("admin", "GET", "/vendors", sort="name", user="morning")
    assert [vendor["vid"] for vendor in listed["vendors"]] == [vid]


async def test_what_is_sent_is_changed_and_the_rest_stays(iot: Iot) -> None:
    vid = await open_vendor(iot, contact="Lin")
    body = {"vid": "", "user": "", "name": "Morning & Sons", "domain": "www.example.cn"}
    assert (await iot.told("admin", "PUT", f"/vendors/{vid}", body))["vid"] == vid
    vendor = (await iot.told("admin", "GET", f"/vendors/{vid}"))["data"]
    assert (vendor["name"], vendor["domain"], vendor["contact"], vendor["user"]) == (
        "Morning & Sons",
        "www.example.cn",
        "Lin",
        "morning",
    )
    await iot.refused(400, "admin", "PUT", f"/vendors/{vid}", {"vid": "acme"})
    await iot.told("admin", "PUT", f"/vendors/{vid}", {"user": "daybreak"})
    await iot.told("admin", "PUT", f"/vendors/{vid}/mob", {"mobile": "13900005002"})
    signed_in = [await sign_in(iot, name) for name in ("morning", "13900005001", "daybreak", "13900005002")]
    assert signed_in == [401, 401, 200, 200]
    await iot.told("admin", "PUT", f"/vendors/{vid}/pwd", {"vid": vid, "pwd": OTHER_MD5})
    await iot.refused(401, "daybreak", "GET", "/users")
    assert (await sign_in(iot, "daybreak", OTHER_MD5), await sign_in(iot, "daybreak")) == (200, 401)
    await iot.refused(404, "admin", "PUT", "/vendors/nobody", {"name": "x"})
    await iot.refused(422, "admin", "PUT", f"/vendors/{vid}/pwd", {"pwd": ""})


async def test_secrets_are_sealed_and_told_to_nobody(iot: Iot) -> None:
    vid = await open_vendor(iot, mp_secret=SECRET)
    body = {"mp_gid": "gh_1", "mp_appid": "wx1", "mp_secret": "", "mch_appid": "mch1", "mch_secret": SECRET}
    await iot.told("admin", "PUT", f"/vendors/{vid}/mxx", body)
    vendor = (await iot.told("admin", "GET", f"/vendors/{vid}"))["data"]
    assert (vendor["mp_gid"], vendor["mp_appid"], vendor["mp_secret"], vendor["mch_secret"]) == ("gh_1", "wx1", "", "")
    async with iot.database.look() as work:
        row = await work.row(select(brand_profiles).where(brand_profiles.c.tenant == vid))
        told = [str(entry.detail) for entry in await work.rows(select(audit_log))]
    assert row is not None
    assert SECRET not in str(row)
    assert not any(SECRET in detail for detail in told)
    vault = iot.parts.vault
    assert vault.open(vid, "mp_secret", row.mp_secret_sealed) == SECRET
    assert vault.open(vid, "mch_secret", row.mch_secret_sealed) == SECRET


async def test_options_are_merged_by_key(iot: Iot) -> None:
    vid = await open_vendor(iot)
    await iot.told("admin", "PUT", f"/vendors/{vid}/cfg", {"theme": "dew", "push": {"faults": True}, "old": 1})
    await iot.told("admin", "PUT", f"/vendors/{vid}/cfg", {"theme": "frost", "old": None})
    vendor = (await iot.told("admin", "GET", f"/vendors/{vid}"))["data"]
    assert vendor["cfg"] == {"theme": "frost", "push": {"faults": True}}
    await iot.refused(422, "admin", "PUT", f"/vendors/{vid}/cfg", {"much": "x" * 30_000})


async def test_signing_records_are_noted_changed_and_struck_out(iot: Iot) -> None:
    vid = await open_vendor(iot)
    path = f"/vendors/{vid}/signing"
    assert (await iot.told("admin", "GET", path))["signings"] == []
    await iot.refused(404, "admin", "PUT", path, {"remark": "none to change"})
    body = {"title": "Agreement", "number": "HT-1", "sign_tms": "20180102", "end_tms": "2021-01-01T00:00:00Z"}
    first = (await iot.told("admin", "POST", path, {**body, "amount": 1200.5}))["id"]
    second = (await iot.told("admin", "POST", path, {"title": "Supplement"}))["id"]
    await iot.told("admin", "PUT", path, {"id": first, "amount": "1300"})
    await iot.told("admin", "PUT", path, {"remark": "the newest"})
    signings = (await iot.told("admin", "GET", path, sort="id"))["signings"]
    assert [(one["id"], one["amount"], one["remark"]) for one in signings] == [
        (first, 1300, ""),
        (second, 0, "the newest"),
    ]
    assert (signings[0]["sign_tms"], signings[0]["end_tms"]) == ("2018-01-02T00:00:00Z", "2021-01-01T00:00:00Z")
    await iot.refused(422, "admin", "PUT", path, {"id": first, "begin_tms": "20300101"})
    await iot.told("admin", "DELETE", path, id=first)
    await iot.refused(404, "admin", "DELETE", path, id=first)
    assert (await iot.told("admin", "GET", path))["total"] == 1


async def test_a_brand_that_is_shut_out_lets_nobody_in(iot: Iot) -> None:
    vid = await open_vendor(iot)
    await sign_in(iot, "morning")
    await iot.told("admin", "PUT", f"/vendors/{vid}", {"state": 0})
    await iot.refused(401, "morning", "GET", "/users")
    assert await sign_in(iot, "morning") == 401
    await iot.refused(422, "", "POST", "/users/code", {"vid": vid, "mobile": "13900005003"})
    await iot.told("admin", "PUT", f"/vendors/{vid}", {"state": 2})
    assert await sign_in(iot, "morning") == 200
    await iot.refused(400, "admin", "PUT", "/vendors/main", {"state": 0})


async def test_a_brand_closes_for_good_when_nobodys_money_is_left(iot: Iot) -> None:
    await iot.member("anna", "acme")
    async with iot.database.work(tenant="acme") as work:
        await top_up(work, "acme", "anna", 1_000, "some-money")
    assert "1000 fen" in await iot.refused(400, "admin", "DELETE", "/vendors/acme")
    vid = await open_vendor(iot)
    await sign_in(iot, "morning")
    await iot.told("admin", "POST", "/devices", {"device_ids": ["D1"], "vendor_id": vid})
    await iot.told("admin", "DELETE", f"/vendors/{vid}")
    await iot.refused(410, "admin", "GET", f"/vendors/{vid}")
    await iot.refused(410, "admin", "GET", "/devices/D1")
    await iot.refused(401, "morning", "GET", "/users")
    assert await sign_in(iot, "morning") == 401
    assert vid not in [vendor["vid"] for vendor in (await iot.told("admin", "GET", "/vendors"))["vendors"]]
    assert await open_vendor(iot) != vid  # the names are free again, the id is not
    await iot.refused(400, "admin", "DELETE", "/vendors/main")
