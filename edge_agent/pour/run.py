"""Drives one pour through its table: keeps the valve open in short slices, watches the meter, shuts in time."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Final

from edge_agent.devices.ports import Purifier, Totaliser, WaterReading
from edge_agent.errors import BoardMisbehaved, BoardSilent, LinkDown, NeverSent
from edge_agent.ledger.pours import Learned, PourIntent
from edge_agent.pour import flow as flows
from edge_agent.pour.evenness import Evenness, Point
from edge_agent.pour.flow import Factor, Flow
from edge_agent.pour.transitions import (
    ENDS,
    REASONS,
    Bounds,
    Event,
    Look,
    State,
    closing_event,
    follow,
    stall_is_proven,
)
from shared.clock import Clock, within
from shared.messages import PourReason

log = logging.getLogger(__name__)

# What a line or a device may do to a request.
LINE_TROUBLE: Final = (LinkDown, BoardSilent, BoardMisbehaved, NeverSent)

# The valve is told to stay open for so long at a time: a dead agent leaves it open for less than two seconds.
SLICE_MS: Final = 1_500
# Told again when half of it is over, so that one lost answer and its repeat still come in time.
REARM_MS: Final = 700
# A relay's timer counts in steps of 100 ms, and starts when the order arrives.
TIMER_SLACK_MS: Final = 300
# Ten looks a second see a glass fill in steps of 3 ml; the last step is measured out by the pace.
LOOK_MS: Final = 100
# A meter that is silent for so long while water flows: at 30 ml/s that is a mouthful.
METER_SILENCE_MS: Final = 1_000
# Standing still for so long is shut: a pilot valve takes up to 600 ms to close.
STILL_MS: Final = 1_000
# Growing for so long after the order to shut is a stuck valve or a leak.
FLOWS_ON_MS: Final = 4_000
# How long a meter that fell silent is waited for, because its count settles the pour for certain.
METER_WAIT_MS: Final = 15_000
# An overrun of more than twice the usual and a half second is a valve that hung, or a leak; one of less than a third of
# the usual is a rotor that stood, as far as the counter can tell so little.
OVERRUN_TIMES_MAX: Final = 2
OVERRUN_SLACK_MS: Final = 500
OVERRUN_TIMES_MIN: Final = 3
OVERRUN_COUNTS_MIN: Final = 5
# What a meter that was silent must have counted meanwhile: half of what its pace foretold, because the valve may have
# been shut before it could be told.
CAUGHT_UP_SHARE: Final = 2


@dataclass(frozen=True, slots=True)
class PourLimits:
    """What this pour must keep to. `nominal_ml_per_s`, `overrun_ms` and `usual_pace` are the outlet's."""

    asked_ml: int
    volume_ml_max: int
    time_ms_max: int
    stall_ms: int
    nominal_ml_per_s: int
    overrun_ms: int
    usual_pace: int | None = None


@dataclass(frozen=True, slots=True)
class PourResult:
    """How a pour ended, and what it taught about its outlet."""

    state: State
    reason: PourReason
    poured_ml: int
    totaliser_after: int
    learned: Learned
    overrun_ml: int = 0
    flows_on: bool = False

    @property
    def certain(self) -> bool:
        return self.state is State.ENDED


class PourRun:
    """One pour at one outlet, used once. `progress` holds what has flowed, for a display."""

    def __init__(
        self, *, purifier: Purifier, intent: PourIntent, limits: PourLimits, clock: Clock, stop: asyncio.Event
    ) -> None:
        self._valve = purifier.valve
        self._meter = purifier.meter
        self._sensors = purifier.sensors
        self._intent = intent
        self._limits = limits
        self._clock = clock
        self._stop = stop
        before = Totaliser(intent.totaliser_before, intent.modulus, clock.mono_ms())
        factor = Factor(intent.pulses_per_litre_milli)
        self._flow = Flow.begin(before, factor, limits.nominal_ml_per_s)
        self._even = Evenness(Point(0, clock.mono_ms()), limits.usual_pace)
        self._opened_ms: int | None = None  # when the first order to open left
        self._open_until_ms = clock.mono_ms()  # until then the relay surely keeps it open
        self._shut_by_ms = clock.mono_ms()  # by then the relay's own timer has surely shut it
        self._closing_ms = clock.mono_ms()
        self._closing_ml = 0
        self._closing_pace = 0
        self._flow_at_closing = self._flow
        self._reason: PourReason = "power_lost"
        self._dry = False
        self._flows_on = False
        self._after: Totaliser | None = None
        self._still_since_ms = 0

    @property
    def poured_ml(self) -> int:
        """What has flowed until now."""
        return self._flow.millilitres

    async def pour(self, *, not_after_mono_ms: int) -> PourResult:
        """Open, watch, shut and settle; the order to open never leaves after `not_after_mono_ms`."""
        return await self._settle_from(State.READY, not_after_mono_ms)

    async def resume(self) -> PourResult:
        """Settle a pour found open after a crash: shut its valve and let the meter tell. Nothing is opened again."""
        self._shut_by_ms = self._clock.mono_ms() + SLICE_MS + TIMER_SLACK_MS
        return await self._settle_from(State.CLOSING, 0)

    async def _settle_from(self, state: State, not_after_mono_ms: int) -> PourResult:
        watched = state is State.READY
        while state not in ENDS:
            event = await self._next_event(state, watched, not_after_mono_ms)
            if event is None:
                continue
            state = follow(state, event)
            if (reason := REASONS.get(event)) is not None:
                self._reason = reason
            if state is State.CLOSING:
                await self._note_closing(event)
        return self._result(state, watched)

    async def _next_event(self, state: State, watched: bool, not_after_mono_ms: int) -> Event | None:
        match state:
            case State.READY:
                return await self._open(not_after_mono_ms)
            case State.OPENING | State.FLOWING:
                return await self._watch()
            case State.CLOSING:
                return await self._shut()
            case _:
                return await self._wait_still(watched)

    # --- while open ---

    async def _open(self, not_after_mono_ms: int) -> Event:
        self._opened_ms = self._clock.mono_ms()
        if self._opened_ms > not_after_mono_ms:
            return Event.NEVER_OPENED
        self._even = Evenness(Point(0, self._opened_ms), self._limits.usual_pace)
        try:
            await self._arm()
        except NeverSent:
            return Event.NEVER_OPENED
        except LINE_TROUBLE as trouble:
            log.info("the valve did not answer: %s", trouble)
            self._open_until_ms = self._clock.mono_ms() + REARM_MS
            return Event.UNANSWERED
        finally:
            self._flow = replace(self._flow, last_growth_ms=self._clock.mono_ms())
        return Event.OPENED

    async def _arm(self) -> None:
        """Let the valve stay open for one more slice. What was sent may have been heard, answered or not."""
        asked_ms = self._clock.mono_ms()
        try:
            await self._valve.open_for(self._intent.relay, SLICE_MS)
        except NeverSent:
            raise
        except LINE_TROUBLE:
            self._shut_by_ms = self._clock.mono_ms() + SLICE_MS + TIMER_SLACK_MS
            raise
        self._open_until_ms = asked_ms + SLICE_MS
        self._shut_by_ms = self._clock.mono_ms() + SLICE_MS + TIMER_SLACK_MS

    async def _watch(self) -> Event | None:
        """One look at an open valve; None when it goes on as it is."""
        if self._open_until_ms - self._clock.mono_ms() <= SLICE_MS - REARM_MS:
            try:
                await self._arm()
            except LINE_TROUBLE as trouble:
                log.info("the valve did not answer: %s", trouble)
                if self._clock.mono_ms() >= self._open_until_ms:
                    return Event.VALVE_LOST
        grew = await self._look()
        event = closing_event(self._as_look(), self._bounds())
        if event is not None:
            return event
        await within(self._clock, self._stop.wait(), self._look_again_ms())
        return Event.FLOW if grew else None

    async def _look(self) -> bool:
        """Read the meter; whether it has grown. A silent one is noticed by the age of its last reading."""
        try:
            reading = await self._meter.totaliser()
        except LINE_TROUBLE as trouble:
            log.info("the meter did not answer: %s", trouble)
            return False
        before = self._flow.counts
        self._flow = self._flow.take(reading)
        self._even = self._even.take(Point(self._flow.counts, reading.mono_ms))
        return self._flow.counts > before

    def _as_look(self) -> Look:
        assert self._opened_ms is not None
        now = self._clock.mono_ms()
        newest = max(self._flow.newest.mono_ms, self._opened_ms)
        return Look(
            flowed_ml=self._flow.millilitres,
            open_for_ms=now - self._opened_ms,
            since_growth_ms=now - max(self._flow.last_growth_ms, self._opened_ms),
            since_reading_ms=now - newest,
            meter_sane=not self._flow.broken,
            stop_asked=self._stop.is_set(),
        )

    def _bounds(self) -> Bounds:
        limits = self._limits
        return Bounds(
            asked_ml=limits.asked_ml,
            overrun_ml=flows.overrun_ml(self._flow.ml_per_s(), limits.overrun_ms),
            volume_ml_max=limits.volume_ml_max,
            time_ms_max=limits.time_ms_max,
            stall_ms=limits.stall_ms,
            meter_silence_ms=METER_SILENCE_MS,
        )

    def _look_again_ms(self) -> int:
        """The usual pace, or sooner when the target comes before the next look."""
        bounds = self._bounds()
        left_ms = self._flow.ms_until(bounds.asked_ml - bounds.overrun_ml)
        if left_ms is None:
            return LOOK_MS
        return max(1, min(LOOK_MS, left_ms - (self._clock.mono_ms() - self._flow.newest.mono_ms)))

    # --- after that ---

    async def _note_closing(self, event: Event) -> None:
        """The state of things when the valve was told to shut."""
        self._closing_ms = self._clock.mono_ms()
        self._flow_at_closing = self._flow
        self._closing_pace = self._flow.ml_per_s()
        ahead_ms = self._closing_ms - self._flow.newest.mono_ms
        self._closing_ml = self._flow.millilitres + self._closing_pace * ahead_ms // 1000
        if event is Event.STALLED:
            probes = await self._probes()
            self._dry = stall_is_proven(probes.pressure_kpa, probes.level_mm)

    async def _probes(self) -> WaterReading:
        try:
            return await self._sensors.read()
        except LINE_TROUBLE as trouble:
            log.info("the probes did not answer: %s", trouble)
            return WaterReading()

    async def _shut(self) -> Event | None:
        try:
            await self._valve.shut(self._intent.relay)
        except LINE_TROUBLE as trouble:
            log.warning("the valve did not answer the order to shut: %s", trouble)
            if self._clock.mono_ms() >= self._shut_by_ms:
                return Event.RAN_OUT
            await self._clock.sleep_ms(LOOK_MS)
            return None
        return Event.SHUT

    async def _wait_still(self, watched: bool) -> Event | None:
        """One look at the settling meter; a verdict once it stands still, grows on, or cannot be read."""
        now = self._clock.mono_ms()
        try:
            reading = await self._meter.totaliser()
        except LINE_TROUBLE as trouble:
            log.info("the meter did not answer: %s", trouble)
            if now - self._closing_ms > METER_WAIT_MS:
                return Event.DOUBT
            await self._clock.sleep_ms(LOOK_MS)
            return None
        if self._after is None or reading.count != self._after.count:
            if self._after is not None and now - self._closing_ms > FLOWS_ON_MS + STILL_MS:
                self._flows_on = True
            self._after = reading
            self._still_since_ms = reading.mono_ms
        if watched:
            self._flow = self._flow.take(reading)
        if self._flows_on:
            return Event.FLOWS_ON
        if reading.mono_ms - self._still_since_ms < STILL_MS:
            await self._clock.sleep_ms(LOOK_MS)
            return None
        return Event.STILL if self._is_proven(reading, watched) else Event.DOUBT

    def _is_proven(self, after: Totaliser, watched: bool) -> bool:
        """Whether the settled count tells how much has flowed."""
        volume = self._between(after)
        if not volume.certain or (self._reason == "stalled" and not self._dry):
            return False
        if not watched:
            return True
        return not self._flow.broken and self._even.is_even and self._overran_as_usual(volume.poured_ml)

    def _overran_as_usual(self, poured_ml: int) -> bool:
        """Whether valve and meter followed the order to shut: water came for a while, and not for long."""
        expected_ml = flows.overrun_ml(self._closing_pace, self._limits.overrun_ms)
        overrun_ml = poured_ml - self._closing_ml
        if self._reason == "valve_lost":  # it was open until its timer ran out
            return overrun_ml > 0 or self._closing_pace == 0
        if self._reason == "meter_lost":
            return self._caught_up(poured_ml)
        at_most_ms = self._limits.overrun_ms * OVERRUN_TIMES_MAX + OVERRUN_SLACK_MS
        if overrun_ml * 1000 > self._closing_pace * at_most_ms + flows.SLACK_ML * 1000:
            return False
        counts = self._flow.factor.counts(expected_ml)
        return counts < OVERRUN_COUNTS_MIN or overrun_ml * OVERRUN_TIMES_MIN >= expected_ml

    def _caught_up(self, poured_ml: int) -> bool:
        """Whether a meter that was silent had counted on meanwhile: a rotor that stood would show too little."""
        unseen_ms = self._closing_ms - self._flow_at_closing.last_growth_ms
        expected_ml = self._closing_pace * unseen_ms // 1000
        seen_ml = poured_ml - self._flow_at_closing.millilitres
        counts = self._flow.factor.counts(expected_ml)
        return self._closing_pace > 0 and (counts < OVERRUN_COUNTS_MIN or seen_ml * CAUGHT_UP_SHARE >= expected_ml)

    def _between(self, after: Totaliser) -> flows.Volume:
        intent = self._intent
        factor = Factor(intent.pulses_per_litre_milli)
        return flows.between(intent.totaliser_before, after.count, intent.modulus, factor, intent.at_most_ml)

    def _result(self, state: State, watched: bool) -> PourResult:
        after, learned = self._after, Learned()
        if watched:
            open_ms = 0 if self._opened_ms is None else max(0, self._closing_ms - self._opened_ms)
            learned = Learned(open_ms=open_ms, pace=self._even.pace)
        if after is None:
            # Never opened, or a meter that never came back: what was seen of it is the best that is known.
            return PourResult(state, self._reason, self._flow.millilitres, self._flow.newest.count, learned)
        volume = self._between(after)
        poured_ml = volume.poured_ml if volume.certain else self._flow.millilitres
        overrun_ml = poured_ml - self._closing_ml if watched else 0
        # Doubtful pours teach as well, or one disturbed lesson would make every sound pour after it doubtful.
        if watched and self._reason == "target" and self._closing_pace > 0:
            learned = replace(learned, overrun_ms=max(0, overrun_ml) * 1000 // self._closing_pace)
        return PourResult(state, self._reason, poured_ml, after.count, learned, overrun_ml, self._flows_on)
