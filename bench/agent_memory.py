"""Resident memory of an agent after it has done everything it does, many times."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.machine import MACHINE, agent, equipped, mosquitto, simulator
from bench.processes import memory_mb
from bench.row import Aim, Line, Row
from firmware_sim.demo.processes import child, python
from shared.messages import VendDelivered


@dataclass(frozen=True, slots=True)
class Size:
    """How many vends the agent has behind it when its memory is read."""

    vends: int


async def measure(size: Size) -> list[Line]:
    """Sell through offer, claim and grant on a board of 60 motors, then read RSS and PSS."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="aisleflow-bench-")))
        broker_port = await stack.enter_async_context(mosquitto(folder))
        ports = await stack.enter_async_context(simulator(folder, speed=20))
        running, keys = await stack.enter_async_context(agent(folder, url=ports[MACHINE], broker_port=broker_port))
        cloud = await stack.enter_async_context(equipped(broker_port, keys))
        delivered = [isinstance(await cloud.sell(number), VendDelivered) for number in range(size.vends)]
        bare = await stack.enter_async_context(child("bare", python("-m", "bench.bare", "interpreter"), folder))
        await bare.line("ready")
        agents, bares = memory_mb(running.process.pid), memory_mb(bare.process.pid)
    limit_is = "an interpreter with asyncio"
    done = f"{sum(delivered)} of {size.vends} vends delivered, 60 motors, MQTT, config, door, ledger"
    return [
        Line("agent, resident (RSS)", agents["Rss"], "MB", bares["Rss"], limit_is, Aim("measured", "<=", 40), done),
        Line("agent, its share (PSS)", agents["Pss"], "MB", bares["Pss"], limit_is),
    ]


ROW = Row("memory", measure, full=Size(vends=250), tiny=Size(vends=2), minutes=1)
