"""Tickets as the IoT dialect tells them: who may ask, what is seen, and the way from asking to rating."""

from __future__ import annotations

import re

import pytest

from cloud.accounts.brands import choose_brand_code
from cloud.accounts.store import tokens
from cloud.machines.register import register
from cloud.machines.store import machines
from cloud.tickets.desk import TicketDesk
from cloud.tickets.model import Condition
from shared.clock import ManualClock
from tests.cloud.iot.world import Iot

ASKED = {"type": 4, "detail": "no water", "appoint_tms": "20261122"}


@pytest.fixture
async def iot(iot: Iot) -> Iot:
    """With letters for the brands, a purifier in acme's shop and one in none, and two users."""
    async with iot.database.work() as work:
        for tenant, code in (("acme", "ACME"), ("rival", "RIVL")):
            await choose_brand_code(work, tenant, code)
    for tenant in ("acme", "rival"):
        async with iot.database.work(tenant=tenant) as work:
            for machine, shop in ((f"tap-{tenant}", f"shop-{tenant}"), (f"spare-{tenant}", None)):
                await register(work, tenant, machine, machine=machine)
                here = machines.update().where(machines.c.tenant == tenant, machines.c.machine == machine)
                await work.execute(here.values(shop=shop))
    for who in ("anna", "ben"):
        await iot.member(who, "acme")
    await iot.staff("tech", "acme", "technician", "shop-acme")
    await iot.staff("looker", "acme", "viewer")
    return iot


async def ask_for_one(iot: Iot, **more: object) -> str:
    told = await iot.told("anna", "POST", "/tickets/", {**ASKED, **more})
    return str(told["ticket_id"])


async def test_a_user_asks_and_everybody_above_sees_it(iot: Iot) -> None:
    ticket = await ask_for_one(iot)
    assert re.fullmatch(r"20261120ACME\d{12}", ticket)
    told = await iot.told("owner-acme", "GET", "/tickets")
    assert told["total"] == 1
    (row,) = told["tickets"]
    assert row["ticket_id"] == ticket
    assert (row["status"], row["type"], row["detail"], row["user_id"]) == (1, 4, "no water", "anna")
    assert row["appoint_tms"] == "2026-11-22T00:00:00Z"
    assert row["approval"] == {"check_result": False, "check_tms": "", "check_usr": ""}
    assert row["ratings"] == {"rate_value": 0, "rate_tms": "", "rate_detail": ""}
    for way in (ticket, f"T{ticket}"):
        assert (await iot.told("anna", "GET", f"/tickets/{way}"))["data"] == row
    assert (await iot.told("admin", "GET", f"/tickets/{ticket}"))["data"] == row
    assert [one["ticket_id"] for one in (await iot.told("anna", "GET", "/tickets/mine"))["tickets"]] == [ticket]
    for who in ("ben", "owner-rival"):
        assert (await iot.ask(who, "GET", f"/tickets/{ticket}")).status_code in (403, 404)
    assert (await iot.told("ben", "GET", "/tickets/mine"))["tickets"] == []


async def test_the_day_of_a_number_is_the_one_in_china(iot: Iot, clock: ManualClock) -> None:
    clock.advance(14 * 3_600_000)  # from noon to two in the morning; in UTC it is still the evening before
    async with iot.database.work() as work:
        await work.execute(tokens.update().values(expires_ms=work.now_ms + 1))
    assert (await ask_for_one(iot)).startswith("20261121ACME")


async def test_a_number_of_another_day_or_brand_names_nothing(iot: Iot) -> None:
    ticket = await ask_for_one(iot)
    for wrong in (ticket.replace("20261120", "20261121"), ticket.replace("ACME", "RIVL"), ticket[:-1] + "9", "x9"):
        for who in ("owner-acme", "admin"):
            assert (await iot.ask(who, "GET", f"/tickets/{wrong}")).status_code in (403, 404), (who, wrong)


async def test_the_way_from_approval_to_rating(iot: Iot) -> None:
    ticket = await ask_for_one(iot)

    async def step(who: str, verb: str, body: dict[str, object] | None = None) -> dict[str, object]:
        told = await iot.told(who, "POST", f"/tickets/{ticket}/{verb}", body)
        data: dict[str, object] = told["data"]
        return data

    assert (await step("owner-acme", "approve", {"check_result": True}))["status"] == 2
    sent = await step("owner-acme", "dispatch", {"name": "Li", "mobile": "13900002001"})
    assert (sent["status"], sent["dispatch"]["name"]) == (3, "Li")  # type: ignore[index]
    assert (await step("owner-acme", "dispatch", {"uid": "u-tech"}))["dispatch"]["uid"] == "u-tech"  # type: ignore[index]
    assert (await step("anna", "remind"))["reminders"] == 1
    assert (await step("anna", "remind"))["reminders"] == 1
    assert (await step("owner-acme", "note", {"detail": "on the way"}))["status"] == 4
    assert (await step("owner-acme", "note", {"detail": "a part is missing", "waiting": True}))["status"] == 5
    back = await step("owner-acme", "finish", {"done": False, "remark": "not the right part"})
    assert back["status"] == 1
    await step("owner-acme", "dispatch", {"name": "Wang"})
    done = await step("owner-acme", "finish", {"remark": "new pump"})
    assert (done["status"], done["remark"], done["finish_tms"]) == (6, "new pump", "2026-11-20T04:00:00Z")
    rated = await step("anna", "rate", {"rate_value": "5", "rate_detail": "fine"})
    assert rated["ratings"] == {"rate_value": 5, "rate_tms": "2026-11-20T04:00:00Z", "rate_detail": "fine"}
    await iot.refused(400, "anna", "POST", f"/tickets/{ticket}/rate", {"rate_value": 1})
    history = await iot.told("anna", "GET", f"/tickets/{ticket}/history")
    assert [one["event"] for one in history["steps"]][:3] == ["open", "approve", "dispatch"]
    assert history["total"] == 11


async def test_what_is_not_to_be(iot: Iot) -> None:
    ticket = await ask_for_one(iot)
    path = f"/tickets/{ticket}"
    await iot.refused(403, "anna", "GET", "/tickets")
    await iot.refused(403, "agent-acme-boss", "GET", "/tickets")
    await iot.refused(401, "", "POST", "/tickets/", ASKED)
    await iot.refused(422, "anna", "POST", "/tickets/", {**ASKED, "type": 7})
    await iot.refused(403, "anna", "POST", "/tickets/", {**ASKED, "type": 1})
    await iot.refused(403, "looker", "POST", "/tickets/", ASKED)
    await iot.refused(403, "anna", "POST", f"{path}/approve", {"check_result": True})
    await iot.refused(403, "owner-acme", "POST", f"{path}/rate", {"rate_value": 5})
    await iot.refused(400, "anna", "POST", f"{path}/rate", {"rate_value": 5})
    await iot.refused(422, "anna", "POST", f"{path}/rate", {"rate_value": 6})
    await iot.refused(400, "owner-acme", "POST", f"{path}/finish", {"done": False})
    await iot.refused(422, "owner-acme", "POST", f"{path}/dispatch", {})
    assert (await iot.ask("anna", "POST", "/tickets/", {**ASKED, "device_id": "tap-rival"})).status_code in (403, 404)
    await iot.refused(400, "owner-acme", "GET", "/tickets", sort="colour")


async def test_agents_handle_what_stands_below_them(iot: Iot) -> None:
    async with iot.database.work(tenant="acme") as work:
        desk = TicketDesk(work)
        for machine in ("tap-acme", "spare-acme"):
            desk.open(Condition("acme", machine, "filter_worn", "filter-1"), "filter 1: 5 % of its life left")
        await desk.write()
    mine = await iot.told("agent-acme-boss", "GET", "/tickets/mine")
    (row,) = mine["tickets"]
    assert (row["device_id"], row["type"], row["status"]) == ("tap-acme", 5, 1)
    everything = await iot.told("owner-acme", "GET", "/tickets", sort="device_id", order="desc")
    assert [one["device_id"] for one in everything["tickets"]] == ["tap-acme", "spare-acme"]
    other = everything["tickets"][1]["ticket_id"]
    assert (await iot.ask("agent-acme-boss", "POST", f"/tickets/{other}/finish", {})).status_code in (403, 404)
    await iot.told("tech", "POST", f"/tickets/{row['ticket_id']}/finish", {"remark": "new filter"})
    summary = (await iot.told("agent-acme-boss", "GET", "/tickets/summary"))["data"]
    assert (summary["total"], summary["by_status"]["6"], summary["by_type"]["5"]) == (1, 1, 1)
    assert (await iot.told("owner-acme", "GET", "/tickets/summary"))["data"]["total"] == 2
    assert (await iot.told("anna", "GET", "/tickets/summary"))["data"]["total"] == 0


async def test_filters_are_the_keys_of_a_row(iot: Iot) -> None:
    ticket = await ask_for_one(iot, priority=3)
    await iot.told("owner-acme", "POST", "/tickets", {"type": 1, "detail": "install", "device_id": "spare-acme"})

    async def found(**query: object) -> int:
        return len((await iot.told("owner-acme", "GET", "/tickets", **query))["tickets"])

    assert [await found(type=1), await found(type=4), await found(status=1), await found(status=6)] == [1, 1, 2, 0]
    assert [await found(user_id="anna"), await found(priority=3), await found(device_id="spare-acme")] == [1, 1, 1]
    await iot.told("owner-acme", "POST", f"/tickets/{ticket}/approve", {"check_result": False, "detail": "no"})
    assert [await found(status=2), await found(status=1)] == [1, 1]


async def test_settings_decide_who_is_sent(iot: Iot) -> None:
    await iot.told("owner-acme", "PUT", "/settings", {"ticket_dispatch": "nearest"})
    told = await iot.told("owner-acme", "POST", "/tickets/", {"type": 4, "device_id": "tap-acme"})
    assert (told["data"]["status"], told["data"]["dispatch"]["uid"]) == (3, "u-tech")
