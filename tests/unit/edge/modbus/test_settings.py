"""The purifier's part of a settings file: what may stand beside what, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.errors import SettingsWrong
from edge_agent.settings import Settings, describe, load

PURIFIER = """
machine = "wp-1"
[uplink]
host = "broker.example"
secret_file = "secret"
[[modbus]]
url = "/dev/serial/by-id/usb-rs485"
baud = 9600
    [[modbus.device]]
    name = "valves"
    profile = "waveshare-relay-8"
    slave = 11
    role = "valve"
    [[modbus.device]]
    name = "meter"
    profile = "meters/ours.toml"
    slave = 12
    role = "meter"
    [[modbus.device]]
    name = "salt"
    profile = "ws102-tds"
    slave = 13
    role = "tds_out"
    [[modbus.device]]
    name = "warmth"
    profile = "ws102-tds"
    slave = 13
    role = "temperature"
"""

BOARDS = """
[[bus]]
url = "/dev/serial/by-id/usb-rs485"
baud = 9600
boards = [1, 2]
"""


def loaded(folder: Path, text: str) -> Settings:
    path = folder / "agent.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def test_a_purifier_needs_no_driver_board(tmp_path: Path) -> None:
    settings = loaded(tmp_path, PURIFIER)
    assert settings.bus == ()
    (line,) = settings.modbus
    assert [device.role for device in line.device] == ["valve", "meter", "tds_out", "temperature"]
    assert line.device[0].profile == "waveshare-relay-8"
    assert "modbus[0].device[1].slave = 12" in describe(settings)


def test_a_profile_of_ones_own_counts_from_the_folder_of_the_file(tmp_path: Path) -> None:
    assert loaded(tmp_path, PURIFIER).modbus[0].device[1].profile == str(tmp_path / "meters/ours.toml")


def test_boards_and_devices_may_share_a_line(tmp_path: Path) -> None:
    settings = loaded(tmp_path, PURIFIER + BOARDS)
    assert settings.bus[0].url == settings.modbus[0].url


WRONG = {
    "no hardware at all": (PURIFIER.split("[[modbus]]")[0], r"expected a \[\[bus\]\] .* or a \[\[modbus\]\]"),
    "a slave that is none": (
        PURIFIER.replace("slave = 11", "slave = 248"),
        r"modbus\[0\]\.device\[0\]\.slave = 248: expected `int` <= 247",
    ),
    "a role that is none": (PURIFIER.replace('"tds_out"', '"salt"'), r"role = 'salt'"),
    "a role twice": (PURIFIER.replace('"tds_out"', '"meter"'), "role = 'meter': expected a role for one device alone"),
    "a name twice": (PURIFIER.replace('"salt"', '"meter"'), "name = 'meter': expected a name for one device alone"),
    "two devices that answer at once": (
        PURIFIER.replace("slave = 12", "slave = 11"),
        "slave = 11: 'valves' and 'meter' would answer at the same time",
    ),
    "one line twice": (PURIFIER + PURIFIER[PURIFIER.index("[[modbus]]") :], "two buses on one port"),
    "another speed than the boards": (
        PURIFIER + BOARDS.replace("9600", "38400"),
        "modbus.baud = 9600, parity N: .* expected 38400 and N",
    ),
    "another parity than the boards": (
        PURIFIER.replace("baud = 9600", 'baud = 9600\nparity = "E"') + BOARDS,
        "parity E: .* expected 9600 and N",
    ),
    "the address of a board": (PURIFIER.replace("slave = 11", "slave = 2") + BOARDS, "board 2 is on the same line"),
    "a misspelt key": (PURIFIER.replace("slave = 12", "slaves = 12"), r"unknown key modbus\.device\.slaves.*slave\?"),
    "a key of another table": (PURIFIER.replace("baud = 9600", "poll_ms = 9"), r"unknown key modbus\.poll_ms"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_what_is_wrong_is_told(case: str, tmp_path: Path) -> None:
    text, complaint = WRONG[case]
    with pytest.raises(SettingsWrong, match=complaint):
        loaded(tmp_path, text)
