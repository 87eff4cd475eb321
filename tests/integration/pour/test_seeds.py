"""Thousands of seeded pours with every fault of water, meter, relay, line and agent: what is billed is what flowed,
within a percent or two counts of the meter, or a person decides; and no valve stays open behind a dead agent.

A fault strikes at its own moment before, in or after the pour, or, if an agent died, while nobody looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_agent.errors import Refused
from edge_agent.ledger import locks, pours
from edge_agent.ledger.pours import PourRow
from edge_agent.pour.evenness import LAG_SPREAD_MS, LESSONS_MIN
from edge_agent.pour.session import LEAK, MACHINE
from firmware_sim.faults import FAULTS, WATER_STATES
from firmware_sim.timeline import Timeline
from firmware_sim.valve import Opening, OutletPlan
from firmware_sim.water import WORN_GAIN
from shared.ids import OrderId
from tests.integration.pour.basin import CONFIG, PRICE_FEN_PER_LITRE, RELAY, Basin, TimelineClock, open_ledger
from tests.integration.pour.test_pours import GRAIN_ML

POURS_PER_SEED = 50
SEEDS = 20
# Every kind of trial is a thousand pours or more.
assert SEEDS * POURS_PER_SEED >= 1_000
NEW_OUTLETS = 340
assert NEW_OUTLETS * LESSONS_MIN >= 1_000
SIZES_ML = (150, 300, 500, 1000, 1500, 2000)
# Some outlets are quick and some are slow, and so are their valves.
FLOWS_ML_PER_S, CLOSE_MS = (30, 45, 20, 60), (300, 60)
# Before the pour (it may be over by the first drop), and after it was told to shut.
EARLY_MS, LATE_MS = 3_000, 2_000
# A service manager restarts an agent at once or after a while.
AWAY_MS = (500, 20_000)
# A dead agent's valve is told to shut within this, and has shut within this: its own slowness counts.
OPEN_WITHOUT_AGENT_MS = 2_000
# What strikes when a valve moves, and where.
AT_THE_VALVE = {"air": (), "stuck_shut": (1, RELAY), "stuck_open": (1, RELAY)}
# These hold from the moment they come.
IN_THE_WATER = tuple(kind for kind in WATER_STATES if kind != "meter_worn")
# A rotor does not wear in a minute. It counts 6 % too little from the first drop to the last, which no look at one pour
# can tell: what it shows is billed, and the watch on drift finds it.
BEFORE = ("meter_worn", "counter wraps")
DEATH = "the agent dies"
# Of sound pours on a quiet line so many may be reviewed: the counter rounds against the valve once in a while.
SOUND_REVIEWS_MAX = 0.005
# A volume is told in whole ml.
ROUNDED_ML = 0.5
# Of those that are certain so many may be off by more than one count, which is what a sound meter's rounding makes.
OFF_BY_A_COUNT_MAX = 0.01
# The first pours of an outlet that are off by more than two: see the test.
NEW_OUTLET_WRONG_MAX = 0.005


def misfortunes(basin: Basin) -> dict[str, Callable[[], object]]:
    """Everything that can happen around a pour."""
    now_ms, dice = lambda: basin.timeline.now_ms, basin.dice
    lines = dict(zip(("relay", "meter", "probes"), basin.lines, strict=True))

    def fall_silent(*names: str) -> None:
        until_ms = now_ms() + dice.randint(300, 25_000)
        for name in names:
            lines[name].silent_until_ms = until_ms

    def slow_down(name: str) -> None:
        lines[name].slow_until_ms = now_ms() + dice.randint(5_000, 20_000)

    def unplug() -> None:
        until_ms = now_ms() + dice.randint(3_000, 10_000)
        for line in basin.lines:
            line.gone_until_ms = until_ms

    def brown_out() -> None:
        basin.valve.fall(RELAY)
        fall_silent(*lines)

    def empty_the_tank() -> None:
        basin.water.settle()
        basin.faults.once("no_feed")
        basin.water.tank_ul = basin.water.plumbing.tank_low_ml * 1_000 + dice.randint(0, 1_000_000)

    return {
        **{f"{name} silent": partial(fall_silent, name) for name in lines},
        **{f"{name} slow": partial(slow_down, name) for name in lines},
        "line unplugged": unplug,
        "brown-out": brown_out,
        "relay board restarts": partial(basin.valve.fall, RELAY),
        "meter cleared": basin.meter.clear,
        "counter wraps": lambda: basin.meter.wrap_soon(dice.randint(0, 700)),
        "probes' cable open": lambda: setattr(basin.sensors, "cable_open", True),
        "tank empty": empty_the_tank,
        "a person stops it": lambda: basin.pouring.stop(),
        DEATH: basin.die,
        "meter_worn": partial(basin.faults.switch_on, "meter_worn"),
        **{kind: partial(basin.faults.once, kind, *place) for kind, place in AT_THE_VALVE.items()},
        **{kind: partial(basin.faults.once, kind) for kind in IN_THE_WATER},
    }


# What the table of the simulator's faults calls these; noise, loss and late answers are lost requests and answers here.
CALLED = {
    "dead": "meter silent", "slow": "meter slow", "unplugged": "line unplugged", "brown_out": "brown-out",
    "device_reset": "relay board restarts", "counter_reset": "meter cleared", "open_cable": "probes' cable open",
    "noise": "", "loss": "", "late": "", "split": "", "exception": "",
}  # fmt: skip


async def test_no_fault_of_the_simulator_is_left_out(basin: Basin) -> None:
    of_water = {kind for kind, fault in FAULTS.items() if fault.scope in ("line", "device", "outlet", "water")}
    of_every_device = {"split", "late", "dead", "brown_out", "unplugged"}
    names = {CALLED.get(kind, kind) for kind in of_water | of_every_device} - {""}
    assert names <= misfortunes(basin).keys()


def draw(basin: Basin, span_ms: int, faults: int, *, dies: bool) -> tuple[str, ...]:
    """Let so many things go wrong, each at its own moment before, in or after the pour."""
    may = misfortunes(basin)
    names = tuple(basin.dice.sample(sorted(may.keys() - {DEATH} if dies else may), faults))
    death_ms, early_ms = basin.dice.randint(1, span_ms + LATE_MS), 0
    if dies:
        basin.timeline.after(death_ms, may[DEATH])
    for name in names:
        at_ms = basin.dice.randint(-EARLY_MS, span_ms + LATE_MS)
        if dies and basin.dice.random() < 0.5:  # while nobody looks things go wrong as well
            at_ms = death_ms + basin.dice.randint(0, AWAY_MS[1])
        if name in AT_THE_VALVE or name in BEFORE or (at_ms < 0 and name in IN_THE_WATER):
            may[name]()
            early_ms = max(early_ms, -at_ms)
        else:
            basin.timeline.after(max(1, at_ms), may[name])
    basin.clock.pass_ms(early_ms)
    return names


@dataclass(frozen=True)
class Shares:
    """Of all pours those that were reviewed; of those that were billed for certain those off by more than a count of
    the meter (and a percent), and by more than two.
    """

    reviewed: float
    off_by_a_count: float
    wrong: float


@dataclass
class Trial:
    """Pours of one basin, each held against the truth."""

    basin: Basin
    ml_per_s: int
    faults: int
    dies: bool = False
    ends: Counter[str] = field(default_factory=Counter)  # those that are reviewed carry a question mark
    off_by_a_count: int = 0
    wrong: int = 0
    slack_ml: float = 0  # what may be wrong beyond that

    async def pour(self) -> None:
        """One of any size in which something may go wrong."""
        basin = self.basin
        asked_ml = basin.dice.choice(SIZES_ML)
        names = draw(basin, asked_ml * 1000 // self.ml_per_s, self.faults, dies=self.dies)
        if self.faults:
            for line in basin.lines[:2]:
                line.loses = basin.dice.choice([0.0, 0.0, 0.02, 0.1])
        before_ml, unasked_before_ml, opened = basin.given_ml(), self.unasked_ml(), len(basin.water.openings)
        row = await self.carry_out(asked_ml, opened, names)
        given_ml, unasked_ml = basin.given_ml() - before_ml, self.unasked_ml() - unasked_before_ml
        if row is None:
            self.ends["refused"] += 1
            assert given_ml == 0, "water without an intent"
            return
        self.judge(row, given_ml, unasked_ml, names)
        for opening in self.openings(opened):
            assert opening.coil_off_ms is not None, "the valve's coil is still on after the end"

    async def carry_out(self, asked_ml: int, opened: int, names: tuple[str, ...]) -> PourRow | None:
        """What the ledger says of the pour in the end; None when it was never begun."""
        basin, order = self.basin, OrderId(f"w{self.basin.orders + 1}")
        outlet = replace(CONFIG.outlets[0], nominal_ml_per_s=self.ml_per_s)
        try:
            died = await basin.pour_and_perhaps_die(asked_ml, replace(CONFIG, outlets=(outlet,)))
        except Refused:
            return None
        if died:
            died_ms = basin.timeline.now_ms
            basin.clock.pass_ms(basin.dice.randint(*AWAY_MS))
            await basin.restart()
            for opening in self.openings(opened):
                assert opening.coil_off_ms is not None
                assert opening.coil_off_ms - died_ms < OPEN_WITHOUT_AGENT_MS
                if "stuck_open" not in names:  # a stuck valve is not the agent's doing
                    assert opening.shut_ms is not None
                    assert opening.shut_ms - died_ms < OPEN_WITHOUT_AGENT_MS
        return await basin.ledger.read(lambda conn: pours.pour(conn, order))

    def judge(self, row: PourRow, given_ml: float, unasked_ml: float, names: tuple[str, ...]) -> None:
        """What is billed for certain is what was given; never more than the hold is charged.

        What runs out of a stuck valve is nobody's to pay, unless it is told to be open again before it could shut.
        """
        assert row.poured_ml is not None
        assert row.charged_fen is not None
        right = [given_ml, given_ml - unasked_ml] + ([given_ml * WORN_GAIN] if "meter_worn" in names else [])
        off_ml = min(abs(row.poured_ml - ml) for ml in right)
        certain = row.state == "ended"
        told = f"{names}: gave {given_ml:.1f} ml, {unasked_ml:.1f} unasked, billed {row}"
        assert not certain or off_ml <= max(GRAIN_ML, given_ml / 100) + self.slack_ml, told
        assert row.charged_fen <= -(-row.terms.asked_ml * PRICE_FEN_PER_LITRE // 1000)
        self.off_by_a_count += certain and off_ml > max(GRAIN_ML / 2 + ROUNDED_ML, given_ml / 100)
        self.wrong += certain and off_ml > max(GRAIN_ML, given_ml / 100)
        self.ends[f"{row.reason}{'' if certain else '?'}"] += 1

    def unasked_ml(self) -> float:
        """What has run out of the valve while it was stuck."""
        return self.basin.water.valves[RELAY].unasked_ul / 1000

    def openings(self, since: int) -> list[Opening]:
        return list(self.basin.water.openings)[since:]

    async def mend(self) -> None:
        """Everything is as it was, and a person has looked."""
        basin = self.basin
        basin.rest()
        await basin.ledger.write(lambda conn: locks.clear_fault(conn, LEAK, MACHINE, "mended", basin.clock))
        assert await basin.ledger.read(pours.open_pour) is None

    def shares(self) -> Shares:
        reviewed = sum(count for end, count in self.ends.items() if end.endswith("?"))
        certain = self.ends.total() - self.ends["refused"] - reviewed
        return Shares(reviewed / self.ends.total(), self.off_by_a_count / certain, self.wrong / certain)


@asynccontextmanager
async def trial(
    folder: Path, seed: int, faults: int, *, dies: bool = False, taught: bool = True
) -> AsyncIterator[Trial]:
    """A basin whose outlet has learned, or is new."""
    timeline = Timeline()
    clock = TimelineClock(timeline)
    ml_per_s, close_ms = FLOWS_ML_PER_S[seed % 4], CLOSE_MS[seed // 4 % 2]
    folder.mkdir()
    async with await open_ledger(folder, clock) as ledger:
        outlet = OutletPlan(relay=RELAY, flow_ml_per_s=ml_per_s, close_ms=close_ms)
        basin = Basin(ledger, clock, timeline, seed, outlet=outlet)
        if taught:
            await basin.teach()
        # What flows while a valve opens and shuts of which nothing is known yet.
        slack_ml = 0 if taught else ml_per_s * (LAG_SPREAD_MS + close_ms) / 1000
        yield Trial(basin, ml_per_s, faults, dies, slack_ml=slack_ml)


async def trials(
    folder: Path, seeds: range, faults: int, *, dies: bool = False, taught: bool = True, each: int = POURS_PER_SEED
) -> Shares:
    """Many pours in many basins."""
    whole: Trial | None = None
    for seed in seeds:
        async with trial(folder / str(seed), seed, faults, dies=dies, taught=taught) as found:
            for _ in range(each):
                await found.pour()
                await found.mend()
            if whole is not None:
                found.ends += whole.ends
                found.off_by_a_count += whole.off_by_a_count
                found.wrong += whole.wrong
            whole = found
    assert whole is not None
    print(f"{whole.ends.total()} pours, {whole.off_by_a_count} off by more than a count: {dict(whole.ends)}")
    return whole.shares()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("first", "faults", "dies", "reviewed_max"),
    [(0, 1, False, 0.45), (1_000, 2, False, 0.65), (2_000, 0, True, 0.2), (3_000, 1, True, 0.5)],
    ids=["one fault", "two faults", "a dead agent", "a dead agent and a fault"],
)
async def test_billed_is_what_flowed_or_a_person_decides(
    tmp_path: Path, first: int, faults: int, dies: bool, reviewed_max: float
) -> None:
    shares = await trials(tmp_path, range(first, first + SEEDS), faults, dies=dies)
    assert shares.reviewed <= reviewed_max, "not everything goes to review"
    assert shares.off_by_a_count <= OFF_BY_A_COUNT_MAX


@pytest.mark.timeout(300)
async def test_of_a_new_outlet_no_more_is_wrong_than_flows_while_its_valve_opens_and_shuts(tmp_path: Path) -> None:
    """Nothing is known of its valve: a rotor that stands in its last half a second looks like a quick one."""
    seeds = range(4_000, 4_000 + NEW_OUTLETS)
    shares = await trials(tmp_path, seeds, 1, taught=False, each=LESSONS_MIN)
    assert shares.reviewed <= 0.5
    assert shares.wrong <= NEW_OUTLET_WRONG_MAX


@pytest.mark.timeout(300)
async def test_sound_pours_are_hardly_ever_reviewed(tmp_path: Path) -> None:
    shares = await trials(tmp_path, range(100, 100 + SEEDS), 0)
    assert shares.reviewed <= SOUND_REVIEWS_MAX
    assert shares.off_by_a_count == 0, "a sound meter is off by its rounding"
