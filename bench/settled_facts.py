"""How many ends of vends one ingest worker settles: broker -> one unit of work per batch -> commit -> watermark.

The worker is `python -m cloud ingest`, a process of its own, behind a real mosquitto. The bench publishes the facts of
a fleet as fast as the broker takes them, and stops the clock when the last watermark has arrived at the last machine.
Every fact moves money, stock and its order; afterwards the ledger must balance and nothing may be in quarantine.

The bare parts insert the same facts into one table without any rule, in batches of the same size, each committed.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from sqlalchemy import func, select

from bench.fleet import TENANT, Device, open_fleet, vends_from_app, vends_from_buttons
from bench.machine import mosquitto
from bench.postgres import Postgres, postgres
from bench.row import Aim, Line, Row
from cloud.audit import ledger_drift
from cloud.database import Database
from cloud.ingest.batch import BATCH_MAX
from cloud.ingest.read import Incoming
from cloud.ingest.store import quarantine
from cloud.machines.credentials import Credentials
from cloud.migrations import migrate
from cloud.settings import server_secret
from firmware_sim.demo.processes import Failed, child, python
from shared import mqtt, topics
from shared.envelope import unpack
from shared.ids import MachineId
from shared.messages import Watermark

# The first batches fill caches (statements, plans): a share of the facts is settled before the clock starts.
WARM_UP = 0.2
# Far longer than the slowest engine needs for the largest run.
SETTLED_WITHIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Size:
    """How many machines, and how many vends of each kind they report together."""

    machines: int
    vends: int


async def measure(size: Size) -> list[Line]:
    """App orders and button sales on PostgreSQL, button sales on SQLite."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(postgres())
        from_app, from_buttons = await _rates(server.url, size, with_app=True)
        bare = await _bare_postgres(server, size)
    with TemporaryDirectory(prefix="aisleflow-bench-") as folder:
        (on_sqlite,) = await _rates(f"sqlite+aiosqlite:///{folder}/fleet.db", size, with_app=False)
        bare_sqlite = _bare_sqlite(Path(folder) / "bare.db", size)
    aim = Aim("measured", ">=", 1500)
    note = f"one worker behind mosquitto, {size.machines} machines, fsync on; money, stock and order of every fact"
    return [
        Line("app orders settled, PostgreSQL", from_app, "1/s", bare, "asyncpg inserts", aim, note),
        Line("button sales settled, PostgreSQL", from_buttons, "1/s", bare, "asyncpg inserts", aim),
        Line("button sales settled, SQLite", on_sqlite, "1/s", bare_sqlite, "sqlite3 inserts"),
    ]


async def _rates(url: str, size: Size, *, with_app: bool) -> list[float]:
    """Facts per second of each kind, on the database at `url`."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="aisleflow-bench-")))
        await migrate(url)
        credentials = Credentials(server_secret(folder))
        database = Database.open(url)
        stack.push_async_callback(database.close)
        devices = await open_fleet(database, credentials, size.machines)
        kinds = [await vends_from_app(database, credentials, devices, size.vends)] if with_app else []
        kinds.append(list(vends_from_buttons(devices, size.vends)))
        broker_port = await stack.enter_async_context(mosquitto(folder))
        where = ("--database-url", url, "--data", str(folder), "--broker", f"127.0.0.1:{broker_port}")
        command = python("-m", "cloud", "ingest", *where, "--log-level", "warning")
        worker = await stack.enter_async_context(child("ingest", command, folder))
        await worker.line("AisleFlow cloud: running")
        address = mqtt.MqttAddress("127.0.0.1", broker_port)
        link = await stack.enter_async_context(mqtt.connect(address, client_id="bench", max_inflight=BATCH_MAX))
        await link.subscribe(topics.down(MachineId("+"), "watermark"))
        await _until_heard(link, devices)
        rates = [await _rate(link, facts) for facts in kinds]
        await _check(database)
    return rates


async def _until_heard(link: mqtt.Connection, devices: Sequence[Device]) -> None:
    """Say Hello until it is answered: the worker has subscribed."""
    async with asyncio.timeout(SETTLED_WITHIN_S):
        while True:
            hello = devices[0].hello()
            await link.publish(hello.topic, hello.payload)
            answer = asyncio.ensure_future(link.next_batch(BATCH_MAX))
            await asyncio.wait({answer}, timeout=0.2)
            if answer.done():
                for message in answer.result():
                    message.ack()
                return
            answer.cancel()


async def _rate(link: mqtt.Connection, facts: Sequence[Incoming]) -> float:
    warm = int(len(facts) * WARM_UP)
    await _settle(link, facts[:warm])
    began_s = time.perf_counter()
    await _settle(link, facts[warm:])
    return (len(facts) - warm) / (time.perf_counter() - began_s)


async def _settle(link: mqtt.Connection, facts: Sequence[Incoming]) -> None:
    """Publish `facts`, and return when every machine has heard that its last one is committed."""
    last = {envelope.machine: envelope.seq for envelope in (unpack(fact.payload) for fact in facts)}
    for fact in facts:
        link.publish_soon(fact.topic, fact.payload)
    async with asyncio.timeout(SETTLED_WITHIN_S):
        while last:
            for message in await link.next_batch(BATCH_MAX):
                mark = msgspec.json.decode(message.payload, type=Watermark)
                machine, _ = topics.parse_down(message.topic)
                if mark.applied >= last.get(machine, mark.applied + 1):
                    del last[machine]
                message.ack()


async def _check(database: Database) -> None:
    """A fast worker that settles wrongly is not fast."""
    async with database.look(tenant=TENANT) as work:
        drift_fen = await ledger_drift(work, TENANT)
        condemned = await work.scalar(select(func.count()).select_from(quarantine))
    if drift_fen or condemned:
        raise Failed(f"the ledger is off by {drift_fen} fen, {condemned} facts are in quarantine")


# --- the bare parts ---


def _batches(size: Size) -> Iterator[list[tuple[str, str, int, str, str]]]:
    """The rows of as many facts: machine, epoch, number, hash, body."""
    body = "x" * 400
    rows = [(f"bench-{n % size.machines}", "e1", n, f"{n:064x}", body) for n in range(size.vends)]
    for first in range(0, len(rows), BATCH_MAX):
        yield rows[first : first + BATCH_MAX]


TABLE = """
CREATE TABLE bare_facts
    (machine TEXT, epoch TEXT, seq BIGINT, hash TEXT, body TEXT, PRIMARY KEY (machine, epoch, seq))
"""


async def _bare_postgres(server: Postgres, size: Size) -> float:
    connection = await server.connect()
    try:
        await connection.execute(TABLE)
        insert = (
            "INSERT INTO bare_facts SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[])"
        )
        began_s = time.perf_counter()
        for rows in _batches(size):
            await connection.execute(insert, *(list(column) for column in zip(*rows, strict=True)))
        return size.vends / (time.perf_counter() - began_s)
    finally:
        await connection.close()


def _bare_sqlite(path: Path, size: Size) -> float:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(TABLE)
        began_s = time.perf_counter()
        for rows in _batches(size):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO bare_facts VALUES (?, ?, ?, ?, ?)", rows)
            connection.execute("COMMIT")
        return size.vends / (time.perf_counter() - began_s)


ROW = Row("settle", measure, full=Size(machines=20, vends=3_000), tiny=Size(machines=2, vends=20), minutes=2)
