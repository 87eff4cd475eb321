"""CPU of an agent that waits for customers, and asks its board five times a second how it is."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.machine import BARE, MACHINE, agent, equipped, mosquitto, simulator
from bench.processes import cpu_s
from bench.row import Aim, Line, Row
from firmware_sim.demo.processes import child, python

POLLS_PER_S = 5


@dataclass(frozen=True, slots=True)
class Size:
    """How long to watch, in seconds. The kernel counts in steps of 10 ms."""

    seconds: float


async def measure(size: Size) -> list[Line]:
    """Watch the agent and a bare polling loop side by side, each on a board of its own, in real time."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="aisleflow-bench-")))
        broker_port = await stack.enter_async_context(mosquitto(folder))
        ports = await stack.enter_async_context(simulator(folder, speed=1))
        running, keys = await stack.enter_async_context(
            agent(folder, url=ports[MACHINE], broker_port=broker_port, poll_ms=1000 // POLLS_PER_S)
        )
        await stack.enter_async_context(equipped(broker_port, keys))
        command = python("-m", "bench.bare", "poll", str(ports[BARE]), str(POLLS_PER_S))
        bare = await stack.enter_async_context(child("bare", command, folder))
        await bare.line("ready")
        pids = (running.process.pid, bare.process.pid)
        began_s, before = time.perf_counter(), [cpu_s(pid) for pid in pids]
        await asyncio.sleep(size.seconds)
        took_s, after = time.perf_counter() - began_s, [cpu_s(pid) for pid in pids]
    agents, bares = ((then - now) / took_s * 100 for then, now in zip(after, before, strict=True))
    # A bare loop below the kernel's step would make the ratio endless; one step is what can be told from nothing.
    least = 1 / took_s
    return [
        Line(
            "agent, idle, 5 polls/s",
            agents,
            "% of a core",
            max(bares, least),
            "only the serial exchange, 5/s",
            Aim("measured", "<=", 1),
            f"{took_s:.0f} s, connected, door polled twice a second",
        )
    ]


ROW = Row("cpu", measure, full=Size(seconds=60), tiny=Size(seconds=2), minutes=2)
