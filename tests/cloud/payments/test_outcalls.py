"""Calls out: made after the commit and never without one, made again after a crash, and never in each other's way."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import pytest

from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.outcalls import LEASE_MAX, LEASE_MS, Handler, Outcall, enqueue, lease, make_due, pause_ms, run, withdraw
from shared.clock import ManualClock

TENANT = "t1"


class Line:
    """Whoever is called: remembers it, and is in the mood that the test sets."""

    def __init__(self, tries_max: int = 5) -> None:
        self.made: list[str] = []
        self.given_up: list[tuple[str, str]] = []
        self.moods: list[int | Exception | None] = []
        self.handlers = {"ring": Handler(self.call, self.give_up, tries_max)}

    async def call(self, database: Database, call: Outcall) -> int | None:
        self.made.append(call.subject)
        mood = self.moods.pop(0) if self.moods else None
        if isinstance(mood, Exception):
            raise mood
        return mood

    async def give_up(self, database: Database, call: Outcall, detail: str) -> None:
        self.given_up.append((call.subject, detail))


async def ring(database: Database, *subjects: str, after_ms: int = 0) -> None:
    async def use(work: Work) -> None:
        for subject in subjects:
            await enqueue(work, TENANT, "ring", subject, after_ms=after_ms)

    await database.transact(use, tenant=TENANT)


async def test_a_call_is_made_once_and_only_after_the_commit(database: Database, clock: ManualClock) -> None:
    line = Line()

    async def fail(work: Work) -> None:
        await enqueue(work, TENANT, "ring", "a")
        raise FleetError("conflict", "it did not happen")

    with pytest.raises(FleetError):
        await database.transact(fail, tenant=TENANT)
    assert await make_due(database, line.handlers) == 0
    await ring(database, "b", after_ms=1_000)
    assert await make_due(database, line.handlers) == 0
    clock.advance(1_000)
    assert await make_due(database, line.handlers) == 1
    clock.advance(LEASE_MS)
    assert await make_due(database, line.handlers) == 0
    assert line.made == ["b"]


async def test_a_crash_in_between_makes_it_again(database: Database, clock: ManualClock) -> None:
    line = Line()
    await ring(database, "a")
    taken = await database.transact(partial(lease, kinds=["ring"]))
    assert [call.subject for call in taken] == ["a"]  # and here the process dies
    assert await make_due(database, line.handlers) == 0
    clock.advance(LEASE_MS)
    assert await make_due(database, line.handlers) == 1
    assert line.made == ["a"]


async def test_silence_is_answered_with_patience_that_ends(database: Database, clock: ManualClock) -> None:
    line = Line()
    line.moods = [FleetError("unavailable", "no answer")] * 5
    await ring(database, "a")
    for tries in range(1, 6):
        assert await make_due(database, line.handlers) == 1
        assert await make_due(database, line.handlers) == 0
        clock.advance(pause_ms(tries))
    assert line.given_up == [("a", "no answer")]
    assert await make_due(database, line.handlers) == 0


async def test_not_yet_is_asked_again_when_the_callee_says(database: Database, clock: ManualClock) -> None:
    line = Line()
    line.moods = [7_000, None]
    await ring(database, "a")
    assert await make_due(database, line.handlers) == 1
    clock.advance(6_999)
    assert await make_due(database, line.handlers) == 0
    clock.advance(1)
    assert await make_due(database, line.handlers) == 1
    assert line.made == ["a", "a"]


async def test_a_mistake_keeps_nobody_back(
    database: Database, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    line = Line()
    line.moods = [ZeroDivisionError("a bug")]
    await ring(database, "a", "b")
    with caplog.at_level(logging.ERROR, "cloud.outcalls"):
        assert await make_due(database, line.handlers) == 2
    assert "ZeroDivisionError" in caplog.text
    clock.advance(pause_ms(1))
    assert await make_due(database, line.handlers) == 1
    assert sorted(line.made) == ["a", "a", "b"] or sorted(line.made) == ["a", "b", "b"]


async def test_asked_anew_while_it_is_made_it_is_made_again(database: Database, clock: ManualClock) -> None:
    line = Line()

    async def call(inner: Database, made: Outcall) -> int | None:
        line.made.append(made.subject)
        if len(line.made) == 1:
            await ring(inner, made.subject)
        return None

    handlers = {"ring": Handler(call, line.give_up, 5)}
    await ring(database, "a")
    assert await make_due(database, handlers) == 1
    assert await make_due(database, handlers) == 1
    assert line.made == ["a", "a"]
    assert await make_due(database, handlers) == 0


async def test_a_call_can_be_withdrawn(database: Database) -> None:
    line = Line()
    await ring(database, "a")
    await database.transact(partial(withdraw, tenant=TENANT, kind="ring", subject="a"), tenant=TENANT)
    assert await make_due(database, line.handlers) == 0


async def test_kinds_that_nobody_here_knows_wait(database: Database) -> None:
    await ring(database, "a")
    assert await make_due(database, {"knock": Line().handlers["ring"]}) == 0
    assert await make_due(database, Line().handlers) == 1


async def test_two_workers_share_the_work(on_postgres: Database) -> None:
    line = Line()
    subjects = [f"s{number}" for number in range(3 * LEASE_MAX)]
    await ring(on_postgres, *subjects)
    made = await asyncio.gather(*(make_due(on_postgres, line.handlers) for _ in range(6)))
    while await make_due(on_postgres, line.handlers):
        pass
    assert sorted(line.made) == sorted(subjects)
    assert sum(made) <= len(subjects)


async def test_a_worker_is_woken_by_a_commit(sqlite_url: str) -> None:
    database, line = Database.open(sqlite_url), Line()
    done = asyncio.Event()

    async def call(_: Database, made: Outcall) -> int | None:
        done.set()
        return None

    worker = asyncio.create_task(run(database, {"ring": Handler(call, line.give_up, 5)}))
    try:
        await ring(database, "a")
        async with asyncio.timeout(10):
            await done.wait()
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        await database.close()
