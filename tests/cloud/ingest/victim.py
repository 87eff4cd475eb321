"""The process that is killed: it ingests one batch, and dies by SIGKILL at the n-th step of it.

    python -m tests.cloud.ingest.victim DATABASE_URL MESSAGES KILL_AT

A step is a statement that is about to be sent or just done, the commit about to be sent, or the commit just done.
MESSAGES is a file of JSON [[topic, payload as text], ...]. When there are fewer steps than KILL_AT, it ends with 0.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import event

from cloud.database import Database
from cloud.ingest.batch import ingest_batch
from cloud.ingest.read import Incoming
from shared.clock import ManualClock
from tests.cloud.conftest import NOON_MS
from tests.cloud.fleet import CREDENTIALS


class Steps:
    """Counts steps, and kills the process at the chosen one."""

    def __init__(self, kill_at: int) -> None:
        self._left = kill_at

    def step(self, *_: Any) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, database: Database) -> None:
        engine = database.engine.sync_engine
        for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
            event.listen(engine, name, self.step)


async def ingest(url: str, messages: list[Incoming], kill_at: int) -> None:
    """Ingest `messages` and die on the way."""
    database = Database.open(url, clock=ManualClock(wall_ms=NOON_MS))
    steps = Steps(kill_at)
    steps.watch(database)
    await ingest_batch(database, CREDENTIALS, messages)
    steps.step()  # after the commit, before anything is said or acknowledged
    await database.close()


def main() -> None:
    url, path, kill_at = sys.argv[1:]
    messages = [Incoming(topic, payload.encode()) for topic, payload in json.loads(Path(path).read_text())]
    asyncio.run(ingest(url, messages, int(kill_at)))


if __name__ == "__main__":
    main()
