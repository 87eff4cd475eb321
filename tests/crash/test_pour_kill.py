"""kill -9 in the middle of a pour, at its commits and at its words on the line.

The agent dies; valve, water and meter live on. The relay shuts by its own timer, and the agent that is started again
settles the pour by the meter's counts: what is billed is what flowed, once. If water went astray meanwhile, or the
counter was cleared, a person decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_agent.ledger import opening, outbox
from edge_agent.pour.evenness import LESSONS_MIN
from edge_agent.settings import load
from firmware_sim.control import Control
from shared.messages import PourEnded, decode_fact
from shared.water import Outlet
from tests.crash.processes import AgentProcess, injected, need_strace, simulator
from tests.integration.agent.rig import MACHINE, stock_ledger
from tests.integration.pour.machine import (
    BAUD,
    LEVEL,
    METER,
    PRICE_FEN_PER_LITRE,
    RELAYS,
    TDS,
    config,
    until,
    write_settings,
)

# As a tap gives: at four times this the hour of an order would have to be known to 20 ms, on a computer that is busy.
FLOW_ML_PER_S = 45
SCENARIO = f"""
seed = 7
[[machine]]
name = "{MACHINE}"
port = "pty:tty"
baud = {BAUD}
[[machine.modbus]]
device = "waveshare-relay-8ch"
slave = {RELAYS}
[[machine.modbus]]
device = "pulse4"
slave = {METER}
[[machine.modbus]]
device = "ws102-tds"
slave = {TDS}
sees = "tds_out"
[[machine.modbus]]
device = "qdy30a-level"
slave = {LEVEL}
sees = "pressure"
settings = {{ unit = 10 }}
[machine.water]
tank_opening_ml = 20_000
permeate_ml_per_s = 200.0
[[machine.water.outlets]]
relay = 1
flow_ml_per_s = {FLOW_ML_PER_S}
close_ms = 150
"""

# A pour of five seconds syncs its intent and its outcome, says some sixty words on the line and writes down what it
# sees. Each row kills before the k-th call of one thread of the agent since the press.
KILLS = [
    ("fdatasync", 1),
    ("fdatasync", 2),
    ("pwrite64", 1),
    ("pwrite64", 6),
    ("pwrite64", 12),
    ("write", 1),
    ("write", 2),
    ("write", 4),
    ("write", 9),
    ("write", 13),
    ("write", 18),
    ("write", 24),
    ("write", 30),
    ("write", 40),
    ("write", 55),
    ("write", 70),
]
ASKED_ML = 200
# Nothing is lost or counted twice over a death, so a pour is off by what a sound meter's two readings round away: less
# than one count of 450 to the litre, and half a millilitre for whole millilitres.
GRAIN_ML = 1_000 / 450 + 0.5
OPEN_WITHOUT_AGENT_MS = 2_000


@asynccontextmanager
async def killed_at(agent: AgentProcess, call: str, k: int) -> AsyncIterator[None]:
    """Inside this block the agent dies before the k-th `call` of any of its threads."""
    async with contextlib.AsyncExitStack() as stack:
        for thread in agent.threads():
            await stack.enter_async_context(injected(thread, call, f"signal=SIGKILL:when={k}"))
        yield


@dataclass
class Judge:
    """Holds every press against the water that came out."""

    agent: AgentProcess
    sim: Control
    ends: Counter[str] = field(default_factory=Counter)
    begun: list[str] = field(default_factory=list)

    async def water(self) -> dict[str, Any]:
        told: dict[str, Any] = (await self.sim.truth())["machines"][MACHINE]["water"]
        return told

    async def press(self, press: str) -> dict[str, Any] | None:
        """Pay and press; None when the agent died before it answered."""
        try:
            answer: dict[str, Any] = await self.agent.ask(
                "pour", press=press, ml=ASKED_ML, means="coin", paid_fen=10_000
            )
        except (OSError, asyncio.IncompleteReadError):
            return None
        return answer

    async def check(self, press: str, before_ul: int, answered: dict[str, Any] | None) -> None:
        """The pour has one end, and the end is true; pressing again pours only what never began."""
        row = await self.agent.ask("pour_order", order=f"w{press}")
        given_ml = ((await self.water())["poured_ul"] - before_ul) / 1000
        if row is None:
            assert given_ml == 0, "water without an intent"
            assert answered is None
            self.ends["not begun"] += 1
        else:
            assert row["state"] in ("ended", "doubtful"), row
            self.ends[f"{row['state']}: {row['reason']}"] += 1
            assert abs(row["poured_ml"] - given_ml) <= GRAIN_ML, f"{given_ml} ml for {row}"
            again = await self.press(press)
            assert again is not None
            assert again["poured_ml"] == row["poured_ml"]
            assert (await self.water())["poured_ul"] == round(before_ul + given_ml * 1000), (
                "the same press poured again"
            )
            self.begun.append(f"w{press}")
        outlet = (await self.water())["outlets"]["1"]
        assert outlet["motion"] == "shut"
        assert outlet["open_without_host_ms"] <= OPEN_WITHOUT_AGENT_MS


@asynccontextmanager
async def purifier(folder: Path) -> AsyncIterator[Judge]:
    """A simulated purifier that lives on, and its mortal agent, giving water from an outlet that has learned."""
    need_strace()
    outlet = Outlet(warmth="normal", relay=1, price_fen_per_litre=PRICE_FEN_PER_LITRE, nominal_ml_per_s=FLOW_ML_PER_S)
    async with simulator(folder, SCENARIO) as (sim, url):
        path = write_settings(folder, url)
        agent = AgentProcess(path, load(path))
        await stock_ledger(agent.settings, config(outlets=(outlet,)), 0)
        try:
            await agent.start_selling()
            judge = Judge(agent, sim)
            for number in range(LESSONS_MIN):
                assert await judge.press(f"lesson-{number}") is not None
                judge.begun.append(f"wlesson-{number}")
            yield judge
        finally:
            await agent.kill()


@pytest.mark.timeout(300)
async def test_killed_in_a_pour_the_valve_shuts_and_the_meter_tells(tmp_path: Path) -> None:
    async with purifier(tmp_path) as judge:
        agent = judge.agent
        deaths = 0
        for number, (call, k) in enumerate(KILLS):
            press = f"press-{number}"
            before_ul = (await judge.water())["poured_ul"]
            async with killed_at(agent, call, k):
                answer = await judge.press(press)
            if answer is None:
                assert await agent.wait() == -signal.SIGKILL
                deaths += 1
                await agent.start_selling()
            await judge.check(press, before_ul, answer)
        poured_ul = (await judge.water())["poured_ul"]
        assert await agent.stop() == 0
    print(f"{deaths} deaths, ends {dict(judge.ends)}")
    with contextlib.closing(sqlite3.connect(agent.settings.data_dir / "ledger.sqlite")) as conn:
        assert opening.content_problems(conn, thorough=True) == []
        facts = [decode_fact(row.fact) for row in outbox.pending(conn, 0, 100_000)]
    ends = [fact for fact in facts if isinstance(fact, PourEnded)]
    assert Counter(fact.order for fact in ends) == Counter(judge.begun), "one fact for every pour that began"
    assert sum(fact.poured_ml for fact in ends) == pytest.approx(poured_ul / 1000, abs=GRAIN_ML * len(ends))
    assert deaths >= len(KILLS) - 2
    lost = judge.ends["ended: power_lost"], judge.ends["doubtful: power_lost"]
    assert sum(lost) >= 5, "the kills struck while water flowed"
    assert lost[0] >= 1, "and what the dead agent had seen was believed"


async def astray(judge: Judge, fault: str, before: dict[str, Any]) -> bool:
    """Whether more is lost than a bill may be off by, since the water was `before`."""
    now = await judge.water()
    match fault:
        case "leak":
            lost_ul = now["leaked_metered_ul"] - before["leaked_metered_ul"]
        case "stuck_open":
            lost_ul = now["outlets"]["1"]["unasked_ul"] - before["outlets"]["1"]["unasked_ul"]
        case _:
            return True
    return int(lost_ul) >= 50_000


@pytest.mark.timeout(300)
async def test_water_that_goes_astray_behind_a_dead_agent_is_billed_to_nobody(tmp_path: Path) -> None:
    places: dict[str, dict[str, Any]] = {
        "leak": {},
        "stuck_open": {"device": "waveshare-relay-8ch", "outlet": 1},
        "counter_reset": {"device": "pulse4"},
    }
    async with purifier(tmp_path) as judge:
        for fault, place in places.items():
            before = await judge.water()
            pouring = asyncio.ensure_future(judge.press(f"{fault}-0"))

            async def flows(before_ul: int = before["poured_ul"]) -> bool:
                return int((await judge.water())["poured_ul"]) - before_ul > ASKED_ML * 1_000 // 3

            await until(flows, "water flows")
            await judge.sim.fault(MACHINE, fault, "once" if fault == "counter_reset" else "on", **place)
            await judge.agent.kill()
            assert await pouring is None

            async def lost(fault: str = fault, before: dict[str, Any] = before) -> bool:
                return await astray(judge, fault, before)

            await until(lost, f"{fault}: water is lost")
            if fault != "counter_reset":
                await judge.sim.fault(MACHINE, fault, "off", **place)
            await judge.agent.start_selling()
            row = await judge.agent.ask("pour_order", order=f"w{fault}-0")
            assert (row["state"], row["reason"]) == ("doubtful", "power_lost"), row
            assert row["charged_fen"] <= -(-ASKED_ML * PRICE_FEN_PER_LITRE // 1000)
