"""Who goes first, and when."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edge_agent.links.backlog import JOBS_MAX, Backlog, BacklogFull, Priority


@dataclass(frozen=True)
class Job:
    name: str
    priority: Priority = Priority.READING
    not_after_mono_ms: int = 10_000


def names(backlog: Backlog[Job], now_ms: int = 0) -> list[str]:
    found = []
    while (job := backlog.next(now_ms)) is not None:
        found.append(job.name)
    return found


def test_actuation_goes_before_safety_before_readings_and_else_first_come_first_served() -> None:
    backlog: Backlog[Job] = Backlog()
    for name, priority in (("r1", 2), ("s1", 1), ("a1", 0), ("r2", 2), ("s2", 1), ("a2", 0)):
        backlog.add(Job(name, Priority(priority)))
    assert len(backlog) == 6
    assert names(backlog) == ["a1", "a2", "s1", "s2", "r1", "r2"]
    assert backlog.wait_ms(0) is None


def test_a_parked_job_comes_when_it_may_and_lets_others_by() -> None:
    backlog: Backlog[Job] = Backlog()
    backlog.park(Job("parked", Priority.ACTUATION), 500)
    backlog.add(Job("reading"))
    assert names(backlog, 100) == ["reading"]
    assert backlog.wait_ms(100) == 400
    assert names(backlog, 499) == []
    assert names(backlog, 500) == ["parked"]


def test_a_parked_job_is_handed_out_at_its_deadline_at_the_latest() -> None:
    backlog: Backlog[Job] = Backlog()
    backlog.park(Job("late", not_after_mono_ms=300), 5_000)
    assert backlog.wait_ms(0) == 301
    assert names(backlog, 301) == ["late"]


def test_a_caller_that_runs_away_is_stopped() -> None:
    backlog: Backlog[Job] = Backlog()
    for _ in range(JOBS_MAX):
        backlog.add(Job("x"))
    with pytest.raises(BacklogFull):
        backlog.add(Job("one too many"))
    assert len(backlog.drain()) == JOBS_MAX
    assert len(backlog) == 0
