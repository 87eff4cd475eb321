"""One pour of water, as a table.

Theory of operation
-------------------
A pour begins when its intent is on disk: order, outlet, limit, and the meter's count before the first drop (I4). It
ends in exactly one of two states: `ended`, when the count before and after proves how much flowed, or `doubtful`, when
nobody can prove it and a person decides (I2). What flowed is charged, never what was asked for.

    ready      the intent is committed, the valve was never told to open
    opening    the order has left; no water has passed the meter yet
    flowing    the meter grows
    closing    the valve is to be shut and nobody has confirmed it yet; a pour found open after a crash begins here
    settling   the valve is shut; what is on its way still passes the meter

Unlike a motor, a valve may be told the same thing twice: `open` only says how long it stays open from now on, and
`shut` does no harm. So there is no state in which the software waits and wonders. Whatever goes wrong while the valve
may be open leads to `closing`, and `closing` has two ways out that cannot both fail: the relay confirms that it is
shut, or the time for which it was last told to stay open has run out, and it has shut by its own timer (I15). A dead
agent is only the longest of these silences.

The volume is never a sum of what the agent happened to see. It is the difference of two readings of the meter's own
counter, so it holds over restarts, lost readings and any pace of reading. It is doubtful when the counter went
backwards, grew faster than water can, cannot be read at the end, or still grows when the valve is long shut: that may
be a stuck valve above the glass or a burst hose behind the wall. It is doubtful as well when it stood still while the
valve was open and nothing else shows that there was no water (`stall_is_proven`), because a stuck counter looks exactly
like an empty tank, and when the pace and the time that the valve was open do not explain the count (`evenness`). After
a death the same is asked of what the dead agent had seen (`witness`); if nothing is left of that, the pour is doubtful.

Events carry no time and no volume: `closing_event` turns them, once per look, into the one event that matters most.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.messages import PourReason


class State(StrEnum):
    """Where a pour stands."""

    READY = "ready"
    OPENING = "opening"
    FLOWING = "flowing"
    CLOSING = "closing"
    SETTLING = "settling"
    ENDED = "ended"
    DOUBTFUL = "doubtful"


ENDS: Final = frozenset({State.ENDED, State.DOUBTFUL})


class Event(StrEnum):
    """What can happen to a pour."""

    OPENED = "opened"  # the relay took the order to open
    UNANSWERED = "unanswered"  # the order to open was sent, the answer is lost: it is told again, which does no harm
    NEVER_OPENED = "never_opened"  # it is proven that the order to open did not leave
    FLOW = "flow"  # the meter has grown since the last look
    TARGET = "target"  # what will have flowed when the valve is shut is what was asked for
    STOPPED = "stopped"  # a person ended it
    STALLED = "stalled"  # no growth for too long
    MAX_TIME = "max_time"
    MAX_VOLUME = "max_volume"
    METER_LOST = "meter_lost"  # the meter does not answer, or what it says cannot be
    VALVE_LOST = "valve_lost"  # the relay may or may not have heard the last order
    SHUT = "shut"  # the relay confirms that it is shut
    RAN_OUT = "ran_out"  # the relay is silent, and its own timer has shut the valve
    STILL = "still"  # the meter stands still, and its count can be trusted
    FLOWS_ON = "flows_on"  # the valve was shut long ago, and the meter still grows
    DOUBT = "doubt"  # the meter cannot prove how much has flowed


# Everything that ends the flow, whether or not water has been seen.
CLOSES: Final = (
    Event.TARGET,
    Event.STOPPED,
    Event.STALLED,
    Event.MAX_TIME,
    Event.MAX_VOLUME,
    Event.METER_LOST,
    Event.VALVE_LOST,
)

TABLE: Final[dict[tuple[State, Event], State]] = {
    (State.READY, Event.OPENED): State.OPENING,
    (State.READY, Event.NEVER_OPENED): State.ENDED,
    (State.READY, Event.UNANSWERED): State.OPENING,
    (State.OPENING, Event.FLOW): State.FLOWING,
    (State.FLOWING, Event.FLOW): State.FLOWING,
    **{(state, event): State.CLOSING for state in (State.OPENING, State.FLOWING) for event in CLOSES},
    (State.CLOSING, Event.SHUT): State.SETTLING,
    (State.CLOSING, Event.RAN_OUT): State.SETTLING,
    (State.SETTLING, Event.STILL): State.ENDED,
    (State.SETTLING, Event.FLOWS_ON): State.DOUBTFUL,
    (State.SETTLING, Event.DOUBT): State.DOUBTFUL,
}

# Why a pour ended, by the event that ended it. Events not named here only move it along.
REASONS: Final[dict[Event, PourReason]] = {
    Event.NEVER_OPENED: "valve_lost",
    Event.TARGET: "target",
    Event.STOPPED: "stopped",
    Event.STALLED: "stalled",
    Event.MAX_TIME: "max_time",
    Event.MAX_VOLUME: "max_volume",
    Event.METER_LOST: "meter_lost",
    Event.VALVE_LOST: "valve_lost",
    Event.FLOWS_ON: "valve_stuck",
}


class IllegalEvent(Exception):
    """An event came in a state that does not know it: a bug. The state is unchanged."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event} cannot happen to a pour that is {state}")
        self.state = state
        self.event = event


def follow(state: State, event: Event) -> State:
    """The state after `event`; raises `IllegalEvent`."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise IllegalEvent(state, event) from None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What ends a pour: volumes in ml, times in ms. `overrun_ml`: what still flows once the valve is told to shut."""

    asked_ml: int
    overrun_ml: int
    volume_ml_max: int
    time_ms_max: int
    stall_ms: int
    meter_silence_ms: int


@dataclass(frozen=True, slots=True)
class Look:
    """One look at an open valve: what has flowed, for how long it is open, and how long ago things were last good."""

    flowed_ml: int
    open_for_ms: int
    since_growth_ms: int
    since_reading_ms: int
    meter_sane: bool = True
    stop_asked: bool = False


def closing_event(look: Look, bounds: Bounds) -> Event | None:
    """Why the valve must be shut now, the gravest reason first; None when it may stay open."""
    if not look.meter_sane or look.since_reading_ms >= bounds.meter_silence_ms:
        return Event.METER_LOST
    if look.flowed_ml >= bounds.volume_ml_max:
        return Event.MAX_VOLUME
    if look.flowed_ml + bounds.overrun_ml >= bounds.asked_ml:
        return Event.TARGET
    if look.stop_asked:
        return Event.STOPPED
    if look.open_for_ms >= bounds.time_ms_max:
        return Event.MAX_TIME
    if look.since_growth_ms >= bounds.stall_ms:
        return Event.STALLED
    return None


# Below either of these a purifier gives no water: a pilot valve opens from about 0.2 bar, and a pump draws air from a
# tank with two fingers of water.
DRY_KPA: Final = 20
DRY_MM: Final = 20


def stall_is_proven(pressure_kpa: int | None, level_mm: int | None) -> bool:
    """Whether a sensor besides the meter shows that there was no water to flow."""
    return (pressure_kpa is not None and pressure_kpa < DRY_KPA) or (level_mm is not None and level_mm < DRY_MM)


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = [
        "stateDiagram-v2",
        "    [*] --> ready: intent committed",
        "    [*] --> closing: found open after a crash",
    ]
    lines += [f"    {state} --> {after}: {event}" for (state, event), after in TABLE.items()]
    lines += [f"    {end} --> [*]" for end in sorted(ENDS)]
    return "\n".join(lines)
