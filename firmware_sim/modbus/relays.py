"""The relays of a relay device, with timers of their own: what a host has started ends also when the host is dead."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from firmware_sim.timeline import Event, Timeline

FLASH_STEP_MS = 100


class Relays:
    """Relays 1 to `count`. `switched(number, closed)` is called for every change."""

    def __init__(self, count: int, timeline: Timeline) -> None:
        self.switched: Callable[[int, bool], None] = lambda number, closed: None
        self.closed = dict.fromkeys(range(1, count + 1), False)
        self._timeline = timeline
        self._timers: dict[int, Event] = {}

    def set(self, number: int, closed: bool) -> None:
        """Switch one for good; its timer, if one runs, is forgotten."""
        if number in self._timers:
            self._timers.pop(number).cancel()
        if self.closed[number] != closed:
            self.closed[number] = closed
            self.switched(number, closed)

    def set_all(self, closed: bool) -> None:
        """Switch all for good."""
        for number in self.closed:
            self.set(number, closed)

    def toggle(self, number: int) -> None:
        """The other way, for good."""
        self.set(number, not self.closed[number])

    def flash(self, number: int, closed: bool, steps: int) -> None:
        """Switch one for `steps` x 100 ms, then back the other way by itself. A later order replaces the timer."""
        self.set(number, closed)
        self._timers[number] = self._timeline.after(steps * FLASH_STEP_MS, partial(self.set, number, not closed))
