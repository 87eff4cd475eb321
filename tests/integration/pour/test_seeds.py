"""Seeded pours with every fault of water, meter, relay and line: billed within a percent of the truth, or in review."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.errors import Refused
from edge_agent.ledger import locks, pours
from edge_agent.pour.session import LEAK, MACHINE
from firmware_sim.timeline import Timeline
from firmware_sim.valve import OutletPlan
from tests.integration.pour.basin import RELAY, Basin, TimelineClock, open_ledger
from tests.integration.pour.test_pours import billed_right

POURS_PER_SEED = 50
SEEDS = range(20)
# What happens to every third pour or so in which nothing else does.
CHANCES = {"air": 0.2, "stuck_shut": 0.05, "stuck_open": 0.1}
# What a dead or deaf agent may leave open; the relay's own timer is shorter.
OPEN_WITHOUT_ORDER_MS = 2_000


def silence(basin: Basin, which: str) -> Callable[[], None]:
    """A device falls silent for some seconds."""

    def fall_silent() -> None:
        line = {"meter": basin.meter.line, "relay": basin.valve.line, "probes": basin.sensors.line}[which]
        line.silent_until_ms = basin.timeline.now_ms + basin.dice.randint(300, 25_000)

    return fall_silent


def misfortunes(basin: Basin) -> dict[str, Callable[[], None]]:
    """Everything that can happen in the middle of a pour."""
    return {
        "nothing": lambda: None,
        "meter silent": silence(basin, "meter"),
        "relay silent": silence(basin, "relay"),
        "probes silent": silence(basin, "probes"),
        "relay board restarts": lambda: basin.valve.fall(RELAY),
        "meter cleared": basin.meter.clear,
        "a person stops it": lambda: [basin.pouring.stop()][0] and None,
        **{
            kind: lambda kind=kind: basin.faults.once(kind)  # type: ignore[misc]
            for kind in ("meter_stuck", "leak", "seep", "no_pressure", "no_feed", "bad_water")
        },
    }


async def one_pour(basin: Basin, ends: Counter[str]) -> None:
    """A pour of any size in which something may go wrong, held against the truth."""
    dice = basin.dice
    asked_ml = dice.choice([300, 500, 1000, 1500, 2000])
    # One misfortune at a time: two that hide each other cannot be told from a sound pour by anybody.
    all_that_may = list(misfortunes(basin).items())
    name, happen = dice.choice([*all_that_may, *all_that_may[:1] * 5])
    basin.faults.set_rates(CHANCES if name == "nothing" else {})
    basin.timeline.after(dice.randint(0, asked_ml * 36), happen)
    for line in (basin.valve.line, basin.meter.line):
        line.loses = dice.choice([0.0, 0.0, 0.02, 0.1])
    before_ml = basin.given_ml()
    openings = len(basin.water.openings)
    try:
        end = await basin.pour(asked_ml)
    except Refused:
        ends["refused"] += 1
        assert basin.given_ml() == before_ml, "water without an intent"
        return
    given_ml = basin.given_ml() - before_ml
    assert not end.certain or billed_right(end, given_ml), f"{name}: gave {given_ml:.0f} ml, billed for {end}"
    assert end.charged_fen <= -(-asked_ml * end.price_fen_per_litre // 1000)
    for opening in list(basin.water.openings)[openings:]:
        if opening.unasked_ul == 0:  # a stuck valve is not the agent's doing
            assert opening.coil_off_ms is not None, "the valve's coil is still on after the end"
    ends[f"{end.reason}{'' if end.certain else '?'}"] += 1


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", SEEDS)
async def test_billed_is_what_flowed_or_a_person_decides(tmp_path: Path, seed: int) -> None:
    timeline = Timeline()
    clock = TimelineClock(timeline)
    ends: Counter[str] = Counter()
    async with await open_ledger(tmp_path, clock) as ledger:
        outlet = OutletPlan(relay=RELAY, flow_ml_per_s=(30, 45, 20)[seed % 3], close_ms=(300, 60)[seed % 2])
        basin = Basin(ledger, clock, timeline, seed, outlet=outlet)
        for _ in range(POURS_PER_SEED):
            await one_pour(basin, ends)
            basin.rest()
            await ledger.write(lambda conn: locks.clear_fault(conn, LEAK, MACHINE, "mended", clock))
        assert await ledger.read(pours.open_pour) is None
    print(dict(ends))
    certain = sum(count for end, count in ends.items() if not end.endswith("?"))
    assert certain >= POURS_PER_SEED // 3, f"reviews are the exception: {dict(ends)}"
