"""How long to leave a slave alone between two requests: as short as it bears, found by trying."""

from __future__ import annotations

# The vendor's own host leaves 150 ms between commands; a slave that misses requests at that pace is not too slow.
GAP_MS_MAX = 150

# Growing doubles the gap at once, shrinking takes an eighth of it back: three lost answers are forgotten after about
# twenty good ones, and a slave that bears a certain pace is tried beyond it rarely.
_SHRINK = 8

# From nothing, doubling leads nowhere.
_GROWN_MS_MIN = 10


class Pace:
    """The gap before a request to one slave, in ms: never below the line's own, never above `GAP_MS_MAX` by itself."""

    def __init__(self, least_ms: int) -> None:
        self._least_ms = least_ms
        self.gap_ms = least_ms

    def answered(self) -> None:
        """All is well: try a little faster."""
        self.gap_ms = max(self._least_ms, self.gap_ms - max(1, self.gap_ms // _SHRINK))

    def silent(self) -> None:
        """A request or its answer was lost: give the slave more time."""
        self.gap_ms = max(self._least_ms, min(max(2 * self.gap_ms, _GROWN_MS_MIN), GAP_MS_MAX))
