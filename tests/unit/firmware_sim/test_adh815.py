"""The board alone: every command against the golden frames, the state machine, the switches. Motors are scripted."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.boards.adh815 import (
    NEXT_STATE,
    NOTHING_MEASURED,
    Adh815,
    Dialect,
    Happening,
    RunReport,
    State,
    Switches,
)
from firmware_sim.boards.crc16 import crc16
from firmware_sim.physics import ClimateMode, CurrentLimits
from firmware_sim.timeline import Timeline

GOLDEN = Path(__file__).parents[2] / "wire" / "golden" / "adh815.toml"
FRAMES: dict[str, dict[str, Any]] = {frame["name"]: frame for frame in tomllib.loads(GOLDEN.read_text())["frame"]}


def golden(name: str) -> bytes:
    return bytes.fromhex(FRAMES[name]["hex"])


@dataclass
class ScriptedWiring:
    """Motors that stop when the test says so."""

    celsius: int = 25
    blocked: bool = False
    is_open: bool = False
    stopped: Callable[[RunReport], None] | None = None
    turned: list[tuple[int, ...]] = field(default_factory=list)
    limits: CurrentLimits = field(default_factory=CurrentLimits)
    climate: tuple[ClimateMode, int] | None = None
    power_cuts: int = 0

    def turn(self, motors: tuple[int, ...], limits: CurrentLimits, stopped: Callable[[RunReport], None]) -> None:
        self.turned.append(motors)
        self.limits = limits
        self.stopped = stopped

    def stop(self, report: RunReport) -> None:
        assert self.stopped is not None
        self.stopped(report)

    def cut_power(self) -> None:
        self.power_cuts += 1

    def eye_blocked(self) -> bool:
        return self.blocked

    def probe_c(self) -> int:
        return self.celsius

    def humidity(self) -> int:
        return 55

    def door_open(self) -> bool:
        return self.is_open

    def regulate(self, mode: ClimateMode, setpoint_c: int) -> None:
        self.climate = (mode, setpoint_c)


class Bench:
    """One board, its scripted wiring, and a line that takes no time."""

    def __init__(self, address: int = 1, **switches: Any) -> None:
        self.timeline = Timeline()
        self.wiring = ScriptedWiring()
        self.board = Adh815(address, self.wiring, self.timeline, Switches(**switches))

    def send(self, data: bytes, pause_ms: int = 100) -> bytes:
        self.timeline.run_until(self.timeline.now_ms + pause_ms)
        return b"".join(self.board.receive(self.timeline.now_ms, data))

    def ask(self, *body: int) -> bytes:
        return self.send(bytes(body) + crc16(bytes(body)))

    def finish(self, motor: int, report: RunReport, *, seen: bool = False, run_code: int = 0x05) -> None:
        """A whole run of `motor`, up to the end of the drop window."""
        assert self.ask(self.board.address, run_code, motor)[2] == 0
        if seen:
            self.board.drop_seen()
        self.wiring.stop(report)
        self.timeline.run_until(self.timeline.now_ms + 1000)


GOOD = RunReport(None, 324, 145, 2800)
STALLED = RunReport("over_current", 1480, 920, 4700)


def after_run(
    report: RunReport, *, motor: int = 10, detecting: bool = False, seen: bool = False
) -> Callable[[], Bench]:
    def build() -> Bench:
        bench = Bench(mode=0x80 if detecting else 0)
        bench.finish(motor, report, seen=seen)
        return bench

    return build


def in_state(**changes: Any) -> Callable[[], Bench]:
    """A board at rest whose switches (or wiring, by its field names) differ."""

    def build() -> Bench:
        wiring = {key: changes[key] for key in changes if key in ScriptedWiring.__dataclass_fields__}
        bench = Bench(**{key: value for key, value in changes.items() if key not in wiring})
        for key, value in wiring.items():
            setattr(bench.wiring, key, value)
        return bench

    return build


def dispensing() -> Bench:
    bench = Bench()
    bench.ask(1, 0x05, 10)
    return bench


def unplugged_probe_after_run() -> Bench:
    bench = after_run(RunReport(None, 324, 145, 700), motor=0)()
    bench.wiring.celsius = -40
    return bench


def acknowledged() -> Bench:
    bench = after_run(GOOD)()
    bench.ask(1, 0x06)
    return bench


def after_run_14() -> Bench:
    bench = Bench(poll="14")
    bench.finish(10, GOOD)
    return bench


def after_run_814e() -> Bench:
    bench = Bench(dialect="814e")
    bench.finish(10, GOOD, run_code=0xA5)
    return bench


# How each golden reply comes about.
SITUATIONS: dict[str, Callable[[], Bench]] = {
    "id reply": in_state(),
    "scan door reply: shut": in_state(),
    "poll reply: bench motor": unplugged_probe_after_run,
    "poll reply: idle": in_state(),
    "poll reply: idle after motor 10": acknowledged,
    "poll reply: light-eye blocked": in_state(mode=0x80, blocked=True),
    "poll reply: temperature sensor shorted": in_state(celsius=120),
    "poll reply: dispensing": dispensing,
    "poll reply: over-current": after_run(STALLED),
    "poll reply: open circuit": after_run(RunReport("open", 12, 8, 200)),
    "poll reply: no stop signal": after_run(RunReport("no_stop_signal", 324, 145, 5000)),
    "poll reply: nothing fell": after_run(RunReport(None, 230, 150, 2800), detecting=True),
    "poll reply: jam": after_run(STALLED, detecting=True),
    "poll reply: 14 bytes, finished": after_run_14,
    "poll reply: 14 bytes, with a valid 13-byte reply inside": in_state(poll="14"),
    "poll reply: nothing to report": in_state(poll="ack"),
    "set temperature reply": in_state(address=2),
    "run reply: accepted": in_state(),
    "run reply: busy": dispensing,
    "run reply: result waiting": after_run(GOOD, motor=3),
    "ack reply": after_run(GOOD),
    "run2 (07) reply: accepted": in_state(),
    "run2 (15) reply: accepted": in_state(),
    "read mode reply: detection on": in_state(mode=0x80),
    "set mode reply: three-wire, detection on": in_state(),
    "read current limits reply": in_state(),
    "write current limits reply": in_state(),
    "814e id reply": in_state(dialect="814e"),
    "814e poll reply: idle": in_state(dialect="814e"),
    "814e poll reply: finished": after_run_814e,
    "814e set temperature reply": in_state(dialect="814e"),
    "814e run reply: accepted": in_state(dialect="814e"),
    "814e ack reply": in_state(dialect="814e"),
    "814e run2 reply: accepted": in_state(dialect="814e"),
    "814e set mode reply": in_state(dialect="814e"),
    "814e swap reply": in_state(dialect="814e"),
}
# No golden request names a motor beyond the matrix; this reply has a test of its own below.
APART = {"run reply: invalid motor"}


def test_every_golden_reply_has_its_situation() -> None:
    replies = {name for name, frame in FRAMES.items() if frame["direction"] == "to_host"}
    assert replies - APART == set(SITUATIONS)


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_board_gives_the_golden_reply(name: str) -> None:
    request = golden(FRAMES[name]["answers"][0])
    bench = SITUATIONS[name]()
    if request[0] == 1 or bench.board.address == request[0]:
        assert bench.send(request).hex(" ") == golden(name).hex(" ")
    else:
        pytest.fail(f"the situation of {name!r} has no board {request[0]}")


def test_other_boards_answer_their_own_golden_requests() -> None:
    for name, frame in FRAMES.items():
        request = golden(name)
        if frame["direction"] != "to_board" or frame["dialect"] != "815":
            continue
        for address in (1, 2, 3):
            answered = Bench(address=address).send(request) != b""
            assert answered == (request[0] == address), f"{name} at board {address}"


def test_golden_frames_are_sealed_right() -> None:
    for name in FRAMES:
        frame = golden(name)
        assert crc16(frame[:-2]) == frame[-2:], name


def test_motors_outside_the_matrix_are_invalid() -> None:
    bench = Bench()
    assert bench.ask(1, 0x05, 100) == golden("run reply: invalid motor")
    assert bench.ask(1, 0x07, 10, 10)[2] == 1, "one motor is not a double aisle"
    assert bench.ask(1, 0x05, 99)[2] == 0
    assert Bench(dialect="814e").ask(1, 0xA5, 61)[2] == 1
    assert Bench(dialect="814e").ask(1, 0xA5, 60)[2] == 0
    assert bench.wiring.turned == [(99,)], "only the accepted run turns a motor"


def test_two_motors_turn_together() -> None:
    for code in (0x07, 0x15):
        bench = Bench()
        assert bench.ask(1, code, 10, 11)[2] == 0
        assert bench.wiring.turned == [(10, 11)]
        assert bench.board.last.motor == 10


@pytest.mark.parametrize("flip", range(40))
def test_a_bad_check_sum_gets_no_answer_and_no_effect(flip: int) -> None:
    bench = Bench()
    frame = bytearray(golden("run motor 10, board 1"))
    frame[flip // 8] ^= 1 << flip % 8
    assert bench.send(bytes(frame)) == b""
    assert bench.wiring.turned == []
    assert bench.send(golden("poll, board 1")) == golden("poll reply: idle"), "and the next good one is answered"


def test_a_pause_starts_a_new_frame() -> None:
    bench = Bench(gap_ms=15)
    request = golden("poll, board 1")
    assert bench.send(request[:2]) == b""
    assert bench.send(request[2:], pause_ms=15) != b"", "15 ms are no pause"
    bench.send(request[:2])
    assert bench.send(request[2:], pause_ms=16) == b""
    assert bench.send(request) != b"", "half a frame does not spoil the next one"


def test_bytes_one_by_one_make_a_frame() -> None:
    bench = Bench()
    request = golden("id, board 1")
    answers = [bench.send(request[at : at + 1], pause_ms=2) for at in range(len(request))]
    assert answers == [b"", b"", b"", golden("id reply")]


def test_noise_without_end_is_bounded_and_forgotten() -> None:
    bench = Bench()
    for _ in range(100):
        assert bench.send(b"\x01\xee" * 500, pause_ms=1) == b""
    assert bench.send(golden("poll, board 1")) == golden("poll reply: idle")


# --- the state machine -------------------------------------------------------------------------------------------


def test_the_table_has_no_other_edge() -> None:
    assert {(state.name, happening.name, following.name) for (state, happening), following in NEXT_STATE.items()} == {
        ("IDLE", "RUN", "DISPENSING"),
        ("DISPENSING", "RUN_ENDED", "FINISHED"),
        ("FINISHED", "ACK", "IDLE"),
        ("IDLE", "RESTART", "IDLE"),
        ("DISPENSING", "RESTART", "IDLE"),
        ("FINISHED", "RESTART", "IDLE"),
    }
    assert {happening for _, happening in NEXT_STATE} == set(Happening)


def test_ack_while_dispensing_changes_nothing() -> None:
    bench = dispensing()
    assert bench.send(golden("ack, board 1")) == golden("ack reply")
    assert bench.send(golden("poll, board 1")) == golden("poll reply: dispensing")


def test_the_result_waits_for_ack() -> None:
    bench = after_run(STALLED, detecting=True)()
    for _ in range(3):
        assert bench.send(golden("poll, board 1"), pause_ms=3_600_000) == golden("poll reply: jam")
    assert bench.send(golden("run motor 0, board 1")) == golden("run reply: result waiting")
    assert bench.send(golden("poll, board 1")) == golden("poll reply: jam"), "a refused run keeps the result"
    bench.send(golden("ack, board 1"))
    assert bench.send(golden("poll, board 1")) == golden("poll reply: idle after motor 10")


def test_a_restart_forgets_everything() -> None:
    for build in (dispensing, after_run(STALLED), acknowledged):
        bench = build()
        bench.board.restart()
        assert bench.send(golden("poll, board 1"), pause_ms=799) == b"", "the board is deaf while it starts"
        assert bench.send(golden("poll, board 1"), pause_ms=801) == golden("poll reply: idle")
        assert bench.wiring.power_cuts == 1
        assert bench.board.boots == 2


def test_the_window_of_a_run_before_a_restart_does_not_end_the_next_one() -> None:
    bench = Bench(mode=0x80, boot_ms=100)
    bench.ask(1, 0x05, 10)
    bench.wiring.stop(GOOD)
    bench.board.restart()
    assert bench.board.state is State.IDLE
    assert bench.send(golden("run motor 10, board 1"), pause_ms=101) == golden("run reply: accepted")
    bench.timeline.run_until(bench.timeline.now_ms + 10_000)
    assert bench.send(golden("poll, board 1")) == golden("poll reply: dispensing")


def test_the_mode_byte_survives_a_restart_unless_the_board_forgets_it() -> None:
    for forgets, expected in ((False, 0x90), (True, 0x00)):
        bench = Bench(forgets_mode=forgets)
        bench.send(golden("set mode: two-wire, detection on, board 1"))
        bench.board.restart()
        bench.timeline.run_until(bench.timeline.now_ms + 1000)
        assert bench.ask(1, 0x20)[2] == expected


# --- the drop sensor -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code"), [(None, 0), ("over_current", 1), ("open", 2), ("no_stop_signal", 3)], ids=str
)
@pytest.mark.parametrize(("detecting", "seen", "bit"), [(False, False, 0), (True, True, 0), (True, False, 4)])
def test_result_byte(fault: Any, code: int, detecting: bool, seen: bool, bit: int) -> None:
    bench = after_run(RunReport(fault, 0, 0, 0), detecting=detecting, seen=seen)()
    assert bench.board.last.result == code | bit


def test_a_product_is_seen_until_the_window_closes() -> None:
    bench = Bench(mode=0x80, window_ms=1000)
    for after_ms, result in ((999, 0), (1001, 4)):
        bench.ask(1, 0x05, 10)
        bench.wiring.stop(GOOD)
        bench.timeline.run_until(bench.timeline.now_ms + after_ms)
        bench.board.drop_seen()
        bench.timeline.run_until(bench.timeline.now_ms + 2000)
        assert (bench.board.state, bench.board.last.result) == (State.FINISHED, result)
        bench.ask(1, 0x06)


def test_a_product_seen_early_ends_the_run_with_the_motor() -> None:
    bench = Bench(mode=0x80)
    bench.ask(1, 0x05, 10)
    bench.board.drop_seen()
    assert bench.board.state.name == "DISPENSING", "the motor still turns home"
    bench.wiring.stop(GOOD)
    assert bench.board.state is State.FINISHED


def test_what_falls_while_idle_is_not_the_next_run_s() -> None:
    bench = Bench(mode=0x80)
    bench.board.drop_seen()
    bench.finish(10, GOOD)
    assert bench.board.last.result == 4


def test_a_blocked_eye_shows_only_while_idle_and_watched() -> None:
    bench = in_state(mode=0x00, blocked=True)()
    assert bench.send(golden("poll, board 1")) == golden("poll reply: idle"), "detection is off"
    bench.send(golden("set mode: three-wire, detection on, board 1"))
    assert bench.send(golden("poll, board 1")) == golden("poll reply: light-eye blocked")
    bench.ask(1, 0x05, 10)
    assert bench.send(golden("poll, board 1")) == golden("poll reply: dispensing")


# --- the rest ------------------------------------------------------------------------------------------------------


def test_the_door_is_reported() -> None:
    bench = in_state(is_open=True)()
    assert bench.send(golden("scan door, board 1"))[2] == 1


def test_set_temperature_drives_the_cabinet() -> None:
    bench = Bench(address=2)
    bench.send(golden("set temperature: cool to 8 C, board 2"))
    assert bench.wiring.climate == ("cool", 8)
    bench.ask(2, 0x04, 2, 0xFF, 0xFB)
    assert bench.wiring.climate == ("heat", -5)
    bench.ask(2, 0x04, 9, 0, 0)
    assert bench.wiring.climate == ("heat", -5), "there is no mode 9"
    assert Bench(dialect="814e").ask(1, 0xA4, 9, 0, 0)[2] == 1


def test_written_current_limits_are_used() -> None:
    bench = Bench()
    bench.ask(1, 0x31, 0x03, 0x20, 0x00, 0x1E)
    assert bench.ask(1, 0x30)[2:6] == bytes([0x03, 0x20, 0x00, 0x1E])
    bench.ask(1, 0x05, 0)
    assert bench.wiring.limits == CurrentLimits(over_ma=800, open_ma=30)


def test_ack_form_is_only_for_idle_boards() -> None:
    bench = Bench(poll="ack")
    bench.ask(1, 0x05, 10)
    assert bench.send(golden("poll, board 1")) == golden("poll reply: dispensing")
    bench.wiring.stop(STALLED)
    assert bench.send(golden("poll, board 1")) == golden("poll reply: over-current")
    assert Bench(poll="ack", dialect="814e").send(golden("814e poll, board 1")) == golden("814e ack reply")


def test_long_runs_do_not_overflow_the_run_time() -> None:
    bench = after_run(RunReport(None, 324, 145, 60_000))()
    assert bench.send(golden("poll, board 1"))[9] == 0xFF
    assert NOTHING_MEASURED.run_ms == 0


@pytest.mark.parametrize("dialect", ["815", "814e"])
def test_dialects_do_not_hear_each_other(dialect: Dialect) -> None:
    for name, frame in FRAMES.items():
        code = golden(name)[1]
        if frame["direction"] == "to_board" and golden(name)[0] == 1 and code not in (0x20, 0x21):
            answered = Bench(dialect=dialect).send(golden(name)) != b""
            assert answered == (frame["dialect"] == dialect), name
