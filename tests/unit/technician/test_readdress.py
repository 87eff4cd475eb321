"""The settings follow a device to its new address, in one number, or say that a person must."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from edge_agent.technician.readdress import follow, line_baud

FILE = """\
machine = "m"
[[modbus]]
url = "/dev/a"
baud = 9600
[[modbus.device]]
name = "one" # slave = 14
slave = 14
profile = "tds"
[[modbus.device]]
name = "two"
profile = "tds"
slave=0015
[[modbus]]
url = "/dev/b"
[[modbus.device]]
profile = "tds"
slave = 14
[log]
level = "info"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    written = tmp_path / "agent.toml"
    written.write_text(FILE.replace("slave=0015", "slave = 15"))
    return written


def slaves(path: Path) -> list[list[int]]:
    return [[device["slave"] for device in line["device"]] for line in tomllib.loads(path.read_text())["modbus"]]


def test_only_the_device_on_this_port_follows(path: Path) -> None:
    assert follow(path, "/dev/a", "tds", 14, 99, 9600) == "followed"
    assert slaves(path) == [[99, 15], [14]]
    assert follow(path, "/dev/b", "tds", 14, 98, 9600) == "followed"
    assert slaves(path) == [[99, 15], [98]]
    assert '"one" # slave = 14' in path.read_text()


def test_one_device_under_two_names_follows_with_both(path: Path) -> None:
    path.write_text(path.read_text().replace("slave = 15", "slave = 14"))
    assert follow(path, "/dev/a", "tds", 14, 99, 9600) == "followed"
    assert slaves(path) == [[99, 99], [14]]


def test_the_line_of_the_settings_says_the_speed(path: Path, tmp_path: Path) -> None:
    assert line_baud(path, "/dev/a") == 9600
    assert line_baud(path, "/dev/b") == 9600, "as the agent means it when it is left out"
    assert line_baud(path, "/dev/c") is line_baud(tmp_path / "none.toml", "/dev/a") is None


def test_a_port_by_another_name_is_the_same_port(path: Path, tmp_path: Path) -> None:
    (tmp_path / "port").touch()
    (tmp_path / "by-id").symlink_to("port")
    path.write_text(path.read_text().replace("/dev/a", str(tmp_path / "by-id")))
    assert follow(path, str(tmp_path / "port"), "tds", 14, 99, 9600) == "followed"


def test_what_the_settings_do_not_name_changes_nothing(path: Path, tmp_path: Path) -> None:
    before = path.read_text()
    assert follow(path, "/dev/c", "tds", 14, 99, 9600) is None
    assert follow(path, "/dev/a", "tds", 13, 99, 9600) is None
    assert follow(path, "/dev/a", "level", 14, 99, 9600) is None, "another device, which is not connected now"
    assert follow(tmp_path / "none.toml", "/dev/a", "tds", 14, 99, 9600) is None
    assert path.read_text() == before


def test_what_only_a_person_can_change_is_said(path: Path) -> None:
    before = path.read_text()
    assert follow(path, "/dev/a", "tds", 14, 99, 19_200) == "by_hand", "the other device of the line keeps its speed"
    assert path.read_text() == before
    assert follow(path, "/dev/a", "tds", 14, 15, 9600) == "by_hand", "the other device is to stand there"
    assert path.read_text() == before
    inline = '[[modbus]]\nurl = "/dev/a"\ndevice = [{ profile = "tds", slave = 14 }]\n'
    path.write_text(inline)
    assert follow(path, "/dev/a", "tds", 14, 99, 9600) == "by_hand"
    assert path.read_text() == inline
