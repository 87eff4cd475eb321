"""Measurements on their way to the cloud: batched, relaxed, and apart from everything that is worth money.

They have a file of their own without syncs, so that no flood of readings slows a vend or fills the outbox. When the
buffer is full the oldest go, and they are counted: the count is told as a `ReadingsLost` fact.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import aiosqlite

from edge_agent.ledger.failures import in_our_words, is_full
from shared.ids import BootId
from shared.messages import Reading, Readings, encode

# Ten weeks of one reading a minute; about 10 MB.
READINGS_MAX = 100_000
# The most that one `Readings` message may carry.
BATCH_MAX = 500

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batches
    (id INTEGER PRIMARY KEY AUTOINCREMENT, message BLOB NOT NULL, readings INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS losses (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), readings INTEGER NOT NULL);
INSERT OR IGNORE INTO losses VALUES (1, 0);
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """A `Readings` message as it is sent."""

    id: int
    message: bytes


class ReadingsBuffer:
    """Holds at most `readings_max` measurements; adding more drops the oldest batches and counts them."""

    def __init__(self, path: Path, connection: aiosqlite.Connection, readings_max: int) -> None:
        """Use `open`."""
        self._path = path
        self._connection = connection
        self._readings_max = readings_max
        self._refused = 0  # did not fit the disk since the last count

    @classmethod
    async def open(cls, path: Path, *, readings_max: int = READINGS_MAX) -> Self:
        """Open the buffer; a damaged file is renamed to *.damaged, in place of a former one, and begun anew."""
        try:
            connection = await _connect(path)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise in_our_words(error, path) or error from error
            path.rename(path.with_name(path.name + ".damaged"))
            connection = await _connect(path)
        return cls(path, connection, readings_max)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def add(self, boot_id: BootId, readings: Sequence[Reading]) -> None:
        """Store up to `BATCH_MAX` readings as one batch; on a full disk they are lost and counted."""
        if len(readings) > BATCH_MAX:
            raise ValueError(f"readings: {len(readings)} in one batch, at most {BATCH_MAX} are taken")
        message = encode(Readings(boot_id=boot_id, readings=tuple(readings)))
        try:
            await self._connection.execute(
                "INSERT INTO batches (message, readings) VALUES (?, ?)", (message, len(readings))
            )
            await self._drop_oldest()
            await self._connection.commit()
        except sqlite3.OperationalError as error:
            await self._connection.rollback()
            if not is_full(error):
                raise in_our_words(error, self._path) or error from error
            self._refused += len(readings)

    async def oldest(self) -> Batch | None:
        """The batch to send next, None when there is none."""
        rows = await self._connection.execute_fetchall("SELECT id, message FROM batches ORDER BY id LIMIT 1")
        return next((Batch(row[0], row[1]) for row in rows), None)

    async def forget(self, batch: Batch) -> None:
        """The broker has taken the batch: that is all that is asked for a reading."""
        await self._connection.execute("DELETE FROM batches WHERE id = ?", (batch.id,))
        await self._connection.commit()

    async def lost(self) -> int:
        """How many readings were dropped and not told yet."""
        ((dropped,),) = await self._connection.execute_fetchall("SELECT readings FROM losses")
        return int(dropped) + self._refused

    async def told(self, count: int) -> None:
        """`count` losses are in the outbox now."""
        from_file = max(0, count - self._refused)
        self._refused -= count - from_file
        await self._connection.execute("UPDATE losses SET readings = readings - ?", (from_file,))
        await self._connection.commit()

    async def close(self) -> None:
        """Let go of the file."""
        await self._connection.close()

    async def _drop_oldest(self) -> None:
        ((total,),) = await self._connection.execute_fetchall("SELECT coalesce(sum(readings), 0) FROM batches")
        excess = total - self._readings_max
        while excess > 0:
            cursor = await self._connection.execute(
                "DELETE FROM batches WHERE id = (SELECT min(id) FROM batches) RETURNING readings"
            )
            ((dropped,),) = await cursor.fetchall()
            await self._connection.execute("UPDATE losses SET readings = readings + ?", (dropped,))
            excess -= dropped


async def _connect(path: Path) -> aiosqlite.Connection:
    path.touch(mode=0o600)
    connection = await aiosqlite.connect(path)
    try:
        await connection.execute("PRAGMA journal_mode = WAL")
        await connection.execute("PRAGMA synchronous = OFF")
        await connection.executescript(_SCHEMA)
    except BaseException:
        await connection.close()
        raise
    return connection
