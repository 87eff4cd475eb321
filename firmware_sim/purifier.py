"""A water purifier on the line: Modbus devices, wired and plumbed to one model of the water."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from firmware_sim.faults import Faults
from firmware_sim.modbus.instruments import Instrument
from firmware_sim.modbus.slave import Slave
from firmware_sim.modbus.spec import DeviceSpec, Sees, WordOrder
from firmware_sim.physics import Air
from firmware_sim.timeline import Timeline
from firmware_sim.water import Plumbing, Water


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """How one device is built. `count` is where its counter starts, `settings` are what hosts have written before."""

    name: str
    spec: DeviceSpec
    slave: int
    baud: int
    sees: Sees
    word_order: WordOrder
    count: int
    settings: dict[str, int]
    gap_ms: int


class Purifier:
    """The devices by name, and the water behind them."""

    def __init__(
        self,
        plans: Sequence[DevicePlan],
        plumbing: Plumbing,
        *,
        timeline: Timeline,
        faults: Faults,
        air: Air,
        rng: random.Random,
    ) -> None:
        relay_board = next((plan.slave for plan in plans if plan.spec.relays), 0)
        self.water = Water(plumbing, timeline, faults, rng, relay_board)
        self.devices: dict[str, Slave] = {}
        for plan in plans:
            slave = Slave(
                plan.name,
                plan.spec,
                number=plan.slave,
                baud=plan.baud,
                timeline=timeline,
                gap_ms=plan.gap_ms,
                word_order=plan.word_order,
                settings=plan.settings,
            )
            slave.busy = partial(faults.strikes, "exception", plan.slave)
            slave.instrument = Instrument(plan.sees, self.water, air, slave.settings, plan.count)
            slave.instrument.cable_open = partial(faults.is_on, "open_cable", plan.slave)
            if plan.slave == relay_board:
                slave.relays.switched = self.water.relay
            self.devices[plan.name] = slave
        self.relay_board = relay_board

    def device(self, name: object) -> Slave:
        """A device by its name; `ValueError` names those that exist."""
        slave = self.devices.get(name) if isinstance(name, str) else None
        if slave is None:
            raise ValueError(f"device = {name!r}, expected one of {', '.join(self.devices)}")
        return slave

    def numbered(self, number: int | None) -> list[Slave]:
        """The device with this number, or all of them for None."""
        return [slave for slave in self.devices.values() if number in (None, slave.number)]

    # --- the truth ---------------------------------------------------------------------------------------------------

    def truth(self) -> dict[str, Any]:
        """Volumes in microlitres: `feed + tank_opening == tank + poured + leaked + drained` to the last one."""
        water = self.water
        water.settle()
        return {
            "feed_ul": water.feed.total_ul,
            "tank_opening_ul": water.plumbing.tank_opening_ml * 1000,
            "tank_ul": water.tank_ul,
            "poured_ul": sum(valve.through_ul for valve in water.valves.values()),
            "leaked_ul": water.leak.lost.total_ul + water.seep.lost.total_ul,
            "leaked_metered_ul": water.leak.lost.total_ul,
            "drained_ul": water.drained.total_ul,
            "metered_ul": water.indicated_ul(),
            "pulses": water.pulses,
            "pressure_kpa": round(water.pressure_kpa, 1),
            "level_mm": round(water.level_mm, 1),
            "tds_out_ppm": round(water.tds_ppm, 1),
            "tds_in_ppm": round(water.feed_tds_ppm, 1),
            "membrane_worn_percent": round(water.worn * 100, 1),
            "host_silent_ms": water.host_silent_ms(),
            "outlets": {str(relay): self._outlet_truth(relay) for relay in water.valves},
            "devices": {
                name: {"number": slave.number, "requests": slave.requests, **slave.settings}
                for name, slave in self.devices.items()
            },
        }

    def _outlet_truth(self, relay: int) -> dict[str, Any]:
        """`open_without_host_ms`: the longest that it ever stood open, or stands now, after the host's last word."""
        valve = self.water.valves[relay]
        now_ms = valve.silent_now_ms(valve.opening) if valve.opening is not None else 0
        return {
            "motion": valve.motion.value,
            "coil_on": valve.coil_on,
            "poured_ul": valve.through_ul,
            "unasked_ul": valve.unasked_ul,
            "openings": valve.times_opened,
            "open_without_host_ms": max(valve.silent_longest_ms, now_ms),
        }

    def openings(self) -> list[dict[str, Any]]:
        """The log of openings, oldest first; see `valve.Opening` for the fields."""
        self.water.settle()
        return [asdict(opening) for opening in self.water.openings]
