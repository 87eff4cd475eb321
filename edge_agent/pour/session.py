"""One pour, from the look at the meter to one settled fact.

The order of steps is the product's promise (delivery invariants in brackets):

    1. look at the meter: what it counts now, and by which factor that is water
    2. commit the intent: order, outlet, limit, the meter's count before the first drop          [I4]
    3. open, not after the deadline of our own claim, and only for a slice of the relay's timer  [I6, I15]
    4. watch the meter until the table reaches an end
    5. commit the outcome: journal, filter wear, plan usage and fact in one transaction          [I2, I8]

A crash between any two steps leaves either nothing (before 2) or an open pour. Its valve shuts by the relay's own
timer, and `resume` settles it by the difference of the meter's counts, held against what the dead agent had seen
(`witness`).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import dataclass

from edge_agent.devices.ports import Purifier, Totaliser
from edge_agent.errors import DiskShort, Refused
from edge_agent.ledger import locks, pours, water
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.ledger.pours import PourIntent, PourRow, PourTerms
from edge_agent.pour import flow, upkeep
from edge_agent.pour.evenness import LESSONS_REMEMBERED, Habit, Lesson, habit
from edge_agent.pour.flow import Factor
from edge_agent.pour.plan import charged_fen
from edge_agent.pour.run import LINE_TROUBLE, SLICE_MS, PourLimits, PourResult, PourRun, is_dry
from edge_agent.pour.witness import Witness
from shared.clock import Clock
from shared.messages import PourEnded
from shared.water import Outlet, PurifierConfig, WaterLimits

log = logging.getLogger(__name__)

# The fault that stops all water until a person has looked: water flowed, or may flow, with every valve shut.
LEAK = "water_leak"
MACHINE = "machine"

# One lost answer is noise; a person who pressed waits for no more.
COUNT_ASKED_MAX = 3

# What an outlet can give beyond what was asked for while a dead agent's valve is still open, at four times its flow.
AFTER_DEATH_MS = 3_000
SECONDS_PER_HOUR = 3_600
# A pour found open without a configuration is settled all the same; its outlet is then taken for a usual one.
USUAL_ML_PER_S = 30


@dataclass(frozen=True, slots=True)
class Ready:
    """An outlet that may be opened, what its meter counts now, and since when a probe has shown that it is dry."""

    outlet: Outlet
    limits: WaterLimits
    before: Totaliser
    factor: Factor
    habit: Habit
    dry_ms: int | None


class Pouring:
    """Carries out one pour at a time on this machine's purifier."""

    def __init__(self, *, purifier: Purifier, ledger: LedgerDatabase, clock: Clock) -> None:
        self._purifier = purifier
        self._ledger = ledger
        self._clock = clock
        self._witness = Witness(ledger.folder)
        self._run: PourRun | None = None
        self._stop = asyncio.Event()

    def stop(self) -> bool:
        """End the running pour as soon as its valve shuts; False when none runs."""
        self._stop.set()
        return self._run is not None

    def poured_ml(self) -> int | None:
        """What the running pour has given until now; None when none runs."""
        return None if self._run is None else self._run.poured_ml

    async def factor(self) -> Factor:
        """The factor of the meter: a person's, or its maker's."""
        meter = self._purifier.meter
        known = await self._ledger.read(lambda conn: water.calibrated(conn, meter.meter))
        return Factor(known.pulses_per_litre_milli if known else meter.pulses_per_litre_milli)

    async def make_ready(self, config: PurifierConfig, outlet: Outlet) -> Ready:
        """Look at the meter; raises `Refused("not_selling")` when it cannot be read."""
        before = await self._count()
        taught = await self._ledger.read(lambda conn: pours.lessons(conn, outlet.warmth, LESSONS_REMEMBERED))
        factor = await self.factor()
        nominal = factor.counts(outlet.nominal_ml_per_s * SECONDS_PER_HOUR)
        known = habit([Lesson(*lesson) for lesson in taught], nominal)
        dry_ms = self._clock.mono_ms() if await is_dry(self._purifier.sensors) else None
        return Ready(outlet, config.limits, before, factor, known, dry_ms)

    async def _count(self) -> Totaliser:
        """What the meter shows; asked again on a noisy line, because reading does no harm."""
        for _ in range(COUNT_ASKED_MAX - 1):
            try:
                return await self._purifier.meter.totaliser()
            except LINE_TROUBLE as trouble:
                log.info("the meter did not answer: %s", trouble)
        try:
            return await self._purifier.meter.totaliser()
        except LINE_TROUBLE as trouble:
            raise Refused("not_selling", f"the flow meter cannot be read: {trouble}") from trouble

    async def pour(self, terms: PourTerms, ready: Ready, *, not_after_mono_ms: int) -> PourEnded:
        """Pour until the target or the first reason to end before it; returns the committed fact.

        Raises `Refused` when the intent could not be committed; nothing has flowed then.
        """
        intent = self._intent(terms, ready)
        self._witness.begin(terms.order, self._clock.boot_id, ready.habit)
        try:
            txn = await self._ledger.write(lambda conn: pours.begin(conn, terms, intent, self._clock))
        except DiskShort as short:
            raise Refused("not_selling", str(short)) from short
        limits = PourLimits(
            asked_ml=terms.asked_ml,
            volume_ml_max=ready.limits.pour_ml_max,
            time_ms_max=ready.limits.pour_ms_max,
            stall_ms=ready.limits.stall_ms,
            nominal_ml_per_s=ready.outlet.nominal_ml_per_s,
            habit=ready.habit,
            dry_ms=ready.dry_ms,
        )
        self._stop = asyncio.Event()
        self._run = self._new_run(intent, limits)
        try:
            result = await self._run.pour(not_after_mono_ms=not_after_mono_ms)
        finally:
            self._run = None
            self._witness.end()
        return await self._end(txn, terms, intent, result)

    async def resume(self, row: PourRow) -> PourEnded:
        """Settle a pour found open after a crash. Nothing is opened again."""
        assert row.intent is not None
        seen = self._witness.recall(row.terms.order, self._clock.boot_id)
        limits = PourLimits(
            asked_ml=row.terms.asked_ml,
            volume_ml_max=row.intent.at_most_ml,
            time_ms_max=0,
            stall_ms=0,
            nominal_ml_per_s=USUAL_ML_PER_S,
            habit=seen.habit if seen else Habit(),
        )
        result = await self._new_run(row.intent, limits).resume(seen)
        return await self._end(row.txn, row.terms, row.intent, result)

    def _new_run(self, intent: PourIntent, limits: PourLimits) -> PourRun:
        return PourRun(
            purifier=self._purifier,
            intent=intent,
            limits=limits,
            clock=self._clock,
            stop=self._stop,
            witness=self._witness,
        )

    def _intent(self, terms: PourTerms, ready: Ready) -> PourIntent:
        beyond_ml = ready.outlet.nominal_ml_per_s * flow.IMPLAUSIBLE_FACTOR * (SLICE_MS + AFTER_DEATH_MS) // 1000
        return PourIntent(
            relay=ready.outlet.relay,
            meter=self._purifier.meter.meter,
            modulus=ready.before.modulus,
            pulses_per_litre_milli=ready.factor.pulses_per_litre_milli,
            totaliser_before=ready.before.count,
            at_most_ml=terms.asked_ml + beyond_ml,
        )

    async def _end(self, txn: int, terms: PourTerms, intent: PourIntent, result: PourResult) -> PourEnded:
        """Commit the outcome: all that follows from a pour, in one transaction."""
        fact = end_fact(txn, terms, intent, result)
        worked_ms = result.learned.open_ms
        if worked_ms is None:
            worked_ms = fact.poured_ml * 1000 // USUAL_ML_PER_S

        def write(conn: sqlite3.Connection) -> None:
            pours.end(conn, fact, self._clock, result.learned)
            upkeep.served(conn, terms.plan, fact.poured_ml, worked_ms)
            water.set_settled_count(conn, intent.meter, fact.totaliser_after)
            if result.flows_on:
                detail = f"water still passes the meter after outlet {terms.outlet} was shut: a stuck valve, or a leak"
                locks.raise_fault(conn, LEAK, MACHINE, detail, self._clock)

        await self._ledger.write(write, outcome=True)
        log.info("pour %s: %d of %d ml, %s", terms.order, fact.poured_ml, terms.asked_ml, fact.reason)
        if result.flows_on:
            await self.shut_everything()
        return fact

    async def shut_everything(self) -> None:
        """Shut every valve, whatever they were told before; a relay board that is silent is told by its own timers."""
        try:
            await self._purifier.valve.shut_all()
        except LINE_TROUBLE as trouble:
            log.warning("the valves did not answer the order to shut: %s", trouble)


def end_fact(txn: int, terms: PourTerms, intent: PourIntent, result: PourResult) -> PourEnded:
    """The fact that settles a pour: what flowed is charged, and never more than was held."""
    return PourEnded(
        order=terms.order,
        outlet=terms.outlet,
        source=terms.source,
        means=terms.means,
        asked_ml=terms.asked_ml,
        poured_ml=result.poured_ml,
        price_fen_per_litre=terms.price_fen_per_litre,
        charged_fen=charged_fen(result.poured_ml, terms.price_fen_per_litre, terms.hold_fen),
        paid_fen=terms.paid_fen,
        reason=result.reason,
        certain=result.certain,
        doubt=result.doubt,
        txn=txn,
        plan=terms.plan,
        totaliser_before=intent.totaliser_before,
        totaliser_after=result.totaliser_after,
        overrun_ml=result.overrun_ml,
        config_version=terms.config_version,
    )
