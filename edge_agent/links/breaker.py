"""A circuit breaker per slave: one that is silent is left alone, so that it does not take its neighbours' time."""

from __future__ import annotations

from typing import Literal

# Silent requests in a row before a slave counts as dead. One lost reply is noise; with one reply in five lost, three in
# a row still happen in one of 125 attempts, and then cost one probe.
SILENT_MAX = 3

# A board restarts within a second or two; after that nobody is in a hurry. Each probe of a dead board costs its
# neighbours one reply timeout, at the longest interval less than 5 % of the line.
PROBE_FIRST_MS = 1_000
PROBE_MAX_MS = 10_000

BreakerState = Literal["closed", "open", "probing"]


class Breaker:
    """closed: requests pass. open: none passes. probing: the interval is over, one harmless request may try.

    An answer closes it. Silence while probing doubles the interval.
    """

    def __init__(self) -> None:
        self._silent = 0
        self._interval_ms = PROBE_FIRST_MS
        self._probe_at_ms = 0

    def state(self, now_ms: int) -> BreakerState:
        """What may pass at `now_ms`."""
        if self._silent < SILENT_MAX:
            return "closed"
        return "open" if now_ms < self._probe_at_ms else "probing"

    def retry_in_ms(self, now_ms: int) -> int:
        """How long until the next probe; 0 unless open."""
        return max(0, self._probe_at_ms - now_ms) if self._silent >= SILENT_MAX else 0

    def answered(self) -> None:
        """The slave answered: all is well."""
        self._silent = 0
        self._interval_ms = PROBE_FIRST_MS

    def silent(self, now_ms: int) -> None:
        """A request stayed without an answer."""
        self._silent += 1
        if self._silent >= SILENT_MAX:
            self._probe_at_ms = now_ms + self._interval_ms
            self._interval_ms = min(2 * self._interval_ms, PROBE_MAX_MS)
