"""The agent as master of a server that is not ours: pymodbus, over two pseudo-terminals joined at the back."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge_agent.devices.modbus_device import try_profile
from shared.clock import SystemClock

SLAVE = 21
WAIT_S = 10


@asynccontextmanager
async def joined() -> AsyncIterator[tuple[str, str]]:
    """Two ports: what is written into one comes out of the other."""
    loop = asyncio.get_running_loop()
    (one, one_end), (other, other_end) = os.openpty(), os.openpty()
    for end in (one, one_end, other, other_end):
        tty.setraw(end)
    loop.add_reader(one, lambda: os.write(other, os.read(one, 4096)))
    loop.add_reader(other, lambda: os.write(one, os.read(other, 4096)))
    try:
        yield os.ttyname(one_end), os.ttyname(other_end)
    finally:
        for end in (one, other):
            loop.remove_reader(end)
        for end in (one, one_end, other, other_end):
            os.close(end)


@asynccontextmanager
async def served(*blocks: SimData) -> AsyncIterator[str]:
    async with joined() as (ours, theirs):
        server = ModbusSerialServer(SimDevice(SLAVE, list(blocks)), port=theirs, baudrate=9600)
        await server.serve_forever(background=True)
        try:
            yield ours
        finally:
            await server.shutdown()


@pytest.mark.parametrize(
    ("profile", "blocks", "expected"),
    [
        (
            "pulse4",
            [
                SimData(0, values=[123_456_789, 7], datatype=DataType.UINT32),
                SimData(4, values=31, datatype=DataType.UINT16),
            ],
            {"counter_1": "123456789", "counter_2": "7", "frequency_1": "31"},
        ),
        (
            "ws102-tds",
            [SimData(4, values=[21.5, 42.25], datatype=DataType.FLOAT32)],
            {"temperature": "21.5", "tds": "42.25"},
        ),
        (
            "qdy30a",
            [SimData(2, values=[10, 1, 2_345, 0, 10_000], datatype=DataType.UINT16)],
            {"unit": "10", "decimals": "1", "value": "234.5", "range_zero": "0", "range_full": "10000"},
        ),
    ],
)
async def test_a_foreign_server_is_read_as_our_own(
    profile: str, blocks: list[SimData], expected: dict[str, str]
) -> None:
    async with served(*blocks) as port, asyncio.timeout(WAIT_S):
        rows = await try_profile(profile, port, SLAVE, clock=SystemClock())
    assert {row.name: row.value for row in rows} == expected
    assert [row.problem for row in rows] == [None] * len(rows)


async def test_a_foreign_exception_is_understood() -> None:
    async with served(SimData(0, values=[1, 2], datatype=DataType.UINT32)) as port, asyncio.timeout(WAIT_S):
        rows = {row.name: row for row in await try_profile("pulse4", port, SLAVE, clock=SystemClock())}
    assert rows["counter_2"].value == "2"
    assert "no exception 2 (illegal data address)" in str(rows["frequency_1"].problem)
