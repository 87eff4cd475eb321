"""`aislectl demo`: a simulated machine with a real agent in a temporary folder, to play with and to learn on.

Two child processes, the simulator and the playground's agent; then a shell (or a given command) in which `aislectl`
means that machine. When the shell ends, so does everything.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from argparse import Namespace
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from edge_agent.errors import Refused
from edge_agent.technician import desk as desks
from edge_agent.technician.desk import Desk, NotReachable
from edge_agent.technician.words import Word, argument
from shared.clock import SystemClock

SIMULATOR_VARIABLE: Final = "AISLECTL_SIMULATOR"

_SCENARIO: Final = """seed = 7
[[machine]]
name = "playground"
port = "pty:tty"
only_baud = true
door = "door"
celsius = 6
[[machine.board]]
address = 1
motors = 12
stock = 5
capacity = 10
[[machine.modbus]]
device = "waveshare-relay-8ch"
slave = 10
[[machine.modbus]]
device = "pulse4"
slave = 11
[[machine.modbus]]
device = "ws102-tds"
slave = 12
[[machine.modbus]]
device = "qdy30a-level"
slave = 13
sees = "pressure"
[machine.water]
tank_opening_ml = 20000
[[machine.water.outlets]]
relay = 1
flow_ml_per_s = 60
[[machine.water.outlets]]
relay = 2
flow_ml_per_s = 60
"""

# What `aislectl simulate` can change; `faults` lets every kind strike by chance.
PARTS: Final = ("fault", "faults", "mend", "door", "cable", "power", "temperature")
# Two Python processes on a slow board.
START_WAIT_MS: Final = 60_000
LOOK_EVERY_MS: Final = 100
# An agent ends a running vend first.
STOP_WAIT_S: Final = 30.0
# What a shell reports of a program that its terminal's end has stopped: 128 and the number of SIGHUP.
EXIT_HUNG_UP: Final = 128 + signal.SIGHUP


async def _demo(desk: Desk, asked: Namespace) -> int:
    """Play until the shell ends; a closed terminal ends it in order as well, and leaves no process behind."""
    playing = asyncio.current_task()
    assert playing is not None
    for number in (signal.SIGHUP, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, playing.cancel)
    try:
        return await _stage(desk, asked)
    except asyncio.CancelledError:
        return EXIT_HUNG_UP


async def _stage(desk: Desk, asked: Namespace) -> int:
    # What somebody has mounted there, to practise a full disk, stays; it is not worth a traceback.
    with tempfile.TemporaryDirectory(prefix="aislectl-demo-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            desk.margin.print(desk.say("starting a simulated machine and its agent ..."))
            (folder / "scenario.toml").write_text(_SCENARIO, encoding="utf-8")
            control = folder / "control"
            simulator = ("firmware_sim", str(folder / "scenario.toml"), "--control", str(control))
            await stack.enter_async_context(_child(folder, *simulator))
            await _until(desk, control.exists)
            await stack.enter_async_context(_child(folder, "edge_agent.playground", str(folder), str(folder / "tty")))
            await _until_selling(replace(desk, settings_file=folder / "agent.toml", socket=folder / "agent.sock"))
            # What stands behind "--" is the command alone, as with other programs that start one.
            return await _play(desk, folder, asked.command[asked.command[:1] == ["--"] :])


async def _play(desk: Desk, folder: Path, command: list[str]) -> int:
    """A shell, or one command, in which aislectl means the simulated machine; its exit code."""
    place = os.environ | {
        desks.SETTINGS_VARIABLE: str(folder / "agent.toml"),
        SIMULATOR_VARIABLE: str(folder / "control"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "PS1": "demo $ ",
    }
    if not command:
        desk.margin.print(desk.say("aislectl now means the simulated machine: try aislectl status, watch, sweep."))
        desk.margin.print(
            desk.say("aislectl simulate breaks and mends it, e.g. fault jam, door open, mend. exit ends the demo.")
        )
    program = command or [os.environ.get("SHELL", "/bin/sh")]
    try:
        process = await asyncio.create_subprocess_exec(*program, env=place)
    except OSError as error:
        raise Refused("demo", f"{program[0]}: {error.strerror}") from error
    return await process.wait()


@asynccontextmanager
async def _child(folder: Path, module: str, *arguments: str) -> AsyncIterator[Process]:
    """One of our own programs, its output in a file, ended by its own pid."""
    with (folder / f"{module}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", module, *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C in the shell is for what runs there.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_WAIT_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _until(desk: Desk, holds: Any) -> None:
    clock = SystemClock()
    until = clock.mono_ms() + START_WAIT_MS
    while not holds():
        if clock.mono_ms() > until:
            raise Refused("demo", desk.say("the simulated machine did not start in a minute"))
        await clock.sleep_ms(LOOK_EVERY_MS)


async def _until_selling(desk: Desk) -> None:
    clock = SystemClock()
    until = clock.mono_ms() + START_WAIT_MS
    while clock.mono_ms() < until:
        with contextlib.suppress(NotReachable):
            if (await desk.ask("status"))["selling"] and (await desk.ask("water"))["giving"]:
                return
        await clock.sleep_ms(LOOK_EVERY_MS)
    raise Refused("demo", desk.say("the simulated machine did not start in a minute"))


# --- what goes wrong with it ---


async def _simulate(desk: Desk, asked: Namespace) -> int:
    """One question to the simulator of the demo."""
    control = os.environ.get(SIMULATOR_VARIABLE)
    if control is None:
        raise Refused("no_demo", desk.say("there is no simulated machine here: aislectl demo starts one"))
    machine = {"machine": "playground"}
    requests: dict[str, dict[str, Any]] = {
        "fault": {"do": "fault", **machine, "kind": asked.what, "on": True},
        "faults": {"do": "faults", "preset": asked.what or "all"},
        "mend": {"do": "faults", "preset": "none"},
        "door": {"do": "door", **machine, "open": asked.what == "open"},
        "cable": {"do": "plug" if asked.what == "in" else "unplug", **machine},
        "power": {"do": "power_cycle", **machine},
        "temperature": {"do": "temperature", **machine, "celsius": _degrees(asked.what)},
    }
    try:
        answer = await _tell_simulator(control, requests[asked.part])
    except OSError as error:
        raise Refused("no_demo", f"{control}: {error.strerror}") from error
    if not answer["ok"]:
        raise Refused("simulator", str(answer["error"]))
    desk.tell(answer, lambda: desk.say("done"))
    return desks.OK


def _degrees(what: str) -> float | str:
    """A number; anything else goes as it is to the simulator, which names it and what it expects."""
    try:
        return float(what)
    except ValueError:
        return what


async def _tell_simulator(control: str, request: dict[str, Any]) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(control)
    try:
        writer.write(json.dumps({"id": 1, **request}).encode() + b"\n")
        await writer.drain()
        answer: dict[str, Any] = json.loads(await reader.readline())
        return answer
    finally:
        writer.close()


WORDS: Final = (
    Word(
        "demo",
        "play with a simulated machine",
        _demo,
        (argument("command", about="run this instead of a shell", nargs=argparse.REMAINDER),),
    ),
    Word(
        "simulate",
        "break and mend the simulated machine of the demo",
        _simulate,
        (
            argument("part", about="what to change", choices=PARTS),
            argument("what", about="jam and other faults; open or shut; in or out; degrees", nargs="?", default=""),
        ),
    ),
)
