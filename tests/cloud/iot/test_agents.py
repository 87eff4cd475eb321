"""Agents, the people who work for them, rights and settings."""

from __future__ import annotations

from typing import Any

from cloud.machines.register import register
from cloud.machines.store import machines
from tests.cloud.iot.world import MD5, Iot


def agent(kind: str, mobile: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "name": f"A {kind}", "mobile": mobile, "pwd": MD5, **more}


async def sign_in(iot: Iot, who: str, mobile: str) -> None:
    told = await iot.ask("", "POST", "/login", {"account": mobile, "pwd": MD5, "kind": "staff"})
    assert told.status_code in (200, 201), told.text
    iot.tokens[who] = told.json()["token"]


async def test_a_brand_opens_an_agent_who_opens_dealers_of_his_own(iot: Iot) -> None:
    south = (await iot.told("owner-acme", "POST", "/agents", agent("agent", "13900005001")))["agent_id"]
    assert south == "AG1"
    await sign_in(iot, "south", "13900005001")
    dealer = (await iot.told("south", "POST", "/agents", agent("dealer", "13900005002")))["agent_id"]
    shop = (await iot.told("south", "POST", "/agents", agent("shop", "13900005003", parent_id=dealer)))["agent_id"]
    seen = await iot.told("south", "GET", "/agents")
    assert [(one["agent_id"], one["parent_id"]) for one in seen["agents"]] == [
        (south, ""),
        (dealer, south),
        (shop, dealer),
    ]
    assert {one["agent_id"] for one in (await iot.told("owner-acme", "GET", "/agents"))["agents"]} >= {
        "agent-acme",
        shop,
    }
    assert (await iot.told("agent-acme-boss", "GET", "/agents", agent_id=shop))["agents"] == []
    assert (await iot.ask("agent-acme-boss", "GET", f"/agents/{shop}")).status_code in (403, 404)
    assert (await iot.ask("owner-rival", "GET", f"/agents/{shop}")).status_code in (403, 404)
    await iot.refused(422, "south", "POST", "/agents", agent("agent", "13900005004"))
    await iot.refused(400, "south", "POST", "/agents", agent("dealer", "13900005002"))
    await iot.refused(403, "south", "PUT", f"/agents/{south}", {"name": "Mine"})


async def test_an_agent_is_taken_away_once_nothing_stands_in_it(iot: Iot) -> None:
    south = (await iot.told("owner-acme", "POST", "/agents", agent("agent", "13900005001")))["agent_id"]
    shop = (await iot.told("owner-acme", "POST", "/agents", agent("shop", "13900005003", parent_id=south)))["agent_id"]
    await sign_in(iot, "keeper", "13900005003")
    async with iot.database.work(tenant="acme") as work:
        await register(work, "acme", "tap", machine="tap")
        here = machines.update().where(machines.c.tenant == "acme", machines.c.machine == "tap")
        await work.execute(here.values(shop=shop))
    await iot.refused(400, "owner-acme", "DELETE", f"/agents/{south}")
    await iot.refused(400, "owner-acme", "DELETE", f"/agents/{shop}")
    async with iot.database.work(tenant="acme") as work:
        await work.execute(here.values(shop=None))
    await iot.told("owner-acme", "DELETE", f"/agents/{shop}")
    await iot.refused(401, "keeper", "GET", "/agents")
    await iot.refused(410, "owner-acme", "DELETE", f"/agents/{shop}")
    assert (
        await iot.ask("", "POST", "/login", {"account": "13900005003", "pwd": MD5, "kind": "staff"})
    ).status_code == 401
    await iot.told("owner-acme", "DELETE", f"/agents/{south}")
    again = await iot.told("owner-acme", "POST", "/agents", agent("agent", "13900005001"))
    assert again["agent_id"] == "AG2"


async def test_an_agents_commission_is_what_its_purchases_earn(iot: Iot) -> None:
    told = await iot.told("agent-acme-boss", "GET", "/agents/agent-acme/commission")
    assert (told["total"], told["commission"]) == (0, [])
    assert (await iot.ask("owner-rival", "GET", "/agents/agent-acme/commission")).status_code in (403, 404)


async def test_who_is_shut_out_comes_in_again(iot: Iot) -> None:
    south = (await iot.told("owner-acme", "POST", "/agents", agent("agent", "13900005001")))["agent_id"]
    await iot.told("owner-acme", "PUT", f"/agents/{south}", {"state": 0})
    login = {"account": "13900005001", "pwd": MD5, "kind": "staff"}
    assert (await iot.ask("", "POST", "/login", login)).status_code == 401
    told = await iot.told("owner-acme", "PUT", f"/agents/{south}", {"state": 2, "name": "South"})
    assert (told["data"]["state"], told["data"]["name"]) == (2, "South")


async def test_nobody_gives_a_role_that_may_more_than_his_own(iot: Iot) -> None:
    person = {"name": "Li", "role": "technician", "mobile": "13900005009", "pwd": MD5}
    told = await iot.told("agent-acme-boss", "POST", "/staff", person)
    assert (told["data"]["agent_id"], told["data"]["role"]) == ("agent-acme", "technician")
    uid = told["uid"]
    await iot.refused(403, "agent-acme-boss", "PUT", f"/staff/{uid}", {"role": "platform"})
    await iot.refused(422, "agent-acme-boss", "PUT", f"/staff/{uid}", {"role": "king"})
    await iot.refused(400, "agent-acme-boss", "POST", "/staff", person)
    changed = await iot.told("agent-acme-boss", "PUT", f"/staff/{uid}", {"role": "viewer", "state": 0})
    assert (changed["data"]["role"], changed["data"]["state"]) == ("viewer", 0)
    assert (await iot.ask("agent-acme-boss", "PUT", "/staff/u-owner-acme", {"name": "X"})).status_code in (403, 404)
    await iot.refused(400, "agent-acme-boss", "PUT", "/staff/u-agent-acme-boss", {"role": "viewer"})
    seen = {one["uid"] for one in (await iot.told("agent-acme-boss", "GET", "/staff"))["staff"]}
    assert seen == {uid, "u-agent-acme-boss"}
    await iot.staff("looker", "acme", "viewer")
    await iot.refused(403, "looker", "POST", "/staff", person)


async def test_rights_say_what_roles_may_do(iot: Iot) -> None:
    told = (await iot.told("agent-acme-boss", "GET", "/rights"))["data"]
    assert (told["role"], told["level"]) == ("owner", "agent")
    may = {one["role"]: one["permissions"] for one in told["roles"]}
    assert "tickets:work" in may["technician"]
    assert "tickets:work" not in may["viewer"]


async def test_settings_keep_to_what_they_may_be(iot: Iot) -> None:
    told = await iot.told("owner-acme", "GET", "/settings")
    assert told["settings"]["ticket_dispatch"] == "manual"
    told = await iot.told("owner-acme", "PUT", "/settings", {"shortage_threshold": 2, "theme": "dark"})
    assert (told["settings"]["shortage_threshold"], told["settings"]["theme"]) == (2, "dark")
    await iot.refused(422, "owner-acme", "PUT", "/settings", {"ticket_dispatch": "dice"})
    await iot.refused(403, "agent-acme-boss", "PUT", "/settings", {"theme": "dark"})
    assert (await iot.told("admin", "GET", "/settings", vid="acme"))["settings"]["theme"] == "dark"
    assert "theme" not in (await iot.told("owner-rival", "GET", "/settings"))["settings"]
