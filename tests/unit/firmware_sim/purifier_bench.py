"""What several tests build: a purifier with every device in simulated time, and Modbus requests made by hand."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from firmware_sim.boards.crc16 import crc16
from firmware_sim.purifier import Purifier
from firmware_sim.scenario import Scenario, scenario_from
from firmware_sim.testbench import Host

RELAYS, PULSES, TUF, TDS, LEVEL, AIR, VMU = range(10, 17)
DEVICES: list[dict[str, Any]] = [
    {"device": "waveshare-relay-8ch", "slave": RELAYS},
    {"device": "pulse4", "slave": PULSES},
    {"device": "tuf-2000m", "slave": TUF},
    {"device": "ws102-tds", "slave": TDS},
    {"device": "qdy30a-level", "slave": LEVEL},
    {"device": "xy-md02", "slave": AIR},
    {"device": "vmu-mc", "slave": VMU},
]
# Longer than any honest answer: 60 ms of thought and 40 bytes at 9600 baud.
PATIENCE_MS = 200
# A flow without spread in opening and closing, where a test counts on times.
STEADY = {"relay": 1, "flow_ml_per_s": 30, "jitter_percent": 0}


def scenario(
    folder: Path = Path(),
    *,
    modbus: list[dict[str, Any]] | None = None,
    water: dict[str, Any] | None = None,
    machine: dict[str, Any] | None = None,
    **top: Any,
) -> Scenario:
    """One purifier "wp-1" with every device at 9600 baud, a full tank, and whatever the test wants otherwise."""
    plumbing = {"outlets": [STEADY], "tank_opening_ml": 20_000, **(water or {})}
    settings = {"name": "wp-1", "port": "pty:wp-1", "baud": 9600, "modbus": DEVICES if modbus is None else modbus}
    settings |= {"water": plumbing, **(machine or {})}
    return scenario_from({"machine": [settings], **top}, source="test", folder=folder)


class Master(Host):
    """A Modbus master in simulated time."""

    @property
    def purifier(self) -> Purifier:
        """What it talks to."""
        assert self.machine.purifier is not None, "built with devices"
        return self.machine.purifier

    def request(self, slave: int, function: int, *words: int, tail: bytes = b"", wait_ms: int = PATIENCE_MS) -> bytes:
        """Everything that came back, sealed or not."""
        body = bytes([slave, function]) + b"".join(word.to_bytes(2, "big") for word in words) + tail
        return self.exchange(body + crc16(body), wait_ms)

    def read(self, slave: int, first: int, count: int, function: int = 3) -> bytes:
        """The registers' bytes; fails the test unless the reply is whole."""
        reply = self.request(slave, function, first, count)
        assert reply[:3] == bytes([slave, function, 2 * count]), reply.hex(" ")
        assert reply[-2:] == crc16(reply[:-2]), reply.hex(" ")
        return reply[3:-2]

    def write(self, slave: int, address: int, word: int) -> None:
        """One register; fails the test unless the reply echoes."""
        reply = self.request(slave, 6, address, word)
        assert reply[:-2] == bytes([slave, 6]) + address.to_bytes(2, "big") + word.to_bytes(2, "big"), reply.hex(" ")

    def coil(self, address: int, value: int) -> None:
        """One coil of the relay device; fails the test unless the reply echoes."""
        reply = self.request(RELAYS, 5, address, value)
        assert reply[:-2] == bytes([RELAYS, 5]) + address.to_bytes(2, "big") + value.to_bytes(2, "big"), reply.hex(" ")

    def closed(self) -> list[int]:
        """Which relays are closed, asked over the line."""
        reply = self.request(RELAYS, 1, 0, 8)
        assert reply[:3] == bytes([RELAYS, 1, 1]), reply.hex(" ")
        return [number for number in range(1, 9) if reply[3] >> number - 1 & 1]

    def pulses(self) -> int:
        """Counter 1 of the pulse counter."""
        return int.from_bytes(self.read(PULSES, 0, 2), "big")

    def poured_ul(self) -> int:
        """By the truth."""
        poured: int = self.purifier.truth()["poured_ul"]
        return poured


def master(*, seed: int = 1, speed: float = 1.0, **what: Any) -> Master:
    """A master wired to that purifier."""
    return Master(scenario(seed=seed, speed=speed, **what).build()[0])


def real(data: bytes, order: str = "high") -> float:
    """Two registers as a float."""
    swapped = data if order == "high" else data[2:4] + data[0:2]
    number: float = struct.unpack(">f", swapped)[0]
    return number


def conserved(truth: dict[str, Any]) -> bool:
    """Is every microlitre somewhere?"""
    came = truth["feed_ul"] + truth["tank_opening_ul"]
    went = truth["tank_ul"] + truth["poured_ul"] + truth["leaked_ul"] + truth["drained_ul"]
    return bool(came == went)
