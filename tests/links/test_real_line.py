"""The whole stack on real ports: thread, pseudo-terminal or TCP, and the simulated boards at the other end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from edge_agent.devices.adh815_board import Adh815Board, open_board
from edge_agent.devices.ports import BoardFinished, BoardIdle, BoardStatus
from edge_agent.errors import BoardSilent, BreakerOpen, LinkDown, NeverSent
from edge_agent.links.bus import Bus
from firmware_sim.scenario import scenario_from
from firmware_sim.testbench import Bench, bench
from shared.clock import SystemClock

CLOCK = SystemClock()
DEADLINE_S = 20

# Simulated seconds per real one: a turn of three seconds takes a tenth, the bytes still take their order.
SPEED = 20.0


@asynccontextmanager
async def cable(
    folder: Path, port: str, *boards: dict[str, Any], speed: float = SPEED
) -> AsyncIterator[tuple[Bench, Bus]]:
    settings = {"name": "vm", "port": port, "board": [{"motors": 20, "stock": 10, **board} for board in boards]}
    scenario = scenario_from({"seed": 1, "speed": speed, "machine": [settings]}, source="test", folder=folder)
    async with bench(scenario) as sim, Bus(sim.urls["vm"], clock=CLOCK, gap_ms=5) as bus:
        yield sim, bus


def soon() -> int:
    return CLOCK.mono_ms() + 10_000


async def until_status(board: Adh815Board, wanted: Callable[[BoardStatus], bool]) -> BoardStatus:
    """Poll until a confirmed status is the wanted one."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with suppress(BoardSilent, NeverSent, LinkDown):
                status = await board.status(confirmed=True)
                if wanted(status):
                    return status
            await CLOCK.sleep_ms(20)


@pytest.mark.parametrize("port", ["pty:ports/vm", "tcp:127.0.0.1:0"])
async def test_a_vend_over_a_real_port(tmp_path: Path, port: str) -> None:
    async with cable(tmp_path, port, {"address": 2}) as (sim, bus):
        board = open_board(bus, 2, CLOCK)
        await board.prepare(drop_sensor=True)
        assert await board.start(7, not_after_mono_ms=soon()) == "accepted"
        end = await until_status(board, lambda status: isinstance(status, BoardFinished))
        assert isinstance(end, BoardFinished)
        assert (end.motor, end.fault, end.drop_seen) == (7, None, True)
        await board.acknowledge()
        await until_status(board, lambda status: isinstance(status, BoardIdle) and status.last_motor == 7)
        assert [run.motor for run in sim.world.machines["vm"].machine.runs if run.fell] == [7]


@pytest.mark.parametrize("port", ["pty:ports/vm", "tcp:127.0.0.1:0"])
async def test_an_unplugged_port_comes_back_by_itself_with_the_result_on_the_board(tmp_path: Path, port: str) -> None:
    async with cable(tmp_path, port, {}) as (sim, bus):
        board = open_board(bus, 1, CLOCK)
        await board.prepare(drop_sensor=True)
        assert await board.start(3, not_after_mono_ms=soon()) == "accepted"
        await sim.control.unplug("vm")
        async with asyncio.timeout(DEADLINE_S):
            while bus.statistics().down is None:
                with suppress(LinkDown, BoardSilent, BreakerOpen):
                    await board.status()
        with pytest.raises(NeverSent):
            await board.start(4, not_after_mono_ms=soon())
        await sim.control.plug("vm")
        end = await until_status(board, lambda status: isinstance(status, BoardFinished))
        assert isinstance(end, BoardFinished)
        assert end.motor == 3
        assert bus.statistics().openings == 2
        assert len(sim.world.machines["vm"].machine.runs) == 1


async def test_a_dead_board_does_not_keep_its_neighbour_from_selling(tmp_path: Path) -> None:
    async with cable(tmp_path, "pty:ports/vm", {"address": 1}, {"address": 2}) as (sim, bus):
        dead, alive = open_board(bus, 1, CLOCK), open_board(bus, 2, CLOCK)
        await alive.prepare(drop_sensor=True)
        await sim.control.fault("vm", "dead", "on", board=1)
        with pytest.raises(BoardSilent):
            await dead.status()
        began = CLOCK.mono_ms()
        assert await alive.start(5, not_after_mono_ms=began + 250) == "accepted"  # less than one reply timeout
        end = await until_status(alive, lambda status: isinstance(status, BoardFinished))
        assert isinstance(end, BoardFinished)
        assert end.drop_seen
        assert bus.statistics().slaves[1].breaker != "closed"
        assert bus.statistics().slaves[2].silent == 0


async def test_polling_five_times_a_second_costs_less_than_a_hundredth_of_a_core(tmp_path: Path) -> None:
    """CPU time of the agent's two threads per poll, so that neither the simulator nor a busy machine counts."""
    polls = 200
    async with cable(tmp_path, "pty:ports/vm", {}, speed=100.0) as (_, bus):
        board = open_board(bus, 1, CLOCK)
        await board.status()

        async def spent_by_the_thread_ms() -> float:
            def spent(line: object) -> float:
                return time.thread_time() * 1000

            return await bus.run(spent, name="cpu", priority=2, not_after_mono_ms=soon())  # type: ignore[arg-type]

        before = await spent_by_the_thread_ms()
        for _ in range(polls):
            await board.status()
        each_ms = (await spent_by_the_thread_ms() - before) / polls
    # 1 % of a core at 5 polls a second is 2 ms a poll; the loop's side of it (a future, a wake-up) gets half of that.
    assert each_ms < 1.0, f"{each_ms:.2f} ms of CPU per poll"
