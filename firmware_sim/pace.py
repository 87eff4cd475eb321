"""Ties a timeline to the event loop's clock, faster or slower than life."""

from __future__ import annotations

import asyncio

from firmware_sim.timeline import Timeline


class Pace:
    """Turns `timeline` so that `speed` simulated seconds pass per real second. No task: one timer of the loop.

    Whoever feeds the machine from outside calls `catch_up` before (so that it happens at the right time) and after (so
    that what it caused is waited for).
    """

    def __init__(self, timeline: Timeline, speed: float) -> None:
        self._timeline = timeline
        self._speed = speed
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time() - timeline.now_ms / 1000 / speed
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def catch_up(self) -> None:
        """Let everything happen that is due by now, and wake up for what comes next."""
        if self._stopped:
            return
        self._timeline.run_until(int((self._loop.time() - self._began) * 1000 * self._speed))
        if self._timer is not None:
            self._timer.cancel()
        next_ms = self._timeline.next_ms()
        self._timer = (
            None
            if next_ms is None
            # A millisecond rounds up: waking a moment early would only mean waking twice.
            else self._loop.call_at(self._began + next_ms / 1000 / self._speed + 1e-4, self.catch_up)
        )

    def stop(self) -> None:
        """Time stands still from now on."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
