"""What lies in each aisle, as movements that are never changed.

`on_hand` is what the ledger believes to lie in the aisle, `held` the part of it whose fate is open: allocated to a
running vend, or to an unknown one that a person has to decide. `on_hand >= held >= 0` always; for sale is the rest.

A vend allocates (held + 1) before the motor turns, and consumes (on_hand - 1, held - 1) or cancels (held - 1) on
evidence. An unknown vend moves nothing: its item stays held.

A count is physical: a person sees what lies there. An item that fell for an unknown vend is not among it, one that did
not fall is. So a count settles the doubt about stock for every unknown vend of the aisle: their items are released,
and the later decision about the money moves no stock. A count during a running vend means nothing and is refused.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from edge_agent.errors import Refused
from edge_agent.ledger import outbox
from shared.clock import Clock
from shared.ids import AisleId, CommandId, GoodsId, OrderId
from shared.messages import StockCounted, StockLoaded


@dataclass(frozen=True, slots=True)
class Balance:
    """One aisle: `available` items may still be sold."""

    on_hand: int
    held: int
    goods: GoodsId | None = None

    @property
    def available(self) -> int:
        return self.on_hand - self.held


def balance(conn: sqlite3.Connection, aisle: AisleId) -> Balance:
    """What lies in `aisle`; nothing when it was never loaded."""
    row = conn.execute("SELECT on_hand, held, goods FROM balances WHERE aisle = ?", (aisle,)).fetchone()
    return Balance(0, 0) if row is None else Balance(row[0], row[1], GoodsId(row[2]))


def balances(conn: sqlite3.Connection) -> dict[AisleId, Balance]:
    """What lies in every aisle that was ever loaded."""
    return {
        AisleId(aisle): Balance(on_hand, held, GoodsId(goods))
        for aisle, on_hand, held, goods in conn.execute("SELECT aisle, on_hand, held, goods FROM balances")
    }


def allocate(conn: sqlite3.Connection, aisle: AisleId, order: OrderId, clock: Clock) -> None:
    """Hold one item for `order`; `Refused("aisle_closed")` when none is available."""
    shelf = balance(conn, aisle)
    if shelf.available < 1:
        raise Refused("aisle_closed", f"aisle {aisle}: {shelf.on_hand} on hand, {shelf.held} held, none to sell")
    _move(conn, "allocate", aisle, clock, held=+1, order=order)


def consume(conn: sqlite3.Connection, order: OrderId, clock: Clock) -> bool:
    """The item held for `order` has left the machine; False when a count has settled it already."""
    return _settle(conn, "consume", order, -1, clock)


def cancel(conn: sqlite3.Connection, order: OrderId, clock: Clock) -> bool:
    """The item held for `order` still lies there; False when a count has settled it already."""
    return _settle(conn, "cancel", order, 0, clock)


def load(
    conn: sqlite3.Connection,
    aisle: AisleId,
    goods: GoodsId,
    quantity: int,
    clock: Clock,
    *,
    person: str = "",
    command: CommandId | None = None,
) -> int:
    """Put `quantity` items in, or (negative) take them out; returns the fact's number.

    `Refused("not_enough")` when more would be taken out than is available.
    """
    shelf = balance(conn, aisle)
    if shelf.available + quantity < 0:
        raise Refused("not_enough", f"aisle {aisle}: {-quantity} to be taken out, {shelf.available} available")
    _move(conn, "load", aisle, clock, goods=goods, on_hand=quantity, person=person, command=command)
    return outbox.append(
        conn,
        StockLoaded(
            aisle=aisle,
            goods=goods,
            quantity=quantity,
            on_hand=shelf.on_hand + quantity,
            person=person,
            command=command,
        ),
        clock,
    )


def count(
    conn: sqlite3.Connection,
    aisle: AisleId,
    goods: GoodsId,
    counted: int,
    clock: Clock,
    *,
    person: str = "",
    command: CommandId | None = None,
) -> int:
    """A person counted `counted` items; returns the fact's number. `Refused("busy")` while a vend of the aisle runs."""
    shelf = balance(conn, aisle)
    held_for = _held_for(conn, aisle) if shelf.held else []
    if any(state == "open" for _, state in held_for):
        raise Refused("busy", f"aisle {aisle}: a vend is running; count when it has ended")
    for order, _ in held_for:
        _move(conn, "release", aisle, clock, held=-1, order=order, command=command)
    _move(conn, "count", aisle, clock, goods=goods, on_hand=counted - shelf.on_hand, person=person, command=command)
    return outbox.append(
        conn,
        StockCounted(aisle=aisle, goods=goods, counted=counted, expected=shelf.on_hand, person=person, command=command),
        clock,
    )


def fold_problems(conn: sqlite3.Connection) -> list[str]:
    """Aisles whose balance is not the sum of their movements: only damage makes one."""
    return [
        f"stock of aisle {aisle}: the balance is not the sum of its movements"
        for (aisle,) in conn.execute(
            "SELECT aisle FROM (SELECT aisle, on_hand, held FROM balances UNION ALL"
            " SELECT aisle, -sum(on_hand_delta), -sum(held_delta) FROM movements GROUP BY aisle)"
            " GROUP BY aisle HAVING sum(on_hand) <> 0 OR sum(held) <> 0"
        )
    ]


def _held_for(conn: sqlite3.Connection, aisle: AisleId) -> list[tuple[OrderId, str]]:
    """Orders that hold an item of `aisle`, with their states."""
    return conn.execute(
        "SELECT m.order_id, o.state FROM movements m JOIN orders o ON o.id = m.order_id"
        " WHERE m.aisle = ? GROUP BY m.order_id HAVING sum(m.held_delta) > 0",
        (aisle,),
    ).fetchall()


def _settle(conn: sqlite3.Connection, kind: str, order: OrderId, on_hand: int, clock: Clock) -> bool:
    row = conn.execute(
        "SELECT aisle FROM movements WHERE order_id = ? GROUP BY aisle HAVING sum(held_delta) > 0", (order,)
    ).fetchone()
    if row is None:
        return False
    _move(conn, kind, AisleId(row[0]), clock, on_hand=on_hand, held=-1, order=order)
    return True


def _move(
    conn: sqlite3.Connection,
    kind: str,
    aisle: AisleId,
    clock: Clock,
    *,
    goods: GoodsId | None = None,
    on_hand: int = 0,
    held: int = 0,
    order: OrderId | None = None,
    person: str = "",
    command: CommandId | None = None,
) -> None:
    """Write one movement; the balance follows by trigger. Without `goods`, those that lie in the aisle."""
    conn.execute(
        "INSERT INTO movements (aisle, goods, kind, on_hand_delta, held_delta, order_id, person, command, wall_ms)"
        " VALUES (?1, coalesce(?2, (SELECT goods FROM balances WHERE aisle = ?1)), ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (aisle, goods, kind, on_hand, held, order, person, command, clock.wall_ms()),
    )
