"""Drives one pour through its table: keeps the valve open in short slices, watches the meter, shuts in time."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Final

from edge_agent.devices.ports import Purifier, Totaliser, WaterSensors
from edge_agent.errors import BoardMisbehaved, BoardSilent, LinkDown, NeverSent
from edge_agent.ledger.pours import Learned, PourIntent
from edge_agent.pour import evenness
from edge_agent.pour import flow as flows
from edge_agent.pour.evenness import Habit, Moment, Point, Stay
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
from edge_agent.pour.witness import Seen, Witness
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
# With what a look takes on the line that makes ten a second: they see a glass fill in steps of some ml, and its line is
# drawn through them. The last step is measured out by the pace.
LOOK_MS: Final = 50
# A meter that is silent for so long while water flows: at 30 ml/s that is a mouthful.
METER_SILENCE_MS: Final = 1_000
# Standing still for so long is shut: a pilot valve takes up to 600 ms to close.
STILL_MS: Final = 1_000
# Growing for so long after the order to shut is a stuck valve or a leak.
FLOWS_ON_MS: Final = 4_000
# How long a meter that fell silent is waited for, because its count settles the pour for certain.
METER_WAIT_MS: Final = 15_000
# Within so long an order has left, also when it waits its turn on the line, and was heard if it ever will be.
ORDER_MS: Final = 100
# A moment that is known less well teaches nothing about a valve, which sways by 30 ms and is to be known by 10.
TAUGHT_SPREAD_MS: Final = 10
# No growth for the time of so many counts is a pause, and the probes are asked in it: is there water at all? What may
# pass a standing rotor until they have answered is a part of the doubt, so it is asked soon.
PAUSE_COUNTS: Final = 1.5
# Before the first drop, when there is no pace to go by.
PAUSE_MS: Final = 400


@dataclass(frozen=True, slots=True)
class PourLimits:
    """What this pour must keep to. `nominal_ml_per_s` and `habit` are the outlet's."""

    asked_ml: int
    volume_ml_max: int
    time_ms_max: int
    stall_ms: int
    nominal_ml_per_s: int
    habit: Habit
    dry_ms: int | None = None  # when a probe showed that there was no water, if one did before the valve was opened


@dataclass(frozen=True, slots=True)
class PourResult:
    """How a pour ended, and what it taught about its outlet. `doubt` is None exactly when it is certain."""

    state: State
    reason: PourReason
    poured_ml: int
    totaliser_after: int
    learned: Learned
    overrun_ml: int = 0
    flows_on: bool = False
    doubt: str | None = None  # why nobody can say how much has flowed

    @property
    def certain(self) -> bool:
        return self.state is State.ENDED


class PourRun:
    """One pour at one outlet, used once. `progress` holds what has flowed, for a display."""

    def __init__(
        self,
        *,
        purifier: Purifier,
        intent: PourIntent,
        limits: PourLimits,
        clock: Clock,
        stop: asyncio.Event,
        witness: Witness,
    ) -> None:
        self._valve = purifier.valve
        self._meter = purifier.meter
        self._sensors = purifier.sensors
        self._intent = intent
        self._limits = limits
        self._clock = clock
        self._stop = stop
        self._witness = witness
        before = Totaliser(intent.totaliser_before, intent.modulus, clock.mono_ms())
        factor = Factor(intent.pulses_per_litre_milli)
        self._flow = Flow.begin(before, factor, limits.nominal_ml_per_s)
        self._trace: list[Point] = []
        self._run_on: list[Point] = []  # what was read after the order to shut, while the meter grew
        self._never_asked = False  # of a pour found open: no order to open had left
        self._unseen: str | None = None  # of a pour found open: why nobody can tell how its water came
        self._opened_ms: int | None = None  # when the first order to open left
        self._asked_first_ms: int | None = None  # when the first one left that the relay may have heard
        self._order_ms = 0  # how long the last one took until it was heard
        self._open_from: Moment | None = None  # when the relay heard the first
        self._heard = Moment(clock.mono_ms())  # when it heard the last that it answered
        self._shutting_ms: int | None = None  # when the first order to shut left
        self._shut_from: Moment | None = None  # when it heard one, or its timer shut it
        self._open_until_ms = clock.mono_ms()  # until then the relay surely keeps it open
        self._shut_by_ms = clock.mono_ms()  # by then the relay's own timer has surely shut it
        self._closing_ms = clock.mono_ms()
        self._closing_ml = 0
        self._closing_pace = 0
        self._flow_at_closing = self._flow
        self._reason: PourReason = "power_lost"
        self._dry_ms = limits.dry_ms  # since when the probes show that there is no water
        self._dry = False  # they have shown it until the end
        self._flows_on = False
        self._doubt = "the meter did not answer any more"  # unless it does
        self._after: Totaliser | None = None
        self._still_since_ms = 0

    @property
    def poured_ml(self) -> int:
        """What has flowed until now."""
        return self._flow.millilitres

    async def pour(self, *, not_after_mono_ms: int) -> PourResult:
        """Open, watch, shut and settle; the order to open never leaves after `not_after_mono_ms`."""
        return await self._settle_from(State.READY, not_after_mono_ms)

    async def resume(self, seen: Seen | None) -> PourResult:
        """Settle a pour found open after a crash: shut its valve and let the meter tell. Nothing is opened again.

        `seen`: what the agent that died saw of it, if that is known.
        """
        self._shut_by_ms = self._clock.mono_ms() + SLICE_MS + TIMER_SLACK_MS
        self._remember(seen)
        return await self._settle_from(State.CLOSING, 0)

    def _remember(self, seen: Seen | None) -> None:
        """Judge the pour by what was seen of it. Its valve was shut by the relay's timer, if not by an order."""
        if seen is None:
            self._unseen = "nobody saw it: the machine was without power, or the file is lost"
        elif seen.asked_first_ms is None:
            self._never_asked = True
        elif seen.waits or seen.opened is None or seen.heard is None:
            self._unseen = "the agent died over an order, and nobody knows whether the relay had heard it"
        else:
            self._trace = seen.trace
            self._open_from = seen.opened
            self._shut_from = seen.shut or _after_slice(seen.heard)

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
        self._trace = [Point(0, self._opened_ms)]
        self._witness.point(self._trace[0])
        try:
            await self._arm()
        except NeverSent:
            return Event.NEVER_OPENED
        except LINE_TROUBLE as trouble:
            log.info("the valve did not answer: %s", trouble)
            self._open_until_ms = self._clock.mono_ms() + REARM_MS
            match await self._is_open():
                case True:
                    self._note_opened(evenness.between(self._opened_ms, self._opened_ms + ORDER_MS))
                case False:
                    self._asked_first_ms = None
            return Event.UNANSWERED
        finally:
            self._flow = replace(self._flow, last_growth_ms=self._clock.mono_ms())
        return Event.OPENED

    async def _arm(self) -> None:
        """Let the valve stay open for one more slice. What was sent may have been heard, answered or not."""
        asked_ms = self._clock.mono_ms()
        self._asked_first_ms = self._asked_first_ms or asked_ms
        self._witness.moment("asked", Moment(asked_ms))
        try:
            heard = await self._valve.open_for(self._intent.relay, SLICE_MS)
        except NeverSent:
            raise
        except LINE_TROUBLE:
            self._shut_by_ms = self._clock.mono_ms() + SLICE_MS + TIMER_SLACK_MS
            raise
        self._heard = evenness.between(heard.asked_ms, heard.answered_ms)
        self._witness.moment("heard", self._heard)
        self._order_ms = max(0, self._heard.at_ms - asked_ms)
        if self._open_from is None:
            is_first = self._asked_first_ms == asked_ms
            self._note_opened(self._heard if is_first else evenness.between(self._asked_first_ms, heard.answered_ms))
        self._open_until_ms = asked_ms + SLICE_MS
        self._shut_by_ms = self._clock.mono_ms() + SLICE_MS + TIMER_SLACK_MS

    def _note_opened(self, heard: Moment) -> None:
        self._open_from = heard
        self._witness.moment("opened", heard)

    async def _is_open(self) -> bool | None:
        """What the relay says of itself; None when it is silent."""
        try:
            return await self._valve.is_open(self._intent.relay)
        except LINE_TROUBLE as trouble:
            log.info("the valve did not answer: %s", trouble)
            return None

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
        await self._look_into_pause()
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
        point = Point(self._flow.counts, reading.mono_ms, reading.took_ms)
        evenness.keep(self._trace, point)
        self._witness.point(point)
        return self._flow.counts > before

    async def _look_into_pause(self) -> None:
        """While the meter stands still: do the probes show that there is no water? Later it looks like a rotor's."""
        if self._flow.newest.mono_ms - self._flow.last_growth_ms < self._pause_ms():
            return
        match await is_dry(self._sensors):
            case True:
                self._dry_ms = self._dry_ms or self._clock.mono_ms()
            case False:
                self._dry_ms = None

    def _pause_ms(self) -> int:
        pace = self._flow.ml_per_s()
        if pace == 0:
            return PAUSE_MS
        return min(PAUSE_MS, round(PAUSE_COUNTS * 10**9 / (self._intent.pulses_per_litre_milli * pace)))

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
            overrun_ml=flows.overrun_ml(self._flow.ml_per_s(), limits.habit.overrun_ms + self._order_ms),
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
            self._dry = self._dry_ms is not None and await is_dry(self._sensors) is True
        elif event is Event.VALVE_LOST:
            self._shut_from = _after_slice(self._heard)

    async def _shut(self) -> Event | None:
        asked_ms = self._clock.mono_ms()
        is_first = self._shutting_ms is None
        self._shutting_ms = self._shutting_ms or asked_ms
        self._witness.moment("shutting", Moment(asked_ms))
        try:
            heard = await self._valve.shut(self._intent.relay)
        except LINE_TROUBLE as trouble:
            log.warning("the valve did not answer the order to shut: %s", trouble)
            if is_first and isinstance(trouble, NeverSent):
                self._shutting_ms = None
            if self._clock.mono_ms() >= self._shut_by_ms:
                return Event.RAN_OUT
            match await self._is_open():
                case False:
                    self._note_shut(evenness.between(self._shutting_ms or asked_ms, asked_ms + ORDER_MS))
                    return Event.SHUT
                case None:
                    await self._clock.sleep_ms(LOOK_MS)
            return None
        self._note_shut(evenness.between(heard.asked_ms if is_first else self._shutting_ms, heard.answered_ms))
        return Event.SHUT

    def _note_shut(self, heard: Moment) -> None:
        """The relay has shut it, unless its timer had done so before."""
        if self._shut_from is None or heard.at_ms < self._shut_from.at_ms:
            self._shut_from = heard
        self._witness.moment("shut", self._shut_from)

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
            counts, self._flow = self._flow.counts, self._flow.take(reading)
            if self._flow.counts > counts:
                evenness.keep(self._run_on, Point(self._flow.counts, reading.mono_ms, reading.took_ms))
        if self._flows_on:
            self._doubt = "water still passed the meter when the valve was long shut"
            return Event.FLOWS_ON
        still_ms = reading.mono_ms - self._still_since_ms
        if still_ms < STILL_MS:
            # As often as the line allows while it runs on, because the last reading of it counts.
            await self._clock.sleep_ms(1 if still_ms < LOOK_MS else LOOK_MS)
            return None
        why = self._why_doubtful(reading)
        if why is None:
            return Event.STILL
        log.warning("nobody can say how much has flowed: %s", why)
        self._doubt = why
        return Event.DOUBT

    def _why_doubtful(self, after: Totaliser) -> str | None:
        """Why the settled count does not tell how much has flowed; None when it does."""
        if not self._between(after).certain:
            return "the meter was cleared or disturbed"
        if self._reason == "stalled" and not self._dry:
            return "the meter stood still, and no probe shows that there was no water"
        if self._never_asked:
            return "water flowed unasked" if self._counted(after) else None
        if self._unseen is not None:
            return self._unseen
        if self._flow.broken:
            return "the meter was cleared or disturbed"
        if self._open_from is None:
            return "the relay never answered an order to open"
        if self._reason == "stalled":
            ended = None if self._dry_ms is None else Moment(self._dry_ms)
        else:
            ended = self._shut_from
        if ended is None:
            return "the relay never answered an order to shut"
        stay = Stay(self._open_from, ended, dry=self._reason == "stalled")
        doubt = evenness.doubt(self._trace, self._counted(after), stay, self._limits.habit, self._run_on)
        return None if doubt is None else doubt.told(1_000_000 / self._intent.pulses_per_litre_milli)

    def _counted(self, after: Totaliser) -> int:
        """What the settled meter has counted; 0 when it cannot be."""
        intent = self._intent
        at_most = Factor(intent.pulses_per_litre_milli).counts(intent.at_most_ml)
        return flows.grown(intent.totaliser_before, after.count, intent.modulus, at_most) or 0

    def _between(self, after: Totaliser) -> flows.Volume:
        intent = self._intent
        factor = Factor(intent.pulses_per_litre_milli)
        return flows.between(intent.totaliser_before, after.count, intent.modulus, factor, intent.at_most_ml)

    def _result(self, state: State, watched: bool) -> PourResult:
        after = self._after
        learned = self._learned(after) if watched else Learned()
        doubt = self._doubt if state is State.DOUBTFUL else None
        if after is None:
            # Never opened, or a meter that never came back: what was seen of it is the best that is known.
            seen = self._flow
            return PourResult(state, self._reason, seen.millilitres, seen.newest.count, learned, doubt=doubt)
        volume = self._between(after)
        poured_ml = volume.poured_ml if volume.certain else self._flow.millilitres
        overrun_ml = poured_ml - self._closing_ml if watched else 0
        return PourResult(state, self._reason, poured_ml, after.count, learned, overrun_ml, self._flows_on, doubt)

    def _learned(self, after: Totaliser | None) -> Learned:
        """What this pour taught, believed or not, if it was one straight line from an order to open to one to shut."""
        opened, shut = self._open_from, None if self._reason == "stalled" else self._shut_from
        line = evenness.line_through(self._trace)
        if opened is None or shut is None:
            return Learned(open_ms=0 if self._opened_ms is None else max(0, self._closing_ms - self._opened_ms))
        open_ms = max(0, shut.at_ms - opened.at_ms)
        is_known = max(opened.spread_ms, shut.spread_ms) <= TAUGHT_SPREAD_MS
        if line is None or after is None or not is_known or not evenness.is_straight(self._trace, line):
            return Learned(open_ms=open_ms)
        beyond = self._counted(after) - line.at(shut.at_ms)
        return Learned(open_ms=open_ms, overrun_ms=max(0, round(beyond / line.pace)), pace=line.per_hour)


def _after_slice(heard: Moment) -> Moment:
    """When the relay's own timer shuts what it was told to open then."""
    return Moment(heard.at_ms + SLICE_MS, heard.spread_ms)


async def is_dry(sensors: WaterSensors) -> bool | None:
    """Whether pressure or level show that there is no water to flow; None when no probe says anything."""
    try:
        probes = await sensors.read()
    except LINE_TROUBLE as trouble:
        log.info("the probes did not answer: %s", trouble)
        return None
    if probes.pressure_kpa is None and probes.level_mm is None:
        return None
    return stall_is_proven(probes.pressure_kpa, probes.level_mm)
