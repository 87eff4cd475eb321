"""Every fault of the table, seen from the host's end of the line and from the truth."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from firmware_sim.faults import FAULTS, PRESETS, Faults
from firmware_sim.testbench import Host
from firmware_sim.timeline import Timeline
from tests.unit.firmware_sim.bench import (
    ACCEPTED,
    DISPENSING,
    FINISHED,
    IDLE,
    NOTHING_SEEN,
    RUN_MS,
    host,
    parse_poll,
    poll,
    run,
)

POLL_1 = bytes.fromhex("01 03 40 21")
IDLE_REPLY = bytes.fromhex("00 03 00 00 00 00 00 00 00 00 19 37 21")


def replies_under(kind: str, times: int = 200) -> list[bytes]:
    one = host()
    one.machine.fault(kind, "on")
    return [one.exchange(POLL_1, 1000) for _ in range(times)]


# --- the line ----------------------------------------------------------------------------------------------------


def test_noise_changes_or_adds_bytes() -> None:
    one = host()
    one.machine.faults.set_rates({"noise": 0.3})
    replies = [one.exchange(POLL_1) for _ in range(300)]
    assert IDLE_REPLY in replies, "most frames still pass"
    assert b"" in replies, "a spoilt request is not answered"
    assert any(len(reply) == 13 and reply != IDLE_REPLY for reply in replies), "a changed byte"
    assert any(len(reply) > 13 for reply in replies), "an added byte"


def test_loss_takes_bytes() -> None:
    one = host()
    one.machine.faults.set_rates({"loss": 0.3})
    replies = [one.exchange(POLL_1) for _ in range(300)]
    assert {IDLE_REPLY, b""} <= set(replies)
    assert any(0 < len(reply) < 13 for reply in replies)
    assert all(len(reply) <= 13 for reply in replies)


def test_split_cuts_a_reply_anywhere_and_loses_nothing() -> None:
    one = host()
    one.machine.fault("split", "on")
    pieces: list[tuple[int, bytes]] = []
    one.machine.line.send = lambda data: pieces.append((one.machine.timeline.now_ms, data))
    cuts = set()
    for _ in range(300):
        pieces.clear()
        one.exchange(POLL_1, 1000)
        assert b"".join(data for _, data in pieces) == IDLE_REPLY
        assert 2 <= len(pieces) <= 4
        cuts |= {len(pieces[0][1])}
        assert len({at for at, _ in pieces}) == len(pieces), "the pieces come one after another"
    assert cuts == set(range(1, 13)), "every place is cut"


def test_late_replies_come_in_order_with_the_state_they_were_made_in() -> None:
    one = host(late_ms=2500)
    one.machine.fault("late", "once", board=1)
    assert one.exchange(POLL_1, 400) == b"", "late"
    late = one.ask(1, 0x05, 3, wait_ms=3_000)
    assert parse_poll(late[:13]).state == IDLE, "the stale answer says idle although the motor was started after it"
    assert late[13:].hex(" ") == "00 05 00 72 90"
    assert poll(one).state in (DISPENSING, FINISHED)


def test_late_replies_are_bounded() -> None:
    one = host(late_ms=2500)
    one.machine.fault("late", "on")
    arrived: list[int] = []
    one.machine.line.send = lambda data: arrived.append(one.machine.timeline.now_ms)
    waits = []
    for _ in range(200):
        asked_ms = one.machine.timeline.now_ms
        one.exchange(POLL_1, 3_000)
        waits.append(arrived[-1] - asked_ms)
    assert len(arrived) == 200
    assert min(waits) >= 500
    assert 2_300 < max(waits) < 2_600


# --- boards --------------------------------------------------------------------------------------------------------


def test_a_dead_board_is_silent_and_its_neighbour_is_not() -> None:
    one = host(board=[{"address": 1}, {"address": 2}])
    one.machine.fault("dead", "on", board=1)
    assert one.ask(1, 0x03) == b""
    assert poll(one, 2).state == IDLE
    one.machine.fault("dead", "off", board=1)
    assert poll(one, 1).state == IDLE


def test_a_board_that_dies_while_turning_has_its_result_when_it_is_back() -> None:
    one = host()
    one.ask(1, 0x05, 3)
    one.machine.fault("dead", "once", board=1)
    assert one.ask(1, 0x03) == b""
    one.wait(FAULTS["dead"].heals_ms[1])  # type: ignore[index]
    assert poll(one)[:3] == (FINISHED, 3, 0)
    assert one.machine.spiral(1, 3).fell == 1


def test_a_board_reset_while_turning_loses_the_result_and_the_last_motor() -> None:
    endings = set()
    for seed in range(40):
        one = host(seed=seed)
        run(one, 2)
        one.machine.fault("board_reset", "once", board=1)
        assert one.ask(1, 0x05, 3)[2] == ACCEPTED
        one.wait(RUN_MS)
        assert poll(one) == (IDLE, 0, 0, 0, 0, 0, 25)
        cut = one.machine.runs[-1]
        assert cut.cut
        assert cut.fell == (one.machine.spiral(1, 3).fell == 1)
        endings.add(cut.fell)
        assert run(one, 3).result == 0, "the next run finishes the turn"
        assert one.machine.spiral(1, 3).fell == 1 + cut.fell, "and turns out one product"
    assert endings == {True, False}, "the reset comes before the drop or after it"


def test_a_brown_out_restarts_every_board() -> None:
    one = host(board=[{"address": 1}, {"address": 2}, {"address": 3}])
    for board in (1, 2, 3):
        one.ask(board, 0x05, 4)
    one.machine.fault("brown_out", "once")
    one.wait(1_000)
    assert [poll(one, board)[:3] for board in (1, 2, 3)] == [(IDLE, 0, 0)] * 3
    assert [board.boots for board in one.machine.boards.values()] == [2, 2, 2]


def test_an_answer_of_before_a_restart_is_never_sent() -> None:
    one = host()
    one.machine.fault("late", "once")
    assert one.exchange(POLL_1, 100) == b""
    one.machine.power_cycle()
    assert one.wait(5_000) == b""


# --- motors --------------------------------------------------------------------------------------------------------


def test_jam_is_over_current_and_nothing_falls_and_the_next_run_delivers() -> None:
    for seed in range(30):
        one = host(seed=seed)
        one.machine.fault("jam", "once", board=1, motor=3)
        jam = run(one, 3)
        assert (jam.state, jam.motor, jam.result, jam.max_ma) == (FINISHED, 3, 1 | NOTHING_SEEN, 1480)
        assert one.machine.spiral(1, 3).fell == 0
        assert run(one, 3).result == 0
        assert one.machine.spiral(1, 3).fell == 1


def test_over_current_after_the_drop_is_success_with_a_note() -> None:
    one = host()
    one.machine.fault("over_current", "once", board=1, motor=3)
    assert run(one, 3).result == 1
    assert one.machine.spiral(1, 3).fell == 1


def test_open_motor_heals() -> None:
    one = host()
    one.machine.fault("open_motor", "once", board=1, motor=3)
    broken = run(one, 3)
    assert (broken.result, broken.max_ma, broken.run_100ms) == (2 | NOTHING_SEEN, 12, 2)
    assert run(one, 4).result == 0, "only this motor"
    one.wait(FAULTS["open_motor"].heals_ms[1])  # type: ignore[index]
    assert run(one, 3).result == 0


def test_no_stop_signal_with_and_without_a_product() -> None:
    seen = set()
    for seed in range(30):
        one = host(seed=seed)
        one.machine.fault("no_stop", "once", board=1, motor=3)
        slipped = run(one, 3)
        assert slipped.run_100ms == 50
        seen.add((slipped.result, one.machine.spiral(1, 3).fell))
    assert seen == {(3, 1), (3 | NOTHING_SEEN, 0)}


def test_a_place_without_a_motor_is_an_open_circuit() -> None:
    one = host()
    assert run(one, 60).result == 2 | NOTHING_SEEN
    assert one.machine.boards[1].runs_accepted == 1


def test_an_empty_spiral_turns_well_and_nothing_falls() -> None:
    one = host(board=[{"stock": 0}])
    assert run(one, 3).result == NOTHING_SEEN
    assert one.machine.spiral(1, 3).fell == 0


# --- the drop sensor -------------------------------------------------------------------------------------------------


def test_a_blocked_sensor_shows_while_idle_and_sees_nothing_fall() -> None:
    one = host()
    one.machine.fault("sensor_blocked", "on", board=1)
    assert poll(one).result == NOTHING_SEEN
    assert run(one, 3).result == NOTHING_SEEN
    one.machine.fault("sensor_blocked", "off")
    assert poll(one).result == 0
    assert one.machine.spiral(1, 3).fell == 1


def test_a_blind_sensor_looks_healthy_and_sees_nothing_fall() -> None:
    one = host()
    one.machine.fault("sensor_blind", "on", board=1)
    assert poll(one).result == 0
    assert run(one, 3).result == NOTHING_SEEN
    assert one.machine.spiral(1, 3).fell == 1


# --- the port --------------------------------------------------------------------------------------------------------


def test_an_unplugged_port_carries_nothing_and_comes_back() -> None:
    one = host()
    changes: list[tuple[int, bool]] = []
    one.machine.port_changed = lambda connected: changes.append((one.machine.timeline.now_ms, connected))
    one.machine.fault("unplugged", "once")
    assert one.ask(1, 0x05, 3) == b""
    assert not one.machine.runs, "the board has not heard it either"
    one.wait(FAULTS["unplugged"].heals_ms[1])  # type: ignore[index]
    assert [connected for _, connected in changes] == [False, True]
    assert 3_000 <= changes[1][0] - changes[0][0] <= 10_000
    assert poll(one).state == IDLE


def test_what_is_on_the_line_when_the_plug_is_pulled_is_gone() -> None:
    one = host()
    one.exchange(POLL_1, 3)
    one.machine.fault("unplugged", "on")
    assert one.wait(1_000) == b""


# --- the dice --------------------------------------------------------------------------------------------------------


def dice(**rates: float) -> tuple[Timeline, Faults]:
    timeline = Timeline()
    faults = Faults(timeline, random.Random(1))
    faults.set_rates(rates)
    return timeline, faults


@pytest.mark.parametrize("kind", FAULTS)
def test_rates_hold(kind: str) -> None:
    timeline, faults = dice(**{kind: 0.1})
    struck = 0
    for _ in range(2_000):
        struck += faults.strikes(kind)
        timeline.run_until(timeline.now_ms + 200_000)  # long enough for anything to heal
    assert 140 < struck < 260
    assert faults.struck[kind] == struck


@pytest.mark.parametrize("kind", FAULTS)
def test_once_is_once_and_off_is_off(kind: str) -> None:
    timeline, faults = dice()
    faults.once(kind)
    assert faults.strikes(kind)
    timeline.run_until(200_000)
    assert not faults.strikes(kind)
    faults.switch_on(kind)
    assert faults.strikes(kind)
    assert faults.strikes(kind)
    faults.switch_off(kind)
    assert not faults.strikes(kind)


def test_places_cover_what_is_within() -> None:
    _, faults = dice()
    faults.switch_on("jam", board=1)
    assert faults.strikes("jam", 1, 7)
    assert not faults.strikes("jam", 2, 7)
    faults.switch_on("jam", board=2, motor=3)
    assert faults.strikes("jam", 2, 3)
    assert not faults.strikes("jam", 2, 4)
    faults.switch_off("jam", board=2)
    assert not faults.strikes("jam", 2, 3)
    assert faults.strikes("jam", 1, 7)


def test_switching_on_what_was_healing_keeps_it_on() -> None:
    timeline, faults = dice()
    faults.once("dead", 1)
    faults.switch_on("dead", 1)
    timeline.run_until(1_000_000)
    assert faults.is_on("dead", 1)


def test_the_preset_names_every_kind_that_may_strike_by_chance() -> None:
    assert set(FAULTS) - set(PRESETS["all"]) == {"meter_worn"}
    assert all(0 < rate <= 0.1 for rate in PRESETS["all"].values())


def test_the_simulator_s_page_has_every_kind() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs/simulator.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE)) == sorted(FAULTS)


def test_wrong_kinds_and_rates_are_named() -> None:
    _, faults = dice()
    with pytest.raises(ValueError, match="fault kind = 'jamm', expected one of noise, loss"):
        faults.switch_on("jamm")
    with pytest.raises(ValueError, match=r"rate of jam = 2, expected 0 to 1"):
        faults.set_rates({"jam": 2})


def test_mending_ends_everything() -> None:
    one: Host = host()
    for kind in FAULTS:
        one.machine.fault(kind, "on")
    one.machine.mend()
    one.wait(2_000)
    assert one.machine.line.connected
    assert run(one, 3).result == 0


def test_the_same_seed_is_the_same_story() -> None:
    def story(seed: int) -> list[object]:
        one = host(seed=seed)
        one.machine.set_rates(PRESETS["all"])
        heard = [one.ask(1, command, *data) for _ in range(200) for command, *data in ([5, 3], [3], [6])]
        return [*heard, *one.machine.runs]

    assert story(3) == story(3)
    assert story(3) != story(4)
