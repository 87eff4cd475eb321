"""Transactions of the agent's ledger against bare sqlite3 executing the very same statements.

A vend is two transactions: the intent, and the outcome with stock and fact. Their statements and parameters are taken
down in a first run and replayed by sqlite3 alone (WAL, synchronous=FULL, the same schema with its triggers) on a copy
of the same file, on the same disk, in turns with the product.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, cast

from bench.row import Aim, Line, Row
from edge_agent.ledger import journal, stock
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.ledger.journal import AttemptPlan, Sale
from shared.clock import SystemClock
from shared.ids import AisleId, GoodsId, MachineId, OrderId
from shared.messages import Attempt, VendDelivered

AISLES = 60
TURNS = 30

Statement = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Size:
    """How many vends: two transactions each, in `TURNS` turns with the bare parts."""

    vends: int


@dataclass(slots=True)
class Recorder:
    """A connection that takes down what it is asked to execute."""

    conn: sqlite3.Connection
    statements: list[Statement] = field(default_factory=list)

    def execute(self, sql: str, parameters: Iterable[Any] = ()) -> sqlite3.Cursor:
        self.statements.append((sql, tuple(parameters)))
        return self.conn.execute(sql, self.statements[-1][1])


async def measure(size: Size) -> list[Line]:
    """Take the statements down, then let product and bare sqlite3 do the same work in turns."""
    with TemporaryDirectory(prefix="aisleflow-bench-") as name:
        folder = Path(name)
        async with await _open(folder / "first") as first:
            await first.write(_fill)
        for copy in ("recorded", "product", "bare"):
            shutil.copytree(folder / "first", folder / copy)
        script = await _record(folder / "recorded", size.vends)
        product, bare = await _in_turns(folder, script, size.vends)
    transactions = len(script) // TURNS
    rates = [transactions / took_s for took_s in product]
    limits = [transactions / took_s for took_s in bare]
    return [
        Line(
            "ledger transactions",
            median(rates),
            "1/s",
            median(limits),
            "bare sqlite3, same statements",
            Aim("ratio", ">=", 0.6),
            f"intent + outcome, FULL sync on disk, SQLite {sqlite3.sqlite_version}",
        )
    ]


async def _open(folder: Path) -> LedgerDatabase:
    return await LedgerDatabase.open(
        folder / "ledger.sqlite",
        machine=MachineId("bench-1"),
        clock=SystemClock(),
        software="bench",
        reserve_bytes=1_000_000,
    )


def _fill(conn: sqlite3.Connection) -> None:
    """So many items that no aisle becomes empty."""
    clock = SystemClock()
    for number in range(AISLES):
        stock.load(conn, _aisle(number), _goods(number), 100_000, clock)


def _aisle(number: int) -> AisleId:
    return AisleId(f"1-{number % AISLES:02d}")


def _goods(number: int) -> GoodsId:
    return GoodsId(f"goods-{number % AISLES:02d}")


def _begin(conn: sqlite3.Connection, clock: SystemClock, number: int) -> int:
    sale = Sale(
        order=OrderId(f"order-{number}"),
        aisle=_aisle(number),
        goods=_goods(number),
        price_fen=350,
        source="button",
        means="coin",
        paid_fen=350,
        config_version=1,
    )
    plan = AttemptPlan(aisle=sale.aisle, board=1, motor=number % AISLES, last_motor_before=(number - 1) % AISLES)
    return journal.begin(conn, sale, plan, clock)


def _end(conn: sqlite3.Connection, clock: SystemClock, number: int, txn: int) -> None:
    attempt = Attempt(
        txn=txn,
        aisle=_aisle(number),
        outcome="delivered",
        result="ok",
        drop_seen=True,
        max_current_ma=600,
        avg_current_ma=300,
        run_time_ms=3000,
    )
    fact = VendDelivered(
        order=f"order-{number}",
        aisle=_aisle(number),
        goods=_goods(number),
        price_fen=350,
        source="button",
        means="coin",
        paid_fen=350,
        txn=txn,
        config_version=1,
        attempts=(attempt,),
    )
    journal.end(conn, fact, clock)


async def _record(folder: Path, vends: int) -> list[list[Statement]]:
    """The statements of every transaction, in order."""
    clock = SystemClock()
    script: list[list[Statement]] = []

    def take_down(conn: sqlite3.Connection, number: int) -> None:
        # The ledger's modules use nothing of a connection but `execute`.
        intent, outcome = Recorder(conn), Recorder(conn)
        txn = _begin(cast("sqlite3.Connection", intent), clock, number)
        _end(cast("sqlite3.Connection", outcome), clock, number, txn)
        script.extend((intent.statements, outcome.statements))

    async with await _open(folder) as ledger:
        for number in range(vends):
            await ledger.write(partial(take_down, number=number))
    return script


async def _in_turns(folder: Path, script: list[list[Statement]], vends: int) -> tuple[list[float], list[float]]:
    """Seconds of every turn, of the product and of the bare parts."""
    product, bare = [], []
    clock = SystemClock()
    share = vends // TURNS
    with closing(
        sqlite3.connect(folder / "bare" / "ledger.sqlite", isolation_level=None, cached_statements=256)
    ) as conn:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            conn.execute(f"PRAGMA {pragma}")
        async with await _open(folder / "product") as ledger:
            for turn in range(TURNS):
                began_s = time.perf_counter()
                for number in range(turn * share, (turn + 1) * share):
                    txn = await ledger.write(partial(_begin, clock=clock, number=number))
                    await ledger.write(partial(_end, clock=clock, number=number, txn=txn), outcome=True)
                product.append(time.perf_counter() - began_s)
                began_s = time.perf_counter()
                _replay(conn, script[turn * 2 * share : (turn + 1) * 2 * share])
                bare.append(time.perf_counter() - began_s)
    return product, bare


def _replay(conn: sqlite3.Connection, transactions: list[list[Statement]]) -> None:
    for statements in transactions:
        conn.execute("BEGIN IMMEDIATE")
        for sql, parameters in statements:
            conn.execute(sql, parameters).fetchall()
        conn.execute("COMMIT")


ROW = Row("ledger", measure, full=Size(vends=3_000), tiny=Size(vends=TURNS), minutes=1)
