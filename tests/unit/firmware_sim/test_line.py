"""The line: bytes take their time, answers take turns, a flood is bounded."""

from __future__ import annotations

import itertools

import pytest

from firmware_sim.boards.adh815 import LATENCY_MS
from firmware_sim.line import BACKLOG_MAX_BYTES
from tests.unit.firmware_sim.bench import host

POLL_1 = bytes.fromhex("01 03 40 21")
POLL_2 = bytes.fromhex("02 03 40 D1")
POLL_3 = bytes.fromhex("03 03 41 41")


@pytest.mark.parametrize(("baud", "request_ms", "reply_ms"), [(9600, 5, 14), (38400, 2, 4)])
def test_bytes_take_time(baud: int, request_ms: int, reply_ms: int) -> None:
    """4 and 13 bytes of 10 bits each."""
    one = host(baud=baud)
    arrived: list[int] = []
    one.machine.line.send = lambda data: arrived.append(one.machine.timeline.now_ms)
    took = []
    for _ in range(300):
        began_ms = one.machine.timeline.now_ms
        one.exchange(POLL_1)
        took.append(arrived[-1] - began_ms)
    assert min(took) == request_ms + LATENCY_MS[0] + reply_ms
    assert max(took) == request_ms + LATENCY_MS[1] + reply_ms


def test_answers_of_several_boards_never_overlap() -> None:
    one = host(baud=9600, board=[{"address": 1}, {"address": 2}, {"address": 3}])
    arrived: list[tuple[int, bytes]] = []
    one.machine.line.send = lambda data: arrived.append((one.machine.timeline.now_ms, data))
    for _ in range(100):
        one.machine.line.receive(POLL_1)
        one.machine.line.receive(POLL_2)
        one.machine.line.receive(POLL_3)
        one.wait(400)
    assert len(arrived) == 300
    assert all(len(data) == 13 for _, data in arrived)
    ends = [at for at, _ in arrived]
    assert all(later - earlier >= 14 for earlier, later in itertools.pairwise(ends))


def test_a_board_answers_in_the_order_of_the_questions() -> None:
    one = host()
    for _ in range(100):
        one.machine.line.receive(bytes.fromhex("01 20 01 F8"))
        one.machine.line.receive(POLL_1)
        heard = one.wait(400)
        assert [heard[1], heard[7]] == [0x20, 0x03]


def test_a_flood_is_cut_off_and_the_line_recovers() -> None:
    one = host(baud=9600)
    one.machine.line.receive(b"\x55" * 100_000)
    one.machine.line.receive(POLL_1)
    assert one.wait(BACKLOG_MAX_BYTES * 2) == b"", "no room was left for the question"
    assert len(one.exchange(POLL_1)) == 13


def test_a_frame_written_byte_by_byte_is_heard() -> None:
    one = host(baud=9600)
    heard = b""
    for byte in POLL_1:
        heard += one.exchange(bytes([byte]), 3)
    assert len(heard + one.wait(400)) == 13


def test_half_a_frame_is_forgotten_after_a_pause() -> None:
    one = host()
    one.exchange(POLL_1[:2], 100)
    assert len(one.exchange(POLL_1)) == 13
