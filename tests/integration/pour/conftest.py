"""A basin per test: a new outlet, and one that has learned."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from firmware_sim.timeline import Timeline
from tests.integration.pour.basin import Basin, TimelineClock, open_ledger


@pytest.fixture
async def basin(tmp_path: Path) -> AsyncIterator[Basin]:
    timeline = Timeline()
    clock = TimelineClock(timeline)
    async with await open_ledger(tmp_path, clock) as ledger:
        yield Basin(ledger, clock, timeline, seed=7)


@pytest.fixture
async def taught(basin: Basin) -> Basin:
    await basin.teach()
    return basin
