"""The jobs that wait for a line: actuation, then safety, then readings; first come, first served within each."""

from __future__ import annotations

import heapq
from enum import IntEnum
from typing import Generic, Protocol, TypeVar

# Far above what one machine asks within a reply timeout; a caller that runs away is told, and memory stays bounded.
JOBS_MAX = 256


class Priority(IntEnum):
    """Who goes first."""

    ACTUATION = 0  # moves something, or takes a result so that something can move next
    SAFETY = 1  # sees what moves
    READING = 2  # everything that can wait


class Waiting(Protocol):
    """What the backlog needs to know of a job. Past `not_after_mono_ms` it must be told that its deadline passed."""

    @property
    def priority(self) -> Priority: ...

    @property
    def not_after_mono_ms(self) -> int: ...


J = TypeVar("J", bound=Waiting)


class BacklogFull(RuntimeError):
    """More jobs wait than any correct caller makes: a bug, not a condition of the line."""


class Backlog(Generic[J]):
    """Pure: time comes in as a number."""

    def __init__(self) -> None:
        self._ready: list[tuple[Priority, int, J]] = []
        self._parked: list[tuple[int, int, J]] = []
        self._number = 0  # orders equal priorities, and spares the heap from comparing jobs

    def add(self, job: J) -> None:
        """Queue a job."""
        if len(self) >= JOBS_MAX:
            raise BacklogFull(f"{JOBS_MAX} jobs wait already")
        self._number += 1
        heapq.heappush(self._ready, (job.priority, self._number, job))

    def park(self, job: J, until_mono_ms: int) -> None:
        """Queue a job that cannot go before `until_mono_ms`; it is handed out at its deadline at the latest."""
        self._number += 1
        heapq.heappush(self._parked, (min(until_mono_ms, job.not_after_mono_ms + 1), self._number, job))

    def next(self, now_ms: int) -> J | None:
        """Take out the job whose turn it is."""
        while self._parked and self._parked[0][0] <= now_ms:
            _, number, job = heapq.heappop(self._parked)
            heapq.heappush(self._ready, (job.priority, number, job))
        return heapq.heappop(self._ready)[2] if self._ready else None

    def holds(self, priority: Priority) -> bool:
        """Whether a job of this priority or a higher one is ready to go."""
        return bool(self._ready) and self._ready[0][0] <= priority

    def wait_ms(self, now_ms: int) -> int | None:
        """How long until `next` has something; None when only a new job can change that."""
        if self._ready:
            return 0
        return max(0, self._parked[0][0] - now_ms) if self._parked else None

    def __len__(self) -> int:
        return len(self._ready) + len(self._parked)

    def drain(self) -> list[J]:
        """Take out everything."""
        jobs = [entry[2] for entry in (*self._ready, *self._parked)]
        self._ready.clear()
        self._parked.clear()
        return jobs
