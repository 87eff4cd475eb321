"""How long a customer waits between the cloud's grant and the motor: through MQTT, seal, intent on disk, serial line.

The clock starts just before the bytes of the grant's PUBLISH are written to the agent's TCP connection, and stops when
the bytes of RUN have been read at the other end of the agent's pseudo terminal. Both happen in the bench's loop, whose
own delays are counted against the agent; the broker is not in it. The ledger is on tmpfs, so the disk is not in it
either, but every commit and sync is made.

A grant that comes at once finds the line in the quiet time after the last request (20 ms by default), which no software
can shorten: that is the worst case, and the aim counts there. One that comes after a network's round trip shows the
agent's own part.

The bare parts are a process that reads TCP, commits one row with FULL sync, and writes a frame to a pseudo terminal.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.machine import MACHINE, agent, equipped, mosquitto, simulator
from bench.row import Aim, Line, Row, percentile
from bench.taps import BrokerTap, Direction, SerialTap
from firmware_sim.demo.processes import START_WAIT_S, Failed, child, python

TMPFS = Path("/dev/shm")  # where Linux keeps one
RUN_HEAD = bytes((1, 5))  # address and command
GRANT_BYTES = 300  # about what a grant's PUBLISH has
ROUND_TRIP_S = 0.05  # of a good cellular network; longer than the quiet time of the line


@dataclass(frozen=True, slots=True)
class Size:
    """How many grants that come at once, and how many that come after a round trip."""

    grants: int
    later: int


@dataclass(slots=True)
class Stopwatch:
    """Starts with a grant to the agent, stops with the RUN that follows; `took_ms` holds all times."""

    took_ms: list[float] = field(default_factory=list)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    _began_s: float | None = None

    def on_broker(self, direction: Direction, data: bytes) -> None:
        if direction == "down" and b"/grant" in data:
            self.start()

    def on_serial(self, direction: Direction, data: bytes) -> None:
        if direction == "up" and data.startswith(RUN_HEAD):
            self.stop()

    def start(self) -> None:
        self._began_s = time.perf_counter()

    def stop(self) -> None:
        if self._began_s is not None:
            self.took_ms.append((time.perf_counter() - self._began_s) * 1000)
            self._began_s = None
            self.stopped.set()


async def measure(size: Size) -> list[Line]:
    """Sell one after the other, and set each grant against the RUN that it caused."""
    if not TMPFS.is_dir():
        raise Failed(f"{TMPFS} is missing: this row wants its ledger on tmpfs")
    times, later = await _agent_times(size)
    bare = await _bare_times(size)
    limit_is = "TCP -> one commit -> port"
    note = f"{len(times)} grants, intent committed, ledger on tmpfs; most of it is the line's quiet time (20 ms)"
    after = f"grant -> RUN, granted after {ROUND_TRIP_S * 1000:.0f} ms"
    return [
        Line("grant -> RUN, p50", percentile(times, 0.5), "ms", percentile(bare, 0.5), limit_is),
        Line(
            "grant -> RUN, p99",
            percentile(times, 0.99),
            "ms",
            percentile(bare, 0.99),
            limit_is,
            Aim("measured", "<=", 25),
            note,
        ),
        Line(f"{after}, p50", percentile(later, 0.5), "ms", percentile(bare, 0.5), limit_is),
        Line(f"{after}, p99", percentile(later, 0.99), "ms", percentile(bare, 0.99), limit_is),
    ]


async def _agent_times(size: Size) -> tuple[list[float], list[float]]:
    """Milliseconds of the grants that came at once, and of those that came later."""
    watch = Stopwatch()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="aisleflow-bench-", dir=TMPFS)))
        broker_port = await stack.enter_async_context(mosquitto(folder))
        ports = await stack.enter_async_context(simulator(folder, speed=20))
        tap = await stack.enter_async_context(BrokerTap(broker_port, watch.on_broker))
        stack.enter_context(SerialTap(folder / "tapped", ports[MACHINE], watch.on_serial))
        _, keys = await stack.enter_async_context(
            agent(folder, url=folder / "tapped", broker_port=tap.port, poll_ms=50)
        )
        cloud = await stack.enter_async_context(equipped(broker_port, keys))
        for number in range(size.grants):
            await cloud.sell(number)
        cloud.grant_after_s = ROUND_TRIP_S
        for number in range(size.grants, size.grants + size.later):
            await cloud.sell(number)
    return watch.took_ms[: size.grants], watch.took_ms[size.grants :]


async def _bare_times(size: Size) -> list[float]:
    watch = Stopwatch()
    connected: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="aisleflow-bench-", dir=TMPFS)))
        server = await asyncio.start_server(lambda _, writer: connected.put_nowait(writer), "127.0.0.1", 0)
        stack.callback(server.close)
        port = server.sockets[0].getsockname()[1]
        stack.enter_context(SerialTap(folder / "tapped", None, watch.on_serial))
        command = python("-m", "bench.bare", "grant", str(port), str(folder / "tapped"), str(folder / "bare.sqlite"))
        bare = await stack.enter_async_context(child("bare", command, folder))
        await bare.line("ready")
        writer = await connected.get()
        stack.callback(writer.close)
        for _ in range(size.grants):
            watch.stopped.clear()
            watch.start()
            writer.write(bytes(GRANT_BYTES))
            async with asyncio.timeout(START_WAIT_S):
                await watch.stopped.wait()
    return watch.took_ms


ROW = Row("grant", measure, full=Size(grants=300, later=100), tiny=Size(grants=2, later=2), minutes=2)
