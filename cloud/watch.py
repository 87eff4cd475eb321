"""Wakes the event streams of this process when their tenant has news.

Any process may write an event, so the database is the only one who knows. It is asked once for all streams of a process
instead of once for each: five hundred screens cost one small query per round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from cloud.database import Database
from cloud.events import last_ids

# A screen may lag this much behind the commit.
ROUND_MS = 250
# A stream that was not woken looks for itself, and at whether its caller may still look.
LOOK_S = 5.0


class Watch:
    """The newest event number of each tenant, and those who wait for a newer one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._newest: Mapping[str, int] = {}
        self._news = asyncio.Condition()
        self._waiting = 0
        self.closed = False

    async def run(self) -> None:
        """Look for news while somebody waits, until cancelled; raises what the database raises."""
        while True:
            if self._waiting:
                async with self._database.look() as work:
                    newest = await last_ids(work)
                if newest != self._newest:
                    self._newest = newest
                    await self._wake()
            await self._database.clock.sleep_ms(ROUND_MS)

    async def wait(self, tenant: str, after: int) -> None:
        """Return when `tenant` has events above `after`, and after `LOOK_S` or at the end of the process anyway."""
        self._waiting += 1
        try:
            async with asyncio.timeout(LOOK_S), self._news:
                await self._news.wait_for(lambda: self.closed or self._newest.get(tenant, 0) > after)
        except TimeoutError:
            return
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Send every stream home."""
        self.closed = True
        await self._wake()

    async def _wake(self) -> None:
        async with self._news:
            self._news.notify_all()
