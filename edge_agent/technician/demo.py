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
from edge_agent.technician import screens
from edge_agent.technician.desk import Desk, NotReachable
from edge_agent.technician.profiles import ADDRESS, SPEED
from edge_agent.technician.words import Number, Word, argument
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
name = "valves"
slave = 10
[[machine.modbus]]
device = "pulse4"
name = "meter"
slave = 11
[[machine.modbus]]
device = "ws102-tds"
name = "salt"
slave = 12
[[machine.modbus]]
device = "qdy30a-level"
name = "pump"
slave = 13
sees = "pressure"
[[machine.modbus]]
device = "qdy30a-level"
name = "tank"
slave = 14
[[machine.modbus]]
device = "ws102-tds"
name = "feed"
slave = 15
sees = "tds_in"
[machine.water]
tank_ml = 10000
tank_opening_ml = 10000
tank_refill_ml = 9000
[[machine.water.outlets]]
relay = 1
flow_ml_per_s = 60
[[machine.water.outlets]]
relay = 2
flow_ml_per_s = 60
"""

# The name of the simulated machine.
MACHINE: Final = "playground"
# How far a membrane may be worn, and a counter may stand; the simulator refuses more.
WORN_MAX: Final = 150
COUNT_MAX: Final = 2**32 - 1
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


async def _tell(desk: Desk, do: str, **what: Any) -> dict[str, Any]:
    """One question to the simulator of the demo; its answer."""
    control = os.environ.get(SIMULATOR_VARIABLE)
    if control is None:
        raise Refused("no_demo", desk.say("there is no simulated machine here: aislectl demo starts one"))
    try:
        answer = await _tell_simulator(control, {"do": do, **what})
    except OSError as error:
        raise Refused("no_demo", f"{control}: {error.strerror}") from error
    if not answer["ok"]:
        raise Refused("simulator", str(answer["error"]))
    return answer


async def _done(desk: Desk, do: str, **what: Any) -> int:
    answer = await _tell(desk, do, **what)
    desk.tell(answer, lambda: desk.say("done"))
    return desks.OK


async def _fault(desk: Desk, asked: Namespace) -> int:
    return await _done(desk, "fault", machine=MACHINE, kind=asked.kind, on=True, **_place(desk, asked.where))


async def _mend(desk: Desk, asked: Namespace) -> int:
    if asked.kind is None:
        return await _done(desk, "faults", preset="none")
    return await _done(desk, "fault", machine=MACHINE, kind=asked.kind, on=False, **_place(desk, asked.where))


def _place(desk: Desk, where: str | None) -> dict[str, Any]:
    """Where a fault strikes: "board", "board/3" (a motor), a device's name, "valves/2" (a relay); None: everywhere."""
    if where is None:
        return {}
    name, _, number = where.partition("/")
    if number and not (number.isascii() and number.isdecimal()):
        raise Refused("malformed", desk.say("{where}: expected a device, or board/MOTOR or valves/RELAY", where=where))
    inner = int(number) if number else None
    if name == "board":
        return {"board": 1, "motor": inner}
    return {"device": name, "motor": inner}


async def _by_chance(desk: Desk, asked: Namespace) -> int:
    return await _done(desk, "faults", preset=asked.preset)


async def _door(desk: Desk, asked: Namespace) -> int:
    return await _done(desk, "door", machine=MACHINE, open=asked.door == "open")


async def _cable(desk: Desk, asked: Namespace) -> int:
    return await _done(desk, "plug" if asked.cable == "in" else "unplug", machine=MACHINE)


async def _power(desk: Desk, _: Namespace) -> int:
    return await _done(desk, "power_cycle", machine=MACHINE)


async def _temperature(desk: Desk, asked: Namespace) -> int:
    return await _done(desk, "temperature", machine=MACHINE, celsius=asked.celsius)


async def _counter(desk: Desk, asked: Namespace) -> int:
    return await _done(desk, "counter", machine=MACHINE, device="meter", count=asked.number)


async def _membrane(desk: Desk, asked: Namespace) -> int:
    return await _done(desk, "membrane", machine=MACHINE, percent=asked.percent)


async def _readdress(desk: Desk, asked: Namespace) -> int:
    if asked.slave is None and asked.baud is None:
        raise Refused("malformed", desk.say("nothing to change: give --slave, --baud or both"))
    return await _done(desk, "readdress", machine=MACHINE, device=asked.device, slave=asked.slave, baud=asked.baud)


async def _truth(desk: Desk, _: Namespace) -> int:
    answer = (await _tell(desk, "truth"))["machines"][MACHINE]
    desk.tell(answer, lambda: screens.truth(answer, desk.say))
    return desks.OK


async def _tell_simulator(control: str, request: dict[str, Any]) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(control)
    try:
        writer.write(json.dumps({"id": 1, **request}).encode() + b"\n")
        await writer.drain()
        answer: dict[str, Any] = json.loads(await reader.readline())
        return answer
    finally:
        writer.close()


KIND: Final = argument("kind", about="which: docs/simulator.md has them all, and a wrong one is answered with the list")
WHERE: Final = argument(
    "where", about="board, board/MOTOR, a device (valves, meter ...), valves/RELAY; without it everywhere", nargs="?"
)

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
        words=(
            Word("fault", "let something go wrong until it is mended", _fault, (KIND, WHERE)),
            Word(
                "mend",
                "end one fault, or everything that goes wrong",
                _mend,
                (argument("kind", about="which fault; without it all of them", nargs="?"), WHERE),
            ),
            Word(
                "faults",
                "let every kind of fault strike by chance, or none",
                _by_chance,
                (argument("preset", about="all or none", choices=("all", "none"), nargs="?", default="all"),),
            ),
            Word("door", "open or shut the door", _door, (argument("door", about="how", choices=("open", "shut")),)),
            Word(
                "cable",
                "pull the port's cable, or put it in",
                _cable,
                (argument("cable", about="how", choices=("out", "in")),),
            ),
            Word("power", "let the supply dip: every board and device restarts", _power),
            Word(
                "temperature",
                "set the cabinet's temperature; -40 and 120 break the probe",
                _temperature,
                (argument("celsius", about="degrees", type=Number(-40, 120, float)),),
            ),
            Word(
                "counter",
                "let the meter's counter stand somewhere else; it begins again after 4294967295",
                _counter,
                (argument("number", about="at how many pulses", type=Number(0, COUNT_MAX)),),
            ),
            Word(
                "membrane",
                "put in a membrane that is worn so far; 0 is a new one",
                _membrane,
                (argument("percent", about="how much of its life is over", type=Number(0, WORN_MAX)),),
            ),
            Word(
                "readdress",
                "give a device another address or speed, as if a person had set it",
                _readdress,
                (
                    argument("device", about="its name, as in aislectl bus"),
                    argument("--slave", about="the new address", type=ADDRESS),
                    argument("--baud", about="the new speed", type=SPEED),
                ),
            ),
            Word("truth", "what the simulator knows: where the water went, and every valve", _truth),
        ),
    ),
)
