"""A settings file is right, or its message says which key, which value and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.errors import SettingsWrong
from edge_agent.settings import describe, load, read_keys
from shared.mqtt import MqttAddress, TlsFiles
from shared.seal import derive_keys

SMALLEST = """
machine = "m-1"
[uplink]
host = "broker.example"
secret_file = "secret"
[[bus]]
url = "/dev/serial/by-id/usb-x"
boards = [1, 2]
"""

FULL = """
machine = "m-1"
data_dir = "/var/lib/aisleflow"
[uplink]
host = "127.0.0.1"
port = 1883
tls = false
secret_file = "/etc/aisleflow/secret"
mqtt = "3.1.1"
keepalive_s = 30
[[bus]]
url = "socket://127.0.0.1:7001"
baud = 9600
protocol = "adh815"
dialect = "814e"
boards = [1, 2]
expect = "ADH814"
min_gap_ms = 150
poll_ms = 200
[[bus]]
url = "/dev/ttyUSB1"
boards = [3]
[door]
value_file = "/sys/class/gpio/gpio17/value"
open_value = "0"
[socket]
path = "/run/aisleflow/agent.sock"
group = "technicians"
[limits]
reserve_mb = 32
grant_wait_ms = 8000
turn_timeout_ms = 12000
[log]
level = "debug"
format = "json"
"""

SECRET = "5e" * 32


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(SMALLEST)
    return path


def test_the_smallest_file_gets_safe_defaults(file: Path) -> None:
    settings = load(file)
    assert settings.machine_id == "m-1"
    assert settings.uplink.address == MqttAddress("broker.example", 8883, TlsFiles())
    assert settings.uplink.version is None
    assert settings.data_dir == Path("/var/lib/aisleflow")
    assert settings.bus[0].baud == 38400
    assert settings.door is None


def test_every_key_is_read(file: Path) -> None:
    file.write_text(FULL)
    settings = load(file)
    assert settings.uplink.address == MqttAddress("127.0.0.1", 1883)
    assert (settings.uplink.version, settings.uplink.keepalive_s) == (4, 30)
    assert [bus.boards for bus in settings.bus] == [(1, 2), (3,)]
    assert settings.bus[0].dialect == "814e"
    assert settings.door is not None
    assert settings.door.open_value == "0"
    assert settings.limits.grant_wait_ms == 8_000
    assert settings.socket.group == "technicians"


def test_relative_paths_count_from_the_folder_of_the_file(file: Path) -> None:
    assert load(file).uplink.secret_file == file.parent / "secret"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('host = "broker.example"', 'hots = "x"', "unknown key uplink.hots, did you mean uplink.host?"),
        (
            "boards = [1, 2]",
            "boards = [1]\nreserve_mb = 5",
            "unknown key bus.reserve_mb, did you mean limits.reserve_mb?",
        ),
        ('machine = "m-1"', 'machine = "m-1"\nzzz = 1', "unknown key zzz; known here: machine, uplink"),
        ('host = "broker.example"', "", "uplink: object missing required field `host`"),
        ("[uplink]", "[uplink]\nport = 70000", "uplink.port = 70000: expected `int` <= 65535"),
        ("[uplink]", '[uplink]\nport = "8883"', "uplink.port = '8883': expected `int`, got `str`"),
        ("[uplink]", "[uplink]\nkeepalive_s = 1", "uplink.keepalive_s = 1: expected `int` >= 10"),
        ("boards = [1, 2]", "boards = [1, 9]", "bus[0].boards[1] = 9: expected `int` <= 4"),
        ("boards = [1, 2]", "boards = []", "bus[0].boards = []: expected `array` of length >= 1"),
        ("boards = [1, 2]", "boards = [1, 1]", "bus.boards: board 1 appears twice"),
        ("boards = [1, 2]", "boards = [1]\nbaud = 1234", "bus[0].baud = 1234: invalid enum value 1234"),
        ("[[bus]]", "[bus]", "expected `array`, got `object`"),
        ('machine = "m-1"', 'machine = "a b"', "machine: 'a b' is not an id"),
        ("[uplink]", "[uplink]\ntls = false", "without TLS the password crosses the network in the clear"),
        ('secret_file = "secret"', "secret_file = 7", "uplink.secret_file = 7: expected a path"),
        (
            "[uplink]",
            "[limits]\ngrant_wait_ms = 20000\n[uplink]",
            "limits.grant_wait_ms = 20000: expected `int` <= 10000",
        ),
        ("[uplink]", "[uplink", "not TOML"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(file: Path, old: str, new: str, message: str) -> None:
    assert old in SMALLEST
    file.write_text(SMALLEST.replace(old, new))
    with pytest.raises(SettingsWrong) as wrong:
        load(file)
    assert str(wrong.value).startswith(f"{file}: ")
    assert message in str(wrong.value)


def test_a_missing_file_and_a_huge_one_are_told_apart(file: Path) -> None:
    with pytest.raises(SettingsWrong, match="No such file"):
        load(file.with_name("missing.toml"))
    file.write_text("#" * 100_000)
    with pytest.raises(SettingsWrong, match="not a settings file"):
        load(file)


def test_two_buses_cannot_own_one_port(file: Path) -> None:
    file.write_text(SMALLEST + '[[bus]]\nurl = "/dev/serial/by-id/usb-x"\nboards = [3]\n')
    with pytest.raises(SettingsWrong, match="two buses on one port"):
        load(file)


def test_a_secret_in_the_settings_is_refused_and_not_repeated(file: Path) -> None:
    file.write_text(SMALLEST.replace('"secret"', f'"{SECRET}"'))
    with pytest.raises(SettingsWrong, match="holds the secret itself") as wrong:
        load(file)
    assert SECRET not in str(wrong.value)


def test_keys_come_from_a_secret_file_that_nobody_else_can_read(file: Path) -> None:
    settings = load(file)
    with pytest.raises(SettingsWrong, match="cannot be read: No such file"):
        read_keys(settings)
    secret = settings.uplink.secret_file
    secret.write_text(SECRET + "\n")
    secret.chmod(0o640)
    with pytest.raises(SettingsWrong, match="mode 0640 lets others read the secret, expected 0600: chmod 600"):
        read_keys(settings)
    secret.chmod(0o600)
    assert read_keys(settings) == derive_keys(bytes.fromhex(SECRET))


@pytest.mark.parametrize("content", ["", SECRET[:-1], "g" * 64, SECRET + "00"])
def test_what_is_no_secret_is_refused_without_being_shown(file: Path, content: str) -> None:
    settings = load(file)
    secret = settings.uplink.secret_file
    secret.write_text(content)
    secret.chmod(0o600)
    with pytest.raises(SettingsWrong, match="expected 64 hex digits") as wrong:
        read_keys(settings)
    assert not content or content not in str(wrong.value)


def test_describe_shows_every_setting_and_no_secret(file: Path) -> None:
    settings = load(file)
    settings.uplink.secret_file.write_text(SECRET)
    text = describe(settings)
    assert "uplink.port = 8883" in text
    assert "bus[0].url = /dev/serial/by-id/usb-x" in text
    assert "limits.grant_wait_ms = 10000" in text
    assert "(content hidden)" in text
    assert SECRET not in text
