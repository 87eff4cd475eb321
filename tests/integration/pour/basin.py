"""The simulator's water model behind the agent's own interfaces, in simulated time: no line, no bus, no waiting.

A driver call takes some tens of milliseconds, as on a line at 9600 baud, and may fail in the ways of a line: the
request never leaves, or it arrives and its answer is lost, or the device is silent for a while.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.devices.ports import Heard, Purifier, Totaliser, WaterReading
from edge_agent.errors import BoardMisbehaved, BoardSilent, PortClosed
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.ledger.pours import PourTerms
from edge_agent.pour.evenness import LESSONS_MIN
from edge_agent.pour.recovery import recover
from edge_agent.pour.session import Pouring
from firmware_sim.faults import Faults
from firmware_sim.timeline import Event, Timeline
from firmware_sim.valve import OutletPlan
from firmware_sim.water import Plumbing, Water
from shared.clock import ManualClock
from shared.ids import OrderId, parse_machine_id
from shared.messages import PourEnded
from shared.water import FilterSpec, Outlet, PurifierConfig, ServicePlan, WaterLimits

MACHINE = parse_machine_id("wp-1")
RELAY = 1
COUNTER_MODULUS = 2**32
# A question waits for its turn and the gap, takes its time at 9600 baud, and so does its answer.
WAIT_MS, QUESTION_MS, ANSWER_MS = (0, 20), (8, 10), (10, 20)
# What a slow device takes on top of that.
SLOW_MS = (300, 900)
# How long the driver waits for an answer that does not come.
PATIENCE_MS = 250
PRICE_FEN_PER_LITRE = 50


class TimelineClock(ManualClock):
    """The agent's clock is the simulation's: waiting turns the model."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__()
        self._timeline = timeline

    async def sleep_ms(self, duration_ms: int) -> None:
        self.pass_ms(max(1, duration_ms))
        await asyncio.sleep(0)

    def pass_ms(self, duration_ms: int) -> None:
        """Let time go by in the model and on the clock."""
        self._timeline.run_until(self._timeline.now_ms + duration_ms)
        self.advance(duration_ms)


@dataclass
class Line:
    """One device's line: silent, slow or unplugged until an hour of the model's time, or with losses."""

    clock: TimelineClock
    timeline: Timeline
    dice: random.Random
    silent_until_ms: int = -1
    slow_until_ms: int = -1
    gone_until_ms: int = -1
    loses: float = 0.0  # the chance of a request or its answer to be lost
    asked_ms: int = 0  # when the last question left
    busy_ms: int = 0  # how long a busy computer takes at most to tell the program of an answer that is there
    late: float = 0.0  # the chance of a question or its answer to be held up for as long on the way

    async def ask(self, name: str) -> bool:
        """Whether the device hears this request but its answer is lost; raises when it does not hear it."""
        if self.timeline.now_ms < self.gone_until_ms:
            await self.clock.sleep_ms(1)
            raise PortClosed("line", "unplugged")
        await self.clock.sleep_ms(self.dice.randint(*WAIT_MS))
        self.asked_ms = self.clock.mono_ms()
        await self.clock.sleep_ms(self.dice.randint(*QUESTION_MS) + self._held_up_ms())
        if self.timeline.now_ms < self.silent_until_ms:
            self._say_nothing(name)
        if self.dice.random() < self.loses:
            match self.dice.randrange(4):
                case 0:
                    raise PortClosed("line", "unplugged")
                case 1:
                    raise BoardMisbehaved("device", name, "an answer", b"\x86\x06")  # busy
                case 2:
                    self._say_nothing(name)
                case _:
                    return True
        return False

    async def answer(self, name: str, lost: bool) -> Heard:
        """What the device says to a request that it has heard: soon, late, or never."""
        if lost:
            self._say_nothing(name)
        slow = self.timeline.now_ms < self.slow_until_ms
        slow_ms = self.dice.randint(*SLOW_MS) if slow else 0
        await self.clock.sleep_ms(self.dice.randint(*ANSWER_MS) + slow_ms + self._held_up_ms())
        heard = Heard(self.asked_ms, self.clock.mono_ms())
        await self.clock.sleep_ms(self.dice.randint(0, self.busy_ms))
        return heard

    def _held_up_ms(self) -> int:
        return self.dice.randint(0, self.busy_ms) if self.dice.random() < self.late else 0

    def mend(self) -> None:
        """It is as good as new."""
        self.silent_until_ms = self.slow_until_ms = self.gone_until_ms = -1
        self.loses = 0.0

    def _say_nothing(self, name: str) -> None:
        self.clock.pass_ms(PATIENCE_MS)
        raise BoardSilent("device", name, PATIENCE_MS)


@dataclass
class ModelValve:
    """A relay board whose relays fall back by their own timers."""

    water: Water
    line: Line
    timers: dict[int, Event] = field(default_factory=dict)
    opened: int = 0

    async def open_for(self, relay: int, limit_ms: int) -> Heard:
        lost = await self.line.ask("open")
        self.opened += 1
        self._forget(relay)
        self.water.relay(relay, closed=True)
        self.timers[relay] = self.line.timeline.after(limit_ms // 100 * 100, lambda: self.fall(relay))
        return await self.line.answer("open", lost)

    async def shut(self, relay: int) -> Heard:
        lost = await self.line.ask("shut")
        self.fall(relay)
        return await self.line.answer("shut", lost)

    async def shut_all(self) -> None:
        await self.shut(RELAY)

    async def is_open(self, relay: int) -> bool:
        lost = await self.line.ask("look")
        is_on = self.water.valves[relay].coil_on
        await self.line.answer("look", lost)
        return is_on

    def fall(self, relay: int) -> None:
        """The relay falls: told to, by its timer, or because the board restarts."""
        self._forget(relay)
        self.water.relay(relay, closed=False)

    def _forget(self, relay: int) -> None:
        if (timer := self.timers.pop(relay, None)) is not None:
            timer.cancel()


@dataclass
class ModelMeter:
    """A pulse counter of 450 to the litre."""

    water: Water
    line: Line
    opening: int = 123_456
    meter: str = "flow"
    pulses_per_litre_milli: int = 450_000
    cleared_at: int = 0

    async def totaliser(self) -> Totaliser:
        lost = await self.line.ask("count")
        count = self.count()
        heard = await self.line.answer("count", lost)
        return Totaliser(count, COUNTER_MODULUS, heard.answered_ms, heard.answered_ms - heard.asked_ms)

    def count(self) -> int:
        """What it shows."""
        self.water.settle()
        return (self.opening + self.water.pulses - self.cleared_at) % COUNTER_MODULUS

    def clear(self) -> None:
        """The counter starts again from nothing."""
        self.show(0)

    def wrap_soon(self, counts: int) -> None:
        """It stands so many counts before its wrap."""
        self.show(COUNTER_MODULUS - counts)

    def show(self, count: int) -> None:
        """It stands at this count."""
        self.water.settle()
        self.opening, self.cleared_at = count, self.water.pulses


@dataclass
class ModelSensors:
    """Probes of pressure, level and dissolved solids."""

    water: Water
    line: Line
    cable_open: bool = False  # absurd values, which the driver knows to be none

    async def read(self) -> WaterReading:
        lost = await self.line.ask("probes")
        if lost or self.cable_open:
            return WaterReading()
        self.water.settle()
        found = WaterReading(
            tds_in_ppm=round(self.water.feed_tds_ppm),
            tds_out_ppm=round(self.water.tds_ppm),
            pressure_kpa=round(self.water.pressure_kpa),
            level_mm=round(self.water.level_mm),
            temperature_tenths_c=200,
        )
        await self.line.answer("probes", lost)
        return found


CONFIG = PurifierConfig(
    outlets=(Outlet(warmth="normal", relay=RELAY, price_fen_per_litre=PRICE_FEN_PER_LITRE),),
    plan=ServicePlan(plan="shop", mode="vending"),
    filters=(FilterSpec(position=1, name="PPC", lifetime_hours=4320, worklife_hours=540),),
    limits=WaterLimits(),
)


class Basin:
    """A purifier of the simulator and the agent's pouring on it."""

    def __init__(self, ledger: LedgerDatabase, clock: TimelineClock, timeline: Timeline, seed: int, **plumbing: Any):
        """`plumbing` sets fields of `water.Plumbing`; `valve` is the class of the relay board."""
        valve: type[ModelValve] = plumbing.pop("valve", ModelValve)
        self.dice = random.Random(seed)
        self.timeline, self.clock, self.ledger = timeline, clock, ledger
        self.faults = Faults(timeline, self.dice)
        outlet = plumbing.pop("outlet", OutletPlan(relay=RELAY))
        plan = Plumbing(outlets=(outlet,), tank_opening_ml=20_000, permeate_ml_per_s=40.0, **plumbing)
        self.water = Water(plan, timeline, self.faults, self.dice, board=1)
        self.faults.changed = lambda _: self.water.fault_changed()
        self.lines = [Line(clock, timeline, self.dice) for _ in range(3)]
        self.valve = valve(self.water, self.lines[0])
        self.meter = ModelMeter(self.water, self.lines[1])
        self.sensors = ModelSensors(self.water, self.lines[2])
        self.purifier = Purifier(self.valve, self.meter, self.sensors)
        self.pouring = Pouring(purifier=self.purifier, ledger=ledger, clock=clock)
        self.orders = 0
        self.running: asyncio.Future[PourEnded] | None = None

    def terms(self, asked_ml: int) -> PourTerms:
        """The next order, paid by coin."""
        self.orders += 1
        hold = -(-asked_ml * PRICE_FEN_PER_LITRE // 1000)
        return PourTerms(
            order=OrderId(f"w{self.orders}"),
            outlet="normal",
            source="button",
            means="coin",
            asked_ml=asked_ml,
            price_fen_per_litre=PRICE_FEN_PER_LITRE,
            hold_fen=hold,
            paid_fen=hold,
            config_version=1,
            plan="shop",
        )

    async def pour(self, asked_ml: int, config: PurifierConfig = CONFIG) -> PourEnded:
        """One pour from the look at the meter to the committed fact."""
        ready = await self.pouring.make_ready(config, config.outlets[0])
        not_after = self.clock.mono_ms() + 10_000
        return await self.pouring.pour(self.terms(asked_ml), ready, not_after_mono_ms=not_after)

    async def pour_and_perhaps_die(self, asked_ml: int, config: PurifierConfig = CONFIG) -> bool:
        """One pour in which `die` may be called; whether it was."""
        self.running = asyncio.ensure_future(self.pour(asked_ml, config))
        try:
            await self.running
        except asyncio.CancelledError:
            return True
        finally:
            self.running = None
        return False

    def die(self) -> None:
        """The agent is killed: whatever it does ends where it stands. Nothing, when no pour runs."""
        if self.running is not None:
            self.running.cancel()

    async def restart(self) -> PourEnded | None:
        """Another process on the same ledger and the same water; what it settled of the one that died."""
        self.pouring = Pouring(purifier=self.purifier, ledger=self.ledger, clock=self.clock)
        return await recover(self.ledger, self.pouring, self.clock)

    async def teach(self) -> None:
        """Three sound litres: what a new outlet needs before a glass of it can be believed."""
        for _ in range(LESSONS_MIN):
            await self.pour(1000)
            self.rest()

    def given_ml(self) -> float:
        """What has come out of the outlet since the beginning."""
        self.water.settle()
        return self.water.valves[RELAY].through_ul / 1000

    def rest(self) -> None:
        """Mend everything and let the tank fill."""
        self.faults.clear()
        self.sensors.cable_open = False
        for line in self.lines:
            line.mend()
        self.clock.pass_ms(120_000)


async def open_ledger(folder: Path, clock: TimelineClock) -> LedgerDatabase:
    """A new ledger in `folder`."""
    return await LedgerDatabase.open(
        folder / "ledger.sqlite", machine=MACHINE, clock=clock, software="test", reserve_bytes=65_536
    )
