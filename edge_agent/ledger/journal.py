"""Intent, evidence, result: what this machine did for every order it ever touched.

    claimed --begin--> open --end--> delivered | failed | unknown --close_review--> delivered | failed
    (none)  --begin--> open          claimed | (none) --tombstone--> tombstoned

The steps are a table in the schema, so that no caller can make another one. An order that was begun or tombstoned can
never be begun again (I1). `begin` is the intent: it is committed before a start leaves (I4), and it holds the item.
`end` writes evidence, result, stock and the fact for the cloud in one transaction; there is no second end (I2).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from edge_agent.errors import Refused
from edge_agent.ledger import outbox, stock
from shared.clock import Clock
from shared.ids import AisleId, BootId, CommandId, GoodsId, Nonce, OrderId
from shared.messages import (
    Attempt,
    BoardResult,
    Means,
    ReviewClosed,
    Source,
    VendDelivered,
    VendFailed,
    VendUnknown,
)

OrderState = Literal["claimed", "tombstoned", "open", "delivered", "failed", "unknown"]
AttemptOutcome = Literal["delivered", "failed", "unknown"]

# A board is out of service long before; the limit only bounds the query.
MISSED_DROPS_COUNTED = 10


@dataclass(frozen=True, slots=True)
class Sale:
    """The terms of one order, frozen from its first row on. `nonce` of the claim, for an order of the cloud."""

    order: OrderId
    aisle: AisleId
    goods: GoodsId
    price_fen: int
    source: Source
    means: Means
    paid_fen: int
    config_version: int
    nonce: Nonce | None = None


@dataclass(frozen=True, slots=True)
class AttemptPlan:
    """One start to come. `last_motor_before`: the board's memory of its last run just before, None if it has none."""

    aisle: AisleId
    board: int
    motor: int
    last_motor_before: int | None = None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One start as it was intended, and what came of it; `outcome` is None while nobody knows yet."""

    txn: int
    order: OrderId
    aisle: AisleId
    board: int
    motor: int
    last_motor_before: int | None
    boot_id: BootId
    mono_ms: int
    outcome: AttemptOutcome | None
    result: BoardResult | None
    drop_seen: bool | None
    max_current_ma: int
    avg_current_ma: int
    run_time_ms: int

    def as_fact(self) -> Attempt:
        """The closed attempt as it stands in the fact of the vend's end."""
        if self.outcome is None:
            raise ValueError(f"attempt {self.txn} is open")
        return Attempt(
            txn=self.txn,
            aisle=self.aisle,
            outcome=self.outcome,
            result=self.result,
            drop_seen=self.drop_seen,
            max_current_ma=self.max_current_ma,
            avg_current_ma=self.avg_current_ma,
            run_time_ms=self.run_time_ms,
        )


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order. `boot_id` and `begun_mono_ms` say when it was claimed (or begun, when it was never claimed)."""

    sale: Sale
    state: OrderState
    reason: str | None
    boot_id: BootId
    begun_mono_ms: int
    end_seq: int | None


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order that a crash or a lost board left open, with its attempts in the order of their numbers."""

    order: OrderRow
    attempts: tuple[AttemptRow, ...]

    @property
    def sale(self) -> Sale:
        return self.order.sale

    @property
    def txn(self) -> int:
        """The number of the open attempt: the last one."""
        return self.attempts[-1].txn

    @property
    def plan(self) -> AttemptPlan:
        """The open attempt as it was intended."""
        last = self.attempts[-1]
        return AttemptPlan(last.aisle, last.board, last.motor, last.last_motor_before)

    @property
    def closed_attempts(self) -> tuple[Attempt, ...]:
        """What came of the attempts before the open one."""
        return tuple(attempt.as_fact() for attempt in self.attempts[:-1])


VendEnd = VendDelivered | VendFailed | VendUnknown


def claim(conn: sqlite3.Connection, sale: Sale, clock: Clock) -> None:
    """Remember a claim before it leaves: after a crash the machine still owes its order a tombstone (I7).

    `Refused("known_order")` when the order was seen before.
    """
    if order(conn, sale.order) is not None:
        raise Refused("known_order", f"order {sale.order} was claimed, begun or tombstoned before")
    _insert(conn, sale, "claimed", clock)


def begin(conn: sqlite3.Connection, sale: Sale, plan: AttemptPlan, clock: Clock) -> int:
    """The intent: order open, attempt numbered, item held; returns its number. Commit before the start (I4).

    `Refused`: "known_order" (begun or tombstoned before, or claimed with another nonce or other terms), "busy" (another
    order is open), "aisle_closed" (nothing to sell there).
    """
    if conn.execute("SELECT 1 FROM orders WHERE state = 'open'").fetchone():
        raise Refused("busy", f"order {sale.order}: another order is open")
    known = order(conn, sale.order)
    if known is None:
        _insert(conn, sale, "open", clock)
    elif known.state == "claimed" and known.sale == sale:
        conn.execute("UPDATE orders SET state = 'open' WHERE id = ?", (sale.order,))
    else:
        raise Refused("known_order", f"order {sale.order} is {known.state} here and cannot be begun as asked")
    return _start(conn, sale.order, plan, clock)


def next_attempt(conn: sqlite3.Connection, order_id: OrderId, closed: Attempt, plan: AttemptPlan, clock: Clock) -> int:
    """Close a failed attempt and open the next, with the item held in the other aisle; returns its number.

    `Refused("aisle_closed")` when the other aisle has nothing: then nothing was changed. An attempt that may have
    delivered has no successor (`ValueError`).
    """
    if closed.outcome != "failed":
        raise ValueError(
            f"attempt {closed.txn}: only a failed attempt is followed by another, this one is {closed.outcome}"
        )
    _close(conn, order_id, (closed,))
    stock.cancel(conn, order_id, clock)
    conn.execute("UPDATE orders SET aisle = ? WHERE id = ?", (plan.aisle, order_id))
    return _start(conn, order_id, plan, clock)


def end(conn: sqlite3.Connection, fact: VendEnd, clock: Clock) -> int:
    """Close an open order by its fact: attempts, order, stock and outbox. Returns the fact's number.

    `Refused("already_ended")` for an order that is not open. `ValueError` for a fact that contradicts the order.
    """
    known = order(conn, OrderId(fact.order))
    if known is None or known.state != "open":
        state = "unknown to this ledger" if known is None else known.state
        raise Refused("already_ended", f"order {fact.order} is {state}, only an open order ends")
    _check_terms(known.sale, fact)
    _check_evidence(fact)
    _close(conn, known.sale.order, fact.attempts)
    match fact:
        case VendDelivered():
            state = "delivered"
            stock.consume(conn, known.sale.order, clock)
        case VendFailed():
            state = "failed"
            stock.cancel(conn, known.sale.order, clock)
        case VendUnknown():
            state = "unknown"
    seq = outbox.append(conn, fact, clock)
    conn.execute(
        "UPDATE orders SET state = ?, reason = ?, end_seq = ? WHERE id = ?",
        (state, getattr(fact, "reason", None), seq, fact.order),
    )
    return seq


def tombstone(conn: sqlite3.Connection, fact: VendFailed, clock: Clock) -> int | None:
    """The order can never start here, begun or not; returns the fact's number, None when it had ended before.

    `Refused("busy")` while the order is open: its evidence decides, not a tombstone.
    """
    known = order(conn, OrderId(fact.order))
    if known is not None and known.state == "open":
        raise Refused("busy", f"order {fact.order} has an open attempt")
    if known is not None and known.state != "claimed":
        return None
    if fact.attempts or fact.txn is not None:
        raise ValueError(f"order {fact.order}: a tombstone has no attempt, this one names {fact.txn or fact.attempts}")
    seq = outbox.append(conn, fact, clock)
    if known is None:
        _insert(conn, _sale_of(fact), "tombstoned", clock, reason=fact.reason, end_seq=seq)
    else:
        _check_terms(known.sale, fact)
        conn.execute(
            "UPDATE orders SET state = 'tombstoned', reason = ?, end_seq = ? WHERE id = ?",
            (fact.reason, seq, fact.order),
        )
    return seq


def close_review(
    conn: sqlite3.Connection, order_id: OrderId, delivered: bool, clock: Clock, *, command: CommandId | None = None
) -> int:
    """A person decided an unknown vend; the held item follows, unless a count settled it. Returns the fact's number.

    `Refused("not_in_review")` for any other order.
    """
    known = order(conn, order_id)
    if known is None or known.state != "unknown":
        state = "not known here" if known is None else known.state
        raise Refused("not_in_review", f"order {order_id} is {state}: only an unknown vend is reviewed")
    settle = stock.consume if delivered else stock.cancel
    moved = settle(conn, order_id, clock)
    seq = outbox.append(
        conn,
        ReviewClosed(
            order=order_id,
            aisle=known.sale.aisle,
            goods=known.sale.goods,
            delivered=delivered,
            counted_before=not moved,
            command=command,
        ),
        clock,
    )
    conn.execute(
        "UPDATE orders SET state = ?, end_seq = ? WHERE id = ?", ("delivered" if delivered else "failed", seq, order_id)
    )
    return seq


_ORDER = (
    "SELECT id, aisle, goods, price_fen, source, means, paid_fen, config_version, nonce,"
    " state, reason, boot_id, begun_mono_ms, end_seq FROM orders "
)
_ATTEMPT = (
    "SELECT txn, order_id, aisle, board, motor, last_motor_before, boot_id, mono_ms, outcome, result, drop_seen,"
    " max_current_ma, avg_current_ma, run_time_ms FROM attempts "
)


def order(conn: sqlite3.Connection, order_id: OrderId) -> OrderRow | None:
    """What this machine knows of an order; None when it never touched it."""
    row = conn.execute(_ORDER + "WHERE id = ?", (order_id,)).fetchone()
    return None if row is None else _order_row(row)


def open_orders(conn: sqlite3.Connection) -> list[OpenOrder]:
    """Orders with an intent and no end, for recovery, in the order of their transaction numbers."""
    rows = [_order_row(row) for row in conn.execute(_ORDER + "WHERE state = 'open'").fetchall()]
    found = [OpenOrder(row, tuple(attempts_of(conn, row.sale.order))) for row in rows]
    return sorted(found, key=lambda one: one.attempts[0].txn)


def claimed_orders(conn: sqlite3.Connection) -> list[OrderRow]:
    """Claims with neither intent nor tombstone: after a crash each is owed a tombstone."""
    return [_order_row(row) for row in conn.execute(_ORDER + "WHERE state = 'claimed' ORDER BY rowid").fetchall()]


def orders_in_review(conn: sqlite3.Connection) -> list[OrderRow]:
    """Unknown vends that no person has decided yet."""
    return [_order_row(row) for row in conn.execute(_ORDER + "WHERE state = 'unknown' ORDER BY rowid").fetchall()]


def attempts_of(conn: sqlite3.Connection, order_id: OrderId) -> list[AttemptRow]:
    """All attempts of an order, first to last."""
    return [_attempt_row(row) for row in conn.execute(_ATTEMPT + "WHERE order_id = ? ORDER BY txn", (order_id,))]


def missed_drops(conn: sqlite3.Connection, board: int) -> int:
    """How many runs on `board`, back from the newest, had a sound motor and no drop seen: a row convicts the sensor.

    Counts to `MISSED_DROPS_COUNTED` at most.
    """
    missed = 0
    for result, drop_seen in conn.execute(
        "SELECT result, drop_seen FROM attempts WHERE board = ? AND outcome IS NOT NULL ORDER BY txn DESC LIMIT ?",
        (board, MISSED_DROPS_COUNTED),
    ):
        if (result, drop_seen) != ("ok", 0):
            break
        missed += 1
    return missed


def runs_of_motor(conn: sqlite3.Connection, board: int, motor: int, limit: int) -> list[tuple[BoardResult | None, int]]:
    """Result and run time (ms) of the last closed attempts of one motor, newest first; no result when none was read.

    An attempt that never began says nothing about the motor and is left out.
    """
    return conn.execute(
        "SELECT result, run_time_ms FROM attempts WHERE board = ? AND motor = ? AND outcome IS NOT NULL"
        " AND (result IS NOT NULL OR outcome <> 'failed') ORDER BY txn DESC LIMIT ?",
        (board, motor, limit),
    ).fetchall()


def last_run(conn: sqlite3.Connection, board: int) -> int | None:
    """The motor of the last attempt that is known to have turned on `board`: the board itself reported its end."""
    row = conn.execute(
        "SELECT motor FROM attempts WHERE board = ? AND result IS NOT NULL ORDER BY txn DESC LIMIT 1", (board,)
    ).fetchone()
    return None if row is None else int(row[0])


def _insert(
    conn: sqlite3.Connection,
    sale: Sale,
    state: OrderState,
    clock: Clock,
    *,
    reason: str | None = None,
    end_seq: int | None = None,
) -> None:
    conn.execute(
        "INSERT INTO orders (id, aisle, goods, price_fen, source, means, paid_fen, config_version, nonce,"
        " state, reason, boot_id, begun_mono_ms, wall_ms, end_seq) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            sale.order,
            sale.aisle,
            sale.goods,
            sale.price_fen,
            sale.source,
            sale.means,
            sale.paid_fen,
            sale.config_version,
            sale.nonce,
            state,
            reason,
            clock.boot_id,
            clock.mono_ms(),
            clock.wall_ms(),
            end_seq,
        ),
    )


def _start(conn: sqlite3.Connection, order_id: OrderId, plan: AttemptPlan, clock: Clock) -> int:
    stock.allocate(conn, plan.aisle, order_id, clock)
    (txn,) = conn.execute(
        "INSERT INTO attempts (order_id, aisle, board, motor, last_motor_before, boot_id, mono_ms, wall_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING txn",
        (
            order_id,
            plan.aisle,
            plan.board,
            plan.motor,
            plan.last_motor_before,
            clock.boot_id,
            clock.mono_ms(),
            clock.wall_ms(),
        ),
    ).fetchone()
    return int(txn)


def _close(conn: sqlite3.Connection, order_id: OrderId, evidence: tuple[Attempt, ...]) -> None:
    """Write the evidence of the open attempt; what was closed before must be told again as it was, or not at all."""
    by_txn = {attempt.txn: attempt for attempt in evidence}
    for row in attempts_of(conn, order_id):
        told = by_txn.pop(row.txn, None)
        if row.outcome is not None:
            if told is not None and told != row.as_fact():
                raise ValueError(f"attempt {row.txn} was closed as {row.as_fact()}, now it is told as {told}")
            continue
        if told is None or told.aisle != row.aisle:
            raise ValueError(f"attempt {row.txn} of aisle {row.aisle} is open, the evidence tells {told}")
        conn.execute(
            "UPDATE attempts SET outcome = ?, result = ?, drop_seen = ?, max_current_ma = ?, avg_current_ma = ?,"
            " run_time_ms = ? WHERE txn = ?",
            (
                told.outcome,
                told.result,
                told.drop_seen,
                told.max_current_ma,
                told.avg_current_ma,
                told.run_time_ms,
                told.txn,
            ),
        )
    if by_txn:
        raise ValueError(f"order {order_id}: evidence of attempts {sorted(by_txn)}, which were never begun")


def _check_terms(sale: Sale, fact: VendEnd) -> None:
    """The money of an order was fixed when it began; its end repeats it or is wrong."""
    begun = (sale.goods, sale.price_fen, sale.source, sale.means, sale.paid_fen)
    told = (fact.goods, fact.price_fen, fact.source, fact.means, fact.paid_fen)
    if begun != told:
        raise ValueError(f"order {sale.order} began as {begun}, its end tells {told}")


def _check_evidence(fact: VendEnd) -> None:
    """A result stands on the outcomes of its attempts: one delivery, or none at all, or doubt and no delivery."""
    outcomes = [attempt.outcome for attempt in fact.attempts]
    match fact:
        case VendDelivered():
            holds = outcomes.count("delivered") == 1 and "unknown" not in outcomes
        case VendFailed():
            holds = set(outcomes) == {"failed"}
        case VendUnknown():
            holds = "unknown" in outcomes and "delivered" not in outcomes
    if not holds:
        raise ValueError(f"order {fact.order}: {type(fact).__name__} cannot stand on the outcomes {outcomes}")


def _sale_of(fact: VendFailed) -> Sale:
    return Sale(
        order=OrderId(fact.order),
        aisle=AisleId(fact.aisle),
        goods=GoodsId(fact.goods),
        price_fen=fact.price_fen,
        source=fact.source,
        means=fact.means,
        paid_fen=fact.paid_fen,
        config_version=fact.config_version,
    )


def _order_row(row: tuple[object, ...]) -> OrderRow:
    *sale, state, reason, boot_id, begun_mono_ms, end_seq = row
    return OrderRow(Sale(*sale), state, reason, boot_id, begun_mono_ms, end_seq)  # type: ignore[arg-type]


def _attempt_row(row: tuple[object, ...]) -> AttemptRow:
    values = list(row)
    values[10] = None if values[10] is None else bool(values[10])
    return AttemptRow(*values)  # type: ignore[arg-type]
