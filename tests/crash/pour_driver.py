"""Pours in simulated time on a ledger, telling the world what it did: the program that power cuts are recorded of.

    python -m tests.crash.pour_driver FOLDER MARKS

MARKS is a file outside of the folder; each line is what has left the machine, with the meter's count by then: `stands -
COUNT` at the beginning, `open ORDER COUNT` and `shut ORDER COUNT` as an order goes to the relay, and `answered ORDER
POURED_ML CHARGED_FEN`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from edge_agent.devices.ports import Heard
from firmware_sim.timeline import Timeline
from shared.messages import PourEnded
from tests.integration.pour.basin import COUNTER_MODULUS, Basin, ModelValve, TimelineClock, open_ledger

SEED = 5
# One over the wrap of the counter, one that a person stops, and one that finds no water.
POURS_ML = (300, 500, 200)
BEFORE_THE_WRAP = 60


class TellingValve(ModelValve):
    """Says what it is told, before it does it."""

    marks: int
    basin: Basin

    async def open_for(self, relay: int, limit_ms: int) -> Heard:
        self._tell("open")
        return await super().open_for(relay, limit_ms)

    async def shut(self, relay: int) -> Heard:
        self._tell("shut")
        return await super().shut(relay)

    def _tell(self, word: str) -> None:
        os.write(self.marks, f"{word} w{self.basin.orders} {self.basin.meter.count()}\n".encode())


async def run(folder: Path, marks: Path) -> None:
    timeline = Timeline()
    clock = TimelineClock(timeline)
    handle = os.open(marks, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    async with await open_ledger(folder, clock) as ledger:
        basin = Basin(ledger, clock, timeline, SEED, valve=TellingValve)
        valve = basin.valve
        assert isinstance(valve, TellingValve)
        valve.marks, valve.basin = handle, basin
        basin.meter.wrap_soon(BEFORE_THE_WRAP)
        os.write(handle, f"stands - {basin.meter.count()}\n".encode())
        for number, asked_ml in enumerate(POURS_ML):
            if number == 1:
                timeline.after(6_000, lambda: basin.pouring.stop())
            if number == 2:
                basin.faults.switch_on("no_pressure")
            end: PourEnded = await basin.pour(asked_ml)
            os.write(handle, f"answered {end.order} {end.poured_ml} {end.charged_fen}\n".encode())
            basin.clock.pass_ms(10_000)
        assert basin.meter.count() < COUNTER_MODULUS // 2, "the counter wrapped on the way"
    os.close(handle)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), Path(sys.argv[2])))
