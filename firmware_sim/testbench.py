"""The simulator inside a test: no process, one loop. And without any loop: a host that talks in simulated time.

    async with bench(scenario) as sim:
        port = sim.urls["vm-1"]
        await sim.control.fault("vm-1", "jam", "once", board=1, motor=3)

A blocking client (pyserial) must read in a thread, or the loop that carries the simulator stands still.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from firmware_sim.boards.crc16 import crc16
from firmware_sim.control import Control, ControlServer
from firmware_sim.machine import Machine
from firmware_sim.scenario import Scenario
from firmware_sim.world import World

# Longer than the slowest honest answer: 50 ms of thought, 20 bytes at 9600 baud, three pauses in a split reply.
PATIENCE_MS = 400


@dataclass(frozen=True, slots=True)
class Bench:
    """A running simulator: what to open per machine, the door files, the way to ask it, and the thing itself."""

    urls: Mapping[str, str]
    doors: Mapping[str, Path]
    control_path: Path
    control: Control
    world: World


@asynccontextmanager
async def bench(scenario: Scenario, *, control_path: Path | None = None) -> AsyncIterator[Bench]:
    """Run a scenario in this loop. The control socket is `sim.control` in the scenario's folder unless named."""
    path = control_path or scenario.folder.absolute() / "sim.control"
    async with World(scenario) as world, ControlServer(world, path, asyncio.Event()), Control(path) as control:
        doors = {name: running.door for name, running in world.machines.items() if running.door is not None}
        yield Bench(world.urls, doors, path, control, world)


class Host:
    """The other end of one machine's line, in simulated time: asking and waiting take no real time at all."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._heard = bytearray()
        machine.line.send = self._heard.extend

    def wait(self, ms: int) -> bytes:
        """Let time pass; what came in meanwhile."""
        self.machine.timeline.run_until(self.machine.timeline.now_ms + ms)
        heard = bytes(self._heard)
        self._heard.clear()
        return heard

    def exchange(self, request: bytes, wait_ms: int = PATIENCE_MS) -> bytes:
        """Write `request` as it is, wait, return everything that came back."""
        self.machine.line.receive(request)
        return self.wait(wait_ms)

    def ask(self, board: int, command: int, *data: int, wait_ms: int = PATIENCE_MS) -> bytes:
        """A request built and sealed; everything that came back."""
        body = bytes([board, command, *data])
        return self.exchange(body + crc16(body), wait_ms)
