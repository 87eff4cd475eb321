"""Child processes of the demo: started with their own log, ended by their own pid, in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable
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
    """One running child process. `lines` holds what it printed so far."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log
        self.lines: list[str] = []
        self.printed = asyncio.Event()

    async def collect(self) -> None:
        """Read what it prints, until it ends."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
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

    async def stop(self) -> None:
        """Ask it to end, and insist after a while."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), STOP_WAIT_S)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


@asynccontextmanager
async def child(name: str, command: list[str], folder: Path) -> AsyncIterator[Child]:
    """Run a program with its log in `folder`; ended when the block is left."""
    log = folder / f"{name}.log"
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            # Ctrl-C in the terminal is for the demo, which then ends its children in order.
            start_new_session=True,
        )
    running = Child(name, process, log)
    reader = asyncio.create_task(running.collect(), name=f"{name}-output")
    try:
        yield running
    finally:
        await running.stop()
        await reader


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
