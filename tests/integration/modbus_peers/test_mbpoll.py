"""mbpoll, a master in C: every device read and written over a pseudo terminal."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from firmware_sim.testbench import Bench, bench
from tests.integration.modbus_peers.sight import DEADLINE_S, until_valve
from tests.unit.firmware_sim.purifier_bench import AIR, LEVEL, PULSES, RELAYS, TDS, TUF, VMU, scenario

VALUE = re.compile(r"^\[(\d+)\]:\s+(\S+)", re.MULTILINE)


@pytest.fixture
async def sim(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(scenario(tmp_path)) as running:
        yield running


class Mbpoll:
    """The command on one port."""

    def __init__(self, port: str) -> None:
        self.program = shutil.which("mbpoll")
        assert self.program, "mbpoll is missing; install it with: sudo apt-get install mbpoll"
        self.port = port

    async def run(self, slave: int, table: str, first: int, *values: int, count: int = 1, flags: str = "") -> str:
        """What it printed; `first` counts from 0. Fails the test when mbpoll does."""
        code, printed = await self.attempt(slave, table, first, *values, count=count, flags=flags)
        assert code == 0, printed
        return printed

    async def attempt(
        self, slave: int, table: str, first: int, *values: int, count: int = 1, flags: str = ""
    ) -> tuple[int, str]:
        """Exit code and everything printed."""
        line = ["-m", "rtu", "-b", "9600", "-P", "none", "-a", str(slave), "-t", table, "-0", "-r", str(first)]
        line += flags.split() + (["-1", "-c", str(count)] if not values else [])
        process = await asyncio.create_subprocess_exec(
            str(self.program), *line, self.port, *(["--", *map(str, values)] if values else []),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(DEADLINE_S):
            printed, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, printed.decode(errors="replace")

    async def read(self, slave: int, table: str, first: int, count: int = 1, flags: str = "") -> list[float]:
        """The values, in order."""
        printed = await self.run(slave, table, first, count=count, flags=flags)
        return [float(value) for _, value in VALUE.findall(printed)]


async def test_relays_are_switched_and_read(sim: Bench) -> None:
    mbpoll = Mbpoll(sim.urls["wp-1"])
    await mbpoll.run(RELAYS, "0", 2, 1)
    await mbpoll.run(RELAYS, "0", 4, 1, 1, 0, 1)
    assert await mbpoll.read(RELAYS, "0", 0, 8) == [0, 0, 1, 0, 1, 1, 0, 1]
    assert await mbpoll.read(RELAYS, "4", 0x4000) == [RELAYS]
    await mbpoll.run(RELAYS, "4", 0x4000, 42)
    assert await mbpoll.read(42, "0", 2) == [1]


async def test_counters_follow_the_water(sim: Bench) -> None:
    mbpoll = Mbpoll(sim.urls["wp-1"])
    await mbpoll.run(RELAYS, "0", 0, 1)
    await until_valve(sim, "open")
    await mbpoll.run(RELAYS, "0", 0, 0)
    truth = await until_valve(sim, "shut")
    assert truth["pulses"] > 0
    assert await mbpoll.read(PULSES, "4:int", 0, flags="-B") == [truth["pulses"]]
    assert await mbpoll.read(VMU, "3:int", 0) == [truth["pulses"]]
    assert await mbpoll.read(TUF, "4:float", 10) == [pytest.approx(truth["metered_ul"] / 1e9, rel=1e-4)]
    await mbpoll.run(PULSES, "4", 16, 1)
    assert await mbpoll.read(PULSES, "4:int", 0, flags="-B") == [0]


async def test_sensors_are_read_and_set(sim: Bench) -> None:
    mbpoll = Mbpoll(sim.urls["wp-1"])
    assert await mbpoll.read(TDS, "4:float", 4, flags="-B") == [20.0]
    assert await mbpoll.read(TDS, "4:float", 6, flags="-B") == [pytest.approx(12.5, rel=0.01)]
    assert await mbpoll.read(LEVEL, "4", 2, 3) == [17, 0, 400]
    await mbpoll.run(LEVEL, "4", 2, 16)
    await mbpoll.run(LEVEL, "4", 3, 1)
    assert await mbpoll.read(LEVEL, "4", 4) == [4]
    assert await mbpoll.read(AIR, "3", 1, 2) == [250, 550]
    await mbpoll.run(AIR, "4", 0x0103, 15, 0)
    assert await mbpoll.read(AIR, "3", 1) == [265]


async def test_refusals_and_silence_are_understood(sim: Bench) -> None:
    mbpoll = Mbpoll(sim.urls["wp-1"])
    _, printed = await mbpoll.attempt(PULSES, "4", 100)
    assert "Illegal data address" in printed
    _, printed = await mbpoll.attempt(PULSES, "3", 0)
    assert "Illegal function" in printed
    _, printed = await mbpoll.attempt(99, "4", 0)
    assert "timed out" in printed
