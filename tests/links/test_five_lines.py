"""One exchange over five lines: good, byte by byte, lossy, noisy, slow. The same vend, the same end on each."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest

from edge_agent.devices.adh815_board import Adh815Board
from edge_agent.devices.ports import BoardFinished, BoardIdle
from edge_agent.errors import BoardSilent, NeverSent
from tests.links.virtual import Rig, SimulatedPort
from tests.wire.malformed import malformed

MOTOR = 5
RUN = 0x05
MINUTES_MS = 5 * 60_000

LINES: dict[str, dict[str, Any]] = {
    "good": {},
    "byte by byte": {"late_ms": 300},
    "lossy": {"rates": {"loss": 0.2}},
    "noisy": {"rates": {"noise": 0.2}},
    "slow": {"baud": 9600, "rates": {"late": 0.15, "split": 1.0}},
}


class OneByteAtATime(SimulatedPort):
    """Hands out what has come in pieces of one byte, with a pause before each."""

    def read(self, wait_ms: int) -> bytes:
        self._heard[0:0] = super().read(wait_ms)
        first = bytes(self._heard[:1])
        del self._heard[:1]
        return first


async def vend(rig: Rig, board: Adh815Board) -> BoardFinished:
    """What a session does, each step as often as its errors allow: RUN only while it has provably never left."""
    end: BoardFinished | None = None
    step = "prepare"
    until = rig.clock.mono_ms() + MINUTES_MS
    while rig.clock.mono_ms() < until:
        rig.pass_ms(100)
        try:
            match step:
                case "prepare":
                    await board.prepare(drop_sensor=True)
                    step = "start"
                case "start":
                    with suppress(BoardSilent):
                        assert await board.start(MOTOR, not_after_mono_ms=rig.soon()) == "accepted"
                    step = "watch"
                case "watch":
                    status = await board.status(confirmed=True)
                    assert not isinstance(status, BoardIdle) or not rig.machine.runs, "an accepted run was forgotten"
                    if isinstance(status, BoardIdle):
                        step = "start"  # the one case in which a start may be repeated: the board never heard it
                    if isinstance(status, BoardFinished):
                        end, step = status, "acknowledge"
                case "acknowledge":
                    await board.acknowledge()
                    assert end is not None
                    return end
        except (BoardSilent, NeverSent):
            continue
    raise AssertionError(f"nothing came of it within {MINUTES_MS} ms, at {step}")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("line", LINES)
async def test_the_same_vend_over_every_line(line: str, seed: int) -> None:
    rig = Rig({"motors": 20, "stock": 10, "poll": "13" if seed % 2 else "14"}, seed=seed, **LINES[line])
    if line == "byte by byte":
        rig.port.__class__ = OneByteAtATime
    end = await vend(rig, rig.board())
    assert (end.motor, end.fault, end.drop_seen) == (MOTOR, None, True)
    assert [(run.motor, run.fell) for run in rig.machine.runs] == [(MOTOR, True)]


class Babbling(SimulatedPort):
    """Puts malformed frames in front of everything that comes, until `left` are used up."""

    left = 100_000
    at_once = 1_000
    rng = random.Random(815)

    def read(self, wait_ms: int) -> bytes:
        data = super().read(wait_ms)
        if data and self.left:
            self.left -= self.at_once
            data = b"".join(malformed(self.rng) for _ in range(self.at_once)) + data
        return data


async def test_100_000_malformed_frames_on_the_line_have_no_effect_and_the_next_good_one_is_answered() -> None:
    rig = Rig({"motors": 20, "stock": 10})
    rig.port.__class__ = Babbling
    board = rig.board()
    while rig.port.left:
        assert isinstance(await board.status(), BoardIdle)
    assert not rig.machine.runs
    assert rig.bus.line.statistics()[1].silent == 0
    assert rig.bus.line.noise_bytes > 500_000
    end = await vend(rig, board)
    assert (end.motor, end.drop_seen) == (MOTOR, True)
