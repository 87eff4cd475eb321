"""Motors turned for a test: intent before motion as for a sale, and nothing else of a sale.

A trial has no order and no price, so it can never be taken for one. When the sensor saw something fall, the item lies
in a person's hand: it is booked out in the transaction that closes the trial.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from edge_agent.errors import Refused
from edge_agent.ledger import stock
from edge_agent.ledger.journal import AttemptPlan
from shared.clock import Clock
from shared.ids import AisleId, GoodsId
from shared.messages import Attempt

# Who took an item that fell in a test, in the movement and in the fact.
PERSON = "test"


@dataclass(frozen=True, slots=True)
class OpenTrial:
    """A trial that a crash left open."""

    trial: int
    plan: AttemptPlan
    goods: GoodsId


def begin(conn: sqlite3.Connection, plan: AttemptPlan, goods: GoodsId, person: str, clock: Clock) -> int:
    """The intent; returns the trial's number. Commit before the start (I4). `Refused("busy")` while another is open."""
    if open_trial(conn) is not None:
        raise Refused("busy", "another test run is open")
    (trial,) = conn.execute(
        "INSERT INTO trials (aisle, goods, board, motor, last_motor_before, person, boot_id, mono_ms, wall_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (
            plan.aisle,
            goods,
            plan.board,
            plan.motor,
            plan.last_motor_before,
            person,
            clock.boot_id,
            clock.mono_ms(),
            clock.wall_ms(),
        ),
    ).fetchone()
    return int(trial)


def end(conn: sqlite3.Connection, trial: int, goods: GoodsId, seen: Attempt, reason: str | None, clock: Clock) -> bool:
    """Close a trial by its evidence; True when an item was seen to fall and the ledger had one to book out."""
    aisle = AisleId(seen.aisle)
    booked = bool(seen.drop_seen) and stock.balance(conn, aisle).available > 0
    if booked:
        stock.load(conn, aisle, goods, -1, clock, person=PERSON)
    conn.execute(
        "UPDATE trials SET outcome = ?, reason = ?, result = ?, drop_seen = ?, max_current_ma = ?, avg_current_ma = ?,"
        " run_time_ms = ?, booked = ? WHERE id = ?",
        (
            seen.outcome,
            reason,
            seen.result,
            seen.drop_seen,
            seen.max_current_ma,
            seen.avg_current_ma,
            seen.run_time_ms,
            booked,
            trial,
        ),
    )
    return booked


def open_trial(conn: sqlite3.Connection) -> OpenTrial | None:
    """The trial with an intent and no end; there is one at most."""
    row = conn.execute(
        "SELECT id, aisle, board, motor, last_motor_before, goods FROM trials WHERE outcome IS NULL"
    ).fetchone()
    if row is None:
        return None
    trial, aisle, board, motor, before, goods = row
    return OpenTrial(trial, AttemptPlan(AisleId(aisle), board, motor, before), GoodsId(goods))
