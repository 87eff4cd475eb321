"""Let tasks run until there is nothing left to do but wait for a clock that a test turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from shared.clock import ManualClock

# More turns of the event loop than any chain of awaits in these tests needs.
TURNS = 100
DEADLINE_S = 10.0


async def settle() -> None:
    """Run everything that can run without time passing."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def pass_time(clock: ManualClock, duration_ms: int, step_ms: int = 1_000) -> None:
    """Turn the clock in steps, and let everybody act after each."""
    await settle()
    for _ in range(duration_ms // step_ms):
        clock.advance(step_ms)
        await settle()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that real input or output brings about."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  # what it waits for is outside of this process
            await asyncio.sleep(0.005)
