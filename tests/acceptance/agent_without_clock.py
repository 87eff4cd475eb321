"""The agent on a computer whose clock battery is dead: it started in 1970, and no time server answers.

Run as `python agent_without_clock.py --settings FILE`; everything but the wall clock is the real agent.
"""

from __future__ import annotations

import sys
import time

from edge_agent import __main__ as program
from shared.clock import SystemClock

STARTED_NS = time.time_ns()


class DeadBattery(SystemClock):
    """Counts from the first second of 1970."""

    def wall_ms(self) -> int:
        return (time.time_ns() - STARTED_NS) // 1_000_000


if __name__ == "__main__":
    program.SystemClock = DeadBattery  # type: ignore[misc]
    sys.exit(program.main())
