"""The command: started, asked, stopped, as a person or the demo does it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.control import Control

TWO_MACHINES = """
seed = 7
[[machine]]
name = "vm-1"
port = "pty:vm-1"
door = "vm-1.door"
[[machine.board]]
motors = 10
stock = 8
[[machine]]
name = "vm-2"
port = "tcp:127.0.0.1:0"
[[machine.board]]
"""
START_S = 30


@asynccontextmanager
async def simulator(folder: Path, *options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    """The running process, and what it wrote into its ready file."""
    (folder / "street.toml").write_text(TWO_MACHINES)
    ready = folder / "ready.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "firmware_sim", str(folder / "street.toml"), "--ready", str(ready), *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(START_S):
            while not ready.exists():
                assert process.returncode is None, "the simulator ended before it was ready"
                await asyncio.sleep(0.02)
        yield process, json.loads(ready.read_text())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_and_nothing_is_left(tmp_path: Path, number: signal.Signals) -> None:
    async with simulator(tmp_path, "--control", str(tmp_path / "control")) as (process, ready):
        assert ready["machines"]["vm-1"] == {"port": str(tmp_path / "vm-1"), "door": str(tmp_path / "vm-1.door")}
        assert ready["machines"]["vm-2"]["port"].startswith("socket://127.0.0.1:")
        assert ready["control"] == str(tmp_path / "control")
        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), START_S)
        assert out.decode().splitlines() == [f"{name}\t{one['port']}" for name, one in ready["machines"].items()]
        assert (process.returncode, err) == (0, b"")
    assert [path.name for path in tmp_path.iterdir()] == ["street.toml"]


async def test_stop_ends_it(tmp_path: Path) -> None:
    async with simulator(tmp_path, "--control", str(tmp_path / "control"), "--speed", "10") as (process, ready):
        async with Control(Path(ready["control"])) as control:
            assert (await control.truth())["totals"]["remaining"] == 80
            await control.stop()
        assert await asyncio.wait_for(process.wait(), START_S) == 0


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "firmware_sim", *arguments], capture_output=True, text=True, timeout=START_S, check=False
    )


def test_a_wrong_scenario_is_one_line_and_status_2(tmp_path: Path) -> None:
    path = tmp_path / "street.toml"
    path.write_text(TWO_MACHINES.replace("seed", "sead"))
    ended = run(str(path))
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"firmware_sim: {path}: unknown key sead")
    assert ended.stderr.count("\n") == 1
    path.write_text(TWO_MACHINES)
    assert "speed = -1.0, expected above 0" in run(str(path), "--speed", "-1").stderr


def test_a_taken_port_is_one_line_and_status_2(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        path = tmp_path / "street.toml"
        path.write_text(TWO_MACHINES.replace("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}"))
        ended = run(str(path))
    assert ended.returncode == 2
    assert "Address already in use" in ended.stderr
    assert not (tmp_path / "vm-1").is_symlink(), "what was plugged before is unplugged"
