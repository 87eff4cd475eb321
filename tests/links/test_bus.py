"""The bus's thread: order, deadlines, cancelling, ports that vanish and return, a clean end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from edge_agent.errors import DeadlinePassed, LinkDown, NeverSent, PortClosed
from edge_agent.links.backlog import Priority
from edge_agent.links.bus import Bus
from edge_agent.links.line import Later, Line
from shared.clock import Clock, ManualClock, SystemClock

DEADLINE_S = 10


class NoPort:
    """A port that is open and silent."""

    closed = False

    def write(self, data: bytes) -> None:
        raise AssertionError("nothing is written in these tests")

    def read(self, wait_ms: int) -> bytes:
        return b""

    def close(self) -> None:
        self.closed = True


class Opener:
    """Opens `NoPort`s, or fails for as long as `down` says why."""

    def __init__(self) -> None:
        self.down: str | None = None
        self.ports: list[NoPort] = []
        self.attempts = 0

    def __call__(self, url: str, baud: int) -> NoPort:
        self.attempts += 1
        if self.down is not None:
            raise LinkDown(url, self.down)
        self.ports.append(NoPort())
        return self.ports[-1]


class Gate:
    """A job that keeps the bus busy until the test opens it."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self._open = threading.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self, line: Line) -> None:
        self._loop.call_soon_threadsafe(self.entered.set)
        assert self._open.wait(DEADLINE_S)

    def open(self) -> None:
        self._open.set()


def bus_on(opener: Opener, clock: Clock | None = None) -> Bus:
    return Bus("test", clock=clock or SystemClock(), opener=opener)


async def ask(bus: Bus, work: Callable[[Line], Any], priority: Priority = Priority.READING, by: int = 10**15) -> Any:
    return await bus.run(work, name="work", priority=priority, not_after_mono_ms=by)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110 - a thread changes it, and knows no event of this loop
            await asyncio.sleep(0.005)


async def test_results_and_errors_come_back_to_who_asked_and_the_bus_lives_on() -> None:
    async with bus_on(Opener()) as bus:
        assert await ask(bus, lambda line: threading.current_thread().name) == "bus test"
        with pytest.raises(ZeroDivisionError):
            await ask(bus, lambda line: 1 // 0)
        assert await ask(bus, lambda line: line.opening) == 1


async def test_the_most_urgent_job_goes_next() -> None:
    order: list[str] = []
    async with bus_on(Opener()) as bus, asyncio.TaskGroup() as group:
        gate = Gate()
        group.create_task(ask(bus, gate))
        await gate.entered.wait()
        for name, priority in (("reading", 2), ("safety", 1), ("reading", 2), ("actuation", 0)):
            group.create_task(ask(bus, lambda line, name=name: order.append(name), Priority(priority)))  # type: ignore[misc]
        await until(lambda: bus.statistics().waiting == 4)
        gate.open()
    assert order == ["actuation", "safety", "reading", "reading"]


async def test_a_job_whose_deadline_passed_in_the_queue_is_never_begun() -> None:
    clock = ManualClock()
    begun: list[int] = []
    async with bus_on(Opener(), clock) as bus, asyncio.TaskGroup() as group:
        gate = Gate()
        group.create_task(ask(bus, gate))
        await gate.entered.wait()
        now = clock.mono_ms()
        in_time = group.create_task(ask(bus, lambda line: begun.append(100), by=now + 100))
        too_late = asyncio.ensure_future(ask(bus, lambda line: begun.append(99), by=now + 99))
        await until(lambda: bus.statistics().waiting == 2)
        clock.advance(100)
        gate.open()
        with pytest.raises(DeadlinePassed):
            await too_late
        await in_time
    assert begun == [100]


async def test_cancelling_takes_back_what_waits_and_lets_finish_what_has_begun() -> None:
    done: list[str] = []
    async with bus_on(Opener()) as bus:
        gate = Gate()

        def begun(line: Line) -> None:
            gate(line)
            done.append("begun")

        running = asyncio.ensure_future(ask(bus, begun))
        await gate.entered.wait()
        waiting = asyncio.ensure_future(ask(bus, lambda line: done.append("waiting")))
        await until(lambda: bus.statistics().waiting == 1)
        running.cancel()
        waiting.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        gate.open()
        await ask(bus, lambda line: done.append("next"))
    assert done == ["begun", "next"]


async def test_a_turn_given_away_is_taken_again_in_time() -> None:
    clock = SystemClock()
    order: list[str] = []

    def gives_way(line: Line) -> str:
        order.append("tried")
        if len(order) == 1:
            raise Later(clock.mono_ms() + 50)
        return "done"

    async with bus_on(Opener(), clock) as bus, asyncio.TaskGroup() as group:
        began = clock.mono_ms()
        first = group.create_task(ask(bus, gives_way, Priority.ACTUATION))
        await until(lambda: order == ["tried"])
        await ask(bus, lambda line: order.append("other"))
        assert await first == "done"
        assert clock.mono_ms() - began >= 50
    assert order == ["tried", "other", "tried"]


async def test_a_turn_that_never_comes_ends_at_the_deadline() -> None:
    clock = SystemClock()

    def never(line: Line) -> None:
        raise Later(clock.mono_ms() + 3_600_000)

    async with bus_on(Opener(), clock) as bus:
        with pytest.raises(DeadlinePassed):
            await ask(bus, never, by=clock.mono_ms() + 50)


async def test_a_lost_port_is_closed_and_opened_again_and_jobs_in_between_are_refused() -> None:
    opener = Opener()

    def lose(line: Line) -> None:
        opener.down = "unplugged"
        raise LinkDown("test", "unplugged")

    async with bus_on(opener) as bus:
        with pytest.raises(LinkDown) as lost:
            await ask(bus, lose)
        assert not isinstance(lost.value, NeverSent)
        assert opener.ports[0].closed
        with pytest.raises(PortClosed, match="unplugged"):
            await ask(bus, lambda line: None)
        assert bus.statistics().down == "unplugged"
        opener.down = None
        await until(lambda: bus.statistics().down is None)  # without anybody asking
        assert await ask(bus, lambda line: line.opening) == 2
        assert bus.statistics().openings == 2


async def test_a_port_that_is_missing_at_the_start_is_waited_for() -> None:
    opener = Opener()
    opener.down = "no such port"
    async with bus_on(opener) as bus:
        with pytest.raises(PortClosed, match="no such port"):
            await ask(bus, lambda line: None)
        await until(lambda: opener.attempts >= 2)
        opener.down = None
        await until(lambda: bus.statistics().down is None)
        assert await ask(bus, lambda line: line.opening) == 1


async def test_the_end_finishes_what_runs_and_refuses_the_rest() -> None:
    opener = Opener()
    gate = Gate()
    async with bus_on(opener) as bus:
        running = asyncio.ensure_future(ask(bus, gate))
        await gate.entered.wait()
        waiting = asyncio.ensure_future(ask(bus, lambda line: None))
        await until(lambda: bus.statistics().waiting == 1)
        asyncio.get_running_loop().call_later(0.01, gate.open)
    assert await running is None
    with pytest.raises(PortClosed, match="stopped"):
        await waiting
    with pytest.raises(PortClosed, match="stopped"):
        await ask(bus, lambda line: None)
    assert opener.ports[0].closed
    assert not any(thread.name == "bus test" for thread in threading.enumerate())
