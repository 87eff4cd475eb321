"""The real ports: pyserial as the host, over pseudo terminals and over TCP."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import serial

from firmware_sim.testbench import bench
from tests.unit.firmware_sim.bench import FINISHED, parse_poll, scenario

PORTS = {"pty": "pty:by-id/vm-1", "tcp": "tcp:127.0.0.1:0"}
POLL_1 = bytes.fromhex("01 03 40 21")
RUN_1_3 = bytes.fromhex("01 05 03 63 51")
IDLE_REPLY = bytes.fromhex("00 03 00 00 00 00 00 00 00 00 19 37 21")
# Real time: generous for a busy machine; nothing waits this long unless it fails.
DEADLINE_S = 10
SPEED = 20.0


def opened(url: str, baud: int = 38400) -> serial.SerialBase:
    exclusive = {} if url.startswith("socket://") else {"exclusive": True}
    return serial.serial_for_url(url, baudrate=baud, timeout=DEADLINE_S, **exclusive)


@asynccontextmanager
async def plugged_in(url: str, baud: int = 38400) -> AsyncIterator[Any]:
    """A host on the line. pyserial forgets to close a socket whose other end is gone, so that is done here."""
    port = await asyncio.to_thread(opened, url, baud)
    with contextlib.closing(getattr(port, "_socket", port)), port:
        yield port


async def asked(port: Any, request: bytes, length: int) -> bytes:
    """Ask in a thread: pyserial blocks, and the simulator lives in this loop."""

    def exchange() -> bytes:
        port.write(request)
        reply: bytes = port.read(length)
        return reply

    return await asyncio.to_thread(exchange)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110 - what is waited for is a symlink, or a value that tells nobody
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("kind", PORTS)
async def test_a_vend_over_a_real_port(kind: str, tmp_path: Path) -> None:
    async with bench(scenario(tmp_path, machine={"port": PORTS[kind]}, speed=SPEED)) as sim:
        async with plugged_in(sim.urls["vm-1"]) as port:
            assert await asked(port, POLL_1, 13) == IDLE_REPLY
            assert (await asked(port, RUN_1_3, 5))[2] == 0
            async with asyncio.timeout(DEADLINE_S):
                while (now := parse_poll(await asked(port, POLL_1, 13))).state != FINISHED:
                    pass
            assert (now.motor, now.result) == (3, 0)
        told = await sim.control.truth()
        assert told["machines"]["vm-1"]["boards"]["1"]["motors"]["3"]["fell"] == 1


@pytest.mark.parametrize("kind", PORTS)
async def test_unplugged_under_the_host_s_hands_and_plugged_again(kind: str, tmp_path: Path) -> None:
    async with bench(scenario(tmp_path, machine={"port": PORTS[kind]}, speed=SPEED)) as sim:
        url = sim.urls["vm-1"]
        async with plugged_in(url) as port:
            await sim.control.unplug("vm-1")
            with pytest.raises((serial.SerialException, OSError)):
                assert await asked(port, POLL_1, 13) != b"", "an end, not silence"
        with pytest.raises(serial.SerialException):
            await asyncio.to_thread(opened, url)
        await sim.control.plug("vm-1")
        async with plugged_in(url) as port:
            assert await asked(port, POLL_1, 13) == IDLE_REPLY


async def test_a_host_that_comes_back_finds_the_line_as_it_was(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path, speed=SPEED)) as sim:
        for _ in range(5):
            async with plugged_in(sim.urls["vm-1"]) as port:
                assert await asked(port, POLL_1, 13) == IDLE_REPLY


async def test_the_terminal_is_raw(tmp_path: Path) -> None:
    """No echo, no newline translation: a plain open is enough."""
    async with bench(scenario(tmp_path, speed=SPEED)) as sim:
        file = os.open(sim.urls["vm-1"], os.O_RDWR | os.O_NOCTTY)
        try:
            os.write(file, POLL_1)
            assert await asyncio.to_thread(os.read, file, 100) == IDLE_REPLY
        finally:
            os.close(file)


async def test_a_fast_simulation_still_hears_a_host_that_writes_byte_by_byte(tmp_path: Path) -> None:
    """The host lives in real time: a pause inside its frame must not become a long one."""
    async with bench(scenario(tmp_path, speed=200.0)) as sim, plugged_in(sim.urls["vm-1"]) as port:
        for byte in POLL_1[:-1]:
            await asked(port, bytes([byte]), 0)
        assert await asked(port, POLL_1[-1:], 13) == IDLE_REPLY


async def test_a_host_at_another_speed_is_not_understood_if_the_scenario_says_so(tmp_path: Path) -> None:
    machine = {"baud": 9600, "only_baud": True}
    async with bench(scenario(tmp_path, machine=machine, speed=SPEED)) as sim:
        async with plugged_in(sim.urls["vm-1"], 38400) as port:
            port.timeout = 0.2
            assert await asked(port, POLL_1, 13) == b""
        async with plugged_in(sim.urls["vm-1"], 9600) as port:
            assert await asked(port, POLL_1, 13) == IDLE_REPLY


async def test_a_tcp_line_has_one_host(tmp_path: Path) -> None:
    tcp = scenario(tmp_path, machine={"port": PORTS["tcp"]}, speed=SPEED)
    async with bench(tcp) as sim, plugged_in(sim.urls["vm-1"]) as first:
        assert await asked(first, POLL_1, 13) == IDLE_REPLY
        async with plugged_in(sim.urls["vm-1"]) as second:
            with pytest.raises(serial.SerialException):
                assert await asked(second, POLL_1, 13) != b"", "an end, not silence"
        assert await asked(first, POLL_1, 13) == IDLE_REPLY


async def test_ports_are_gone_when_the_simulator_is(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path, machine={"door": "door"}, speed=SPEED)) as sim:
        assert Path(sim.urls["vm-1"]).is_symlink()
        assert sim.doors["vm-1"].read_text() == "0\n"
    assert list(tmp_path.iterdir()) == []


async def test_the_door_file_changes_in_place(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path, machine={"door": "gpio/value"}, speed=SPEED)) as sim:
        with sim.doors["vm-1"].open() as held:
            for is_open, text in ((True, "1\n"), (False, "0\n")):
                await sim.control.door("vm-1", is_open=is_open)
                held.seek(0)
                assert held.read() == text


async def test_a_stale_symlink_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "vm-1").symlink_to("/dev/pts/none")
    async with bench(scenario(tmp_path, speed=SPEED)) as sim:
        assert Path(sim.urls["vm-1"]).exists()


async def test_healing_plugs_the_port_in_again(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path, speed=100.0)) as sim:
        await sim.control.fault("vm-1", "unplugged", "once")
        link = Path(sim.urls["vm-1"])
        assert not link.exists()
        await until(link.exists)


async def test_twice_the_speed_is_half_the_time(tmp_path: Path) -> None:
    """A turn of 3 s: the ratio of two speeds, not the time itself."""
    took = {}
    for speed in (10.0, 40.0):
        async with bench(scenario(tmp_path, speed=speed)) as sim:
            loop = asyncio.get_running_loop()
            machine = sim.world.machine("vm-1").machine
            async with plugged_in(sim.urls["vm-1"]) as port:
                began = loop.time()
                await asked(port, RUN_1_3, 5)
                await until(lambda machine=machine: machine.runs[-1].end_ms is not None)  # type: ignore[misc]
                took[speed] = loop.time() - began
    assert 2 < took[10.0] / took[40.0] < 6
