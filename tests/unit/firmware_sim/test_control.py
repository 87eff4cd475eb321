"""The control socket: every request, and every way to ask wrongly."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.control import ON_MACHINE, ControlRefused
from firmware_sim.faults import FAULTS
from firmware_sim.scenario import ScenarioWrong
from firmware_sim.testbench import Bench, bench
from tests.unit.firmware_sim.bench import scenario


async def test_truth_counts_what_hands_did(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path)) as sim:
        await sim.control.load("vm-1", 1, 3, 2)
        await sim.control.unload("vm-1", 1, 3, 5)
        told = await sim.control.truth()
        assert told["machines"]["vm-1"]["boards"]["1"]["motors"]["3"] == {
            "opening": 8, "loaded": 2, "removed": 5, "fell": 0, "remaining": 5, "runs_accepted": 0,
        }  # fmt: skip
        assert told["totals"]["remaining"] == told["machines"]["vm-1"]["totals"]["remaining"] == 10 * 8 - 3
        assert await sim.control.runs("vm-1") == []


async def test_faults_are_switched(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path)) as sim:
        faults = sim.world.machine("vm-1").machine.faults
        await sim.control.fault("vm-1", "sensor_blind", "on", board=1)
        assert faults.is_on("sensor_blind", 1)
        await sim.control.fault("vm-1", "sensor_blind", "off")
        assert not faults.is_on("sensor_blind", 1)
        await sim.control.fault("vm-1", "jam", "once", board=1, motor=3)
        assert faults.strikes("jam", 1, 3)
        await sim.control.faults("all")
        assert set(faults.rates) == {kind for kind, fault in FAULTS.items() if fault.rate}
        await sim.control.fault("vm-1", "dead", "on")
        await sim.control.faults("none")
        assert not faults.rates
        assert not faults.is_on("dead", 1)


async def test_power_door_temperature_and_plug(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path)) as sim:
        machine = sim.world.machine("vm-1").machine
        await sim.control.power_cycle("vm-1")
        assert machine.board(1).boots == 2
        await sim.control.door("vm-1", is_open=True)
        assert machine.air.door_open
        await sim.control.temperature("vm-1", 4.5)
        assert machine.air.probe_c(machine.timeline.now_ms) == 4
        await sim.control.unplug("vm-1")
        assert not machine.line.connected
        await sim.control.plug("vm-1")
        assert machine.line.connected


@pytest.mark.parametrize(
    ("do", "fields", "message"),
    [
        ("dance", {}, "do = 'dance', expected one of truth, faults, stop, runs, load"),
        ("runs", {}, "machine = None, expected one of vm-1"),
        ("runs", {"machine": "vm-9"}, "machine = 'vm-9', expected one of vm-1"),
        ("load", {"machine": "vm-1", "board": 1, "motor": 3, "quantity": 3}, "quantity = 3, expected 1 to 2"),
        ("load", {"machine": "vm-1", "board": 1, "motor": 3}, "quantity = None, expected a whole number"),
        ("load", {"machine": "vm-1", "board": True, "motor": 3, "quantity": 1}, "board = True, expected a whole"),
        ("unload", {"machine": "vm-1", "board": 1, "motor": 3, "quantity": 9}, "quantity = 9, expected 1 to 8"),
        ("load", {"machine": "vm-1", "board": 4, "motor": 3, "quantity": 1}, r"board = 4, expected one of \[1\]"),
        ("fault", {"machine": "vm-1", "kind": "flu", "on": True}, "fault kind = 'flu', expected one of noise"),
        ("fault", {"machine": "vm-1", "kind": "jam"}, "on = None, expected true or false"),
        ("faults", {"preset": "most"}, "preset = 'most', expected one of none, all"),
        ("door", {"machine": "vm-1", "open": 1}, "open = 1, expected true or false"),
        ("temperature", {"machine": "vm-1", "celsius": "hot"}, "celsius = 'hot', expected a number"),
        ("temperature", {"machine": "vm-1", "celsius": 200}, "celsius = 200, expected a number from -40 to 120"),
    ],
)
async def test_wrong_requests_are_refused_by_name(
    tmp_path: Path, do: str, fields: dict[str, Any], message: str
) -> None:
    async with bench(scenario(tmp_path)) as sim:
        with pytest.raises(ControlRefused, match=message):
            await sim.control.ask(do, **fields)
        assert (await sim.control.truth())["totals"]["remaining"] == 80, "and change nothing"


async def raw(sim: Bench, *lines: bytes) -> list[Any]:
    reader, writer = await asyncio.open_unix_connection(sim.control_path)
    writer.writelines(lines)
    writer.write_eof()
    answers = [json.loads(line) async for line in reader]
    writer.close()
    await writer.wait_closed()
    return answers


async def test_answers_carry_the_request_s_id_in_order(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path)) as sim:
        answers = await raw(sim, b'{"id": "a", "do": "truth"}\n', b'{"id": 2, "do": "x"}\n')
        assert [(answer["id"], answer["ok"]) for answer in answers] == [("a", True), (2, False)]


async def test_lines_that_are_no_requests_harm_nobody(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path)) as sim:
        answers = await raw(sim, b"hello\n", b"[1]\n", b"\xff\n", b"[" * 60_000 + b"\n", b'{"do": ["truth"]}\n')
        assert [answer["ok"] for answer in answers] == [False] * 5
        assert await raw(sim, b"x" * 100_000 + b"\n") == [], "too long: the connection ends"
        await sim.control.truth()


async def test_the_socket_is_for_its_owner_only(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path)) as sim:
        assert sim.control_path.stat().st_mode & 0o777 == 0o600


async def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioWrong, match="expected a path of at most 107 characters"):
        async with bench(scenario(tmp_path), control_path=tmp_path / ("x" * 108)):
            pass


def test_every_request_is_in_the_documentation() -> None:
    import firmware_sim.control

    for do in (*ON_MACHINE, "truth", "faults", "stop"):
        assert f'"{do}"' in str(firmware_sim.control.__doc__)
