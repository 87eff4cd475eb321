"""The shipped systemd units are understood by systemd, and expose as little as promised.

Both tools run offline on a folder that looks like an installed system; no service manager is needed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent import settings

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted(path.name for path in (ROOT / "systemd").glob("*.service"))
BROKER_UNITS = ["mosquitto-passwords.service", "mosquitto-passwords.path"]

# The exposure that systemd computes (0 safe, 10 bare). The agent owns serial ports, which costs it some.
EXPOSURE_MAX = {
    "aisleflow-agent.service": 1.5,
    "aisleflow-api.service": 1.1,
    "aisleflow-ingest.service": 1.1,
    "aisleflow-downlink.service": 1.1,
}
SERIAL_PORTS = {"char-ttyUSB", "char-ttyACM", "char-ttyS", "char-ttyAMA"}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A root folder with the units and programs in the places where the operator guide puts them."""
    system = tmp_path / "etc/systemd/system"
    shutil.copytree(ROOT / "systemd", system)
    for name in BROKER_UNITS:
        shutil.copy(ROOT / "deploy/mosquitto" / name, system)
    broker = system / "mosquitto.service.d"
    broker.mkdir()
    shutil.copy(ROOT / "deploy/mosquitto/mosquitto.service.conf", broker / "aisleflow.conf")
    (system / "mosquitto.service").write_text("[Service]\nExecStart=/usr/sbin/mosquitto\n", encoding="utf-8")
    # Targets and the like that every Debian has; verify follows them.
    for folder in ("usr/lib/systemd/system", "usr/lib/systemd/user"):
        shutil.copytree(Path("/") / folder, tmp_path / folder, symlinks=True, ignore_dangling_symlinks=True)
    for program in ("opt/aisleflow/bin/python", "usr/sbin/mosquitto", "usr/bin/install", "usr/bin/systemctl"):
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o755)
    return tmp_path


def test_every_unit_has_a_limit_here() -> None:
    assert set(UNITS) == set(EXPOSURE_MAX)


@pytest.mark.parametrize("unit", [*UNITS, *BROKER_UNITS, "mosquitto.service"])
def test_systemd_understands_every_line(installed: Path, unit: str) -> None:
    # Its exit code is 0 even for a key that it does not know: what counts is that it has nothing to say.
    finished = analyze("verify", f"--root={installed}", "--man=no", unit)
    assert finished.stderr == ""
    assert finished.returncode == 0


def test_the_check_itself_convicts_an_unknown_key(installed: Path) -> None:
    unit = installed / "etc/systemd/system/aisleflow-api.service"
    unit.write_text(unit.read_text(encoding="utf-8") + "\n[Service]\nMemoryMaximum=1G\n", encoding="utf-8")
    assert "MemoryMaximum" in analyze("verify", f"--root={installed}", "--man=no", unit.name).stderr


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_exposes_as_little_as_promised(installed: Path, unit: str) -> None:
    threshold = round(EXPOSURE_MAX[unit] * 10)
    finished = analyze("security", "--offline=true", f"--root={installed}", f"--threshold={threshold}", unit)
    assert finished.returncode == 0, finished.stdout


def test_the_agent_reaches_serial_ports_and_no_other_device(installed: Path) -> None:
    rows = assessment(installed, "aisleflow-agent.service")
    assert not rows["PrivateDevices="]["set"], "the serial ports would be hidden"
    allowed = str(rows["DeviceAllow="]["description"]).partition("special devices: ")[2].split()
    assert {device.rpartition(":")[0] for device in allowed} - {"char-rtc"} == SERIAL_PORTS


@pytest.mark.parametrize("unit", UNITS)
def test_the_program_understands_the_units_command(unit: str, tmp_path: Path) -> None:
    """With settings that cannot be used it ends by 78, which is not restarted; a wrong call would end by 2."""
    text = (ROOT / "systemd" / unit).read_text(encoding="utf-8")
    command = re.search(r"^ExecStart=/opt/aisleflow/bin/python (.+)$", text, re.MULTILINE)
    assert command is not None
    arguments = command[1].replace("/etc/aisleflow", str(tmp_path)).replace("/var/lib/aisleflow-cloud", str(tmp_path))
    environment = {**os.environ, "AISLEFLOW_BROKER_PORT": "not-a-port"}
    finished = subprocess.run(
        [sys.executable, *arguments.split()], cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False
    )
    assert finished.returncode == 78, finished.stderr.decode()
    assert "\nRestartPreventExitStatus=78\n" in text


def test_the_example_settings_fit_the_units_folders() -> None:
    found = settings.load(ROOT / "deploy/agent.example.toml")
    unit = (ROOT / "systemd/aisleflow-agent.service").read_text(encoding="utf-8").splitlines()
    assert f"StateDirectory={found.data_dir.relative_to('/var/lib')}" in unit
    assert f"RuntimeDirectory={found.socket.path.parent.relative_to('/run')}" in unit
    assert found.socket.group is not None
    assert f"g {found.socket.group} -" in (ROOT / "systemd/sysusers.conf").read_text(encoding="utf-8").splitlines()
    assert found.uplink.address.tls is not None


@pytest.mark.parametrize("unit", UNITS)
def test_a_core_dump_cannot_leak_keys(unit: str) -> None:
    assert unit.startswith("aisleflow-"), "the common hardening holds for this prefix"
    common = (ROOT / "systemd/aisleflow-.service.d/hardening.conf").read_text(encoding="utf-8")
    assert "\nLimitCORE=0\n" in common
    assert "\nUMask=0077\n" in common


def test_the_first_password_stays_out_of_the_journal() -> None:
    assert "\nStandardOutput=null\n" in (ROOT / "systemd/aisleflow-api.service").read_text(encoding="utf-8")


def test_the_agent_is_watched() -> None:
    agent = (ROOT / "systemd/aisleflow-agent.service").read_text(encoding="utf-8").splitlines()
    assert "Type=notify" in agent
    assert any(line.startswith("WatchdogSec=") for line in agent)
    assert "Restart=on-failure" in agent


def test_users_and_folders_are_understood(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for program, name in (("systemd-sysusers", "sysusers.conf"), ("systemd-tmpfiles", "tmpfiles.conf")):
        command = [program, f"--root={tmp_path}", str(ROOT / "systemd" / name)]
        if program == "systemd-tmpfiles":
            command.insert(1, "--create")
        finished = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert finished.returncode == 0, finished.stderr
    users = (tmp_path / "etc/passwd").read_text(encoding="utf-8")
    assert "aisleflow-agent" in users
    assert "aisleflow-cloud" in users
    assert (tmp_path / "etc/aisleflow").is_dir()


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze (Debian: apt-get install systemd)."""
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


def assessment(installed: Path, unit: str) -> dict[str, dict[str, object]]:
    """systemd's opinion of each setting of `unit`, by the setting's name."""
    finished = analyze("security", "--offline=true", f"--root={installed}", "--json=short", unit)
    return {row["name"]: row for row in json.loads(finished.stdout)}
