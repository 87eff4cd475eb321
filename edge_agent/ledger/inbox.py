"""Commands from the cloud, each accepted once for ever, however often the broker delivers it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from edge_agent.errors import Refused
from edge_agent.ledger import outbox
from shared.clock import Clock
from shared.envelope import fact_hash
from shared.ids import CommandId
from shared.messages import CommandAnswered

# A command can come again as long as a cloud may be restored or a broker may keep it: a year is far beyond both.
ANSWERED_KEPT_MS = 366 * 24 * 3_600_000
PRUNE_ROWS = 500


@dataclass(frozen=True, slots=True)
class StoredCommand:
    """A command that waits for its answer; `ask` is its exact bytes, whose seal was verified before it came here."""

    command: CommandId
    ask: bytes


def accept_command(conn: sqlite3.Connection, command: CommandId, ask: bytes, clock: Clock) -> bool:
    """Store a command; False when it is known. The same id with other bytes raises `Refused("command_differs")`."""
    row = conn.execute("SELECT hash FROM commands WHERE id = ?", (command,)).fetchone()
    if row is None:
        conn.execute(
            "INSERT INTO commands (id, ask, hash, wall_ms) VALUES (?, ?, ?, ?)",
            (command, ask, fact_hash(ask), clock.wall_ms()),
        )
        return True
    if row[0] != fact_hash(ask):
        raise Refused("command_differs", f"command {command} came before with other content")
    return False


def unanswered(conn: sqlite3.Connection) -> list[StoredCommand]:
    """Commands that were accepted and not carried out yet, oldest first."""
    return [
        StoredCommand(CommandId(command), ask)
        for command, ask in conn.execute("SELECT id, ask FROM commands WHERE done IS NULL ORDER BY rowid")
    ]


def answer(conn: sqlite3.Connection, fact: CommandAnswered, clock: Clock) -> int:
    """Say what became of a command, in the transaction of its effects; returns the fact's number.

    `Refused("already_answered")` when it has an answer, so that effects are never booked twice.
    """
    changed = conn.execute(
        "UPDATE commands SET done = ?, detail = ?, ask = NULL WHERE id = ? AND done IS NULL",
        (fact.done, fact.detail, fact.command),
    ).rowcount
    if changed == 0:
        raise Refused("already_answered", f"command {fact.command} is not waiting for an answer")
    return outbox.append(conn, fact, clock)


def answer_of(conn: sqlite3.Connection, command: CommandId) -> CommandAnswered | None:
    """The answer that a known command got, to be told again; None while it waits or when it is not known."""
    row = conn.execute("SELECT done, detail FROM commands WHERE id = ? AND done IS NOT NULL", (command,)).fetchone()
    return None if row is None else CommandAnswered(command=command, done=bool(row[0]), detail=row[1])


def prune(conn: sqlite3.Connection, clock: Clock) -> int:
    """Forget up to `PRUNE_ROWS` commands answered more than a year ago; only a synced clock may judge that."""
    if clock.clock_state() != "synced":
        return 0
    return conn.execute(
        "DELETE FROM commands WHERE rowid IN"
        " (SELECT rowid FROM commands WHERE done IS NOT NULL AND wall_ms < ? ORDER BY rowid LIMIT ?)",
        (clock.wall_ms() - ANSWERED_KEPT_MS, PRUNE_ROWS),
    ).rowcount
