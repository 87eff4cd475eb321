"""What several tests build: one machine in simulated time, and replies taken apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from firmware_sim.boards.crc16 import crc16
from firmware_sim.scenario import Scenario, scenario_from
from firmware_sim.testbench import Host

ACCEPTED, INVALID, BUSY, RESULT_WAITING = range(4)
IDLE, DISPENSING, FINISHED = range(3)
NOTHING_SEEN = 4
# Longer than any run with its window: the stop timeout of 5 s, the window of 1 s, the boot of 0.8 s.
RUN_MS = 8_000


def scenario(folder: Path = Path(), *, machine: dict[str, Any] | None = None, **top: Any) -> Scenario:
    """One machine "vm-1" with ten full aisles, drop detection on, and whatever the test wants otherwise."""
    board = {"motors": 10, "stock": 8, "drop_detection": True}
    settings: dict[str, Any] = {"name": "vm-1", "port": "pty:vm-1", "board": [board], **(machine or {})}
    settings["board"] = [{**board, **one} for one in settings["board"]]
    return scenario_from({"machine": [settings], **top}, source="test", folder=folder)


def host(*, seed: int = 1, **machine: Any) -> Host:
    """A host wired to that machine."""
    return Host(scenario(machine=machine, seed=seed).build()[0])


class Poll(NamedTuple):
    """A POLL reply of 13 bytes, taken apart."""

    state: int
    motor: int
    result: int
    max_ma: int
    avg_ma: int
    run_100ms: int
    celsius: int


def parse_poll(reply: bytes) -> Poll:
    """Fails the test unless this is exactly one whole POLL reply."""
    assert len(reply) in (13, 14), reply.hex(" ")
    assert crc16(reply[:-2]) == reply[-2:], reply.hex(" ")
    assert reply[0] == 0
    return Poll(
        reply[2],
        reply[3],
        reply[4],
        int.from_bytes(reply[5:7], "big"),
        int.from_bytes(reply[7:9], "big"),
        reply[9],
        int.from_bytes(reply[10:11], "big", signed=True),
    )


def poll(one: Host, board: int = 1) -> Poll:
    """Ask a board what it does."""
    return parse_poll(one.ask(board, 0x03))


def run(one: Host, motor: int, board: int = 1) -> Poll:
    """Run a motor to the end, take the result away, and say what it was."""
    answer = one.ask(board, 0x05, motor)
    assert answer == bytes.fromhex("00 05 00 72 90"), answer.hex(" ")
    one.wait(RUN_MS)
    finished = poll(one, board)
    one.ask(board, 0x06)
    return finished
