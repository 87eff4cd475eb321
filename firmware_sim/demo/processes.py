"""Child processes of the demo: started with their own log, ended by their own pid, in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

# Everything answers within a second or two on an idle machine; a busy one gets more.
START_WAIT_S: Final = 60.0
# An agent ends a running vend first, which may take it 20 s.
STOP_WAIT_S: Final = 30.0
LOOK_EVERY_S: Final = 0.05


class Failed(Exception):
    """The demo cannot go on; the message says what to look at."""


class Child:
    """One child process, which can be killed and started again. `lines` holds what its present life has printed."""

    def __init__(self, name: str, command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.lines: list[str] = []
        self.printed = asyncio.Event()
        self._command = command
        self._environment = {**os.environ, **environment}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The process of its present (or last) life."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    async def start(self) -> None:
        """Start it, or start it again after its end."""
        with self.log.open("ab") as file:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                env=self._environment,
                # Ctrl-C in the terminal is for the demo, which then ends its children in order.
                start_new_session=True,
            )
        self.lines.clear()
        self._reader = asyncio.create_task(self._collect(self._process.stdout), name=f"{self.name}-output")

    async def _collect(self, output: asyncio.StreamReader | None) -> None:
        """Read what it prints, until it ends."""
        assert output is not None, "its output is a pipe"
        async for line in output:
            self.lines.append(line.decode(errors="replace").rstrip("\n"))
            self.printed.set()

    async def line(self, starts: str) -> str:
        """The first line that starts like this; `Failed` when the process ends or is silent for too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_WAIT_S):
                while True:
                    found = next((line for line in self.lines if line.startswith(starts)), None)
                    if found is not None:
                        return found
                    self.check()
                    self.printed.clear()
                    await asyncio.wait_for(self.printed.wait(), START_WAIT_S)
        raise Failed(f"{self.name} did not print {starts!r}; its log: {self.log}")

    def check(self) -> None:
        """`Failed` when it has ended by itself."""
        if self.process.returncode is not None:
            raise Failed(f"{self.name} ended with {self.process.returncode}; its log: {self.log}")

    async def kill(self) -> None:
        """kill -9, as a crash or a power cut would."""
        if self.process.returncode is None:
            self.process.kill()
        await self._ended()

    async def stop(self) -> None:
        """Ask it to end, and insist after a while."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), STOP_WAIT_S)
            except TimeoutError:
                self.process.kill()
        await self._ended()

    async def _ended(self) -> None:
        assert self._reader is not None, "started together with the process"
        await self.process.wait()
        await self._reader


@asynccontextmanager
async def child(
    name: str, command: list[str], folder: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Child]:
    """Run a program with its log in `folder`, and more variables in its environment; ended when the block is left."""
    running = Child(name, command, folder, environment or {})
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


def python(*arguments: str) -> list[str]:
    """A command of this very Python."""
    return [sys.executable, *arguments]


async def until(holds: Callable[[], bool], what: str, wait_s: float = START_WAIT_S) -> None:
    """Wait until something holds; `Failed` names it when it does not in time."""
    try:
        async with asyncio.timeout(wait_s):
            while not holds():  # noqa: ASYNC110  # the other side has no event to wait for
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise Failed(f"not within {wait_s:.0f} s: {what}") from None
