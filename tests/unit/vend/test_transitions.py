"""The attempt table: every pair is legal or raises, ends are ends, and evidence decides as the essay says."""

import itertools

import pytest

from edge_agent.devices.ports import BoardFinished, BoardIdle, BoardTurning, MotorFault
from edge_agent.vend.transitions import (
    ENDS,
    TABLE,
    Event,
    IllegalEvent,
    State,
    diagram,
    follow,
    judge,
    read_start_answer,
    read_status,
)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_pair_is_in_the_table_or_raises(state: State, event: Event) -> None:
    if (state, event) in TABLE:
        assert follow(state, event) is TABLE[state, event]
    else:
        with pytest.raises(IllegalEvent, match=f"{event} cannot happen"):
            follow(state, event)


def test_an_end_has_no_way_out() -> None:
    assert not [pair for pair in TABLE if pair[0] in ENDS]


def test_only_proof_leads_back_to_ready() -> None:
    ways = {pair for pair, after in TABLE.items() if after is State.READY}
    assert ways == {(State.UNCERTAIN, Event.PROVED_IDLE)}


def test_every_open_state_can_reach_an_end() -> None:
    for state in set(State) - ENDS:
        reached = {state}
        while True:
            more = {after for (before, _), after in TABLE.items() if before in reached} | reached
            if more == reached:
                break
            reached = more
        assert reached & ENDS, state


def finished(
    fault: MotorFault | None = None, *, drop: bool | None = True, motor: int = 5, run_time_ms: int = 2900
) -> BoardFinished:
    return BoardFinished(
        motor=motor,
        fault=fault,
        drop_seen=drop,
        max_current_ma=420,
        avg_current_ma=180,
        run_time_ms=run_time_ms,
        temperature_c=6,
    )


EARLY, LATE = 800, 1600
PROOF_MS = 1450


@pytest.mark.parametrize(
    ("run", "expected", "proof_ms", "event", "reason"),
    [
        (finished(), True, PROOF_MS, Event.SAW_DROP, None),
        (finished("over_current"), True, PROOF_MS, Event.SAW_DROP, None),
        (finished("no_stop_signal"), True, None, Event.SAW_DROP, None),
        (finished("open", drop=False), True, None, Event.SAW_FAILURE, "open_motor"),
        (finished("over_current", drop=False, run_time_ms=EARLY), True, PROOF_MS, Event.SAW_FAILURE, "jam"),
        (finished("over_current", drop=False, run_time_ms=LATE), True, PROOF_MS, Event.SAW_RIDDLE, "nothing_seen"),
        (finished("over_current", drop=False, run_time_ms=EARLY), True, None, Event.SAW_RIDDLE, "nothing_seen"),
        (finished("no_stop_signal", drop=False), True, PROOF_MS, Event.SAW_RIDDLE, "nothing_seen"),
        (finished(drop=False), True, PROOF_MS, Event.SAW_RIDDLE, "nothing_seen"),
        (finished(drop=None), True, PROOF_MS, Event.SAW_RIDDLE, "board_reset"),
        (finished(drop=None), False, PROOF_MS, Event.SAW_DROP, None),
        (finished("open", drop=None), False, PROOF_MS, Event.SAW_FAILURE, "open_motor"),
        (finished("over_current", drop=None, run_time_ms=EARLY), False, PROOF_MS, Event.SAW_FAILURE, "jam"),
        (finished("over_current", drop=None, run_time_ms=LATE), False, PROOF_MS, Event.SAW_RIDDLE, "motor_fault"),
        (finished("no_stop_signal", drop=None), False, PROOF_MS, Event.SAW_RIDDLE, "motor_fault"),
    ],
)
def test_verdict(run: BoardFinished, expected: bool, proof_ms: int | None, event: Event, reason: str | None) -> None:
    seen = judge(run, sensor_expected=expected, stall_proof_ms=proof_ms)
    assert seen.event is event
    assert (seen.fail_reason or seen.unknown_reason) == reason


def idle(last_motor: int) -> BoardIdle:
    return BoardIdle(last_motor=last_motor, sensor_blocked=False, temperature_c=6)


@pytest.mark.parametrize(
    ("last_before", "last_now", "remembers", "accepted", "event"),
    [
        (3, 3, True, False, Event.PROVED_IDLE),
        (3, 3, False, False, Event.SAW_IDLE),  # the board promises no memory
        (3, 0, True, False, Event.SAW_IDLE),  # reset
        (0, 0, True, False, Event.SAW_IDLE),  # nothing to remember
        (5, 5, True, False, Event.SAW_IDLE),  # ours ran last time as well
        (3, 5, True, False, Event.SAW_IDLE),  # ours ran, and its result is gone
        (3, 3, True, True, Event.SAW_IDLE),  # it had said that it turns
    ],
)
def test_idle_proves_only_what_the_memory_shows(
    last_before: int, last_now: int, remembers: bool, accepted: bool, event: Event
) -> None:
    seen = read_status(
        idle(last_now),
        motor=5,
        last_motor_before=last_before,
        remembers_last_motor=remembers,
        accepted=accepted,
        sensor_expected=True,
        stall_proof_ms=PROOF_MS,
    )
    assert seen.event is event
    if event is Event.SAW_IDLE:
        assert seen.unknown_reason == ("board_reset" if accepted else "no_proof")


@pytest.mark.parametrize("status", [BoardTurning(motor=9), finished(motor=9)])
def test_another_motor_is_no_evidence_of_ours(status: BoardTurning | BoardFinished) -> None:
    seen = read_status(
        status,
        motor=5,
        last_motor_before=3,
        remembers_last_motor=True,
        accepted=False,
        sensor_expected=True,
        stall_proof_ms=PROOF_MS,
    )
    assert seen.event is Event.SAW_IDLE
    assert seen.unknown_reason == "no_proof"


def test_start_answers() -> None:
    assert read_start_answer("accepted").event is Event.ACCEPTED
    for answer, reason in (("invalid_motor", "refused"), ("busy", "never_began"), ("result_waiting", "never_began")):
        seen = read_start_answer(answer)
        assert (seen.event, seen.fail_reason) == (Event.REFUSED, reason)


def test_the_diagram_shows_every_transition() -> None:
    printed = diagram()
    for (state, event), after in TABLE.items():
        assert f"{state} --> {after}: {event}" in printed
