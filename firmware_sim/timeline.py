"""Simulated time: a list of things that will happen, turned by whoever holds it.

The whole simulator is written against this one object. A test turns it by hand and a day passes in a millisecond; the
running simulator turns it with the event loop's clock (see `pace.py`). Nothing else in the core knows what time is.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

Action = Callable[[], object]


class Event:
    """Something that will happen, unless it is cancelled first."""

    __slots__ = ("action", "cancelled")

    def __init__(self, action: Action) -> None:
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        """Take it back; harmless when it has happened already."""
        self.cancelled = True


class Timeline:
    """Milliseconds since the simulation began, and what happens when. Events of one millisecond keep their order."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._order = count()
        self._heap: list[tuple[int, int, Event]] = []

    def at(self, when_ms: int, action: Action) -> Event:
        """Let `action` happen at `when_ms`, or at once if that is past."""
        event = Event(action)
        heapq.heappush(self._heap, (max(when_ms, self.now_ms), next(self._order), event))
        return event

    def after(self, delay_ms: int, action: Action) -> Event:
        """Let `action` happen `delay_ms` from now."""
        return self.at(self.now_ms + delay_ms, action)

    def next_ms(self) -> int | None:
        """When the next event is due; None when nothing is planned."""
        while self._heap and self._heap[0][2].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def run_until(self, now_ms: int) -> None:
        """Let everything happen that is due up to `now_ms`, each event at its own time. Time never runs backwards."""
        while (due_ms := self.next_ms()) is not None and due_ms <= now_ms:
            _, _, event = heapq.heappop(self._heap)
            self.now_ms = due_ms
            event.action()
        self.now_ms = max(self.now_ms, now_ms)
