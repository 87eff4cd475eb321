"""Devices: put on the list, configured, bound and shared, cleared, taken out of service."""

from __future__ import annotations

from typing import Any

import pytest

from cloud.machines.model import PRESENT_MS
from cloud.machines.planogram import current_config
from cloud.machines.register import claim
from cloud.members.wallet import top_up
from cloud.water.place import PlacePour, place_pour
from cloud.water.purifier import put_purifier
from shared.clock import ManualClock
from shared.messages import FaultChanged, PourEnded
from shared.water import Outlet, PurifierConfig, ServicePlan
from tests.cloud.fleet import CREDENTIALS, Device, say
from tests.cloud.iot.world import Iot

DAY_S = 86_400
IN_2030_S = 1_893_456_000


async def register(iot: Iot, *ids: str, tenant: str = "acme", **more: Any) -> None:
    await iot.told("admin", "POST", "/devices", {"device_ids": [*ids], "vendor_id": tenant, **more})


async def purifier(iot: Iot, clock: ManualClock, machine: str = "P1", tenant: str = "acme") -> Device:
    """A purifier that is claimed, configured and online."""
    await register(iot, machine, tenant=tenant, type=4)
    outlets = (Outlet(warmth="cold", relay=1, price_fen_per_litre=50),)
    config = PurifierConfig(outlets=outlets, plan=ServicePlan(plan="first", mode="vending"))
    async with iot.database.work(tenant=tenant) as work:
        await claim(work, CREDENTIALS, tenant, machine)
        await put_purifier(work, CREDENTIALS, tenant, machine, config, "tests")
    device = Device(machine, clock)
    await say(iot.database, device.hello(), device.began())
    return device


async def read(iot: Iot, machine: str, who: str = "admin") -> dict[str, Any]:
    told: dict[str, Any] = (await iot.told(who, "GET", f"/devices/{machine}"))["data"]
    return told


async def test_devices_are_registered_all_or_none(iot: Iot) -> None:
    described = {"type": 3, "model": "000001", "hw_version": "1.0", "sw_version": "2.0", "manufacture_tms": "20121221"}
    await register(iot, "D1", "D2", **described)
    device = await read(iot, "D1", "owner-acme")
    assert {name: device[name] for name in described} == {**described, "manufacture_tms": "2012-12-21T00:00:00Z"}
    assert (device["device_ids"], device["vendor_id"], device["state"], device["user_id"]) == ("D1", "acme", 4, "")
    for wrong in (["D3", "D1"], ["D3", "D3"], ["D3", "no id"], [""], []):
        await iot.refused(422, "admin", "POST", "/devices", {"device_ids": wrong, "vendor_id": "acme"})
    await iot.refused(422, "admin", "POST", "/devices", {"device_ids": ["D3"], "vendor_id": "rival", "type": 5})
    await iot.refused(404, "owner-acme", "GET", "/devices/D3")
    await iot.refused(403, "owner-acme", "POST", "/devices", {"device_ids": ["D3"], "vendor_id": "acme"})
    await iot.told("admin", "POST", "/devices", {"device_ids": "D3", "vendor_id": "rival"})


async def test_everybody_sees_the_devices_he_may(iot: Iot) -> None:
    await register(iot, "D1", "D2")
    await register(iot, "R1", tenant="rival")
    anna = await iot.member("anna", "acme")
    await iot.told("anna", "POST", "/devices/D1/bind", {})

    async def seen(who: str, **query: Any) -> list[str]:
        return [device["device_id"] for device in (await iot.told(who, "GET", "/devices", **query))["devices"]]

    assert await seen("admin") == ["D1", "D2", "R1"]
    assert await seen("owner-acme", sort="device_id", order="desc") == ["D2", "D1"]
    assert await seen("owner-acme", user_id=anna) == ["D1"]
    assert await seen("owner-acme", type=0, limit=1, offset=1) == ["D2"]
    assert await seen("owner-acme", type=1) == []
    assert await seen("agent-acme-boss") == []
    await iot.refused(403, "anna", "GET", "/devices")
    await iot.refused(403, "anna", "GET", "/devices/D2")
    await iot.refused(403, "agent-acme-boss", "GET", "/devices/D1")
    await iot.refused(404, "owner-rival", "GET", "/devices/D1")
    assert (await iot.told("admin", "GET", f"/users/{anna}"))["data"]["devices"] == 1


async def test_devices_are_found_by_how_they_are(iot: Iot, clock: ManualClock) -> None:
    well, faulty, stopped, _away = [await purifier(iot, clock, f"P{number}") for number in range(4)]
    await register(iot, "P4")
    await iot.told("owner-acme", "PUT", "/devices/P2/svc", {"state": 1})
    clock.advance(PRESENT_MS + 1)
    await say(iot.database, well.hello(), faulty.hello(), stopped.hello())
    await say(iot.database, faulty.fact(FaultChanged(code="leak", scope="machine", active=True)))
    for state, machine in enumerate(("P0", "P3", "P1", "P2", "P4")):
        found = (await iot.told("owner-acme", "GET", "/devices", state=state))["devices"]
        assert [(one["device_id"], one["state"]) for one in found] == [(machine, state)]
        assert (await iot.told("owner-acme", "GET", f"/devices/{machine}/stat"))["data"]["state"] == state
    worst_first = (await iot.told("owner-acme", "GET", "/devices", sort="state", order="desc"))["devices"]
    assert [one["state"] for one in worst_first] == [4, 3, 2, 1, 0]


async def test_what_the_machine_enforces_reaches_it_as_its_signed_configuration(iot: Iot, clock: ManualClock) -> None:
    device = await purifier(iot, clock)
    assert (await read(iot, "P1"))["type"] == 4
    changed = (await iot.told("owner-acme", "PUT", "/devices/P1", {"type": 2, "service": {"expire": IN_2030_S}}))[
        "data"
    ]
    assert (changed["type"], changed["config"]["desired"], changed["config"]["reported"]) == (2, 2, 1)
    async with iot.database.look(tenant="acme") as work:
        config = await current_config(work, "acme", "P1")
    assert config is not None
    assert config.purifier is not None
    assert config.purifier.outlets[0].price_fen_per_litre == 50
    assert (config.purifier.plan.mode, config.purifier.plan.ends_wall_ms) == ("timed_rental", IN_2030_S * 1000)
    assert config.purifier.plan.plan != "first"

    await say(iot.database, device.hello(config_version=2))
    told = (await iot.told("owner-acme", "PUT", "/devices/P1/svc", {"state": 1, "expire": IN_2030_S + DAY_S}))["data"]
    assert told == {"state": 1, "expire": IN_2030_S + DAY_S, "expire_tms": "2030-01-02T00:00:00Z", "type": 2}
    async with iot.database.look(tenant="acme") as work:
        longer = await current_config(work, "acme", "P1")
    assert longer is not None
    assert longer.purifier is not None
    assert longer.purifier.plan.plan == config.purifier.plan.plan
    assert (await read(iot, "P1"))["state"] == 3
    await iot.refused(422, "owner-acme", "PUT", "/devices/P1/svc", {"expire": 0})  # a timed rental needs an end
    await iot.refused(403, "agent-acme-boss", "PUT", "/devices/P1/svc", {"state": 0})


async def test_basic_data_and_notes_are_kept_by_key(iot: Iot) -> None:
    await register(iot, "D1")
    body = {"platform": "ESP8266", "net_type": "GPRS", "lbs_coord": "113.5,22.2"}
    await iot.told("owner-acme", "PUT", "/devices/D1/prof", body)
    await iot.told("owner-acme", "PUT", "/devices/D1/prof", {"project": "dew"})
    basic = (await iot.told("owner-acme", "GET", "/devices/D1/prof"))["data"]
    assert (basic["platform"], basic["net_type"], basic["project"]) == ("ESP8266", "GPRS", "dew")
    notes = {"installer_id": "u1", "install_tms": "20180105", "contract": "HT-1"}
    body = {"installation": notes, "manufacture": {"product_id": "77", "qc_id": "q", "qc_tms": "20171221"}}
    await iot.refused(422, "owner-acme", "PUT", "/devices/D1", body)
    more = {"device_ids": ["D2"], "vendor_id": "acme", "product_id": "77"}
    await iot.refused(422, "admin", "POST", "/devices", more)
    await iot.told("owner-acme", "POST", "/products", {"prod_id": "77", "name": "净水机", "price": 1})
    await iot.told("admin", "POST", "/devices", more)
    device = (await iot.told("owner-acme", "PUT", "/devices/D1", body))["data"]
    assert device["installation"] == {**notes, "install_tms": "2018-01-05T00:00:00Z"}
    assert device["manufacture"] == {"product_id": "77", "qc_id": "q", "qc_tms": "2017-12-21T00:00:00Z"}
    assert device["run_state"]["lbs_coord"] == "113.5,22.2"
    await iot.refused(422, "owner-acme", "PUT", "/devices/D1", {"installation": {"install_tms": "soon"}})


async def test_figures_come_from_what_the_machine_told(iot: Iot, clock: ManualClock) -> None:
    device = await purifier(iot, clock)
    flowed = PourEnded(
        order="o-pressed",
        outlet="cold",
        source="button",
        means="coin",
        asked_ml=1_000,
        poured_ml=1_000,
        price_fen_per_litre=50,
        charged_fen=50,
        paid_fen=50,
        reason="target",
        txn=1,
        config_version=1,
    )
    await say(iot.database, device.fact(flowed))
    told = (await iot.told("owner-acme", "GET", "/devices/P1/stat"))["data"]
    statistics = told["statistics"]
    assert (statistics["pours"], statistics["sold_ml"], statistics["income"]) == (1, 1_000, 0.5)
    assert (told["state"], told["run_state"]["online"]) == (0, True)
    assert told["run_state"]["online_tms"] == "2026-11-20T04:00:00Z"
    clock.advance(60_000)
    await say(iot.database, device.gone())
    gone = (await iot.told("owner-acme", "GET", "/devices/P1/stat"))["data"]
    assert (gone["state"], gone["run_state"]["online"]) == (1, False)
    assert gone["run_state"]["offline_tms"] == "2026-11-20T04:01:00Z"


async def test_a_device_has_one_owner_who_names_it_and_shares_it(iot: Iot) -> None:
    await register(iot, "D1")
    await register(iot, "R1", tenant="rival")
    anna, ben = await iot.member("anna", "acme"), await iot.member("ben", "acme", "13900003002")
    zoe = await iot.member("zoe", "rival")
    await iot.told("anna", "POST", "/devices/D1/bind", {})
    await iot.told("anna", "POST", "/devices/D1/bind", {"user_id": anna})
    await iot.refused(403, "ben", "POST", "/devices/D1/bind", {})
    await iot.refused(404, "anna", "POST", "/devices/R1/bind", {})
    named = (await iot.told("anna", "PUT", "/devices/D1", {"name": "Kitchen", "remark": "under the sink"}))["data"]
    assert (named["name"], named["remark"], named["user_id"]) == ("Kitchen", "under the sink", anna)
    for more in ({"model": "x"}, {"type": 1}, {"service": {"state": 1}}):
        await iot.refused(403, "anna", "PUT", "/devices/D1", {"name": "x", **more})

    await iot.refused(403, "ben", "GET", "/devices/D1")
    await iot.told("anna", "POST", "/devices/D1/bind", {"user_id": ben})
    assert (await read(iot, "D1", "ben"))["user_share"] == [ben]
    await iot.refused(403, "ben", "PUT", "/devices/D1", {"name": "Mine"})
    await iot.refused(403, "ben", "DELETE", "/devices/D1/bind")
    await iot.refused(403, "ben", "POST", "/devices/D1/share", {"user_id": anna})
    await iot.refused(404, "anna", "POST", "/devices/D1/share", {"user_id": zoe})
    await iot.told("ben", "DELETE", "/devices/D1/share")
    await iot.refused(403, "ben", "GET", "/devices/D1")
    await iot.told("anna", "DELETE", "/devices/D1/bind")
    assert (await read(iot, "D1"))["user_id"] == ""
    await iot.told("owner-acme", "POST", "/devices/D1/bind", {"user_id": ben})
    await iot.refused(404, "owner-acme", "POST", "/devices/D1/bind", {"user_id": zoe})
    await iot.refused(422, "owner-acme", "POST", "/devices/D1/bind", {})
    await iot.refused(403, "owner-acme", "POST", "/devices/D1/bind", {"user_id": anna})


async def test_a_reset_forgets_the_owner_and_empties_the_machine_and_keeps_the_books(
    iot: Iot, clock: ManualClock
) -> None:
    await purifier(iot, clock)
    await iot.member("anna", "acme")
    await iot.told("anna", "POST", "/devices/P1/bind", {})
    await iot.told("anna", "PUT", "/devices/P1", {"name": "Kitchen", "remark": "x"})
    await iot.refused(403, "anna", "DELETE", "/devices/P1/infos")
    await iot.told("owner-acme", "DELETE", "/devices/P1/infos")
    device = await read(iot, "P1")
    assert (device["user_id"], device["name"], device["remark"], device["user_share"]) == ("", "P1", "", [])
    assert (device["config"]["desired"], device["type"]) == (2, 4)
    async with iot.database.look(tenant="acme") as work:
        config = await current_config(work, "acme", "P1")
    assert config is not None
    assert (config.aisles, config.purifier) == ((), None)
    await iot.refused(403, "anna", "GET", "/devices/P1")


async def test_a_device_is_taken_out_of_service_for_good_when_nothing_is_underway(iot: Iot, clock: ManualClock) -> None:
    await purifier(iot, clock)
    await iot.member("anna", "acme")
    async with iot.database.work(tenant="acme") as work:
        await top_up(work, "acme", "anna", 1_000, "some-money")
        wanted = PlacePour(
            tenant="acme", member="anna", machine="P1", outlet="cold", asked_ml=500, idempotency_key="the-first-pour"
        )
        await place_pour(work, wanted)
    await iot.refused(403, "owner-acme", "DELETE", "/devices/P1")
    assert "1 pours" in await iot.refused(400, "admin", "DELETE", "/devices/P1")
    assert "1 pours" in await iot.refused(400, "admin", "DELETE", "/devices/P1/infos")

    await register(iot, "D1")
    await iot.told("anna", "POST", "/devices/D1/bind", {})
    await iot.told("admin", "DELETE", "/devices/D1")
    for who in ("admin", "owner-acme"):
        await iot.refused(410, who, "GET", "/devices/D1")
    await iot.refused(403, "anna", "GET", "/devices/D1")
    await iot.refused(422, "admin", "POST", "/devices", {"device_ids": ["D1"], "vendor_id": "acme"})
    assert [device["device_id"] for device in (await iot.told("admin", "GET", "/devices"))["devices"]] == ["P1"]
    async with iot.database.work(tenant="acme") as work:
        with pytest.raises(Exception, match="out of service for good"):
            await claim(work, CREDENTIALS, "acme", "D1")
