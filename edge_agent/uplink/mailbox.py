"""A bounded hand-over from the receiver to whoever acts: the newest message of each key, the oldest key first."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")

# Open offers or verdicts for one machine, which serves one buyer at a time. Beyond it the oldest is dropped: the cloud
# repeats what still matters.
KEYS_MAX = 64


class Mailbox(Generic[T]):
    """For one event loop. A repeated offer replaces its forerunner instead of queueing behind it."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._newest: dict[str, T] = {}
        self._filled = asyncio.Event()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._newest)

    def put(self, key: str, item: T) -> None:
        """Leave an item; an earlier one of the same key is replaced, in its place in the line."""
        if key not in self._newest and len(self._newest) >= self._keys_max:
            del self._newest[next(iter(self._newest))]
            self.dropped += 1
        self._newest[key] = item
        self._filled.set()

    async def get(self) -> T:
        """Wait for an item and take the one whose key came first."""
        while not self._newest:
            self._filled.clear()
            await self._filled.wait()
        return self._newest.pop(next(iter(self._newest)))
