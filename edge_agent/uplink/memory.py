"""The ledger's side of the uplink in memory, for tests and simulations: the same answers, no file."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.errors import Refused
from edge_agent.ledger.outbox import OutboxRow, StreamPosition
from shared.clock import Clock
from shared.ids import CommandId
from shared.messages import Fact, Reading, encode


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
    """Readings in a list; their numbers are their places in order of arrival."""

    def __init__(self) -> None:
        self._readings: list[Reading] = []
        self._forgotten = 0

    def add(self, reading: Reading) -> None:
        """Append one reading."""
        self._readings.append(reading)

    async def oldest(self, limit: int) -> tuple[int, Sequence[Reading]]:
        oldest = self._readings[:limit]
        return self._forgotten + len(oldest), oldest

    async def forget(self, upto: int) -> None:
        gone = max(upto - self._forgotten, 0)
        del self._readings[:gone]
        self._forgotten += gone
