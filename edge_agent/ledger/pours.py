"""Intent and end of every pour this machine ever touched: the journal of water.

    claimed --begin--> open --end--> ended | doubtful
    (none)  --begin--> open          claimed | (none) --refuse--> refused

The steps are a table in the schema. `begin` is the intent: the meter's count before the first drop, committed before
the valve opens (I4). `end` writes the meter's count after the last one and the fact for the cloud in one transaction,
and there is no second end (I2). An order that was begun or refused can never be begun again (I1).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from edge_agent.errors import Refused
from edge_agent.ledger import outbox
from shared.clock import Clock
from shared.ids import BootId, Nonce, OrderId
from shared.messages import Means, PourEnded, PourRefused, Source
from shared.water import Warmth

MS_PER_HOUR = 3_600_000

PourState = Literal["claimed", "refused", "open", "ended", "doubtful"]


@dataclass(frozen=True, slots=True)
class PourTerms:
    """What was agreed for one order of water, frozen from its first row on.

    `plan`: whose usage it counts in, None for a person's pour at service. `nonce` of the claim, for an order of the
    cloud. At most `hold_fen` can be charged.
    """

    order: OrderId
    outlet: Warmth
    source: Source
    means: Means
    asked_ml: int
    price_fen_per_litre: int
    hold_fen: int
    paid_fen: int
    config_version: int
    plan: str | None = None
    nonce: Nonce | None = None


@dataclass(frozen=True, slots=True)
class PourIntent:
    """What must be known of a pour to settle it after a crash: valve, meter, its factor and its count before."""

    relay: int
    meter: str
    modulus: int | None
    pulses_per_litre_milli: int
    totaliser_before: int
    at_most_ml: int


@dataclass(frozen=True, slots=True)
class PourRow:
    """One pour. `intent` is None until it was begun; volumes and charges are None until it ended.

    `doubt`: why nobody can say how much has flowed, in a sentence.
    """

    txn: int
    terms: PourTerms
    state: PourState
    reason: str | None
    boot_id: BootId
    begun_mono_ms: int
    intent: PourIntent | None
    poured_ml: int | None
    charged_fen: int | None
    totaliser_after: int | None
    open_ms: int | None
    doubt: str | None

    @property
    def counts(self) -> int | None:
        """What the meter counted of it; None until it ended."""
        if self.intent is None or self.totaliser_after is None:
            return None
        counted = self.totaliser_after - self.intent.totaliser_before
        return counted if self.intent.modulus is None else counted % self.intent.modulus


@dataclass(frozen=True, slots=True)
class Learned:
    """What somebody who watched a pour knows of its outlet; None where it was too short, or disturbed.

    `open_ms`: from the relay's answer to the order to open to that to shut. `overrun_ms`: for how long water came after
    the latter. `pace`: counts per hour while it flowed.
    """

    open_ms: int | None = None
    overrun_ms: int | None = None
    pace: int | None = None


def claim(conn: sqlite3.Connection, terms: PourTerms, clock: Clock) -> None:
    """Remember a claim before it leaves (I7). `Refused("known_order")` when the order was seen before."""
    if pour(conn, terms.order) is not None:
        raise Refused("known_order", f"pour {terms.order} was claimed, begun or refused before")
    _insert(conn, terms, clock)


def begin(conn: sqlite3.Connection, terms: PourTerms, intent: PourIntent, clock: Clock) -> int:
    """The intent; returns the pour's number. Commit it before the valve opens (I4).

    `Refused`: "busy" (another pour is open), "known_order" (begun or refused before, or claimed on other terms).
    """
    if conn.execute("SELECT 1 FROM pours WHERE state = 'open'").fetchone():
        raise Refused("busy", f"pour {terms.order}: another pour is open")
    known = pour(conn, terms.order)
    if known is None:
        _insert(conn, terms, clock)
    elif known.state != "claimed" or known.terms != terms:
        raise Refused("known_order", f"pour {terms.order} is {known.state} here and cannot be begun as asked")
    (txn,) = conn.execute(
        "UPDATE pours SET state = 'open', relay = ?, meter = ?, modulus = ?, pulses_per_litre_milli = ?,"
        " totaliser_before = ?, at_most_ml = ? WHERE order_id = ? RETURNING txn",
        (
            intent.relay,
            intent.meter,
            intent.modulus,
            intent.pulses_per_litre_milli,
            intent.totaliser_before,
            intent.at_most_ml,
            terms.order,
        ),
    ).fetchone()
    return int(txn)


def end(conn: sqlite3.Connection, fact: PourEnded, clock: Clock, learned: Learned | None = None) -> int:
    """Close an open pour by its fact; returns the fact's number.

    `Refused("already_ended")` for a pour that is not open, `ValueError` for a fact that contradicts it.
    """
    known = pour(conn, OrderId(fact.order))
    if known is None or known.state != "open" or known.intent is None:
        state = "unknown to this ledger" if known is None else known.state
        raise Refused("already_ended", f"pour {fact.order} is {state}, only an open pour ends")
    _check_terms(known, fact)
    learned = learned or Learned()
    seq = outbox.append(conn, fact, clock)
    conn.execute(
        "UPDATE pours SET state = ?, reason = ?, poured_ml = ?, charged_fen = ?, totaliser_after = ?, open_ms = ?,"
        " overrun_ml = ?, overrun_ms = ?, pace = ?, doubt = ?, end_seq = ? WHERE order_id = ?",
        (
            "ended" if fact.certain else "doubtful",
            fact.reason,
            fact.poured_ml,
            fact.charged_fen,
            fact.totaliser_after,
            learned.open_ms,
            fact.overrun_ml,
            learned.overrun_ms,
            learned.pace,
            fact.doubt,
            seq,
            fact.order,
        ),
    )
    return seq


def refuse(conn: sqlite3.Connection, terms: PourTerms, fact: PourRefused, clock: Clock) -> int | None:
    """The order can never be poured here; returns the fact's number, None when it had ended before.

    `Refused("busy")` while the pour is open: the meter decides, not a refusal.
    """
    known = pour(conn, terms.order)
    if known is not None and known.state == "open":
        raise Refused("busy", f"pour {terms.order} is open")
    if known is not None and known.state != "claimed":
        return None
    seq = outbox.append(conn, fact, clock)
    if known is None:
        _insert(conn, terms, clock)
    conn.execute(
        "UPDATE pours SET state = 'refused', reason = ?, end_seq = ? WHERE order_id = ?",
        (fact.reason, seq, terms.order),
    )
    return seq


_POUR = (
    "SELECT txn, order_id, outlet, source, means, asked_ml, price_fen_per_litre, hold_fen, paid_fen, config_version,"
    " plan, nonce, state, reason, boot_id, begun_mono_ms, relay, meter, modulus, pulses_per_litre_milli,"
    " totaliser_before, at_most_ml, poured_ml, charged_fen, totaliser_after, open_ms, doubt FROM pours "
)


def pour(conn: sqlite3.Connection, order: OrderId) -> PourRow | None:
    """What this machine knows of an order for water; None when it never touched it."""
    row = conn.execute(_POUR + "WHERE order_id = ?", (order,)).fetchone()
    return None if row is None else _row(row)


def open_pour(conn: sqlite3.Connection) -> PourRow | None:
    """The pour with an intent and no end, for recovery: there is one at most."""
    row = conn.execute(_POUR + "WHERE state = 'open'").fetchone()
    return None if row is None else _row(row)


def claimed_pours(conn: sqlite3.Connection) -> list[PourRow]:
    """Claims with neither intent nor refusal: after a crash each is owed a refusal."""
    return [_row(row) for row in conn.execute(_POUR + "WHERE state = 'claimed' ORDER BY txn").fetchall()]


def recent(conn: sqlite3.Connection, limit: int) -> list[PourRow]:
    """The last pours, newest first."""
    return [_row(row) for row in conn.execute(_POUR + "ORDER BY txn DESC LIMIT ?", (limit,)).fetchall()]


def lessons(conn: sqlite3.Connection, outlet: Warmth, limit: int) -> list[tuple[int, int, int]]:
    """What an outlet's last pours taught, newest first: pace in counts per hour, lag and overrun in ms.

    The lag is from the order to open to the first drop; it follows from the rest, because the pace is what was counted
    in the time that water flowed.
    """
    rows = conn.execute(
        "SELECT pace, open_ms, overrun_ms, totaliser_after - totaliser_before, modulus FROM pours"
        " WHERE outlet = ? AND overrun_ms IS NOT NULL AND pace > 0 ORDER BY txn DESC LIMIT ?",
        (outlet, limit),
    ).fetchall()
    found = []
    for pace, open_ms, overrun_ms, counted, modulus in rows:
        flowed_ms = (counted if modulus is None else counted % modulus) * MS_PER_HOUR // pace
        found.append((pace, open_ms + overrun_ms - flowed_ms, overrun_ms))
    return found


def paces(
    conn: sqlite3.Connection, meter: str, pulses_per_litre_milli: int, limit: int
) -> list[tuple[list[int], list[int]]]:
    """For each outlet that poured `2 * limit` times by this meter and factor: its first paces and its last ones, in
    counts per hour. A new factor begins a new history.
    """
    outlets = [row[0] for row in conn.execute("SELECT DISTINCT outlet FROM pours").fetchall()]
    known = "FROM pours WHERE outlet = ? AND meter = ? AND pulses_per_litre_milli = ? AND pace > 0"
    found = []
    for outlet in outlets:
        of = (outlet, meter, pulses_per_litre_milli)
        if conn.execute(f"SELECT count(*) {known}", of).fetchone()[0] >= 2 * limit:
            first, last = (
                [row[0] for row in conn.execute(f"SELECT pace {known} ORDER BY txn {way} LIMIT ?", (*of, limit))]
                for way in ("ASC", "DESC")
            )
            found.append((first, last))
    return found


def _insert(conn: sqlite3.Connection, terms: PourTerms, clock: Clock) -> None:
    conn.execute(
        "INSERT INTO pours (order_id, state, outlet, source, means, asked_ml, price_fen_per_litre, hold_fen, paid_fen,"
        " config_version, plan, nonce, boot_id, begun_mono_ms, wall_ms)"
        " VALUES (?, 'claimed', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            terms.order,
            terms.outlet,
            terms.source,
            terms.means,
            terms.asked_ml,
            terms.price_fen_per_litre,
            terms.hold_fen,
            terms.paid_fen,
            terms.config_version,
            terms.plan,
            terms.nonce,
            clock.boot_id,
            clock.mono_ms(),
            clock.wall_ms(),
        ),
    )


def _check_terms(known: PourRow, fact: PourEnded) -> None:
    """The terms of a pour were fixed when it began; its end repeats them or is wrong."""
    terms = known.terms
    assert known.intent is not None
    begun = (known.txn, terms.outlet, terms.source, terms.means, terms.asked_ml, terms.price_fen_per_litre)
    told = (fact.txn, fact.outlet, fact.source, fact.means, fact.asked_ml, fact.price_fen_per_litre)
    if begun != told or fact.totaliser_before != known.intent.totaliser_before:
        raise ValueError(f"pour {terms.order} began as {begun}, its end tells {told}")


def _row(row: tuple[object, ...]) -> PourRow:
    txn, *rest = row
    terms = PourTerms(*rest[:11])  # type: ignore[arg-type]
    state, reason, boot_id, mono_ms, relay = rest[11:16]
    intent = None if relay is None else PourIntent(*rest[15:21])  # type: ignore[arg-type]
    return PourRow(txn, terms, state, reason, boot_id, mono_ms, intent, *rest[21:])  # type: ignore[arg-type]
