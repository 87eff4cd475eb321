"""Runs named operations on a ledger and tells the world what it did: the program that power cuts are recorded of.

    python -m tests.crash.ledger_driver FOLDER MARKS SYNCHRONOUS OPERATION...

MARKS is a file outside of the folder; each line is one promise: `started ORDER TXN` as a start byte would be sent,
`ended ORDER SEQ` as the board would be acknowledged, `opened` and `poured` likewise of a valve, `said SEQ` for any
other fact, `answered COMMAND`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from edge_agent.ledger import config, inbox, journal, locks, outbox, pours, stock
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.pour import upkeep
from shared.clock import ManualClock
from shared.ids import CommandId, OrderId
from shared.messages import CommandAnswered
from tests.ledger.pouring import POUR_INTENT, pour_terms, poured
from tests.ledger.vending import (
    A1,
    A2,
    COLA,
    MACHINE,
    delivered,
    dropped,
    failed,
    jammed,
    plan,
    sale,
    unknown,
    unseen,
)


class Driver:
    """One ledger and what it has promised."""

    def __init__(self, database: LedgerDatabase, clock: ManualClock, marks: int) -> None:
        self.database = database
        self.clock = clock
        self.marks = marks
        self.orders = 0

    def tell(self, line: str) -> None:
        os.write(self.marks, f"{line}\n".encode())

    async def load(self) -> None:
        def change(conn: sqlite3.Connection) -> int:
            stock.load(conn, A1, COLA, 10, self.clock)
            return stock.load(conn, A2, COLA, 10, self.clock)

        self.tell(f"said {await self.database.write(change)}")

    async def begin(self) -> tuple[OrderId, int]:
        self.orders += 1
        order = OrderId(f"o{self.orders}")
        txn = await self.database.write(lambda conn: journal.begin(conn, sale(order), plan(), self.clock))
        self.tell(f"started {order} {txn}")
        return order, txn

    async def end(self, fact: journal.VendEnd) -> None:
        seq = await self.database.write(lambda conn: journal.end(conn, fact, self.clock), outcome=True)
        self.tell(f"ended {fact.order} {seq}")

    async def sell(self) -> None:
        order, txn = await self.begin()
        await self.end(delivered(sale(order), dropped(txn)))

    async def jam(self) -> None:
        order, first = await self.begin()
        twin = plan(A2, motor=5, last_motor=4)
        second = await self.database.write(
            lambda conn: journal.next_attempt(conn, order, jammed(first), twin, self.clock), outcome=True
        )
        self.tell(f"started {order} {second}")
        await self.end(failed(sale(order), jammed(first), jammed(second, A2)))

    async def miss(self) -> None:
        order, txn = await self.begin()
        await self.end(unknown(sale(order), unseen(txn)))

    async def tombstone(self) -> None:
        self.orders += 1
        late = failed(sale(f"o{self.orders}", nonce="n1"), reason="late_grant")
        seq = await self.database.write(lambda conn: journal.tombstone(conn, late, self.clock))
        self.tell(f"ended {late.order} {seq}")

    async def command(self) -> None:
        """A new configuration, with its answer, as one transaction."""
        ask = b'{"type":"apply_config"}'

        def carry_out(conn: sqlite3.Connection) -> int:
            inbox.accept_command(conn, CommandId("c1"), ask, self.clock)
            config.store(conn, 7, b"d" * 10_000, "mac")
            locks.set_lock(conn, A2, True, "by hand", self.clock)
            return inbox.answer(conn, CommandAnswered(command="c1", done=True), self.clock)

        self.tell(f"said {await self.database.write(carry_out)}")
        self.tell("answered c1")

    async def pour(self) -> None:
        """The intent of a pour, and its end with wear and usage as one transaction."""
        self.orders += 1
        terms = pour_terms(f"o{self.orders}")
        txn = await self.database.write(lambda conn: pours.begin(conn, terms, POUR_INTENT, self.clock))
        self.tell(f"opened {terms.order} {txn}")
        fact = poured(txn, terms.order)

        def end(conn: sqlite3.Connection) -> int:
            upkeep.served(conn, terms.plan, fact.poured_ml, 33_000)
            return pours.end(conn, fact, self.clock)

        self.tell(f"poured {terms.order} {await self.database.write(end, outcome=True)}")

    async def watermark(self) -> None:
        where = await self.database.read(outbox.position)
        await self.database.write(lambda conn: outbox.acknowledge(conn, where.next_seq - 1, "cloud-a"))

    async def tidy(self) -> None:
        await self.database.tidy()


async def run(folder: Path, marks: Path, synchronous: str, operations: list[str]) -> None:
    clock = ManualClock()
    handle = os.open(marks, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    async with await LedgerDatabase.open(
        folder / "ledger.sqlite", machine=MACHINE, clock=clock, software="driver", reserve_bytes=4096
    ) as database:
        await database.read(lambda conn: conn.execute(f"PRAGMA synchronous = {synchronous}").fetchall())
        driver = Driver(database, clock, handle)
        for operation in operations:
            step: Callable[[], Awaitable[None]] = getattr(driver, operation)
            await step()
    os.close(handle)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:]))
