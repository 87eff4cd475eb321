"""The owner of a port: one thread that does one job after the other, and opens the port again when it was lost.

A port has one owner, so no lock is needed on the line and no two requests ever overlap. A job is a function that runs
on that thread with the open `Line`; its result or its error goes back to the coroutine that waits for it. What has
begun is finished: cancelling the coroutine takes back a job that still waits, and never one that has started.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from edge_agent.errors import DeadlinePassed, LinkDown, PortClosed
from edge_agent.links.backlog import Backlog, Priority
from edge_agent.links.line import Later, Line, SlaveStatistics
from edge_agent.links.port import LinkPort, open_port
from shared.clock import Clock

T = TypeVar("T")

BAUD_DEFAULT = 38_400

# Between the end of one exchange and the next request: a board needs a moment to turn its transmitter off. The vendor's
# own host leaves 150 ms between commands; slow boards can be given that by a setting.
GAP_MS_DEFAULT = 20

# The longest that any known host waits for a board's answer is 3 s; an answer that comes later than this never comes.
LATE_MS_MAX_DEFAULT = 3_500

# A USB adapter is back within a second of being plugged in, and an attempt costs one failing system call.
REOPEN_FIRST_MS = 200
REOPEN_MAX_MS = 3_000

# An idle thread shows this often that it lives; whoever watches it allows for a few times as much.
BEAT_EVERY_MS = 5_000


@dataclass(frozen=True, slots=True)
class BusStatistics:
    """The state of one line, for diagnosis. `down` is None while the port is open, otherwise why it is not."""

    url: str
    down: str | None
    openings: int
    waiting: int
    noise_bytes: int
    strays: int
    slaves: dict[int, SlaveStatistics]


@dataclass(slots=True, eq=False)
class _Job:
    name: str
    work: Callable[[Line], Any]
    priority: Priority
    not_after_mono_ms: int
    done: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop

    def succeed(self, result: object) -> None:
        self.loop.call_soon_threadsafe(self._end, self.done.set_result, result)

    def fail(self, error: Exception) -> None:
        self.loop.call_soon_threadsafe(self._end, self.done.set_exception, error)

    def _end(self, settle: Callable[[Any], None], outcome: object) -> None:
        if not self.done.cancelled():
            settle(outcome)


class Bus:
    """`async with Bus(...) as bus: await bus.run(job, ...)`. Opening may fail: the bus keeps trying and says so.

    `beat` is called on the bus's thread, at least every `BEAT_EVERY_MS` while it is not stuck.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        baud: int = BAUD_DEFAULT,
        gap_ms: int = GAP_MS_DEFAULT,
        late_ms_max: int = LATE_MS_MAX_DEFAULT,
        opener: Callable[[str, int], LinkPort] = open_port,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self.url = url
        self._baud = baud
        self._clock = clock
        self._opener = opener
        self._beat = beat
        self._line = Line(clock, gap_ms=gap_ms, late_ms_max=late_ms_max, hurried=self._hurried)
        self._port: LinkPort | None = None
        self._down: str | None = "not opened yet"
        self._reopen_at_ms = 0
        self._reopen_wait_ms = REOPEN_FIRST_MS
        self._changed = threading.Condition()  # guards the two below
        self._backlog: Backlog[_Job] = Backlog()
        self._stopping = False

    async def __aenter__(self) -> Self:
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name=f"bus {self.url}", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the job that runs, refuse those that wait, close the port."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        await self._ended.wait()
        self._thread.join()

    async def run(self, work: Callable[[Line], T], *, name: str, priority: Priority, not_after_mono_ms: int) -> T:
        """Run `work` on the bus's thread and return its result; its errors are raised here.

        Raises DeadlinePassed when its turn did not come in time, PortClosed while the port is closed. `work` starts
        again from its beginning when it raises `Later`.
        """
        done: asyncio.Future[T] = self._loop.create_future()
        with self._changed:
            if self._stopping:
                raise PortClosed(self.url, "the bus was stopped")
            self._backlog.add(_Job(name, work, priority, not_after_mono_ms, done, self._loop))
            self._changed.notify()
        return await done

    def statistics(self) -> BusStatistics:
        """How the line and its slaves behave; may be asked at any time."""
        with self._changed:
            waiting = len(self._backlog)
        return BusStatistics(
            url=self.url,
            down=self._down,
            openings=self._line.opening,
            waiting=waiting,
            noise_bytes=self._line.noise_bytes,
            strays=self._line.strays,
            slaves=self._line.statistics(),
        )

    # --- everything below runs on the thread ---

    def _work(self) -> None:
        try:
            while not self._stopping:
                self._beat()
                self._open_when_due()
                job = self._next_job()
                if job is not None:
                    self._carry_out(job)
        finally:
            self._close("the bus was stopped")
            with self._changed:
                self._stopping = True  # also when a bug ended the thread: nobody may wait for it any more
                left = self._backlog.drain()
            for job in left:
                job.fail(PortClosed(self.url, "the bus was stopped"))
            self._loop.call_soon_threadsafe(self._ended.set)

    def _next_job(self) -> _Job | None:
        """Wait for a job, for the time to open the port, or for the end."""
        with self._changed:
            now = self._clock.mono_ms()
            job = self._backlog.next(now)
            if job is None and not self._stopping:
                waits = [self._backlog.wait_ms(now), None if self._port else max(0, self._reopen_at_ms - now)]
                shortest = min((wait for wait in waits if wait is not None), default=BEAT_EVERY_MS)
                self._changed.wait(min(shortest, BEAT_EVERY_MS) / 1000)
            return job

    def _hurried(self) -> bool:
        with self._changed:
            return self._backlog.holds(Priority.ACTUATION)

    def _carry_out(self, job: _Job) -> None:
        if job.done.cancelled():
            return
        if self._clock.mono_ms() > job.not_after_mono_ms:
            job.fail(DeadlinePassed(self.url, job.name))
            return
        if self._down is not None:
            job.fail(PortClosed(self.url, self._down))
            return
        try:
            result = job.work(self._line)
        except Later as later:
            with self._changed:
                self._backlog.park(job, later.at_mono_ms)
        except LinkDown as down:
            self._close(down.reason)
            job.fail(down)
        except Exception as error:  # not swallowed: it belongs to the caller, who gets it
            job.fail(error)
        else:
            job.succeed(result)

    def _open_when_due(self) -> None:
        if self._port is not None or self._clock.mono_ms() < self._reopen_at_ms:
            return
        try:
            self._port = self._opener(self.url, self._baud)
        except LinkDown as down:
            self._schedule_opening(down.reason)
            return
        self._line.opened(self._port)
        self._down = None
        self._reopen_wait_ms = REOPEN_FIRST_MS

    def _close(self, reason: str) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None
        self._schedule_opening(reason)

    def _schedule_opening(self, reason: str) -> None:
        self._down = reason
        self._reopen_at_ms = self._clock.mono_ms() + self._reopen_wait_ms
        self._reopen_wait_ms = min(2 * self._reopen_wait_ms, REOPEN_MAX_MS)
