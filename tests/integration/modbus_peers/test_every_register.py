"""Every register of every device, and every way of a device to be in trouble, as two foreign masters see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest
from pymodbus.exceptions import ModbusIOException
from pymodbus.pdu.bit_message import WriteSingleCoilRequest

from edge_agent.devices.modbus_device import try_profile
from edge_agent.devices.profile_file import load_profile, shipped_profiles
from firmware_sim.modbus.spec import device_names, load_device
from firmware_sim.testbench import Bench, bench
from shared.clock import SystemClock
from tests.integration.modbus_peers.documented import (
    COILS,
    DEVICES,
    FLOWING,
    HOLDING,
    INPUT,
    NEW,
    WRITE_COIL,
    WRITE_COILS,
    WRITE_MANY,
    WRITE_ONE,
    Device,
    Kind,
    bench_devices,
)
from tests.integration.modbus_peers.sight import until_valve, water
from tests.integration.modbus_peers.test_mbpoll import Mbpoll
from tests.integration.modbus_peers.test_pymodbus import plugged_in
from tests.unit.firmware_sim.purifier_bench import PULSES, RELAYS, TDS, scenario

# What a foreign master may say of an exception or of silence.
BUSY, SILENT = "busy", "silent"
# A counter of seconds after the start of a test on a busy computer.
SECONDS_MAX = 600


class Flash(WriteSingleCoilRequest):
    """The tools write FF00 and 0000 to a coil; a timer is a number there: one second."""

    def encode(self) -> bytes:
        return self.address.to_bytes(2, "big") + (10).to_bytes(2, "big")


class Master(Protocol):
    """What both tools can do."""

    async def read(self, slave: int, function: int, address: int, kind: Kind) -> float:
        """One value."""

    async def write(self, slave: int, function: int, address: int, *words: int) -> None:
        """Coils or registers; fails the test when it is refused."""

    async def trouble(self, slave: int, function: int, address: int) -> str:
        """How a read fails: `busy` or `silent`; fails the test when it does not."""


class ByMbpoll:
    """The master in C."""

    def __init__(self, sim: Bench) -> None:
        self._poll = Mbpoll(sim.urls["wp-1"])

    async def read(self, slave: int, function: int, address: int, kind: Kind) -> float:
        (value,) = await self._poll.read(slave, _table(function, kind), address, flags=_flags(kind))
        return value

    async def write(self, slave: int, function: int, address: int, *words: int) -> None:
        # It takes function 5 or 6 for one value, and 15 or 16 for several.
        assert (function in (WRITE_COILS, WRITE_MANY)) == (len(words) > 1)
        await self._poll.run(slave, "0" if function in (WRITE_COIL, WRITE_COILS) else "4", address, *words)

    async def trouble(self, slave: int, function: int, address: int) -> str:
        _, told = await self._poll.attempt(slave, _table(function, "u16"), address, flags="-o 0.3")
        return BUSY if "busy" in told else SILENT if "timed out" in told else told


def _table(function: int, kind: Kind) -> str:
    table = {COILS: "0", INPUT: "3", HOLDING: "4"}[function]
    return table + {"f32": ":float", "u32": ":int"}.get(kind[:3], "")


def _flags(kind: Kind) -> str:
    return "-B" if kind.endswith("high") else ""


class ByPymodbus:
    """The client in Python."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def _ask(self, slave: int, function: int, address: int, count: int) -> Any:
        ask = {
            COILS: self._client.read_coils,
            HOLDING: self._client.read_holding_registers,
            INPUT: self._client.read_input_registers,
        }[function]
        return await ask(address, count=count, device_id=slave)

    async def read(self, slave: int, function: int, address: int, kind: Kind) -> float:
        answer = await self._ask(slave, function, address, 1 if kind in ("coil", "u16") else 2)
        assert not answer.isError(), answer
        if kind == "coil":
            return float(answer.bits[0])
        if kind == "u16":
            return float(answer.registers[0])
        types = self._client.DATATYPE
        wanted = types.FLOAT32 if kind.startswith("f32") else types.UINT32
        order = "big" if kind.endswith("high") else "little"
        return float(self._client.convert_from_registers(answer.registers, wanted, word_order=order))

    async def write(self, slave: int, function: int, address: int, *words: int) -> None:
        client = self._client
        match function:
            case 5:
                answer = await client.write_coil(address, bool(words[0]), device_id=slave)
            case 15:
                answer = await client.write_coils(address, [bool(word) for word in words], device_id=slave)
            case 6:
                answer = await client.write_register(address, words[0], device_id=slave)
            case _:
                answer = await client.write_registers(address, list(words), device_id=slave)
        assert not answer.isError(), answer

    async def trouble(self, slave: int, function: int, address: int) -> str:
        try:
            answer = await self._ask(slave, function, address, 1)
        except ModbusIOException:
            return SILENT
        return BUSY if answer.isError() and answer.exception_code == 6 else str(answer)


@asynccontextmanager
async def by_mbpoll(sim: Bench) -> AsyncIterator[Master]:
    yield ByMbpoll(sim)


@asynccontextmanager
async def by_pymodbus(sim: Bench) -> AsyncIterator[Master]:
    async with plugged_in(sim) as client:
        yield ByPymodbus(client)


MASTERS = pytest.mark.parametrize("tool", [by_mbpoll, by_pymodbus])
EACH = pytest.mark.parametrize("device", DEVICES, ids=[device.simulated for device in DEVICES])
Tool = Callable[[Bench], AbstractAsyncContextManager[Master]]


@asynccontextmanager
async def asked(folder: Path, tool: Tool, **machine: Any) -> AsyncIterator[tuple[Bench, Master]]:
    async with bench(scenario(folder, modbus=bench_devices(), machine=machine)) as sim, tool(sim) as master:
        yield sim, master


@EACH
@MASTERS
async def test_every_register_shows_what_its_document_says(tool: Tool, device: Device, tmp_path: Path) -> None:
    async with asked(tmp_path, tool) as (_, master):
        for row in device.shows:
            value = await master.read(device.slave, row.function, row.address, row.kind)
            if row.value is None:
                assert 0 <= value <= SECONDS_MAX, row
            else:
                assert value == pytest.approx(row.value, rel=1e-5), row


@EACH
@MASTERS
async def test_every_setting_is_taken(tool: Tool, device: Device, tmp_path: Path) -> None:
    async with asked(tmp_path, tool) as (_, master):
        slave = device.slave
        for row in device.takes:
            await master.write(slave, row.function, row.address, *row.words)
            slave = NEW if NEW in row.words else slave
            for address, word in enumerate(row.words, row.address):
                assert await master.read(slave, HOLDING, address, row.kind) == word, row


@MASTERS
async def test_what_acts_when_it_is_written(tool: Tool, tmp_path: Path) -> None:
    async with asked(tmp_path, tool) as (sim, master):

        async def relays() -> list[float]:
            return [await master.read(RELAYS, COILS, place, "coil") for place in range(8)]

        await master.write(RELAYS, WRITE_COIL, 0x00FF, 1)
        assert await relays() == [1] * 8
        await master.write(RELAYS, WRITE_COIL, 0x01FF, 0)
        assert await relays() == [0] * 8
        for place in range(8):
            await master.write(RELAYS, WRITE_COIL, place, 1)
        await master.write(RELAYS, WRITE_COILS, 0, 1, 0, 1, 0, 1, 0, 1, 0)
        assert await relays() == [1, 0] * 4
        await master.write(PULSES, WRITE_ONE, 16, 1)
        assert await master.read(PULSES, HOLDING, 0, "u32 high") < 1_000_000
        await master.write(TDS, WRITE_ONE, 0x14, 99)
        await master.write(99, WRITE_ONE, 0x64, 0)
        assert await master.read(1, HOLDING, 0x14, "f32 high") == 1, "as it left the factory"
        await master.write(RELAYS, WRITE_COIL, 0x00FF, 0)
        await master.write(RELAYS, WRITE_ONE, 0x2000, 1)  # 9600 baud, as it was
        assert await relays() == [0] * 8
        assert (await water(sim))["outlets"]["1"]["openings"] >= 1


async def test_a_relay_falls_back_by_its_own_timer(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path, modbus=bench_devices())) as sim, plugged_in(sim) as client:
        await client.execute(False, Flash(address=0x0200, bits=[True], dev_id=RELAYS))
        await until_valve(sim, "open")
        assert (await client.read_coils(0, count=1, device_id=RELAYS)).bits[0] is True
        await until_valve(sim, "shut")
        assert (await client.read_coils(0, count=1, device_id=RELAYS)).bits[0] is False


@MASTERS
async def test_what_moves_shows_the_flow(tool: Tool, tmp_path: Path) -> None:
    async with asked(tmp_path, tool) as (sim, master):
        await master.write(RELAYS, WRITE_COIL, 0, 1)
        await until_valve(sim, "open")
        for slave, row in FLOWING:
            assert row.value is not None
            shown = await master.read(slave, row.function, row.address, row.kind)
            assert shown == pytest.approx(row.value, rel=0.1), row


@EACH
@MASTERS
async def test_trouble_of_one_device_is_its_own(tool: Tool, device: Device, tmp_path: Path) -> None:
    first = device.shows[0]
    neighbour = DEVICES[(DEVICES.index(device) + 1) % len(DEVICES)]
    beside = neighbour.shows[0]
    async with asked(tmp_path, tool) as (sim, master):

        async def fault(kind: str, how: Literal["on", "off", "once"]) -> None:
            await sim.control.fault("wp-1", kind, how, device=device.simulated)

        async def reads() -> None:
            assert await master.read(device.slave, first.function, first.address, first.kind) == first.value

        async def neighbour_reads() -> None:
            assert await master.read(neighbour.slave, beside.function, beside.address, beside.kind) == beside.value

        await fault("exception", "once")
        assert await master.trouble(device.slave, first.function, first.address) == BUSY
        await reads()
        await fault("dead", "on")
        assert await master.trouble(device.slave, first.function, first.address) == SILENT
        await neighbour_reads()
        await fault("dead", "off")
        await reads()
        await fault("slow", "on")
        began = asyncio.get_running_loop().time()
        await reads()
        assert asyncio.get_running_loop().time() - began >= 0.3, "most of a second for every answer"
        await fault("slow", "off")
        await neighbour_reads()


@EACH
async def test_a_late_answer_comes_when_nobody_waits_any_more(device: Device, tmp_path: Path) -> None:
    first = device.shows[0]
    async with bench(scenario(tmp_path, modbus=bench_devices())) as sim:
        poll = Mbpoll(sim.urls["wp-1"])
        await sim.control.fault("wp-1", "late", "on", device=device.simulated)
        table = _table(first.function, first.kind)
        _, told = await poll.attempt(device.slave, table, first.address, flags="-o 0.2")
        assert "timed out" in told
        patient = _flags(first.kind) + " -o 10"
        assert await poll.read(device.slave, table, first.address, flags=patient) == [first.value]


# --- the table above leaves nothing out ---


def test_the_table_has_every_register_of_the_simulator() -> None:
    assert {device.simulated for device in DEVICES} == set(device_names())
    for device in DEVICES:
        spec = load_device(device.simulated)
        rows = {(function, row.address - spec.first) for row in spec.register for function in row.functions}
        rows |= {
            (function, row.address - spec.first + place)
            for row in spec.coil
            for function in row.functions
            for place in range(row.count)
        }
        tried = {(row.function, row.address) for row in device.shows} | set(device.acts)
        tried |= {(row.function, row.address + at) for row in device.takes for at in range(len(row.words))}
        assert rows - tried == set(), device.simulated


async def test_the_table_has_every_register_of_every_shipped_profile_and_the_agent_reads_the_same(
    tmp_path: Path,
) -> None:
    assert {device.profile for device in DEVICES} == set(shipped_profiles())
    async with bench(scenario(tmp_path, modbus=bench_devices())) as sim:
        for device in DEVICES:
            profile = load_profile(device.profile)
            shows = {(row.function, row.address): row.value for row in device.shows}
            tried = await try_profile(device.profile, sim.urls["wp-1"], device.slave, clock=SystemClock())
            for register, found in zip(profile.register, tried, strict=True):
                assert found.problem is None, found
                expected = shows[register.function, register.address - profile.address_base]
                assert expected is not None, register
                scale = 1 if register.decimals_from else Fraction(register.scale)
                assert float(found.value) == pytest.approx(expected * scale, rel=1e-5), found
