"""Keep the agent's loops running, and tell systemd the truth about it.

An expected failure (a cable, a broker, a silent board) restarts its loop after a growing pause. A bug ends the process
loudly, because a half-dead agent is worse than a restart that recovery is made for. The watchdog is fed only while
every essential loop makes progress: an event loop that turns while the bus worker hangs must not look alive.

sd_notify(3) and WatchdogSec= of systemd.service(5) are the protocol: datagrams on the socket named by NOTIFY_SOCKET.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from edge_agent.errors import AgentError, LedgerUnsafe
from shared.backoff import Backoff
from shared.clock import Clock
from shared.mqtt import Disconnected, PublishRefused, SubscribeRefused

log = logging.getLogger(__name__)

EXPECTED: tuple[type[Exception], ...] = (AgentError, OSError, Disconnected, PublishRefused, SubscribeRefused)
# After a write that may not be on the disk nothing in this process can be believed any more.
FATAL: tuple[type[Exception], ...] = (LedgerUnsafe,)

# A loop that ran this long was healthy, so its next failure starts with a short pause again.
HEALTHY_AFTER_MS = 60_000
# Without systemd nobody feeds a watchdog, but a stuck loop should still appear in the log.
LOOK_WITHOUT_WATCHDOG_MS = 10_000


async def supervise(
    name: str,
    work: Callable[[], Awaitable[None]],
    *,
    clock: Clock,
    backoff: Backoff,
    on_failure: Callable[[str, Exception], None] | None = None,
) -> None:
    """Run `work` until it returns; restart it after an expected failure. Everything else is raised.

    `on_failure` hears the name and the error before the pause, for state that people want to see.
    """
    while True:
        began_ms = clock.mono_ms()
        try:
            await _run_apart(name, work)
        except Exception as error:
            failure = _expected_failure(error)
            if failure is None:
                raise
            if clock.mono_ms() - began_ms >= HEALTHY_AFTER_MS:
                backoff.reset()
            pause_ms = backoff.next_ms()
            log.warning("%s: %s; again in %.1f s", name, failure, pause_ms / 1000)
            if on_failure is not None:
                on_failure(name, failure)
        else:
            return
        await clock.sleep_ms(pause_ms)


async def _run_apart(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` in a task of its own, so that a shutdown is never mistaken for a failure.

    Work that fails while it is being cancelled raises its failure instead (task groups do so before Python 3.13), and a
    supervisor that awaited it directly would start it again.
    """

    async def run() -> None:
        await work()

    running = asyncio.create_task(run(), name=name)
    try:
        await asyncio.wait({running})
    except asyncio.CancelledError:
        running.cancel()
        await asyncio.wait({running})
        if not running.cancelled() and (error := running.exception()) is not None:
            log.warning("%s: failed while stopping: %s", name, error)
        raise
    running.result()


def _expected_failure(error: Exception) -> Exception | None:
    """The first error when all that went wrong was to be expected, else None. Task groups raise several at once."""
    if isinstance(error, ExceptionGroup):
        failures = [_expected_failure(inner) for inner in error.exceptions]
        return None if None in failures else failures[0]
    return error if isinstance(error, EXPECTED) and not isinstance(error, FATAL) else None


@dataclass(frozen=True, slots=True)
class Overdue:
    """An essential loop that did not beat within its limit."""

    name: str
    silent_ms: int
    limit_ms: int

    def __str__(self) -> str:
        return f"{self.name} without progress for {self.silent_ms / 1000:.0f} s (limit {self.limit_ms / 1000:.0f} s)"


class Progress:
    """Who must show signs of life, how often, and when they last did. Beats may come from other threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limits_ms: dict[str, int] = {}
        self._beats_ms: dict[str, int] = {}

    def essential(self, name: str, *, limit_ms: int) -> Callable[[], None]:
        """Register a loop; returns what it must call at least every `limit_ms`."""
        if name in self._limits_ms:
            raise ValueError(f"{name!r} is registered already")
        self._limits_ms[name] = limit_ms

        def beat() -> None:
            self._beats_ms[name] = self._clock.mono_ms()

        beat()
        return beat

    def retire(self, name: str) -> None:
        """A loop that ended on purpose need not beat any more."""
        self._limits_ms.pop(name, None)
        self._beats_ms.pop(name, None)

    def overdue(self) -> list[Overdue]:
        """The loops that are late now; empty when all is well."""
        now_ms = self._clock.mono_ms()
        return [
            Overdue(name, now_ms - self._beats_ms[name], limit_ms)
            for name, limit_ms in self._limits_ms.items()
            if now_ms - self._beats_ms[name] > limit_ms
        ]


class Systemd:
    """The service manager, if there is one: without NOTIFY_SOCKET every call does nothing."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._path = environment.get("NOTIFY_SOCKET", "")
        # Set for the process that systemd started; a child that inherited the variable is not the one watched.
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog_us = environment.get("WATCHDOG_USEC", "") if mine else ""
        self.watchdog_ms: int | None = int(watchdog_us) // 1000 if watchdog_us.isdigit() else None

    def ready(self) -> None:
        """All parts run."""
        self._notify("READY=1")

    def status(self, text: str) -> None:
        """One line that `systemctl status` shows."""
        self._notify("STATUS=" + " ".join(text.split()))

    def alive(self) -> None:
        """Feed the watchdog."""
        self._notify("WATCHDOG=1")

    def stopping(self) -> None:
        """The shutdown has begun."""
        self._notify("STOPPING=1")

    def _notify(self, message: str) -> None:
        if not self._path:
            return
        # A leading @ stands for the zero byte of Linux's abstract namespace.
        address = "\0" + self._path[1:] if self._path.startswith("@") else self._path
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            ) as sender:
                sender.sendto(message.encode(), address)
        except OSError as error:
            # The agent sells on without its manager; if the watchdog starves of it, the restart is the cure.
            log.warning("systemd at %s: %s", self._path, error)


async def watch(progress: Progress, systemd: Systemd, clock: Clock) -> None:
    """Feed the watchdog while every essential loop makes progress; withhold it, and say why, while one does not."""
    # systemd advises half of the limit; a third leaves room for one late turn.
    pause_ms = systemd.watchdog_ms // 3 if systemd.watchdog_ms else LOOK_WITHOUT_WATCHDOG_MS
    stuck = False
    while True:
        overdue = progress.overdue()
        if overdue:
            text = "; ".join(map(str, overdue))
            log.error("%s", text)
            systemd.status(text)
        else:
            systemd.alive()
            if stuck:
                systemd.status("all loops make progress again")
        stuck = bool(overdue)
        await clock.sleep_ms(pause_ms)
