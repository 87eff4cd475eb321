"""Facts on their way to the cloud: numbered in the transaction of their effects, kept until the cloud has committed.

One ledger file is one stream. Its numbers only grow; a state fact that a newer one replaced before the cloud had it
leaves a hole, and `prev` of the next row spans that hole. What the cloud has acknowledged stays for a month, because
a cloud that was restored from a backup asks for it again (I17).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from edge_agent.errors import Refused
from shared.clock import Clock, ClockState
from shared.envelope import fact_hash
from shared.ids import BootId, Epoch, MachineId
from shared.messages import EpochBegan, Fact, StateFact, encode, state_key

# A restored cloud is at most a month behind: backups older than that are not restored over a living fleet.
ACKED_KEPT_MS = 30 * 24 * 3_600_000
# And never fewer than these, whatever a wrong clock says: about three weeks of a very busy machine.
ACKED_ROWS_KEPT = 10_000
# One year at 500 vends a day, without the cloud: beyond it the machine stops selling, it does not forget.
UNACKED_ROWS_MAX = 365 * 500
# Pruning shares the thread with the vend: so many rows take about a millisecond.
PRUNE_ROWS = 500


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One fact as it is sent. `fact` is exactly what was stored; `prev` is the number before it that still exists."""

    seq: int
    prev: int
    fact: bytes
    boot_id: BootId
    mono_ms: int
    wall_ms: int
    clock_state: ClockState


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Where the stream stands: the number to be given next, the oldest still held, the highest the cloud has."""

    next_seq: int
    oldest_seq: int
    acked: int


@dataclass(frozen=True, slots=True)
class StreamIdentity:
    """Whose stream this file is. `damage`: why the file before it was set aside, until a person confirms."""

    machine: MachineId
    epoch: Epoch
    damage: str | None


def begin_stream(
    conn: sqlite3.Connection,
    machine: MachineId,
    epoch: Epoch,
    clock: Clock,
    *,
    software: str,
    reason: Literal["new", "damaged"] = "new",
    previous: Epoch | None = None,
    damage: str | None = None,
) -> None:
    """Give a new file its identity and its first fact."""
    conn.execute("INSERT INTO stream (only_row, machine, epoch, damage) VALUES (1, ?, ?, ?)", (machine, epoch, damage))
    append(conn, EpochBegan(reason=reason, previous=previous, software=software), clock)


def identity(conn: sqlite3.Connection) -> StreamIdentity | None:
    """Whose stream this is, or None in a file that was never begun."""
    row = conn.execute("SELECT machine, epoch, damage FROM stream").fetchone()
    return None if row is None else StreamIdentity(MachineId(row[0]), Epoch(row[1]), row[2])


def confirm_damage(conn: sqlite3.Connection) -> None:
    """A person has seen that the former file was damaged, and has counted the stock: the machine may sell again."""
    conn.execute("UPDATE stream SET damage = NULL")


def append(conn: sqlite3.Connection, fact: Fact, clock: Clock) -> int:
    """Number and store a fact; returns its number.

    A state fact replaces an older one of its key that the cloud does not have yet; a ledger fact never does (I8).
    """
    seq, acked = conn.execute(
        "UPDATE stream SET next_seq = next_seq + 1 RETURNING next_seq - 1, acked",
    ).fetchone()
    key = state_key(fact) if isinstance(fact, StateFact) else None
    if key is not None:
        conn.execute("DELETE FROM outbox WHERE key = ? AND seq > ?", (key, acked))
    raw = encode(fact)
    conn.execute(
        "INSERT INTO outbox (seq, key, fact, hash, boot_id, mono_ms, wall_ms, clock_state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (seq, key, raw, fact_hash(raw), clock.boot_id, clock.mono_ms(), clock.wall_ms(), clock.clock_state()),
    )
    return int(seq)


def pending(conn: sqlite3.Connection, after_seq: int, limit: int) -> list[OutboxRow]:
    """At most `limit` facts above `after_seq`, in order."""
    (before,) = conn.execute(
        "SELECT coalesce((SELECT max(seq) FROM outbox WHERE seq <= ?), (SELECT pruned FROM stream))", (after_seq,)
    ).fetchone()
    rows = []
    for seq, fact, boot_id, mono_ms, wall_ms, clock_state in conn.execute(
        "SELECT seq, fact, boot_id, mono_ms, wall_ms, clock_state FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?",
        (after_seq, limit),
    ):
        rows.append(OutboxRow(seq, before, fact, BootId(boot_id), mono_ms, wall_ms, clock_state))
        before = seq
    return rows


def waiting(conn: sqlite3.Connection) -> int:
    """How many facts the cloud does not have yet: fewer than numbers, where a newer state took an older one's place."""
    (count,) = conn.execute("SELECT count(*) FROM outbox WHERE seq > (SELECT acked FROM stream)").fetchone()
    return int(count)


def position(conn: sqlite3.Connection) -> StreamPosition:
    """Where the stream stands."""
    next_seq, acked, oldest = conn.execute(
        "SELECT next_seq, acked, coalesce((SELECT min(seq) FROM outbox), next_seq) FROM stream"
    ).fetchone()
    return StreamPosition(next_seq=next_seq, oldest_seq=oldest, acked=acked)


def acknowledge(conn: sqlite3.Connection, applied: int, incarnation: str) -> StreamPosition:
    """Take the cloud's watermark; returns where the stream stands now. Send from `acked + 1`.

    A lower number than before is stale, unless it comes from a database that was not heard of yet: then the cloud was
    restored, has forgotten, and gets the rest again. A number that was never given raises `Refused`: the cloud knows
    more of this stream than the file does, so the file is an old copy, and what it would number next is taken.
    """
    next_seq, acked, pruned, current = conn.execute(
        "SELECT next_seq, acked, pruned, incarnation FROM stream"
    ).fetchone()
    if applied >= next_seq:
        raise Refused(
            "watermark_ahead", f"watermark {applied}: the cloud has facts that this ledger never numbered ({next_seq=})"
        )
    if conn.execute("SELECT 1 FROM past_incarnations WHERE incarnation = ?", (incarnation,)).fetchone():
        return position(conn)
    restored = current is not None and incarnation != current
    if restored:
        conn.execute("INSERT INTO past_incarnations (incarnation) VALUES (?)", (current,))
    # What was pruned cannot be sent again: Hello tells the cloud with `oldest_seq`.
    reached = max(applied, pruned) if restored else max(applied, acked)
    if reached != acked or incarnation != current:
        conn.execute("UPDATE stream SET acked = ?, incarnation = ?", (reached, incarnation))
    return position(conn)


def prune(conn: sqlite3.Connection, clock: Clock) -> int:
    """Forget up to `PRUNE_ROWS` facts that the cloud has had for a month; returns how many, 0 when there are none left.

    Age is judged by rows that knew the time; what stands before such a row in the stream is older still. A machine
    that never learns the time keeps a year of facts and then forgets by number alone.
    """
    next_seq, acked = conn.execute("SELECT next_seq, acked FROM stream").fetchone()
    by_number = min(acked, next_seq - 1 - UNACKED_ROWS_MAX)
    by_age = 0
    if clock.clock_state() == "synced":
        (by_age,) = conn.execute(
            "SELECT coalesce(max(seq), 0) FROM (SELECT seq FROM outbox WHERE seq <= ?"
            " AND clock_state <> 'unset' AND wall_ms < ? ORDER BY seq LIMIT ?)",
            (min(acked, next_seq - 1 - ACKED_ROWS_KEPT), clock.wall_ms() - ACKED_KEPT_MS, PRUNE_ROWS),
        ).fetchone()
    (upto,) = conn.execute(
        "SELECT coalesce(max(seq), 0) FROM (SELECT seq FROM outbox WHERE seq <= ? ORDER BY seq LIMIT ?)",
        (max(by_number, by_age), PRUNE_ROWS),
    ).fetchone()
    if upto == 0:
        return 0
    conn.execute("UPDATE stream SET pruned = ?", (upto,))
    return conn.execute("DELETE FROM outbox WHERE seq <= ?", (upto,)).rowcount
