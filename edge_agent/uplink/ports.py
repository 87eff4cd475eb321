"""What the uplink needs of the ledger, as interfaces, and the ledger behind them.

The uplink sees the outbox and the inbox and nothing else of the ledger: it can neither read a journal nor move stock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from edge_agent.ledger import inbox, outbox
from edge_agent.ledger.outbox import OutboxRow, StreamPosition
from edge_agent.ledger.readings import Batch
from shared.clock import Clock
from shared.ids import CommandId

T = TypeVar("T")

# Raise or clear a machine condition: code, whether it holds, a sentence for people.
Trouble = Callable[[str, bool, str], Awaitable[None]]


class Outbox(Protocol):
    """The numbered facts that the cloud may not have yet."""

    async def pending(self, after_seq: int, limit: int) -> Sequence[OutboxRow]:
        """At most `limit` facts above `after_seq`, in order."""

    async def acknowledge(self, applied: int, incarnation: str) -> StreamPosition:
        """Take a watermark; `Refused` when it is beyond what was ever numbered here."""

    async def position(self) -> StreamPosition:
        """Where the stream stands."""


class Inbox(Protocol):
    """The commands that were accepted."""

    async def accept(self, command: CommandId, ask: bytes) -> bool:
        """Store a command durably; False when it is known, `Refused` when it is known with other content."""


class ReadingsBuffer(Protocol):
    """Measurements on their way: dropped when there are too many, gone once the broker has them."""

    async def oldest(self) -> Batch | None:
        """The batch to send next, None when there is none."""

    async def forget(self, batch: Batch) -> None:
        """The broker has taken the batch."""


class Transactions(Protocol):
    """The ledger's two doors."""

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query on the ledger's thread."""

    async def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Run a change in one durable transaction."""


class LedgerOutbox:
    """The outbox of the machine's ledger file."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    async def pending(self, after_seq: int, limit: int) -> Sequence[OutboxRow]:
        return await self._database.read(lambda conn: outbox.pending(conn, after_seq, limit))

    async def acknowledge(self, applied: int, incarnation: str) -> StreamPosition:
        return await self._database.write(lambda conn: outbox.acknowledge(conn, applied, incarnation))

    async def position(self) -> StreamPosition:
        return await self._database.read(outbox.position)


class LedgerInbox:
    """The inbox of the machine's ledger file."""

    def __init__(self, database: Transactions, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def accept(self, command: CommandId, ask: bytes) -> bool:
        return await self._database.write(lambda conn: inbox.accept_command(conn, command, ask, self._clock))
