"""Drives one attempt through its table: asks the board, reads its answers as events, and knows when to give up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from edge_agent.devices.ports import AisleMotors, BoardFinished
from edge_agent.errors import BoardMisbehaved, BoardSilent, DeadlinePassed, LinkDown, NeverSent
from edge_agent.ledger.journal import AttemptPlan
from edge_agent.vend.transitions import ENDS, Event, Seen, State, follow, read_start_answer, read_status
from shared.clock import Clock
from shared.messages import Attempt

# What a line or a board may do to a request. None of it says anything about a motor.
LINE_TROUBLE = (LinkDown, BoardSilent, BoardMisbehaved, NeverSent)


# A turn takes two to four seconds; five looks a second see its end soon enough.
POLL_MS = 200


@dataclass(frozen=True, slots=True)
class VendLimits:
    """How long a vend may take, in milliseconds.

    poll: between two looks at a turning motor. silence: how long a silent board is waited for; its result is latched,
    so waiting brings proof, and giving up costs a review. turning: longer than any board lets a motor run (3 to 10 s).
    """

    poll_ms: int = POLL_MS
    silence_ms: int = 60_000
    turning_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class Evidence:
    """How to weigh what the board will say: see `transitions.judge`."""

    sensor_expected: bool
    stall_proof_ms: int | None


_OUTCOMES: Final[dict[State, Literal["delivered", "failed", "unknown"]]] = {
    State.DELIVERED: "delivered",
    State.FAILED: "failed",
    State.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an attempt ended, and what the board said of its run (None when it said nothing)."""

    state: State
    seen: Seen
    run: BoardFinished | None

    def as_attempt(self, txn: int, plan: AttemptPlan) -> Attempt:
        """The attempt as it is reported to the cloud."""
        outcome = _OUTCOMES[self.state]
        if self.run is None:
            return Attempt(txn=txn, aisle=plan.aisle, outcome=outcome)
        return Attempt(
            txn=txn,
            aisle=plan.aisle,
            outcome=outcome,
            result=self.run.fault or "ok",
            drop_seen=self.run.drop_seen,
            max_current_ma=self.run.max_current_ma,
            avg_current_ma=self.run.avg_current_ma,
            run_time_ms=self.run.run_time_ms,
        )


class AttemptRun:
    """One attempt on one board, used once. `motors` is None when the settings no longer name the board."""

    def __init__(
        self,
        *,
        motors: AisleMotors | None,
        plan: AttemptPlan,
        evidence: Evidence,
        clock: Clock,
        limits: VendLimits,
        not_after_mono_ms: int,
    ) -> None:
        self._motors = motors
        self._plan = plan
        self._evidence = evidence
        self._clock = clock
        self._limits = limits
        self._not_after_mono_ms = not_after_mono_ms
        self._began_ms = self._heard_ms = clock.mono_ms()
        self._start_was_lost = False
        self._run: BoardFinished | None = None

    async def settle(self, state: State) -> Verdict:
        """Return the end of the attempt, beginning at `ready`, or at `uncertain` for one found open after a crash."""
        self._start_was_lost = state is State.UNCERTAIN
        while True:
            seen = await (self._start() if state is State.READY else self._look(state))
            if self._patience_ended() and (seen is None or seen.event is Event.SAW_TURNING):
                seen = Seen(Event.GAVE_UP, unknown_reason="board_silent")
            if seen is not None:
                state = follow(state, seen.event)
                if state in ENDS:
                    return Verdict(state=state, seen=seen, run=self._run)
            if state is not State.READY:
                await self._clock.sleep_ms(self._limits.poll_ms)

    async def _start(self) -> Seen:
        """Send the start once. The way back to `ready` needs proof that it never began, so this never doubles it."""
        assert self._motors is not None, "ready is reached only through an inspected board"
        late = Seen(Event.TOO_LATE, fail_reason="never_began" if self._start_was_lost else "late_grant")
        try:
            answer = await self._motors.start(self._plan.motor, not_after_mono_ms=self._not_after_mono_ms)
        except DeadlinePassed:
            return late
        except NeverSent:
            return Seen(Event.TOO_LATE, fail_reason="never_began")
        except (LinkDown, BoardSilent, BoardMisbehaved):
            self._start_was_lost = True
            return Seen(Event.UNANSWERED)
        self._heard_ms = self._clock.mono_ms()
        return read_start_answer(answer)

    async def _look(self, state: State) -> Seen | None:
        """What the board shows of our run; None when it cannot be asked now."""
        if self._motors is None:
            return None
        try:
            status = await self._motors.status(confirmed=True)
        except LINE_TROUBLE:
            return None
        self._heard_ms = self._clock.mono_ms()
        if isinstance(status, BoardFinished) and status.motor == self._plan.motor:
            self._run = status
        return read_status(
            status,
            motor=self._plan.motor,
            last_motor_before=self._plan.last_motor_before or 0,
            remembers_last_motor=self._motors.proof.remembers_last_motor,
            accepted=state is State.TURNING,
            sensor_expected=self._evidence.sensor_expected,
            stall_proof_ms=self._evidence.stall_proof_ms,
        )

    def _patience_ended(self) -> bool:
        now = self._clock.mono_ms()
        silent_for = now - self._heard_ms
        return silent_for > self._limits.silence_ms or now - self._began_ms - silent_for > self._limits.turning_ms
