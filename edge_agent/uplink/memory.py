"""The ledger's side of the uplink in memory, for tests and simulations: the same answers, no file."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.errors import Refused
from edge_agent.ledger.outbox import OutboxRow, StreamPosition
from edge_agent.ledger.readings import Batch
from shared.clock import Clock
from shared.ids import CommandId
from shared.messages import Fact, Readings, encode


class MemoryOutbox:
    """A stream of facts without compaction and without pruning."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: list[OutboxRow] = []
        self._acked = 0
        self._incarnations: list[str] = []

    def append(self, fact: Fact) -> int:
        """Number a fact; the caller sets the sender's notice, as the ledger's owner does."""
        seq = len(self._rows) + 1
        clock = self._clock
        self._rows.append(
            OutboxRow(seq, seq - 1, encode(fact), clock.boot_id, clock.mono_ms(), clock.wall_ms(), clock.clock_state())
        )
        return seq

    async def pending(self, after_seq: int, limit: int) -> Sequence[OutboxRow]:
        return self._rows[after_seq : after_seq + limit]

    async def acknowledge(self, applied: int, incarnation: str) -> StreamPosition:
        if applied > len(self._rows):
            raise Refused("watermark_ahead", f"watermark {applied}: only {len(self._rows)} facts were numbered")
        if incarnation in self._incarnations[:-1]:
            return await self.position()
        restored = bool(self._incarnations) and incarnation != self._incarnations[-1]
        if incarnation not in self._incarnations:
            self._incarnations.append(incarnation)
        self._acked = applied if restored else max(applied, self._acked)
        return await self.position()

    async def position(self) -> StreamPosition:
        return StreamPosition(next_seq=len(self._rows) + 1, oldest_seq=1, acked=self._acked)


class MemoryInbox:
    """Commands by id."""

    def __init__(self) -> None:
        self.commands: dict[CommandId, bytes] = {}

    async def accept(self, command: CommandId, ask: bytes) -> bool:
        if self.commands.get(command, ask) != ask:
            raise Refused("command_differs", f"command {command} came before with other content")
        is_new = command not in self.commands
        self.commands[command] = ask
        return is_new


class MemoryReadings:
    """Batches in a list."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self._last_id = 0

    def add(self, readings: Readings) -> None:
        """Append one batch."""
        self._last_id += 1
        self.batches.append(Batch(self._last_id, encode(readings)))

    async def oldest(self) -> Batch | None:
        return self.batches[0] if self.batches else None

    async def forget(self, batch: Batch) -> None:
        self.batches.remove(batch)
