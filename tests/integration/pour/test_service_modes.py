"""Every service mode from configuration to display: the whole agent on a real line, without a network, and with a clock
that nobody ever set. Filters beside them: both clocks, the three ways to count, litres, and what salt does.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from edge_agent.errors import Refused
from edge_agent.ledger import water as kept
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.pour.filters import HOUR_MS
from edge_agent.pour.plan import DAY_MS
from shared.clock import WALL_FLOOR_MS, ClockState, SystemClock
from shared.messages import FilterConditionChanged, MachineConfig, PourEnded, WaterQualityChanged
from shared.water import FilterSpec, ServicePlan, TimerMode, WaterLimits
from tests.integration.agent.rig import MACHINE, stock_ledger
from tests.integration.pour.machine import PRICE_FEN_PER_LITRE, WaterRig, config, until, water_rig

# When the cloud decided the configuration. The machine has no other way to know the time.
NOW_MS = WALL_FLOOR_MS + 100 * DAY_MS


class UnsetClock(SystemClock):
    """A board without a battery: 1970 and what has passed since power came. `powered_ms` more than this computer."""

    def __init__(self, powered_ms: int = 0) -> None:
        super().__init__()
        self._powered_ms = powered_ms

    def mono_ms(self) -> int:
        return super().mono_ms() + self._powered_ms

    def wall_ms(self) -> int:
        return self.mono_ms()

    def clock_state(self) -> ClockState:
        return "unset"


def decided(version: int = 1, **changes: Any) -> MachineConfig:
    return replace(config(**changes), version=version, decided_wall_ms=NOW_MS)


async def shown(rig: WaterRig) -> dict[str, Any]:
    answer: dict[str, Any] = await rig.panel.ask("water")
    return answer


async def free(rig: WaterRig, ml: int) -> dict[str, Any]:
    """A pour for which nobody pays. A glass of a new outlet is doubtful (decision 0006), and counts all the same."""
    answer = await rig.pour(ml, means="free", paid_fen=0)
    assert (answer["reason"], answer["charged_fen"]) == ("target", 0), answer
    return answer


async def refused(rig: WaterRig, words: str) -> None:
    """Nobody gets water, the display says why in both languages, and the valve has not moved."""
    await rig.until_reason(words)
    before = (await rig.water())["outlets"]["1"]["openings"]
    with pytest.raises(Refused, match=words):
        await rig.pour(200, means="free", paid_fen=0)
    answer = await shown(rig)
    assert not answer["giving"]
    assert answer["display"]["en"] == answer["reason"]
    assert (await rig.water())["outlets"]["1"]["openings"] == before


async def test_sale_gives_water_for_nothing_and_never_ends(tmp_path: Path) -> None:
    plan = ServicePlan(plan="sold", mode="sale", began_wall_ms=NOW_MS - 900 * DAY_MS, ends_wall_ms=NOW_MS - DAY_MS)
    async with water_rig(tmp_path, decided(plan=plan)) as rig, rig.running(UnsetClock()):
        await rig.until_giving()
        given = await free(rig, 300)
        answer = await shown(rig)
        assert (answer["plan"]["mode"], answer["plan"]["left_ml"], answer["plan"]["left_ms"]) == ("sale", None, None)
        assert answer["display"] == {"zh": "请取水", "en": "Ready"}
        (end,) = [fact for fact in await rig.facts() if isinstance(fact, PourEnded)]
        assert (end.plan, end.poured_ml) == ("sold", given["poured_ml"])


async def test_a_timed_rental_ends_while_the_agent_runs_and_goes_on_when_it_is_renewed(tmp_path: Path) -> None:
    plan = ServicePlan(plan="r1", mode="timed_rental", began_wall_ms=NOW_MS - DAY_MS, ends_wall_ms=NOW_MS + 6_000)
    async with water_rig(tmp_path, decided(plan=plan)) as rig:
        async with rig.running(UnsetClock()):
            await rig.until_giving()
            assert (await shown(rig))["display"]["zh"] == "请取水，租期还有 1 天"
            await free(rig, 200)
            await refused(rig, "rental has ended")
            assert (await shown(rig))["display"]["zh"] == "租期已到，请续费"
            assert not (await rig.panel.ask("status"))["selling"]
        async with rig.running(UnsetClock()):
            await rig.until_reason("rental has ended")
        renewed = replace(plan, ends_wall_ms=NOW_MS + 30 * DAY_MS)
        await stock_ledger(rig.settings, decided(version=2, plan=renewed), 0)
        async with rig.running(UnsetClock()):
            await rig.until_giving()
            assert (await shown(rig))["display"]["zh"] == "请取水"
            await free(rig, 200)


async def test_a_metered_rental_uses_up_its_minimum_by_days_and_ends_with_its_litres(tmp_path: Path) -> None:
    plan = ServicePlan(
        plan="m1",
        mode="metered_rental",
        began_wall_ms=NOW_MS - 2 * DAY_MS,
        prepaid_ml=1_500,
        minimum_ml_per_day=400,
    )
    async with water_rig(tmp_path, decided(plan=plan)) as rig:
        async with rig.running(UnsetClock()):
            await rig.until_giving()
            answer = await shown(rig)
            assert answer["plan"]["left_ml"] == 1_500 - 2 * 400, "two days on which nothing flowed"
            assert answer["display"]["zh"] == "请取水，剩余 0.7 升，请及时充值"
            poured = (await free(rig, 300))["poured_ml"]
            assert (await shown(rig))["plan"]["left_ml"] == 700 - poured
        # The next day: the minimum of this one is more than what was poured.
        async with rig.running(UnsetClock(powered_ms=DAY_MS)):
            await rig.until_giving()
            left_ml = 700 - max(400, poured)
            assert (await shown(rig))["plan"]["left_ml"] == left_ml
            assert (await free(rig, 900))["poured_ml"] == pytest.approx(left_ml, abs=40), "no more than is left"
        # And the day after.
        async with rig.running(UnsetClock(powered_ms=2 * DAY_MS)):
            await refused(rig, "used up")
            assert (await shown(rig))["display"]["zh"] == "预付水量已用完，请充值"


async def test_a_metered_rental_with_a_last_day_ends_on_it_with_litres_left(tmp_path: Path) -> None:
    plan = ServicePlan(
        plan="m2", mode="metered_rental", began_wall_ms=NOW_MS, ends_wall_ms=NOW_MS + DAY_MS, prepaid_ml=50_000
    )
    async with water_rig(tmp_path, decided(plan=plan)) as rig:
        async with rig.running(UnsetClock()):
            await rig.until_giving()
            assert (await shown(rig))["display"]["en"] == "Ready, 50.0 litres left, rental ends in 1 day"
            await free(rig, 200)
        async with rig.running(UnsetClock(powered_ms=DAY_MS)):
            await refused(rig, "rental has ended")


async def test_vending_is_paid_by_the_pour(tmp_path: Path) -> None:
    async with (
        water_rig(tmp_path, decided(plan=ServicePlan(plan="v1", mode="vending"))) as rig,
        rig.running(UnsetClock()),
    ):
        await rig.until_giving()
        with pytest.raises(Refused, match="cost up to 250 fen"):
            await rig.pour(500, paid_fen=249)
        answer = await rig.pour(500, paid_fen=250)
        charged = min(250, (answer["poured_ml"] * PRICE_FEN_PER_LITRE + 500) // 1000)
        assert (answer["charged_fen"], answer["change_fen"]) == (charged, 250 - charged)
        assert (await shown(rig))["display"] == {"zh": "请取水", "en": "Ready"}
        (end,) = [fact for fact in await rig.facts() if isinstance(fact, PourEnded)]
        assert (end.plan, end.charged_fen) == ("v1", charged)


async def test_test_mode_is_free_and_the_display_says_so(tmp_path: Path) -> None:
    async with water_rig(tmp_path, decided(plan=ServicePlan(plan="t1", mode="test"))) as rig, rig.running(UnsetClock()):
        await rig.until_giving()
        await free(rig, 300)
        assert (await shown(rig))["display"] == {"zh": "设备检测中", "en": "Test mode"}


# --- filters ---

SALE = ServicePlan(plan="sold", mode="sale")


def cartridge(mode: TimerMode, **changes: Any) -> FilterSpec:
    """It lasts for 100 hours of power and 10 of work, and is to be ordered when a tenth is left."""
    return replace(
        FilterSpec(position=1, name="PPC", timer_mode=mode, lifetime_hours=100, worklife_hours=10), **changes
    )


async def wear(rig: WaterRig, worked_ms: int) -> None:
    """Let the cartridges have served before; the agent is not running."""
    async with await LedgerDatabase.open(
        rig.settings.data_dir / "ledger.sqlite",
        machine=rig.settings.machine_id,
        clock=SystemClock(),
        software="test",
        reserve_bytes=1024 * 1024,
    ) as ledger:
        await ledger.write(partial(kept.wear, worked_ms=worked_ms))


async def conditions(rig: WaterRig) -> list[str]:
    """What was told of the filter that the cloud does not know yet: the newest state alone."""
    return [fact.condition for fact in await rig.facts() if isinstance(fact, FilterConditionChanged)]


async def reaches(rig: WaterRig, condition: str) -> None:
    async def holds() -> bool:
        return [row["condition"] for row in (await shown(rig))["filters"]] == [condition]

    await until(holds, f"the filter is {condition}")
    assert (await conditions(rig))[-1:] == [condition]


@pytest.mark.parametrize("mode", ["powered", "both"])
async def test_powered_hours_end_a_filter_and_a_new_one_begins(tmp_path: Path, mode: TimerMode) -> None:
    async with water_rig(tmp_path, decided(plan=SALE, filters=(cartridge(mode),))) as rig:
        async with rig.running(UnsetClock()):
            await rig.until_giving()
            await reaches(rig, "good")
        async with rig.running(UnsetClock(powered_ms=95 * HOUR_MS)):
            await rig.until_giving()
            await reaches(rig, "near_end")
            assert (await shown(rig))["display"] == {"zh": "请取水，PPC 即将到期", "en": "Ready, PPC near the end"}
            await free(rig, 200)
        async with rig.running(UnsetClock(powered_ms=100 * HOUR_MS)):
            await reaches(rig, "past_end")
            await refused(rig, "filter is used up")
            assert (await shown(rig))["display"]["zh"] == "滤芯已到期，请联系维护人员更换"
            await rig.panel.ask("change_filter", position=1)
            await reaches(rig, "good")
            await free(rig, 200)


@pytest.mark.parametrize("mode", ["working", "both"])
async def test_working_hours_end_a_filter_with_the_pour_that_reaches_them(tmp_path: Path, mode: TimerMode) -> None:
    async with water_rig(tmp_path, decided(plan=SALE, filters=(cartridge(mode),))) as rig:
        async with rig.running(UnsetClock()):
            await rig.until_giving()
        await wear(rig, worked_ms=10 * HOUR_MS - 100)
        async with rig.running(UnsetClock()):
            await rig.until_giving()
            await reaches(rig, "near_end")
            await free(rig, 200)
            await reaches(rig, "past_end")
            await refused(rig, "filter is used up")


async def test_the_clock_that_does_not_count_ends_nothing(tmp_path: Path) -> None:
    filters = (cartridge("powered"), cartridge("working", position=2, name="RO"))
    async with water_rig(tmp_path, decided(plan=SALE, filters=filters)) as rig:
        async with rig.running(UnsetClock()):
            await rig.until_giving()
        await wear(rig, worked_ms=9 * HOUR_MS)  # of ten: only the second counts them
        async with rig.running(UnsetClock(powered_ms=95 * HOUR_MS)):  # of a hundred: only the first counts them
            await rig.until_giving()
            told = {row["name"]: row["percent_left"] for row in (await shown(rig))["filters"]}
            assert told == {"PPC": 5, "RO": 10}


async def test_litres_end_a_filter_beside_its_clocks_and_an_owner_may_have_it_told_only(tmp_path: Path) -> None:
    filters = (cartridge("powered", litres_max=1),)
    limits = WaterLimits(stop_when_unfit=False)
    async with water_rig(tmp_path, decided(plan=SALE, filters=filters, limits=limits)) as rig:
        async with rig.running(UnsetClock()):
            await rig.until_giving()
            await free(rig, 1_200)
            await reaches(rig, "past_end")
            await free(rig, 200)
        await stock_ledger(rig.settings, decided(version=2, plan=SALE, filters=filters), 0)
        async with rig.running(UnsetClock()):
            await reaches(rig, "past_end")
            await refused(rig, "filter is used up")


async def test_salt_behind_the_membrane_stops_the_sale_and_the_display_says_so(tmp_path: Path) -> None:
    async with water_rig(tmp_path, decided(plan=SALE)) as rig, rig.running(UnsetClock()):
        await rig.until_giving()
        await rig.sim.fault(MACHINE, "bad_water", "on")
        await free(rig, 1_500)  # fresh water at the probe
        await refused(rig, "quality")
        assert (await shown(rig))["display"]["zh"] == "水质未达标，暂停出水，请联系维护人员"
        told = [fact.fit for fact in await rig.facts() if isinstance(fact, WaterQualityChanged)]
        assert told == [False]
