"""A purifier in a scenario file: what is built from it, and what is named when it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from firmware_sim.control import ControlRefused
from firmware_sim.form import ScenarioWrong
from firmware_sim.scenario import read_scenario
from firmware_sim.testbench import bench
from tests.unit.firmware_sim.bench import scenario as vending_machine
from tests.unit.firmware_sim.purifier_bench import DEVICES, RELAYS, STEADY, TDS, master, scenario

WHOLE = """
[[machine]]
name = "wp-1"
port = "pty:wp-1"
baud = 19200

[[machine.board]]
address = 1

[[machine.modbus]]
device = "waveshare-relay-8ch"
slave = 10
name = "valves"

[[machine.modbus]]
device = "qdy30a-level"
slave = 11
baud = 9600
sees = "pressure"
settings = { unit = 12, decimals = 2 }

[machine.water]
tank_ml = 30_000
tank_refill_ml = 25_000

[[machine.water.outlets]]
relay = 3
flow_ml_per_s = 45.5
valve = "direct"
"""


def test_everything_in_the_file_is_built(tmp_path: Path) -> None:
    path = tmp_path / "wp.toml"
    path.write_text(WHOLE)
    machine = read_scenario(path).build()[0]
    assert machine.purifier is not None
    assert {name: (one.number, one.baud) for name, one in machine.purifier.devices.items()} == {
        "valves": (10, 19_200),
        "qdy30a-level": (11, 9_600),
    }
    assert machine.purifier.devices["qdy30a-level"].settings["unit"] == 12
    assert machine.purifier.relay_board == 10
    assert list(machine.boards) == [1]
    water = machine.purifier.water
    assert (water.plumbing.tank_ml, water.plumbing.outlets[0].valve) == (30_000, "direct")
    assert list(water.valves) == [3]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"modbus": [{"device": "tuf", "slave": 1}]}, r"device = 'tuf', expected one of pulse4"),
        ({"modbus": [{"device": "pulse4", "slave": 0}]}, r"modbus\[0\]\.slave = 0, expected 1 to 247"),
        ({"modbus": [{"device": "pulse4", "slave": 1, "sees": "air"}]}, r"sees = 'air', expected one of flow"),
        ({"modbus": [{"device": "pulse4", "slave": 1, "baud": 300}]}, r"baud = 300, expected one of 1200"),
        ({"modbus": [{"device": "pulse4", "slave": 1, "count": 2**32}]}, "count = 4294967296, expected a 32-bit"),
        ({"modbus": [{"device": "pulse4", "slave": 1, "settings": {"unit": 1}}]}, "settings = 'unit', expected one of"),
        ({"modbus": [{"device": "pulse4", "slave": 1, "word_order": "up"}]}, "word_order = 'up', expected 'high', 'lo"),
        ({"modbus": DEVICES + DEVICES[:1]}, r"modbus\.slave = .*expected each board and device its own address"),
        ({"modbus": [*DEVICES, {**DEVICES[0], "slave": 99}]}, r"modbus\.name = .*expected each device its own name"),
        ({"machine": {"board": [{"address": 1}], "modbus": [{"device": "pulse4", "slave": 1}]}}, r"modbus\.slave"),
        ({"modbus": []}, "at least one board"),
        ({"water": {"outlets": [STEADY, STEADY]}}, r"water\.outlets\.relay = \[1, 1\], expected each outlet its own"),
        ({"water": {"outlets": [{"relay": 33}]}}, r"water\.outlets\[0\]\.relay = 33, expected 1 to 32"),
        ({"water": {"tank_ml": 100}}, r"tank_low_ml, tank_refill_ml, tank_ml = .* expected a rising order"),
        ({"water": {"tank_litres": 1}}, r"unknown key machine\[0\]\.water\.tank_litres"),
        ({"water": {"membrane_worn": 2}}, "membrane_worn = 2.0, expected 0 to 1"),
    ],
)
def test_what_is_wrong_is_named(what: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioWrong, match=message):
        scenario(**what)


def test_a_fault_s_place_is_a_device_and_a_relay() -> None:
    one = master()
    one.machine.fault("dead", "on", TDS)
    assert one.request(TDS, 3, 4, 2) == b""
    one.machine.fault("stuck_shut", "on", RELAYS)
    one.coil(0, 0xFF00)
    one.wait(1_000)
    assert one.poured_ul() == 0


async def test_hands_on_a_purifier(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path)) as sim:
        await sim.control.counter("wp-1", "pulse4", 7)
        await sim.control.membrane("wp-1", 90)
        assert (await sim.control.truth())["machines"]["wp-1"]["water"]["membrane_worn_percent"] == 90
        for do, wrong, message in (
            ("counter", {"device": "pulse4", "count": 2**32}, "count = 4294967296, expected 0 to 4294967295"),
            ("counter", {"device": "pump", "count": 1}, "device = 'pump', expected one of"),
            ("membrane", {"percent": 151}, "percent = 151, expected 0 to 150"),
        ):
            with pytest.raises(ControlRefused, match=message):
                await sim.control.ask(do, machine="wp-1", **wrong)


async def test_a_machine_without_devices_says_so(tmp_path: Path) -> None:
    async with bench(vending_machine(tmp_path)) as sim:
        with pytest.raises(ControlRefused, match="machine = 'vm-1', expected one with Modbus devices"):
            await sim.control.openings("vm-1")
        assert "water" not in (await sim.control.truth())["machines"]["vm-1"]


async def test_an_unknown_device_is_named_over_the_socket(tmp_path: Path) -> None:
    async with bench(scenario(tmp_path)) as sim:
        with pytest.raises(ControlRefused, match="device = 'tuf', expected one of waveshare-relay-8ch, pulse4"):
            await sim.control.fault("wp-1", "dead", "on", device="tuf")
        with pytest.raises(ControlRefused, match=r"outlet = 9, expected one of \[1\]"):
            await sim.control.fault("wp-1", "stuck_open", "on", outlet=9)
