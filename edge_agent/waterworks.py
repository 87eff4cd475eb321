"""The water side of the agent, built as one part: the purifier, its watch, and what may be asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace

from edge_agent.devices.ports import Purifier
from edge_agent.devices.purifier import Part, open_purifier
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.links.bus import Bus
from edge_agent.pour import display
from edge_agent.pour.operations import Claiming, PourOperations
from edge_agent.pour.session import Pouring
from edge_agent.pour.watch import WaterWatch
from edge_agent.settings import Settings
from edge_agent.watch import MachineWatch
from shared.clock import Clock
from shared.messages import MachineConfig, Reading


@dataclass(frozen=True, slots=True)
class Waterworks:
    """What a machine has besides aisles when it gives water."""

    pouring: Pouring
    watch: WaterWatch
    operations: PourOperations

    def loops(self) -> dict[str, Coroutine[None, None, None]]:
        """The loops of the water side by their names."""
        return {
            "watch-devices": self.watch.watch_devices(),
            "watch-probes": self.watch.watch_probes(),
            "water-time": self.watch.keep_time(),
        }


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the water side shares with the rest of the agent. `lane` is held by whoever moves motors or water."""

    ledger: LedgerDatabase
    clock: Clock
    lane: asyncio.Lock
    claims: Claiming
    watch: MachineWatch
    take_reading: Callable[[Reading], Awaitable[None]]


def open_waterworks(settings: Settings, buses: Mapping[str, Bus], outside: Surroundings) -> Waterworks | None:
    """Compose the purifier that the settings name; None when they name none. `buses` by their urls."""
    parts = [
        Part(buses[line.url], device.name, device.profile, device.slave, device.role)
        for line in settings.modbus
        for device in line.device
    ]
    return build_waterworks(open_purifier(parts, outside.clock), outside) if parts else None


def build_waterworks(purifier: Purifier, outside: Surroundings) -> Waterworks:
    """Put the water side together around a purifier."""
    machine = outside.watch

    async def changed() -> None:
        stop = watch.stop()
        await machine.change(water="" if stop is None else display.stopped(stop, "en"))

    async def configure(config: MachineConfig | None) -> None:
        if config is None:
            await watch.configure(None)
        else:
            await watch.configure(config.purifier, config.decided_wall_ms)

    pouring = Pouring(purifier=purifier, ledger=outside.ledger, clock=outside.clock)
    watch = WaterWatch(
        purifier=purifier,
        pouring=pouring,
        ledger=outside.ledger,
        clock=outside.clock,
        busy=outside.lane.locked,
        tell=machine.tell,
        changed=changed,
        take_reading=outside.take_reading,
    )
    operations = PourOperations(
        purifier=purifier,
        pouring=pouring,
        watch=watch,
        claims=outside.claims,
        ledger=outside.ledger,
        clock=outside.clock,
        lane=outside.lane,
        config=lambda: machine.config,
        machine_stop=machine.why_stopped,
    )
    machine.condition = replace(machine.condition, water=display.stopped("machine", "en"))
    machine.parts.append(configure)
    return Waterworks(pouring, watch, operations)
