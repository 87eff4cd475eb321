"""What is restarted, what is let through, and what systemd is told."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.errors import LedgerUnsafe, LinkDown
from edge_agent.supervise import HEALTHY_AFTER_MS, Progress, Systemd, supervise, watch
from shared.backoff import Backoff
from shared.clock import ManualClock
from shared.mqtt import Disconnected
from tests.unit.edge.waiting import pass_time, settle


class Work:
    """Fails with one error after another, then returns."""

    def __init__(self, *errors: Exception, before: Callable[[], Awaitable[None]] | None = None) -> None:
        self.errors = list(errors)
        self.runs = 0
        self.before = before

    async def __call__(self) -> None:
        self.runs += 1
        if self.before is not None:
            await self.before()
        if self.errors:
            raise self.errors.pop(0)


def start(work: Work, clock: ManualClock, heard: list[str] | None = None) -> asyncio.Task[None]:
    def hear(name: str, error: Exception) -> None:
        if heard is not None:
            heard.append(f"{name}: {error}")

    backoff = Backoff("m-1", first_ms=1_000, longest_ms=60_000)
    return asyncio.create_task(supervise("uplink", work, clock=clock, backoff=backoff, on_failure=hear))


async def test_expected_failures_are_heard_and_restarted_after_a_pause() -> None:
    clock, heard = ManualClock(), list[str]()
    work = Work(LinkDown("ttyUSB0", "unplugged"), OSError("no route"), Disconnected("kicked"))
    running = start(work, clock, heard)
    await settle()
    assert work.runs == 1
    await pass_time(clock, 30_000)
    await running
    assert work.runs == 4
    assert heard == ["uplink: ttyUSB0: unplugged", "uplink: no route", "uplink: kicked"]


async def test_expected_failures_inside_task_groups_are_expected() -> None:
    clock = ManualClock()
    group = ExceptionGroup("", [Disconnected("a"), ExceptionGroup("", [OSError("b")])])
    running = start(work := Work(group), clock)
    await pass_time(clock, 2_000)
    await running
    assert work.runs == 2


@pytest.mark.parametrize(
    "bug",
    [KeyError("a bug"), LedgerUnsafe("EIO"), ExceptionGroup("", [Disconnected("a"), KeyError("a bug")])],
    ids=["bug", "unsafe ledger", "bug beside a failure"],
)
async def test_bugs_and_an_unsafe_ledger_go_through(bug: Exception) -> None:
    work = Work(bug)
    with pytest.raises(type(bug)):
        await start(work, ManualClock())
    assert work.runs == 1


async def test_a_failure_on_the_way_out_does_not_keep_the_loop_alive() -> None:
    async def fail_when_cancelled() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Disconnected("lost while leaving") from None

    clock = ManualClock()
    running = start(work := Work(before=fail_when_cancelled), clock)
    await settle()
    running.cancel()
    await pass_time(clock, 10_000)
    assert running.cancelled()
    assert work.runs == 1


async def test_a_long_healthy_run_is_followed_by_a_short_pause() -> None:
    clock = ManualClock()

    async def run_for_long() -> None:
        await clock.sleep_ms(HEALTHY_AFTER_MS)

    work = Work(*[OSError("x") for _ in range(10)], before=run_for_long)
    running = start(work, clock)
    await pass_time(clock, 10 * (HEALTHY_AFTER_MS + 1_000))
    assert work.runs >= 10, "the pause grew although every run was healthy"
    running.cancel()


def test_a_loop_is_overdue_after_its_limit_and_not_before() -> None:
    clock = ManualClock()
    progress = Progress(clock)
    beat = progress.essential("bus /dev/ttyUSB0", limit_ms=5_000)
    progress.essential("ledger", limit_ms=60_000)
    clock.advance(5_000)
    assert progress.overdue() == []
    clock.advance(1)
    assert [str(late) for late in progress.overdue()] == ["bus /dev/ttyUSB0 without progress for 5 s (limit 5 s)"]
    beat()
    assert progress.overdue() == []
    clock.advance(5_001)
    progress.retire("bus /dev/ttyUSB0")
    assert progress.overdue() == []


def test_a_name_is_registered_once() -> None:
    progress = Progress(ManualClock())
    progress.essential("ledger", limit_ms=1)
    with pytest.raises(ValueError, match="'ledger'"):
        progress.essential("ledger", limit_ms=1)


class Manager:
    """The receiving end of sd_notify."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(path.replace("@", "\0", 1))

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Manager, str]]:
    path = str(tmp_path / "notify") if request.param == "file" else f"@aisleflow-test-{os.getpid()}-{id(tmp_path)}"
    manager = Manager(path)
    yield manager, path
    manager.socket.close()


def test_systemd_hears_what_it_is_told(manager: tuple[Manager, str]) -> None:
    listener, path = manager
    systemd = Systemd({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())})
    assert systemd.watchdog_ms == 30_000
    systemd.ready()
    systemd.status("two\nlines")
    systemd.stopping()
    assert listener.heard() == ["READY=1", "STATUS=two lines", "STOPPING=1"]


def test_without_systemd_or_with_a_dead_one_nothing_breaks(tmp_path: Path) -> None:
    assert Systemd({}).watchdog_ms is None
    Systemd({}).ready()
    Systemd({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()


def test_a_watchdog_meant_for_another_process_is_not_ours() -> None:
    assert Systemd({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_ms is None


async def test_the_watchdog_is_fed_only_while_everything_moves(manager: tuple[Manager, str]) -> None:
    listener, path = manager
    clock = ManualClock()
    progress = Progress(clock)
    beat = progress.essential("bus", limit_ms=25_000)
    systemd = Systemd({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "30000000"})
    watching = asyncio.create_task(watch(progress, systemd, clock))
    await pass_time(clock, 20_000)
    assert listener.heard() == ["WATCHDOG=1"] * 3
    await pass_time(clock, 30_000)
    assert listener.heard() == [f"STATUS=bus without progress for {s} s (limit 25 s)" for s in (30, 40, 50)]
    beat()
    await pass_time(clock, 10_000)
    assert listener.heard() == ["WATCHDOG=1", "STATUS=all loops make progress again"]
    watching.cancel()
