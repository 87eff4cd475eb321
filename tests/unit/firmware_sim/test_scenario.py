"""The scenario file: what is in it is built, and what is wrong in it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

import firmware_sim.scenario
from firmware_sim.scenario import ScenarioWrong, read_scenario
from firmware_sim.testbench import Host
from tests.unit.firmware_sim.bench import poll

WHOLE = """
seed = 7
speed = 4
faults = "all"
rates = { jam = 0.5 }

[physics]
turn_ms = 2500

[[machine]]
name = "vm-0001"
port = "pty:ports/vm-0001"
baud = 9600
late_ms = 1000
door = "ports/vm-0001.door"
celsius = 8

[[machine.board]]
address = 1
motors = 60
stock = 8
capacity = 10
[[machine.board.aisle]]
motor = 5
stock = 0
capacity = 6
[[machine.board.aisle]]
motor = 6
capacity = 4

[[machine.board]]
address = 2
motors = 100
dialect = "814e"
poll = "14"
drop_detection = true

[[machine]]
name = "vm-0002"
port = "tcp:127.0.0.1:0"
speed = 0.5
[[machine.board]]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "street.toml"
    path.write_text(text)
    return path


def test_everything_in_the_file_is_built(tmp_path: Path) -> None:
    scenario = read_scenario(written(tmp_path, WHOLE))
    assert (scenario.seed, scenario.speed, scenario.folder) == (7, 4.0, tmp_path)
    assert [scenario.speed_of(machine) for machine in scenario.machine] == [4.0, 0.5]
    first, second = scenario.build()
    assert (first.name, sorted(first.boards)) == ("vm-0001", [1, 2])
    spirals = first.aisles[1].spirals
    assert len(spirals) == 60
    assert [(spirals[motor].opening, spirals[motor].capacity) for motor in (4, 5, 6)] == [(8, 10), (0, 6), (4, 4)]
    assert len(first.aisles[2].spirals) == 100
    assert first.faults.rates["jam"] == 0.5
    assert first.faults.rates["noise"] == second.faults.rates["noise"] > 0
    first.mend()
    assert poll(Host(first)).celsius == 8
    assert Host(first).ask(2, 0xA3, wait_ms=100_000)[1] == 0xA3


def test_the_documented_example_is_a_scenario(tmp_path: Path) -> None:
    """What the module says on top is read with nothing but its indentation taken away."""
    lines = str(firmware_sim.scenario.__doc__).splitlines()
    example = "\n".join(line[4:] for line in lines if line.startswith("    "))
    machine = read_scenario(written(tmp_path, example)).build()[0]
    assert len(machine.aisles[1].spirals) == 60
    assert machine.faults.rates == {"jam": 0.2}


@pytest.mark.parametrize(
    ("line", "instead", "message"),
    [
        ("seed = 7", "sead = 7", "unknown key sead, expected one of faults, "),
        ("baud = 9600", "baut = 9600", r"unknown key machine\[0\]\.baut, expected one of baud, "),
        ("capacity = 4", "capacty = 4", r"unknown key machine\[0\]\.board\[0\]\.aisle\[1\]\.capacty"),
        ("turn_ms = 2500", "turn = 1", r"unknown key physics\.turn"),
        ("turn_ms = 2500", "turn_ms = 9000", r"physics\.stop_timeout_ms = 5000, expected above the longest run"),
        ('name = "vm-0001"', "", r"machine\[0\]\.name is missing"),
        ('name = "vm-0002"', 'name = "vm-0001"', "machine.name = .*expected at least one machine, each name once"),
        ("baud = 9600", "baud = 9601", r"machine\[0\]\.baud = 9601, expected one of 1200, 2400"),
        ("baud = 9600", 'baud = "9600"', r"machine\[0\]\.baud = '9600', expected int"),
        ("motors = 60", "motors = 101", r"board\[0\]\.motors = 101, expected 0 to 100"),
        ("motors = 60", "motors = true", r"board\[0\]\.motors = True, expected int"),
        ("motors = 60", "motors = 3", r"aisle\.motor = 5, expected 0 to 2"),
        ("stock = 8", "stock = 11", r"stock = 11, expected 0 to the capacity of 10"),
        ("stock = 0", "stock = 7", r"aisle\.stock = 7, expected 0 to the capacity of 6"),
        ("address = 2", "address = 1", r"board\.address = \[1, 1\], expected at least one board, each with its own"),
        ("address = 2", "address = 5", r"address = 5, expected 1 to 4"),
        ('dialect = "814e"', 'dialect = "816"', r"dialect = '816', expected '815', '814e'"),
        ('faults = "all"', 'faults = "some"', "faults = 'some', expected 'none', 'all'"),
        ("jam = 0.5", "jamm = 0.5", "rates = 'jamm', expected one of noise, "),
        ("jam = 0.5", "jam = 1.5", r"rates\.jam = 1\.5, expected a chance from 0 to 1"),
        ("speed = 4", "speed = 0", "speed = 0.0, expected above 0"),
        ('port = "tcp:127.0.0.1:0"', 'port = "/dev/ttyS0"', "port = '/dev/ttyS0', expected \"pty:PATH\""),
        ("seed = 7", "seed = = 7", "street.toml: Invalid value"),
        ("seed = 7", 'folder = "/"', "folder is not a key of a scenario"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, line: str, instead: str, message: str) -> None:
    assert WHOLE.count(line) >= 1
    path = written(tmp_path, WHOLE.replace(line, instead, 1))
    with pytest.raises(ScenarioWrong, match=message) as wrong:
        read_scenario(path)
    assert str(wrong.value).startswith(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioWrong, match=r"nowhere\.toml: No such file"):
        read_scenario(tmp_path / "nowhere.toml")
