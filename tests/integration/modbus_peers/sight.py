"""What the simulator knows of its water, for masters that want to compare."""

from __future__ import annotations

import asyncio
from typing import Any

from firmware_sim.testbench import Bench

# Real time, for a busy machine; nothing waits this long unless it fails.
DEADLINE_S = 20


async def water(sim: Bench) -> dict[str, Any]:
    """The purifier's truth."""
    told: dict[str, Any] = (await sim.control.truth())["machines"]["wp-1"]["water"]
    return told


async def until_valve(sim: Bench, motion: str) -> dict[str, Any]:
    """The truth as soon as the first outlet's valve is so."""
    async with asyncio.timeout(DEADLINE_S):
        while (told := await water(sim))["outlets"]["1"]["motion"] != motion:  # noqa: ASYNC110 - nobody else is told
            await asyncio.sleep(0.005)
    return told
