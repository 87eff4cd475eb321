"""Locks, faults, door, temperature band, selling: what holds now, told to the cloud only when it changes."""

from __future__ import annotations

import sqlite3

from edge_agent.ledger import outbox
from shared.clock import Clock
from shared.ids import AisleId
from shared.messages import (
    AisleLockChanged,
    ConfigReported,
    DoorChanged,
    FaultChanged,
    FilterConditionChanged,
    SellingChanged,
    StateFact,
    TemperatureBandChanged,
    WaterQualityChanged,
    decode_fact,
    encode,
    state_key,
)


def set_state(conn: sqlite3.Connection, fact: StateFact, clock: Clock) -> int | None:
    """Tell what holds now; returns the fact's number, None when it held already.

    A measured value or a wording that differs is no change. A fault never raised and an aisle never locked need no
    all-clear.
    """
    key = state_key(fact)
    known = current(conn, key)
    if _meaning(fact) == (_initial(fact) if known is None else _meaning(known)):
        return None
    conn.execute(
        "INSERT INTO conditions (key, fact) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET fact = excluded.fact",
        (key, encode(fact)),
    )
    return outbox.append(conn, fact, clock)


def current(conn: sqlite3.Connection, key: str) -> StateFact | None:
    """The last fact told under `messages.state_key`, None when there was none."""
    row = conn.execute("SELECT fact FROM conditions WHERE key = ?", (key,)).fetchone()
    return None if row is None else _decode(row[0])


def set_lock(conn: sqlite3.Connection, aisle: AisleId | str, locked: bool, reason: str, clock: Clock) -> int | None:
    """Close an aisle for sale, or open it; None when it stood so already."""
    return set_state(conn, AisleLockChanged(aisle=aisle, locked=locked, reason=reason), clock)


def raise_fault(conn: sqlite3.Connection, code: str, scope: str, detail: str, clock: Clock) -> int | None:
    """A fault holds from now on; None when it held already. `scope` is an aisle, `board-1`, or `machine`."""
    return set_state(conn, FaultChanged(code=code, scope=scope, active=True, detail=detail), clock)


def clear_fault(conn: sqlite3.Connection, code: str, scope: str, detail: str, clock: Clock) -> int | None:
    """A fault is over; None when it was not raised."""
    return set_state(conn, FaultChanged(code=code, scope=scope, active=False, detail=detail), clock)


def locked_aisles(conn: sqlite3.Connection) -> dict[AisleId, str]:
    """The aisles closed for sale, with the reason."""
    return {
        AisleId(fact.aisle): fact.reason
        for fact in _under(conn, "aisle/")
        if isinstance(fact, AisleLockChanged) and fact.locked
    }


def active_faults(conn: sqlite3.Connection) -> list[FaultChanged]:
    """The faults that hold now, by code and scope."""
    return [fact for fact in _under(conn, "fault/") if isinstance(fact, FaultChanged) and fact.active]


def _under(conn: sqlite3.Connection, prefix: str) -> list[StateFact]:
    # '0' follows '/' in ASCII: the range holds exactly the keys that begin with the prefix.
    rows = conn.execute(
        "SELECT fact FROM conditions WHERE key >= ? AND key < ? ORDER BY key", (prefix, prefix[:-1] + "0")
    )
    return [_decode(raw) for (raw,) in rows]


def _decode(raw: bytes) -> StateFact:
    fact = decode_fact(raw)
    assert isinstance(fact, StateFact)
    return fact


def _meaning(fact: StateFact) -> tuple[object, ...]:
    """What makes a condition another one."""
    match fact:
        case FaultChanged():
            return (fact.active,)
        case AisleLockChanged():
            return (fact.locked, fact.reason if fact.locked else "")
        case DoorChanged():
            return (fact.open,)
        case TemperatureBandChanged():
            return (fact.band,)
        case SellingChanged():
            return (fact.selling, fact.reason)
        case ConfigReported():
            return (fact.version, fact.refused)
        case FilterConditionChanged():
            return (fact.condition, fact.name)
        case WaterQualityChanged():
            return (fact.fit, fact.reason)


def _initial(fact: StateFact) -> tuple[object, ...] | None:
    """What holds before anything was told."""
    match fact:
        case FaultChanged():
            return (False,)
        case AisleLockChanged():
            return (False, "")
        case _:
            return None
