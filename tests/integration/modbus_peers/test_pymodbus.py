"""pymodbus, a client in Python that shares no line with ours: every device over a pseudo terminal, and over TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from firmware_sim.testbench import Bench, bench
from tests.integration.modbus_peers.sight import until_valve, water
from tests.unit.firmware_sim.purifier_bench import AIR, LEVEL, PULSES, RELAYS, TDS, TUF, VMU, scenario

PATIENCE_S = 1.0
FLOAT, LONG = AsyncModbusSerialClient.DATATYPE.FLOAT32, AsyncModbusSerialClient.DATATYPE.UINT32


@asynccontextmanager
async def plugged_in(sim: Bench, baud: int = 9600) -> AsyncIterator[Any]:
    url = sim.urls["wp-1"]
    client: Any = AsyncModbusSerialClient(url, baudrate=baud, timeout=PATIENCE_S, retries=0)
    if url.startswith("socket://"):
        host, _, port = url.removeprefix("socket://").rpartition(":")
        client = AsyncModbusTcpClient(host, port=int(port), framer=FramerType.RTU, timeout=PATIENCE_S, retries=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


async def registers(client: Any, slave: int, first: int, count: int) -> list[int]:
    answer = await client.read_holding_registers(first, count=count, device_id=slave)
    assert not answer.isError(), answer
    return list(answer.registers)


@pytest.mark.parametrize("port", ["pty:wp-1", "tcp:127.0.0.1:0"])
async def test_a_pour_by_hand(port: str, tmp_path: Path) -> None:
    async with bench(scenario(tmp_path, machine={"port": port}, speed=4.0)) as sim, plugged_in(sim) as client:
        assert not (await client.write_coil(0, True, device_id=RELAYS)).isError()
        answer = await client.read_coils(0, count=8, device_id=RELAYS)
        assert answer.bits[:8] == [True] + [False] * 7
        await until_valve(sim, "open")
        assert not (await client.write_coils(0, [False] * 8, device_id=RELAYS)).isError()
        told = await until_valve(sim, "shut")
        assert told["poured_ul"] > 0
        convert = client.convert_from_registers
        assert convert(await registers(client, PULSES, 0, 2), LONG) == told["pulses"]
        assert convert(await registers(client, VMU, 0, 2), LONG, word_order="little") == told["pulses"]
        fraction = convert(await registers(client, TUF, 10, 2), FLOAT, word_order="little")
        assert fraction == pytest.approx(told["metered_ul"] / 1e9, rel=1e-6)


async def test_every_sensor_is_read_and_set(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path)) as sim, plugged_in(sim) as client:
        convert = client.convert_from_registers
        assert convert(await registers(client, TDS, 4, 2), FLOAT) == 20.0
        assert convert(await registers(client, TDS, 6, 2), FLOAT) == pytest.approx(12.5, rel=0.01)
        assert await registers(client, LEVEL, 2, 3) == [17, 0, 400]
        assert not (await client.write_register(3, 1, device_id=LEVEL)).isError()
        assert await registers(client, LEVEL, 3, 2) == [1, 4000]
        answer = await client.read_input_registers(1, count=2, device_id=AIR)
        assert answer.registers == [250, 550]
        assert not (await client.write_registers(0x0103, [5, 10], device_id=AIR)).isError()
        answer = await client.read_input_registers(1, count=2, device_id=AIR)
        assert answer.registers == [255, 560]


async def test_a_new_address_and_a_new_speed(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path, machine={"only_baud": True})) as sim:
        async with plugged_in(sim) as client:
            assert not (await client.write_register(0x4000, 77, device_id=RELAYS)).isError()
            assert await registers(client, 77, 0x4000, 1) == [77]
            assert not (await client.write_register(1, 4, device_id=LEVEL)).isError()  # 19200 from the next frame on
            with pytest.raises(ModbusIOException):
                await client.read_holding_registers(0, count=2, device_id=LEVEL)
        async with plugged_in(sim, baud=19_200) as client:
            assert await registers(client, LEVEL, 0, 2) == [LEVEL, 4]
            with pytest.raises(ModbusIOException):
                await client.read_holding_registers(0, count=2, device_id=PULSES)


async def test_refusals_are_understood(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path)) as sim, plugged_in(sim) as client:
        assert (await client.read_holding_registers(100, device_id=PULSES)).exception_code == 2
        assert (await client.read_input_registers(0, device_id=PULSES)).exception_code == 1
        await sim.control.fault("wp-1", "exception", "once", device="tuf-2000m")
        assert (await client.read_holding_registers(0, count=2, device_id=TUF)).exception_code == 6
        await sim.control.fault("wp-1", "dead", "on", device="tuf-2000m")
        with pytest.raises(ModbusIOException):
            await client.read_holding_registers(0, count=2, device_id=TUF)
        assert len(await registers(client, PULSES, 0, 5)) == 5


async def test_the_control_socket_knows_outlets_and_devices(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path, speed=20.0)) as sim, plugged_in(sim) as client:
        await sim.control.fault("wp-1", "stuck_shut", "on", outlet=1)
        await client.write_coil(0, True, device_id=RELAYS)
        outlet = (await water(sim))["outlets"]["1"]
        assert (outlet["coil_on"], outlet["motion"]) == (True, "shut")
        await client.write_coil(0, False, device_id=RELAYS)
        await sim.control.faults("none")
        await client.write_coil(0, True, device_id=RELAYS)
        await until_valve(sim, "open")
        await client.write_coil(0, False, device_id=RELAYS)
        await until_valve(sim, "shut")
        openings = await sim.control.openings("wp-1")
        assert [opening["relay"] for opening in openings] == [1]
        assert openings[0]["through_ul"] == (await water(sim))["poured_ul"] > 0
        await sim.control.readdress("wp-1", "pulse4", slave=55)
        assert len(await registers(client, 55, 0, 2)) == 2
        assert (await water(sim))["devices"]["pulse4"]["slave"] == 55
