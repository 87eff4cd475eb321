"""Short words for the ledger's tests: a clock, a loaded aisle, a sale and its possible ends."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from edge_agent.ledger import stock
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.ledger.journal import AttemptPlan, Sale
from edge_agent.ledger.opening import open_ledger
from shared.clock import ManualClock
from shared.ids import AisleId, GoodsId, MachineId, Nonce, OrderId
from shared.messages import Attempt, FailReason, UnknownReason, VendDelivered, VendFailed, VendUnknown

MACHINE = MachineId("m-7")
COLA = GoodsId("cola")
A1 = AisleId("A1")
A2 = AisleId("A2")
# Small, so that tests on a small tmpfs have room beside it.
SMALL_RESERVE = 256 * 1024


async def open_database(folder: Path, clock: ManualClock, **changes: Any) -> LedgerDatabase:
    """The ledger of `MACHINE` in `folder`."""
    wanted: dict[str, Any] = {"machine": MACHINE, "software": "test 1", "reserve_bytes": SMALL_RESERVE, **changes}
    return await LedgerDatabase.open(folder / "ledger.sqlite", clock=clock, **wanted)


def open_plain(folder: Path, clock: ManualClock) -> sqlite3.Connection:
    """The same file without the thread."""
    folder.mkdir(exist_ok=True)
    return open_ledger(folder / "ledger.sqlite", machine=MACHINE, clock=clock, software="test 1")


def load(conn: sqlite3.Connection, clock: ManualClock, quantity: int = 10) -> None:
    """Put cola into both aisles."""
    for aisle in (A1, A2):
        stock.load(conn, aisle, COLA, quantity, clock)


def sale(order: str = "o1", *, nonce: str | None = None, aisle: AisleId = A1) -> Sale:
    """A can of cola for 3.50, by coin or (with a nonce) for an order of the cloud."""
    return Sale(
        order=OrderId(order),
        aisle=aisle,
        goods=COLA,
        price_fen=350,
        source="order" if nonce else "button",
        means="escrow" if nonce else "coin",
        paid_fen=350,
        config_version=3,
        nonce=Nonce(nonce) if nonce else None,
    )


def plan(aisle: AisleId = A1, *, board: int = 1, motor: int = 4, last_motor: int | None = 9) -> AttemptPlan:
    return AttemptPlan(aisle=aisle, board=board, motor=motor, last_motor_before=last_motor)


def terms(of: Sale) -> dict[str, Any]:
    """What the end of a sale repeats of its beginning."""
    return {
        "order": of.order,
        "aisle": of.aisle,
        "goods": of.goods,
        "price_fen": of.price_fen,
        "source": of.source,
        "means": of.means,
        "paid_fen": of.paid_fen,
        "config_version": of.config_version,
    }


def dropped(txn: int, aisle: AisleId = A1) -> Attempt:
    return Attempt(txn=txn, aisle=aisle, outcome="delivered", result="ok", drop_seen=True, run_time_ms=2100)


def jammed(txn: int, aisle: AisleId = A1) -> Attempt:
    return Attempt(txn=txn, aisle=aisle, outcome="failed", result="over_current", drop_seen=False, max_current_ma=900)


def unseen(txn: int, aisle: AisleId = A1) -> Attempt:
    return Attempt(txn=txn, aisle=aisle, outcome="unknown", result="ok", drop_seen=False)


def delivered(of: Sale, *attempts: Attempt) -> VendDelivered:
    return VendDelivered(**terms(of), txn=attempts[-1].txn, attempts=attempts)


def failed(of: Sale, *attempts: Attempt, reason: FailReason = "jam") -> VendFailed:
    return VendFailed(**terms(of), txn=attempts[-1].txn if attempts else None, attempts=attempts, reason=reason)


def unknown(of: Sale, *attempts: Attempt, reason: UnknownReason = "nothing_seen") -> VendUnknown:
    return VendUnknown(**terms(of), txn=attempts[-1].txn, attempts=attempts, reason=reason)
