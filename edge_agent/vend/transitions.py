"""One attempt to turn one motor, as a table.

Theory of operation
-------------------
An attempt begins when its intent is on disk (I4) and ends in exactly one of three states: `delivered`, `failed`,
`unknown`. `failed` needs proof that nothing fell, `delivered` needs proof that something did; everything else is
`unknown`, and a person decides (I2). The software never guesses.

    ready      the intent is committed, the start has not left
    uncertain  the start may have left, its answer is lost; an attempt found open after a crash begins here
    turning    the board said that the motor turns

Two rules keep the motor from turning twice:

* Only `ready` may send a start. The single way back to `ready` is `proved_idle`: the board's memory of its last motor
  shows that it neither ran ours nor was reset since the intent (I5).
* `turning` never returns to `ready`. A board that is idle without a result after it had accepted has lost its memory
  (it was reset): that is `unknown`, not a reason to try again.

The events are what a board can say (`read_status`), what the line can do to a start, and one clock: `gave_up`, when
the board stayed silent for as long as we are willing to wait for its latched result.

A verdict on a finished run (`judge`) weighs the motor against the drop sensor. A drop that was seen is proof of
delivery. A drop that was not seen proves nothing: a blind sensor looks exactly like a spiral that let nothing go. What
does prove that nothing fell is the motor:

    sensor saw a drop                          delivered, whatever the motor says
    open circuit                               failed: a motor without current does not turn
    over-current before the spiral can open    failed: it stalled too early to let go (`stall_proof_ms`)
    anything else, nothing seen                unknown: the motor may have gone far enough, and nobody saw
    detection off, motor fine                  delivered on the motor's word: the owner chose to have no other
    detection off, other motor fault           unknown: nobody saw how far the spiral came

So a second motor turns for one order only after the first was proven to have delivered nothing (I1, I5).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge_agent.devices.ports import BoardFinished, BoardIdle, BoardStatus, BoardTurning, StartAnswer
from shared.messages import FailReason, UnknownReason


class State(StrEnum):
    """Where an attempt stands."""

    READY = "ready"
    UNCERTAIN = "uncertain"
    TURNING = "turning"
    DELIVERED = "delivered"
    FAILED = "failed"
    UNKNOWN = "unknown"


ENDS: Final = frozenset({State.DELIVERED, State.FAILED, State.UNKNOWN})


class Event(StrEnum):
    """What can happen to an attempt."""

    ACCEPTED = "accepted"  # the board answered the start: it turns
    REFUSED = "refused"  # the board answered the start: it will not
    UNANSWERED = "unanswered"  # the start was sent, the answer is lost
    TOO_LATE = "too_late"  # the deadline passed before the start could be sent
    SAW_TURNING = "saw_turning"  # our motor turns
    SAW_DROP = "saw_drop"  # our motor's run ended, verdict: delivered
    SAW_FAILURE = "saw_failure"  # our motor's run ended, verdict: nothing fell
    SAW_RIDDLE = "saw_riddle"  # our motor's run ended, verdict: nobody can say
    PROVED_IDLE = "proved_idle"  # idle, and the board's memory proves that our start never began
    SAW_IDLE = "saw_idle"  # idle without such proof, or busy with a motor that is not ours
    GAVE_UP = "gave_up"  # the board stayed silent for the whole time we wait


TABLE: Final[dict[tuple[State, Event], State]] = {
    (State.READY, Event.ACCEPTED): State.TURNING,
    (State.READY, Event.REFUSED): State.FAILED,
    (State.READY, Event.TOO_LATE): State.FAILED,
    (State.READY, Event.UNANSWERED): State.UNCERTAIN,
    (State.UNCERTAIN, Event.PROVED_IDLE): State.READY,
    (State.UNCERTAIN, Event.SAW_IDLE): State.UNKNOWN,
    (State.UNCERTAIN, Event.SAW_TURNING): State.TURNING,
    (State.UNCERTAIN, Event.SAW_DROP): State.DELIVERED,
    (State.UNCERTAIN, Event.SAW_FAILURE): State.FAILED,
    (State.UNCERTAIN, Event.SAW_RIDDLE): State.UNKNOWN,
    (State.UNCERTAIN, Event.GAVE_UP): State.UNKNOWN,
    (State.TURNING, Event.SAW_TURNING): State.TURNING,
    (State.TURNING, Event.SAW_DROP): State.DELIVERED,
    (State.TURNING, Event.SAW_FAILURE): State.FAILED,
    (State.TURNING, Event.SAW_RIDDLE): State.UNKNOWN,
    (State.TURNING, Event.PROVED_IDLE): State.UNKNOWN,
    (State.TURNING, Event.SAW_IDLE): State.UNKNOWN,
    (State.TURNING, Event.GAVE_UP): State.UNKNOWN,
}


class IllegalEvent(Exception):
    """An event came in a state that does not know it: a bug. The state is unchanged."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event} cannot happen to an attempt that is {state}")
        self.state = state
        self.event = event


def follow(state: State, event: Event) -> State:
    """The state after `event`; raises `IllegalEvent`."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise IllegalEvent(state, event) from None


@dataclass(frozen=True, slots=True)
class Seen:
    """An event, and why it is one: the reason is set where the event can end an attempt as failed or unknown."""

    event: Event
    fail_reason: FailReason | None = None
    unknown_reason: UnknownReason | None = None


def read_start_answer(answer: StartAnswer) -> Seen:
    """What the board's answer to a start means. Every refusal is proof: the board says that it did not begin."""
    if answer == "accepted":
        return Seen(Event.ACCEPTED)
    # Only an index that the board does not have speaks of the aisle; a busy board may start it another time.
    return Seen(Event.REFUSED, fail_reason="refused" if answer == "invalid_motor" else "never_began")


def judge(run: BoardFinished, *, sensor_expected: bool, stall_proof_ms: int | None) -> Seen:
    """The verdict on our finished run; the table is in this file's essay.

    `stall_proof_ms`: an over-current sooner than this after the start proves that nothing was let go; None when the
    spiral may not have stood at home, so that no run time proves anything.
    """
    if run.drop_seen:
        return Seen(Event.SAW_DROP)
    if run.fault == "open":
        return Seen(Event.SAW_FAILURE, fail_reason="open_motor")
    if run.fault == "over_current" and stall_proof_ms is not None and run.run_time_ms < stall_proof_ms:
        return Seen(Event.SAW_FAILURE, fail_reason="jam")
    if run.drop_seen is not None:
        return Seen(Event.SAW_RIDDLE, unknown_reason="nothing_seen")
    if sensor_expected:
        # The board was told to watch for a drop and did not: it was reset, and nobody looked.
        return Seen(Event.SAW_RIDDLE, unknown_reason="board_reset")
    if run.fault is None:
        return Seen(Event.SAW_DROP)
    return Seen(Event.SAW_RIDDLE, unknown_reason="motor_fault")


def read_status(
    status: BoardStatus,
    *,
    motor: int,
    last_motor_before: int,
    remembers_last_motor: bool,
    accepted: bool,
    sensor_expected: bool,
    stall_proof_ms: int | None,
) -> Seen:
    """What a board's status means for our run of `motor`.

    `last_motor_before` is the board's memory just before the intent. It proves that our start never began when it is
    neither 0 (what a reset leaves) nor ours, and the board still shows it.
    """
    lost: UnknownReason = "board_reset" if accepted else "no_proof"
    match status:
        case BoardTurning():
            if status.motor == motor:
                return Seen(Event.SAW_TURNING)
            return Seen(Event.SAW_IDLE, unknown_reason=lost)
        case BoardFinished():
            if status.motor == motor:
                return judge(status, sensor_expected=sensor_expected, stall_proof_ms=stall_proof_ms)
            return Seen(Event.SAW_IDLE, unknown_reason=lost)
        case BoardIdle():
            proves = remembers_last_motor and status.last_motor == last_motor_before != motor and last_motor_before != 0
            if proves and not accepted:
                return Seen(Event.PROVED_IDLE, fail_reason="never_began")
            return Seen(Event.SAW_IDLE, unknown_reason=lost)


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = [
        "stateDiagram-v2",
        "    [*] --> ready: intent committed",
        "    [*] --> uncertain: found open after a crash",
    ]
    lines += [f"    {state} --> {after}: {event}" for (state, event), after in TABLE.items()]
    lines += [f"    {end} --> [*]" for end in sorted(ENDS)]
    return "\n".join(lines)
