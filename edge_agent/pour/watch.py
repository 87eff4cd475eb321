"""What a purifier knows of itself between two pours: leaks, drift, water quality, filters, plan. From it follows
whether it may give water.

A leak is growth of the meter while every valve is shut. What the meter showed when water last had a right to flow is in
the ledger, so a leak is also found when it happened while nobody watched, and it stops the water without a network.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from edge_agent.devices.ports import Purifier, Totaliser, WaterReading
from edge_agent.errors import DiskShort
from edge_agent.ledger import locks, outbox, pours, water
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.pour import flow, upkeep
from edge_agent.pour.display import Stop
from edge_agent.pour.filters import FLUSH_ML, Quality, rejection_percent
from edge_agent.pour.run import LINE_TROUBLE
from edge_agent.pour.session import LEAK, MACHINE, Pouring
from edge_agent.pour.upkeep import Upkeep
from shared.clock import Clock
from shared.messages import FaultChanged, PourEnded, Reading, StateFact, WaterLeaked, WaterQualityChanged
from shared.water import PurifierConfig

log = logging.getLogger(__name__)

T = TypeVar("T")

# A burst hose gives 15 ml/s and more: a look a second shuts it off within a cup.
LOOK_EVERY_MS: Final = 1_000
# One lost answer is noise; without three in a row no pour may begin.
MISSES_MAX: Final = 3
# What drips from an outlet after a pour is no leak; what comes within an hour is measured against the limit.
DRIP_WINDOW_MS: Final = 3_600_000
# While a leak goes on it is told once a minute, not with every cup.
LEAK_TOLD_EVERY_MS: Final = 60_000
# TDS and levels move slowly.
PROBES_EVERY_MS: Final = 10_000
# A person who asks gets a new reading, a live screen no more than its share of the line.
PROBES_FRESH_MS: Final = 2_000
READING_EVERY_MS: Final = 60_000
# Water that rested longer than this is flushed anew before its TDS counts.
REST_MS: Final = 600_000
# How long after a pour the probes still sit in what flowed.
FRESH_MS: Final = 120_000
# At a kill so much time is counted late, never lost: the mark of the last tick says where to go on.
TICK_EVERY_MS: Final = 600_000
# The end of a plan is seen so much late.
TIME_EVERY_MS: Final = 1_000
# A leak of more than a bath tub was a meter that was cleared or exchanged.
LEAK_ML_MAX: Final = 200_000

METER_SILENT: Final = "meter_silent"
VALVE_SILENT: Final = "valve_silent"
# Any relay tells whether its board answers, and every board has a first one.
ANY_RELAY: Final = 1
# The fault that says that a meter must be calibrated.
DRIFT: Final = "meter_drift"


@dataclass
class Answering:
    """Whether a device answers that every pour needs, and the fault that says that it does not."""

    fault: str
    misses: int = 0
    silent: bool | None = None  # not asked yet


class WaterWatch:
    """Keeps a purifier's condition and tells its changes.

    `busy` says that a pour (or a vend) runs; the meter is then left to it. `tell` writes a state fact, `changed` hears
    that the answer of `stop` may be another one, `take_reading` keeps a measurement.
    """

    def __init__(
        self,
        *,
        purifier: Purifier,
        pouring: Pouring,
        ledger: LedgerDatabase,
        clock: Clock,
        busy: Callable[[], bool],
        tell: Callable[[StateFact], Awaitable[None]],
        changed: Callable[[], Awaitable[None]],
        take_reading: Callable[[Reading], Awaitable[None]],
    ) -> None:
        self._purifier = purifier
        self._pouring = pouring
        self._ledger = ledger
        self._clock = clock
        self._busy = busy
        self._tell = tell
        self._changed = changed
        self._take_reading = take_reading
        self._config: PurifierConfig | None = None
        self._quality = Quality()
        self._leaks = False
        self._looked_at = False  # a person has cleared a leak, and the meter was not read since
        self._meter = Answering(METER_SILENT)
        self._valve = Answering(VALVE_SILENT)
        self._base_ms = self._ticked_ms = clock.mono_ms()
        self._leak_told_ms = clock.mono_ms() - LEAK_TOLD_EVERY_MS
        self._flushed_ml = 0
        self._poured_ms: int | None = None
        self._probed_ms = clock.mono_ms() - PROBES_EVERY_MS
        self._reading_ms = clock.mono_ms() - READING_EVERY_MS
        self.upkeep: Upkeep | None = None
        self.probes = WaterReading()
        # Set once what the last run left open is settled: before that, growth is no leak.
        self.settled = asyncio.Event()

    def stop(self) -> Stop | None:
        """Why no water may be given now, the gravest reason first; None when it may."""
        config, kept = self._config, self.upkeep
        if config is None or kept is None or not self.settled.is_set():
            return "machine"
        if self._leaks:
            return "leak"
        if self._meter.silent is not False:
            return "meter"
        if self._valve.silent:
            return "valve"
        if kept.standing.ended is not None:
            return kept.standing.ended
        if config.limits.stop_when_unfit and kept.past_end:
            return "filter"
        if config.limits.stop_when_unfit and not self._quality.fit:
            return "unfit"
        return None

    @property
    def fit(self) -> bool:
        """Whether the water was fit when it was last judged."""
        return self._quality.fit

    async def configure(self, config: PurifierConfig | None, decided_wall_ms: int = 0) -> None:
        """Act on another configuration from now on; `decided_wall_ms` is when the cloud made it so."""
        self._config = config
        told = await self._ledger.read(lambda conn: locks.current(conn, "water"))
        if isinstance(told, WaterQualityChanged):
            self._quality = Quality(told.fit)
        await self.tick(decided_wall_ms)

    async def tick(self, passed_wall_ms: int = 0) -> None:
        """Let the time since the last tick count; so late it is at least."""
        config = self._config
        self._ticked_ms = self._clock.mono_ms()
        if config is None:
            self.upkeep = None
        else:
            try:
                self.upkeep = await self._ledger.write(
                    lambda conn: upkeep.tick(conn, config, self._clock, passed_wall_ms=passed_wall_ms)
                )
            except DiskShort as short:  # the reserve is for money; the time that passes is counted at the next tick
                log.warning("filter hours are not written down: %s", short)
        await self._changed()

    async def after_pour(self, end: PourEnded) -> None:
        """A pour has ended: its water has flushed the membrane, and it may have been the last of a plan."""
        now = self._clock.mono_ms()
        rested = self._poured_ms is None or now - self._poured_ms > REST_MS
        self._flushed_ml = end.poured_ml + (0 if rested else self._flushed_ml)
        self._poured_ms = self._base_ms = now
        await self.note_leak_fault()
        await self._look_for_drift()
        await self.tick()

    # --- loops ---

    async def keep_time(self) -> None:
        """Tick for ever."""
        while True:
            await self._clock.sleep_ms(TIME_EVERY_MS)
            if self._clock.mono_ms() - self._ticked_ms >= self._tick_after_ms():
                await self.tick()

    def _tick_after_ms(self) -> int:
        """How long after the last tick the next one is due: when the plan ends, the display says so at once."""
        left_ms = self.upkeep.standing.left_ms if self.upkeep else None
        return TICK_EVERY_MS if left_ms is None or left_ms <= 0 else min(left_ms, TICK_EVERY_MS)

    async def watch_devices(self) -> None:
        """Look at the idle meter and valves for ever: do they answer, and does the meter stand still."""
        await self.settled.wait()
        while True:
            if not self._busy():
                await self.look()
            await self._clock.sleep_ms(LOOK_EVERY_MS)

    async def watch_probes(self) -> None:
        """Read the probes for ever, but not while somebody pours: the line is his."""
        while True:
            if not self._busy():
                await self.look_at_probes()
            await self._clock.sleep_ms(PROBES_EVERY_MS)

    # --- meter and valves ---

    async def look(self) -> None:
        """One look at the idle meter, and whether the valves' board answers: it must be asked before somebody pays."""
        await self.note_leak_fault()
        reading = await self._ask(self._meter, self._purifier.meter.totaliser())
        if reading is not None and not self._busy() and self._config is not None:
            await self._compare(reading, self._config)
        if not self._busy():
            await self._ask(self._valve, self._purifier.valve.is_open(ANY_RELAY))

    async def _ask(self, device: Answering, question: Awaitable[T]) -> T | None:
        try:
            answer = await question
        except LINE_TROUBLE as trouble:
            device.misses += 1
            if device.misses >= MISSES_MAX:
                await self._note(device, silent=True, detail=str(trouble)[:400])
            return None
        device.misses = 0
        await self._note(device, silent=False, detail="it answers")
        return answer

    async def _note(self, device: Answering, *, silent: bool, detail: str) -> None:
        if silent != device.silent:
            device.silent = silent
            await self._tell(FaultChanged(code=device.fault, scope=MACHINE, active=silent, detail=detail))
            await self._changed()

    async def _compare(self, reading: Totaliser, config: PurifierConfig) -> None:
        """Growth since water last had a right to flow."""
        meter = self._purifier.meter.meter
        base = await self._ledger.read(lambda conn: water.settled_count(conn, meter))
        factor = await self._pouring.factor()
        now = self._clock.mono_ms()
        if base is None:
            return await self._rebase(reading.count)
        counts = flow.grown(base, reading.count, reading.modulus, factor.counts(LEAK_ML_MAX))
        if counts is None:
            log.warning("meter %s went from %d to %d: it was cleared or exchanged", meter, base, reading.count)
            return await self._rebase(reading.count)
        leaked_ml = factor.millilitres(counts)
        if self._looked_at:
            return await self._end_leak(reading.count, leaked_ml)
        if leaked_ml >= config.limits.leak_ml and now - self._leak_told_ms >= LEAK_TOLD_EVERY_MS * self._leaks:
            await self._raise_leak(reading.count, leaked_ml)
        elif counts and not self._leaks and now - self._base_ms > DRIP_WINDOW_MS:
            await self._rebase(reading.count)
        return None

    async def _rebase(self, count: int) -> None:
        self._base_ms = self._clock.mono_ms()
        meter = self._purifier.meter.meter
        try:
            await self._ledger.write(lambda conn: water.set_settled_count(conn, meter, count))
        except DiskShort as short:  # the next look begins where this one did, and sees the same drips again
            log.warning("the meter's count is not written down: %s", short)

    async def _raise_leak(self, count: int, leaked_ml: int) -> None:
        """Shut everything off, lock, tell; a person must look before water is given again."""
        await self._pouring.shut_everything()
        meter = self._purifier.meter.meter
        detail = f"{leaked_ml} ml passed the meter while every valve was shut: look for water, then clear the fault"

        def write(conn: sqlite3.Connection) -> None:
            outbox.append(conn, WaterLeaked(leaked_ml=leaked_ml), self._clock)
            locks.raise_fault(conn, LEAK, MACHINE, detail, self._clock)
            water.set_settled_count(conn, meter, count)

        await self._ledger.write(write, outcome=True)
        log.error("leak: %s", detail)
        self._base_ms = self._leak_told_ms = self._clock.mono_ms()
        await self.note_leak_fault()

    async def _end_leak(self, count: int, leaked_ml: int) -> None:
        """What ran out until a person cleared the fault is told, and is no new leak."""
        meter = self._purifier.meter.meter

        def write(conn: sqlite3.Connection) -> None:
            if leaked_ml:
                outbox.append(conn, WaterLeaked(leaked_ml=leaked_ml), self._clock)
            water.set_settled_count(conn, meter, count)

        await self._ledger.write(write, outcome=True)
        self._looked_at = False
        self._base_ms = self._clock.mono_ms()

    async def _look_for_drift(self) -> None:
        """Hold the outlets' last paces against those from when the meter's factor was set."""
        meter, factor = self._purifier.meter.meter, await self._pouring.factor()
        shift = flow.shift_ppm(
            await self._ledger.read(
                lambda conn: pours.paces(conn, meter, factor.pulses_per_litre_milli, flow.PACES_COMPARED)
            )
        )
        if shift is None or abs(shift) <= flow.SHIFT_PPM_MAX:
            return
        detail = (
            f"the meter counts {shift / 10_000:+.1f} % against the pours after its factor was set:"
            " a worn meter, or another flow; measure three pours and calibrate"
        )
        await self._tell(FaultChanged(code=DRIFT, scope=MACHINE, active=True, detail=detail))

    async def note_leak_fault(self) -> None:
        """Read the fault from the ledger: raised by a leak or a stuck valve, cleared by a person."""
        faults = await self._ledger.read(locks.active_faults)
        leaks = any(fault.code == LEAK for fault in faults)
        if leaks != self._leaks:
            self._looked_at = self._leaks
            self._leaks = leaks
            await self._changed()

    # --- the probes ---

    async def look_at_probes(self) -> None:
        """One look at the probes: the verdict on the water, and the readings."""
        config = self._config
        if config is None:
            return
        if not await self._read_probes():
            return
        found = self.probes
        if self._is_flushed():
            await self._judge(found, config)
        now = self._clock.mono_ms()
        if now - self._reading_ms >= READING_EVERY_MS:
            self._reading_ms = now
            for reading in _readings(found, self._clock.wall_ms()):
                await self._take_reading(reading)

    async def fresh_probes(self) -> WaterReading:
        """What the probes say now, or, while somebody pours, what they said last."""
        if not self._busy() and self._clock.mono_ms() - self._probed_ms >= PROBES_FRESH_MS:
            await self._read_probes()
        return self.probes

    async def _read_probes(self) -> bool:
        try:
            self.probes = await self._purifier.sensors.read()
        except LINE_TROUBLE as trouble:
            log.info("the probes did not answer: %s", trouble)
            return False
        self._probed_ms = self._clock.mono_ms()
        return True

    def _is_flushed(self) -> bool:
        if self._poured_ms is None or self._flushed_ml < FLUSH_ML:
            return False
        return self._clock.mono_ms() - self._poured_ms <= FRESH_MS

    async def _judge(self, found: WaterReading, config: PurifierConfig) -> None:
        before = self._quality.fit
        self._quality = self._quality.take(found.tds_out_ppm, config.limits.tds_ppm_max)
        fit = self._quality.fit
        if fit == before:
            return
        reason = "" if fit else f"TDS behind the membrane is above {config.limits.tds_ppm_max} ppm"
        await self._tell(
            WaterQualityChanged(fit=fit, tds_in_ppm=found.tds_in_ppm, tds_out_ppm=found.tds_out_ppm, reason=reason)
        )
        await self._changed()


def _readings(found: WaterReading, wall_ms: int) -> list[Reading]:
    """What the probes said, in thousandths of a unit; silent ones are left out."""
    values = (
        ("tds_in", "ppm", found.tds_in_ppm, 1000),
        ("tds_out", "ppm", found.tds_out_ppm, 1000),
        ("tds_rejection", "percent", rejection_percent(found.tds_in_ppm, found.tds_out_ppm), 1000),
        ("pressure", "kPa", found.pressure_kpa, 1000),
        ("level", "mm", found.level_mm, 1000),
        ("water", "C", found.temperature_tenths_c, 100),
    )
    return [
        Reading(sensor=sensor, unit=unit, value=value * scale, wall_ms=wall_ms)
        for sensor, unit, value, scale in values
        if value is not None
    ]
