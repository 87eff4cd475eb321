"""What two dead slaves cost their neighbours: the way from a grant to an open valve, and the readings of the living.

Five Modbus slaves share a line of 9600 baud: relays, a meter, three probes. Each measurement is made on the healthy
line first, then with two probes that answer nothing. The simulator runs in the bench's own loop, which counts against
the agent in both.

    grant -> valve      the whole agent behind mosquitto. From the moment before the bytes of the grant's PUBLISH are
                        written to the agent until the order to open has been read at the other end of its pseudo
                        terminal; ledger on tmpfs. Meanwhile the answers of the living are counted.
    order -> valve      the driver alone under a heavier load: the four that measure are asked five times a second each,
                        and the clock starts with the driver's call
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.grant_to_run import TMPFS, Stopwatch
from bench.machine import MACHINE, agent, equipped, mosquitto
from bench.row import Aim, Line, Row, percentile
from bench.taps import BrokerTap, Direction, Passing, SerialTap
from edge_agent.devices.modbus_device import ModbusDevice
from edge_agent.devices.profile_file import load_profile
from edge_agent.devices.purifier import RelayValve
from edge_agent.errors import BoardMisbehaved, BoardSilent, NeverSent
from edge_agent.links.bus import Bus
from firmware_sim.scenario import Scenario, scenario_from
from firmware_sim.testbench import bench
from shared.clock import SystemClock
from shared.messages import MachineConfig
from shared.water import Outlet, PurifierConfig, ServicePlan

BAUD = 9600
READ_EVERY_MS = 200
OPEN_MS = 200
VALVE = 11
# An order to a relay's own timer: slave, function, high byte of the address; and one to shut the only outlet.
OPEN_HEAD = bytes((VALVE, 5, 2))
SHUT_HEAD = bytes((VALVE, 5, 0, 0, 0, 0))
# Name in the simulator, profile, slave; the last two are the ones that die.
READ = (
    ("pulse4", "pulse4", 12),
    ("xy-md02", "xy-md02", 13),
    ("ws102-tds", "ws102-tds", 14),
    ("qdy30a-level", "qdy30a", 15),
)
DEAD = (14, 15)
LIVING = (12, 13)

# A wide outlet, so that a glass is full in a second.
FLOW_ML_PER_S = 150
POUR_ML = 150
PURIFIER_CONFIG = MachineConfig(
    machine=MACHINE,
    version=1,
    aisles=(),
    purifier=PurifierConfig(
        outlets=(Outlet(warmth="normal", relay=1, nominal_ml_per_s=FLOW_ML_PER_S),),
        plan=ServicePlan(plan="bench", mode="vending"),
    ),
)
PURIFIER = f"""
[[modbus]]
url = "{{url}}"
baud = {BAUD}
[[modbus.device]]
name = "valve"
profile = "waveshare-relay-8"
slave = {VALVE}
role = "valve"
""" + "".join(
    f"""
[[modbus.device]]
name = "{role}"
profile = "{profile}"
slave = {slave}
role = "{role}"
"""
    for (_, profile, slave), role in zip(READ, ("meter", "temperature", "tds_out", "level"), strict=True)
)

# Orders come at odd moments, so that they meet every state of the line; about nine a second.
BETWEEN_MS = (60, 160)
# A slave is dead to the line after three silent requests of 200 ms.
DYING_S_MAX = 30


@dataclass(frozen=True, slots=True)
class Size:
    """How many orders of the driver and how many grants, each time."""

    orders: int
    grants: int


@dataclass(slots=True)
class Seen:
    """One line under load: how long each order took, and how many readings the living gave in how many seconds."""

    took_ms: list[float] = field(default_factory=list)
    unanswered: int = 0
    readings: int = 0
    lasted_s: float = 0.0

    @property
    def rate(self) -> float:
        """Readings of the living per second."""
        return self.readings / self.lasted_s


async def measure(size: Size) -> list[Line]:
    """The same orders on a healthy line and on one with two dead of five."""
    healthy, wounded = await _under_load(size, ()), await _under_load(size, DEAD)
    added = percentile(wounded.took_ms, 0.99) - percentile(healthy.took_ms, 0.99)
    return [
        *await _granted_lines(size),
        Line(
            "order -> valve, two of five dead, p50",
            percentile(wounded.took_ms, 0.5),
            "ms",
            percentile(healthy.took_ms, 0.5),
            "the healthy line",
        ),
        Line(
            "order -> valve, added by two dead, p99",
            added,
            "ms",
            percentile(healthy.took_ms, 0.99),
            "the healthy line, p99",
            Aim("measured", "<=", 50),
            f"{size.orders} orders; worst {max(wounded.took_ms):.0f} ms, healthy {max(healthy.took_ms):.0f} ms; "
            f"{healthy.unanswered + wounded.unanswered} unanswered",
        ),
        Line(
            "readings of the living, two of five dead",
            wounded.rate,
            "1/s",
            healthy.rate,
            "the healthy line",
            Aim("ratio", ">=", 0.9),
        ),
    ]


async def _under_load(size: Size, dead: tuple[int, ...]) -> Seen:
    seen, left = Seen(), asyncio.Event()
    rng = random.Random(1)

    def passing(direction: Direction, data: bytes) -> None:
        if direction == "up" and data[:2] == bytes((VALVE, 5)):
            left.set()

    async with _line(dead, passing) as bus:
        clock = SystemClock()
        devices = {slave: ModbusDevice(bus, load_profile(name), slave, clock, name=name) for _, name, slave in READ}
        valve = RelayValve(ModbusDevice(bus, load_profile("waveshare-relay-8"), VALVE, clock, name="valve"))
        async with asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(_read(device, seen, slave in LIVING)) for slave, device in devices.items()]
            await _until_dead(bus, dead)
            seen.readings = 0
            began = time.perf_counter()
            for _ in range(size.orders):
                await asyncio.sleep(rng.randint(*BETWEEN_MS) / 1000)
                left.clear()
                ordered = time.perf_counter()
                order = tasks.create_task(_open(valve))
                await left.wait()
                seen.took_ms.append((time.perf_counter() - ordered) * 1000)
                seen.unanswered += await order
            seen.lasted_s = time.perf_counter() - began
            for reader in readers:
                reader.cancel()
    return seen


def _scenario(folder: Path) -> Scenario:
    devices = [
        {"device": "waveshare-relay-8ch", "slave": VALVE},
        *({"device": name, "slave": slave} for name, _, slave in READ),
    ]
    water = {"outlets": [{"relay": 1, "flow_ml_per_s": FLOW_ML_PER_S}], "permeate_ml_per_s": FLOW_ML_PER_S}
    machine = {"name": MACHINE, "port": "pty:board", "baud": BAUD, "modbus": devices, "water": water}
    return scenario_from({"seed": 1, "machine": [machine]}, source="bench", folder=folder)


@asynccontextmanager
async def _line(dead: tuple[int, ...], passing: Passing) -> AsyncIterator[Bus]:
    with TemporaryDirectory(prefix="aisleflow-bench-") as folder:
        async with bench(_scenario(Path(folder))) as sim:
            for slave in dead:
                await sim.control.fault(MACHINE, "dead", "on", board=slave)
            with SerialTap(Path(folder) / "tapped", Path(sim.urls[MACHINE]), passing):
                async with Bus(str(Path(folder) / "tapped"), clock=SystemClock(), baud=BAUD, gap_ms=5) as bus:
                    yield bus


async def _open(valve: RelayValve) -> int:
    """1 when the relays gave no answer, as happens when other programs keep the simulator from its time."""
    try:
        await valve.open_for(1, OPEN_MS)
    except BoardSilent:
        return 1
    return 0


async def _read(device: ModbusDevice, seen: Seen, counts: bool) -> None:
    """Read the fast registers at a fixed rate; a read that takes longer than its turn loses the next one."""
    fast = [register for register in device.profile.register if register.poll == "fast"]
    due = time.perf_counter()
    while True:
        with suppress(BoardSilent, BoardMisbehaved, NeverSent):
            await device.read(fast)
            seen.readings += counts
        now = time.perf_counter()
        due = max(due + READ_EVERY_MS / 1000, now)
        await asyncio.sleep(due - now)


async def _until_dead(bus: Bus, dead: tuple[int, ...]) -> None:
    async with asyncio.timeout(DYING_S_MAX):
        while True:
            slaves = bus.statistics().slaves
            if len(slaves) >= len(READ) and all(slaves[slave].breaker != "closed" for slave in dead):
                return
            await asyncio.sleep(READ_EVERY_MS / 1000)


async def _granted_lines(size: Size) -> list[Line]:
    healthy, wounded = await _granted(size, ()), await _granted(size, DEAD)
    added = percentile(wounded.took_ms, 0.99) - percentile(healthy.took_ms, 0.99)
    return [
        Line(
            "grant -> valve, two of five dead, p50",
            percentile(wounded.took_ms, 0.5),
            "ms",
            percentile(healthy.took_ms, 0.5),
            "the healthy line",
        ),
        Line(
            "grant -> valve, added by two dead, p99",
            added,
            "ms",
            percentile(healthy.took_ms, 0.99),
            "the healthy line, p99",
            Aim("measured", "<=", 50),
            f"{size.grants} grants; worst {max(wounded.took_ms):.0f} ms, healthy {max(healthy.took_ms):.0f} ms",
        ),
        Line(
            "answers of the living while the valve is open",
            wounded.rate,
            "1/s",
            healthy.rate,
            "the healthy line",
            Aim("ratio", ">=", 0.9),
        ),
    ]


async def _granted(size: Size, dead: tuple[int, ...]) -> Seen:
    """Pours ordered one after the other, each from its grant to the order to open."""
    watch, seen = Stopwatch(), Seen()
    opened: float | None = None

    def on_serial(direction: Direction, data: bytes) -> None:
        nonlocal opened
        if direction == "up" and data.startswith(OPEN_HEAD):
            watch.stop()
            opened = opened or time.perf_counter()
        elif direction == "up" and data.startswith(SHUT_HEAD) and opened is not None:
            seen.lasted_s += time.perf_counter() - opened
            opened = None
        elif direction == "down" and data[0] in LIVING and opened is not None:
            seen.readings += 1

    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="aisleflow-bench-", dir=TMPFS)))
        sim = await stack.enter_async_context(bench(_scenario(folder)))
        for slave in dead:
            await sim.control.fault(MACHINE, "dead", "on", board=slave)
        broker_port = await stack.enter_async_context(mosquitto(folder))
        tap = await stack.enter_async_context(BrokerTap(broker_port, watch.on_broker))
        stack.enter_context(SerialTap(folder / "tapped", Path(sim.urls[MACHINE]), on_serial))
        _, keys = await stack.enter_async_context(
            agent(folder, url=folder / "tapped", broker_port=tap.port, hardware=PURIFIER)
        )
        cloud = await stack.enter_async_context(equipped(broker_port, keys, PURIFIER_CONFIG))
        for _ in range(size.grants):
            await cloud.pour(POUR_ML)
        seen.took_ms = watch.took_ms
        return seen


ROW = Row("dead-slaves", measure, full=Size(orders=300, grants=60), tiny=Size(orders=2, grants=2), minutes=7)
