"""Pours that people start and end at the machine, the whole agent on a real line and no cloud: what was paid with, how
warm it shall be, and what ends a pour before its target. Each is charged for what flowed.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edge_agent.errors import Refused
from edge_agent.pour.run import SLICE_MS
from shared.messages import Means, PourEnded
from shared.water import Outlet, Warmth, WaterLimits
from tests.integration.agent.rig import MACHINE
from tests.integration.pour.machine import FLOW_ML_PER_S, PRICE_FEN_PER_LITRE, WaterRig, config, until, water_rig

# How warm, by which relay, fen per litre, ml per second.
CHOICES: dict[Warmth, tuple[int, int, int]] = {
    "normal": (1, 200, 180),
    "cold": (2, 300, 150),
    "warm": (3, 400, 120),
    "hot": (4, 500, 90),
}
# Two readings of a meter of 450 counts per litre, and whole millilitres.
GRAIN_ML = 1_000 / 450 + 0.5
RELAY_BOARD = "waveshare-relay-8ch"


def charge(ml: int, fen_per_litre: int = PRICE_FEN_PER_LITRE) -> int:
    return (ml * fen_per_litre + 500) // 1000


async def given_ml(rig: WaterRig, relay: int = 1) -> float:
    return float((await rig.water())["outlets"][str(relay)]["poured_ul"]) / 1000


async def the_end(rig: WaterRig, order: str) -> PourEnded:
    (found,) = [fact for fact in await rig.facts() if isinstance(fact, PourEnded) and fact.order == order]
    return found


@pytest.mark.parametrize("means", ["coin", "card", "scan", "free"])
async def test_each_warmth_has_its_valve_and_its_price_whatever_was_paid_with(tmp_path: Path, means: Means) -> None:
    wanted = config(
        outlets=tuple(
            Outlet(warmth=warmth, relay=relay, price_fen_per_litre=price, nominal_ml_per_s=ml_per_s)
            for warmth, (relay, price, ml_per_s) in CHOICES.items()
        )
    )
    outlets = [{"relay": relay, "flow_ml_per_s": ml_per_s, "close_ms": 150} for relay, _, ml_per_s in CHOICES.values()]
    async with water_rig(tmp_path, wanted, outlets) as rig, rig.running():
        await rig.until_giving()
        for warmth, (_, price, _) in CHOICES.items():
            before = {choice: await given_ml(rig, place[0]) for choice, place in CHOICES.items()}
            answer = await rig.pour(150, outlet=warmth, means=means)
            after = {choice: await given_ml(rig, place[0]) for choice, place in CHOICES.items()}
            assert [choice for choice in CHOICES if after[choice] > before[choice]] == [warmth], "one valve opens"
            assert answer["reason"] == "target"
            assert answer["poured_ml"] == pytest.approx(after[warmth] - before[warmth], abs=GRAIN_ML)
            fen = 0 if means == "free" else min(charge(answer["poured_ml"], price), charge(150, price))
            assert (answer["charged_fen"], answer["change_fen"]) == (fen, 10_000 - fen)
            end = await the_end(rig, answer["order"])
            assert (end.outlet, end.means, end.source) == (warmth, means, "button")
            assert end.price_fen_per_litre == (0 if means == "free" else price)
        with pytest.raises(Refused, match="cost up to"):
            await rig.pour(1000, outlet="hot", means="card", paid_fen=499)


@pytest.mark.parametrize(
    ("limits", "reason", "least_ml", "most_ml"),
    [
        (WaterLimits(pour_ms_max=2_000), "max_time", 250, 500),
        (WaterLimits(pour_ml_max=400), "target", 350, 450),
    ],
)
async def test_a_limit_of_time_or_volume_ends_a_pour_that_pays_for_what_flowed(
    tmp_path: Path, limits: WaterLimits, reason: str, least_ml: int, most_ml: int
) -> None:
    """More than the limit is not even begun; a target within it is cut by time."""
    async with water_rig(tmp_path, config(limits=limits)) as rig, rig.running():
        await rig.until_giving()
        answer = await rig.pour(5_000)
        assert answer["reason"] == reason
        assert least_ml <= await given_ml(rig) <= most_ml
        assert answer["poured_ml"] == pytest.approx(await given_ml(rig), abs=GRAIN_ML)
        assert answer["charged_fen"] == min(charge(answer["poured_ml"]), charge(min(5_000, limits.pour_ml_max)))


async def flows(rig: WaterRig, ml: int) -> bool:
    return await given_ml(rig) > ml


async def test_a_relay_that_hears_nobody_shuts_by_its_own_timer(tmp_path: Path) -> None:
    """The board is deaf in the middle of a pour: no order to shut reaches it, and its timer lets no more flow."""
    async with water_rig(tmp_path) as rig, rig.running():
        await rig.until_giving()
        pouring = asyncio.ensure_future(rig.pour(5_000))
        await until(lambda: flows(rig, 300), "water flows")
        await rig.sim.fault(MACHINE, "dead", "on", device=RELAY_BOARD)
        deaf_ml = await given_ml(rig)

        async def is_shut() -> bool:
            outlet: dict[str, Any] = (await rig.water())["outlets"]["1"]
            return outlet["motion"] == "shut" and not outlet["coil_on"]

        await until(is_shut, "the relay's timer shuts the valve")
        most_ml = FLOW_ML_PER_S * (SLICE_MS + 300) / 1000
        assert await given_ml(rig) - deaf_ml <= most_ml * 1.05
        answer = await pouring
        await rig.sim.fault(MACHINE, "dead", "off", device=RELAY_BOARD)
        assert answer["reason"] == "valve_lost"
        assert answer["poured_ml"] == pytest.approx(await given_ml(rig), abs=GRAIN_ML)
        assert answer["charged_fen"] == charge(answer["poured_ml"])
