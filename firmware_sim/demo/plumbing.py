"""The purifier's side of the stage: its devices for the simulator, and the same devices for its agent's settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from firmware_sim.demo.cast import OUTLETS, Purifier

BAUD: Final = 19_200

# Tables of a TOML file: name and values.
Tables = Iterator[tuple[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Device:
    """One Modbus device: its model in the simulator and its profile at the agent. `more`: of the simulator's table."""

    name: str
    slave: int
    model: str
    profile: str
    role: str
    more: dict[str, Any]


DEVICES: Final = (
    Device("valves", 10, "waveshare-relay-8ch", "waveshare-relay-8", "valve", {}),
    # A counter that wraps in the first minutes: the account must not notice.
    Device("flow", 11, "pulse4", "pulse4", "meter", {"count": 2**32 - 4_000}),
    Device("tds_in", 12, "ws102-tds", "ws102-tds", "tds_in", {"sees": "tds_in"}),
    Device("tds_out", 13, "ws102-tds", "ws102-tds", "tds_out", {"sees": "tds_out"}),
    Device("pressure", 14, "qdy30a-level", "qdy30a", "pressure", {"sees": "pressure"}),
)


def scenario_tables(purifier: Purifier) -> Tables:
    """What the simulator is told of it. Its time is real: its agent's limits are in real seconds."""
    where = {"port": f"pty:{purifier.machine}/tty", "baud": BAUD, "celsius": purifier.celsius, "speed": 1.0}
    yield "[machine]", {"name": purifier.machine, **where}
    for device in DEVICES:
        yield "[machine.modbus]", {"device": device.model, "slave": device.slave, "name": device.name, **device.more}
    yield "machine.water", {"tank_opening_ml": 20_000, "permeate_ml_per_s": 60.0}
    for outlet in OUTLETS:
        yield "[machine.water.outlets]", {"relay": outlet.relay, "flow_ml_per_s": outlet.ml_per_s, "close_ms": 200}


def settings_tables(purifier: Purifier, folder: Path) -> Tables:
    """What its agent is told of its devices."""
    yield "[modbus]", {"url": str(folder / purifier.machine / "tty"), "baud": BAUD}
    for device in DEVICES:
        told = {"name": device.name, "profile": device.profile, "slave": device.slave, "role": device.role}
        yield "[modbus.device]", told
