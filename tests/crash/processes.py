"""A machine of real processes: the simulator, which survives everything, and the agent, which does not.

The agent is `python -m edge_agent`, started anew after every death, on the ledger that the one before has left. strace
injects what a test wants into it: a kill or a failing disk at the k-th call of one kind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.local_socket import connect_local
from edge_agent.settings import Settings, load
from firmware_sim.control import Control
from tests.integration.agent.rig import MACHINE, planogram, stock_ledger, write_settings

# A start takes half a second on an idle computer; the deadline only tells a hanging process from a slow one.
DEADLINE_S = 60.0
LOOK_EVERY_S = 0.01

# Enough for a whole enumeration of kill points without anybody refilling.
STOCK = 400
MOTORS = 6

# A simulated turn of four seconds takes 80 ms; faster only heats the simulator.
SPEED = 50

SCENARIO = f"""
seed = 7
speed = {SPEED}
[[machine]]
name = "{MACHINE}"
port = "pty:tty"
door = "door"
celsius = 6
[[machine.board]]
motors = {MOTORS}
stock = {STOCK}
capacity = {STOCK}
"""


def need_strace() -> None:
    """These proofs do not hold without it, so its absence is a failure and not a reason to look away."""
    assert shutil.which("strace"), "strace is not installed: apt-get install strace"


async def until(holds: Callable[[], bool], what: str) -> None:
    """Look until `holds()` is true; a failure names `what` did not come."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                if holds():
                    return
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE_S:.0f} s: {what}") from None


@asynccontextmanager
async def simulator(folder: Path, scenario: str = SCENARIO) -> AsyncIterator[tuple[Control, str]]:
    """The simulator as its own process; what to ask it, and the url of the machine's port."""
    (folder / "street.toml").write_text(scenario)
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "firmware_sim", str(folder / "street.toml")]
    process = await asyncio.create_subprocess_exec(
        *command, "--control", str(folder / "sim.control"), "--ready", str(ready), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await until(ready.exists, "the simulator is ready")
        url: str = json.loads(ready.read_text())["machines"][MACHINE]["port"]
        async with Control(folder / "sim.control") as control:
            yield control, url
    finally:
        await _end(process)


@dataclass
class AgentProcess:
    """The agent of one settings file; `start` as often as it died."""

    settings_file: Path
    settings: Settings
    starts: int = 0
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        """What the process that was started last has said."""
        return self.settings_file.with_name(f"agent-{self.starts}.log")

    @property
    def running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "not started"
        return self._process

    @property
    def dead(self) -> bool:
        return self.running.returncode is not None

    async def start(self, *prefix: str, module: str = "edge_agent") -> None:
        """Start it; `prefix` is what runs it, such as strace."""
        self.starts += 1
        command = [sys.executable, "-m", module, "--settings", str(self.settings_file)]
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(*prefix, *command, stderr=log, stdout=log)

    async def start_selling(self) -> None:
        """Start it, and wait until it has settled its past and would sell."""
        await self.start()
        await self.until_selling()

    async def until_selling(self) -> None:
        """Wait until it would sell; its death meanwhile is a failure that shows its last words."""
        alive = await self.survives_its_start()
        assert alive, f"the agent ended with {self.running.returncode}: {self.log.read_text()}"

    async def survives_its_start(self) -> bool:
        """Wait until it would sell or is dead."""
        async with asyncio.timeout(DEADLINE_S):
            while not self.dead:
                if (await self.status() or {}).get("selling"):
                    return True
                await asyncio.sleep(LOOK_EVERY_S)
        return False

    async def status(self) -> dict[str, Any] | None:
        """Its status, None while nobody listens."""
        try:
            status: dict[str, Any] = await self.ask("status")
        except OSError:
            return None
        return status

    async def ask(self, do: str, **params: Any) -> Any:
        """One word on the local socket; `OSError` when the agent is not there or dies over it."""
        async with connect_local(self.settings.socket.path) as client:
            return await client.ask(do, **params)

    async def press(self, press: str, aisle: str) -> dict[str, Any] | None:
        """Pay and press; None when the agent died before it answered, `Refused` when it will not sell."""
        try:
            answer: dict[str, Any] = await self.ask("sell", press=press, aisle=aisle, means="coin", paid_fen=500)
        except OSError:
            return None
        return answer

    async def settled(self, press: str) -> dict[str, Any] | None:
        """What the ledger says of a press; None when it was never begun."""
        found: dict[str, Any] | None = await self.ask("order", order=f"p{press}")
        return found

    async def wait(self) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.running.wait()

    @property
    def pid(self) -> int:
        """The agent itself, also when something runs it."""
        started = self.running.pid
        children = Path(f"/proc/{started}/task/{started}/children").read_text().split()
        return int(children[0]) if children else started

    async def kill(self) -> None:
        """kill -9, if it still lives."""
        if self._process is not None and not self.dead:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
            await self.wait()

    async def stop(self) -> int:
        """Ask it to end, as a service manager does; the exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return await self.wait()

    def threads(self) -> list[int]:
        """Its threads, oldest first: the same order after every start."""
        return sorted(int(task.name) for task in Path(f"/proc/{self.running.pid}/task").iterdir())


def strace(call: str, what: str) -> tuple[str, ...]:
    """What runs an agent to which `what` happens from its first breath, at its k-th `call` in any of its threads."""
    quiet = ("strace", "-f", "-o", "/dev/null", "-e", "signal=none")
    return (*quiet, "-e", f"trace={call}", "-e", f"inject={call}:{what}")


@asynccontextmanager
async def injected(thread: int, call: str, what: str) -> AsyncIterator[None]:
    """strace on one thread inside this block: `what` (signal=SIGKILL:when=3, error=EIO) happens to its `call`s.

    An injected kill strikes before the call is carried out, so k and k + 1 are the two sides of call k.
    """
    strace = await asyncio.create_subprocess_exec(
        "strace", "-p", str(thread), "-e", f"trace={call}", "-e", f"inject={call}:{what}", "-e", "signal=none",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert strace.stderr is not None
    async with asyncio.timeout(DEADLINE_S):
        first = await strace.stderr.readline()
    assert b"attached" in first, f"strace: {first.decode()}"
    rest = asyncio.ensure_future(strace.stderr.read())
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            strace.send_signal(signal.SIGINT)
        await strace.wait()
        await rest


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


@dataclass
class CrashRig:
    """A simulated machine that lives on, and its mortal agent."""

    folder: Path
    agent: AgentProcess
    sim: Control

    async def counts(self) -> tuple[int, int]:
        """Motor runs that the board accepted, and items that really fell, since the beginning."""
        totals = (await self.sim.truth())["totals"]
        return int(totals["runs_accepted"]), int(totals["fell"])


@asynccontextmanager
async def crash_rig(
    folder: Path, *, scenario: str = SCENARIO, stocked: bool = True, broker_port: int = 1
) -> AsyncIterator[CrashRig]:
    """A stocked machine, the agent not started yet; without a broker's port its uplink finds nobody."""
    need_strace()
    async with simulator(folder, scenario) as (sim, url):
        path = write_settings(folder, url, broker_port=broker_port, extra='[log]\nlevel = "warning"')
        agent = AgentProcess(path, load(path))
        if stocked:
            await stock_ledger(agent.settings, planogram(motors=MOTORS), STOCK)
        rig = CrashRig(folder, agent, sim)
        try:
            yield rig
        finally:
            await agent.kill()
