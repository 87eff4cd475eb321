"""Modbus slaves in simulated time: some that answer as late as a die says, and the simulator's own devices."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, cast

from edge_agent.devices.modbus_device import ModbusDevice
from edge_agent.devices.ports import Purifier
from edge_agent.devices.profile_file import load_profile
from edge_agent.devices.purifier import Part, Role, open_purifier
from edge_agent.links.bus import Bus
from edge_agent.wire.crc import sealed
from shared.clock import ManualClock
from tests.links.virtual import Fate, InlineBus, Rig

# Requests of this class of numbers are refused: which ones, the asker cannot know.
REFUSED_EVERY = 7


class LateSlaves:
    """Slaves that answer in the order of the questions, as late as `fate` says, with the number of the question.

    Every register of an answer holds the number of the request that caused it: the test sees what an asker cannot.
    """

    def __init__(self, clock: ManualClock, fate: Callable[[int], Fate]) -> None:
        self.numbers: dict[int, int] = {}  # of each slave, the number of the request that it was asked last
        self.asked = 0
        self._clock = clock
        self._fate = fate
        self._due: list[tuple[int, int, bytes]] = []
        self._not_before: dict[int, int] = {}

    def write(self, data: bytes) -> None:
        slave, function, count = data[0], data[1], int.from_bytes(data[4:6], "big")
        self.asked += 1
        self.numbers[slave] = self.asked
        late_ms = self._fate(slave)
        if late_ms is None:
            return
        if self.asked % REFUSED_EVERY == 0:
            answer = bytes((slave, function | 0x80, 6))
        elif function == 5:
            answer = data[:-2]
        else:
            answer = bytes((slave, function, 2 * count)) + self.asked.to_bytes(2, "big") * count
        when = max(self._clock.mono_ms() + late_ms, self._not_before.get(slave, 0))
        self._not_before[slave] = when
        heapq.heappush(self._due, (when, self.asked, sealed(answer)))

    def read(self, wait_ms: int) -> bytes:
        until = self._clock.mono_ms() + wait_ms
        if not self._due or self._due[0][0] > until:
            self._clock.advance(wait_ms)
            return b""
        self._clock.advance(max(0, self._due[0][0] - self._clock.mono_ms()))
        return heapq.heappop(self._due)[2]

    def close(self) -> None:
        pass


# --- the simulator's devices on a virtual cable ----------------------------------------------------------------------

# Role, the simulator's device, the agent's profile, slave, what it is plumbed to.
CAST: list[tuple[Role, str, str, int, str | None]] = [
    ("valve", "waveshare-relay-8ch", "waveshare-relay-8", 11, None),
    ("meter", "pulse4", "pulse4", 12, None),
    ("tds_in", "ws102-tds", "ws102-tds", 13, "tds_in"),
    ("tds_out", "ws102-tds", "ws102-tds", 14, "tds_out"),
    ("level", "qdy30a-level", "qdy30a", 15, "level"),
    ("pressure", "qdy30a-level", "qdy30a", 16, "pressure"),
    ("temperature", "xy-md02", "xy-md02", 17, None),
]

# Relay 1 opens onto the simulator's first outlet.
RELAY = 1


class WaterRig(Rig):
    """A simulated machine with a driver board and seven Modbus devices on one line, and the agent's drivers on it."""

    def __init__(self, *, meter: str = "pulse4", seed: int = 1, rates: dict[str, float] | None = None) -> None:
        self.cast = [(*row[:1], meter, meter, *row[3:]) if row[0] == "meter" else row for row in CAST]
        devices: list[dict[str, Any]] = [
            {"device": device, "name": role, "slave": slave} | ({"sees": sees} if sees else {})
            for role, device, _, slave, sees in self.cast
        ]
        super().__init__({"address": 1, "motors": 20, "stock": 10}, seed=seed, rates=rates, modbus=devices)
        self.shared = cast(Bus, self.bus)
        parts = [Part(self.shared, role, profile, slave, role) for role, _, profile, slave, _ in self.cast]
        self.purifier: Purifier = open_purifier(parts, self.clock)

    def device(self, profile: str, slave: int) -> ModbusDevice:
        return ModbusDevice(self.shared, load_profile(profile), slave, self.clock, name=profile)

    def slave(self, role: Role) -> int:
        return next(slave for each, _, _, slave, _ in self.cast if each == role)


def inline(clock: ManualClock, port: object) -> InlineBus:
    """A bus without a thread on any port in simulated time."""
    return InlineBus(clock, cast(Any, port))
