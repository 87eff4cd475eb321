"""The whole agent with a purifier on a real line: pours, leaks, plans, filters and calibration through the socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge_agent.errors import Refused
from edge_agent.local_socket import connect_local
from shared.messages import MeterCalibrated, PourEnded, WaterLeaked
from shared.water import ServicePlan
from tests.integration.agent.rig import MACHINE
from tests.integration.pour.machine import PRICE_FEN_PER_LITRE, WaterRig, config, until, water_rig


def charge(ml: int) -> int:
    return (ml * PRICE_FEN_PER_LITRE + 500) // 1000


async def test_a_pour_over_the_wrap_of_the_counter(tmp_path: Path) -> None:
    async with water_rig(tmp_path) as rig, rig.running():
        await rig.until_giving()
        answer = await rig.pour(800)
        assert (answer["state"], answer["reason"]) == ("ended", "target")
        given_ml = (await rig.water())["poured_ul"] / 1000
        assert answer["poured_ml"] == pytest.approx(given_ml, abs=10)
        assert answer["poured_ml"] == pytest.approx(800, abs=40), "the outlet has not been seen shutting yet"
        assert answer["charged_fen"] == min(charge(answer["poured_ml"]), 400)
        assert answer["change_fen"] == 10_000 - answer["charged_fen"]
        again = await rig.pour(800, press="press-1")
        assert again == answer, "the same press is answered, not poured"
        (row,) = await rig.panel.ask("pours")
        assert row["counts"] == pytest.approx(answer["poured_ml"] * 0.45, abs=1)
        (end,) = [fact for fact in await rig.facts() if isinstance(fact, PourEnded)]
        assert end.totaliser_after < end.totaliser_before, "the counter wrapped on the way"


async def test_a_person_stops_a_pour(tmp_path: Path) -> None:
    async with water_rig(tmp_path) as rig, rig.running(), connect_local(rig.settings.socket.path) as hand:
        await rig.until_giving()
        pouring = asyncio.ensure_future(rig.pour(5000))

        async def has_begun() -> bool:
            return ((await hand.ask("water"))["pouring_ml"] or 0) >= 50

        await until(has_begun, "water flows")
        with pytest.raises(Refused, match="somebody"):
            await hand.ask("pour", press="other", ml=100, means="coin", paid_fen=10_000)
        assert (await hand.ask("stop"))["stopped"]
        answer = await pouring
        assert answer["reason"] == "stopped"
        assert answer["poured_ml"] == pytest.approx((await rig.water())["poured_ul"] / 1000, abs=10)
        assert answer["charged_fen"] == charge(answer["poured_ml"]) < charge(5000), "what flowed is charged"


async def test_a_leak_shuts_off_locks_and_waits_for_a_person(tmp_path: Path) -> None:
    async with water_rig(tmp_path) as rig:
        async with rig.running():
            await rig.until_giving()
            assert (await rig.pour(600))["state"] == "ended"
            await rig.sim.fault(MACHINE, "leak", "on")
            await rig.until_fault("water_leak")
            with pytest.raises(Refused, match="Leak"):
                await rig.pour(300)
            assert not (await rig.panel.ask("status"))["selling"]
            await rig.sim.fault(MACHINE, "leak", "off")
        async with rig.running():  # locked after a restart as well
            await rig.until_reason("Leak")
            with pytest.raises(Refused, match="Leak"):
                await rig.pour(300, press="after-restart")
            await rig.panel.ask("clear", code="water_leak", scope="machine")
            await rig.until_giving()
            assert (await rig.pour(600, press="mended"))["state"] == "ended"
            leaked = [fact.leaked_ml for fact in await rig.facts() if isinstance(fact, WaterLeaked)]
        truth_ml = (await rig.water())["leaked_metered_ul"] / 1000
        assert leaked
        assert 50 <= leaked[0] <= truth_ml + 5


async def test_a_metered_rental_ends_with_its_litres_and_without_a_network(tmp_path: Path) -> None:
    plan = ServicePlan(plan="r1", mode="metered_rental", prepaid_ml=1_000)
    async with water_rig(tmp_path, config(plan=plan)) as rig, rig.running():
        await rig.until_giving()
        first = await rig.pour(700, means="free", paid_fen=0)
        assert (first["state"], first["charged_fen"]) == ("ended", 0)
        second = await rig.pour(700, means="free", paid_fen=0)
        assert second["poured_ml"] == pytest.approx(1_000 - first["poured_ml"], abs=40), (
            "no more than the plan has left"
        )
        shown = await rig.panel.ask("water")
        if shown["giving"]:  # a few millilitres may be left
            await rig.pour(100, means="free", paid_fen=0)
        with pytest.raises(Refused, match="used up"):
            await rig.pour(100, means="free", paid_fen=0)
        shown = await rig.panel.ask("water")
        assert shown["display"]["zh"] == "预付水量已用完，请充值"
        service = await rig.pour(600, service=True, means="free", paid_fen=0)
        assert service["state"] == "ended", "a person at service may still pour"


async def test_a_calibration_by_measured_pours(tmp_path: Path) -> None:
    async with water_rig(tmp_path) as rig, rig.running():
        await rig.until_giving()
        runs = []
        for _ in range(2):
            before = (await rig.water())["poured_ul"]
            answer = await rig.pour(1000, service=True, means="free", paid_fen=0)
            runs.append({"order": answer["order"], "ml": round(((await rig.water())["poured_ul"] - before) / 1000)})
        found = await rig.panel.ask("calibrate", runs=runs)
        assert found["pulses_per_litre_milli"] == pytest.approx(450_000, rel=0.01)
        assert (await rig.panel.ask("water"))["pulses_per_litre_milli"] == found["pulses_per_litre_milli"]
        off = await rig.panel.ask("calibrate", runs=[runs[0] | {"ml": 900}], check=True)
        assert off["off_ppm"] > 80_000
        assert "meter_drift" in {fault["code"] for fault in await rig.panel.ask("faults")}
        (fact,) = [fact for fact in await rig.facts() if isinstance(fact, MeterCalibrated)]
        assert (fact.runs, fact.meter) == (2, "flow")
        with pytest.raises(Refused, match="no pour"):
            await rig.panel.ask("calibrate", runs=[{"order": "wnobody", "ml": 1000}])


async def filters_of(rig: WaterRig) -> dict[int, dict[str, object]]:
    return {row["position"]: row for row in (await rig.panel.ask("water"))["filters"]}


async def test_a_filter_is_changed_by_a_person(tmp_path: Path) -> None:
    async with water_rig(tmp_path) as rig, rig.running():
        await rig.until_giving()
        await rig.pour(1200)
        assert (await filters_of(rig))[1]["litres"] == 1
        changed = await rig.panel.ask("change_filter", position=1)
        assert (changed["position"], changed["number"], changed["name"]) == (1, 2, "PPC")
        assert (await filters_of(rig))[1]["litres"] == 0
        with pytest.raises(Refused, match="position: 9"):
            await rig.panel.ask("change_filter", position=9)
