"""What machines are to be told: written inside a Work, said after its commit, repeated until heard or too late.

A line waits in a table until somebody withdraws it (the order was claimed, the command answered) or its time is over.
A worker leases the lines that are due, commits the lease, and then publishes. A crash between the two delays a line by
one repetition; two workers at once, or a lease that runs out, say it twice. Both are harmless, because a machine takes
an order and a command once. Nothing is ever retained by the broker.

The table is the truth and is polled; `wake` only shortens the wait of a worker in the same process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text, and_, select

from cloud.database import Database, Work, metadata, one_of, tenant_column
from shared.ids import MachineId
from shared.mqtt import PublishRefused
from shared.topics import DownChannel, down

log = logging.getLogger("cloud.downlink")

downlink = Table(
    "downlink",
    metadata,
    tenant_column(),
    # The order or command that it is about; one thing is said of it at a time.
    Column("reference", Text, primary_key=True),
    Column("machine", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("next_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("told", BigInteger, nullable=False),
    Index("ix_downlink_due", "next_ms"),
    Index("ix_downlink_machine", "tenant", "machine"),
)

# Offers are repeated at this pace: a machine that was busy or reconnecting hears the next one in time.
OFFER_EVERY_MS = 5_000
# Commands start at the same pace and slow down to this: an offline machine costs 12 publishes an hour.
COMMAND_EVERY_MAX_MS = 300_000
# A command has no natural end; after this it is no longer what the operator meant.
COMMAND_KEPT_MS = 30 * 24 * 3_600_000

# Lines of one lease: they are published within a second even by a slow broker.
LEASE_MAX = 200
# How often the table is asked when nobody wakes the worker: other processes write into it, too.
POLL_MS = 500


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message for one machine, ready to publish."""

    machine: MachineId
    channel: DownChannel
    payload: bytes

    @property
    def topic(self) -> str:
        return down(self.machine, self.channel)


class Publisher(Protocol):
    """Whoever can send: the MQTT connection, or a list in a test."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand one message to the broker, never retained; returns when the broker has it."""


# Workers of this process that want to know about new lines.
_wakers: set[Callable[[], None]] = set()


async def enqueue(
    work: Work, tenant: str, machine: str, channel: DownChannel, reference: str, payload: bytes, until_ms: int
) -> None:
    """Say `payload` to `machine` as soon as the work is committed, and again until withdrawn or `until_ms`."""
    await enqueue_all(work, tenant, channel, [(machine, reference, payload)], until_ms)


async def enqueue_all(
    work: Work, tenant: str, channel: DownChannel, lines: Iterable[tuple[str, str, bytes]], until_ms: int
) -> None:
    """As `enqueue`, for many (machine, reference, payload)."""
    rows = [
        {
            "tenant": tenant,
            "reference": reference,
            "machine": machine,
            "channel": channel,
            "payload": payload,
            "next_ms": work.now_ms,
            "until_ms": until_ms,
            "told": 0,
        }
        for machine, reference, payload in lines
    ]
    await work.insert(downlink, rows)
    work.after_commit(wake)


async def withdraw(work: Work, tenant: str, references: Sequence[str]) -> None:
    """Stop saying what was enqueued under `references`; unknown ones are fine."""
    for some in one_of(work, downlink.c.reference, references):
        await work.execute(downlink.delete().where(and_(downlink.c.tenant == tenant, some)))


async def hasten(work: Work, tenant: str, machine: str) -> None:
    """The machine has just come online: say everything that waits for it now."""
    waiting = and_(downlink.c.tenant == tenant, downlink.c.machine == machine)
    await work.execute(downlink.update().where(waiting).values(next_ms=work.now_ms, told=0))
    work.after_commit(wake)


def wake() -> None:
    """Tell the workers of this process that lines are due."""
    for waker in tuple(_wakers):
        waker()


async def lease(work: Work) -> list[Outgoing]:
    """Take the lines that are due and put off their next repetition; lines whose time is over are dropped."""
    await work.execute(downlink.delete().where(downlink.c.until_ms <= work.now_ms))
    due = select(downlink).where(downlink.c.next_ms <= work.now_ms).order_by(downlink.c.next_ms).limit(LEASE_MAX)
    rows = await work.rows(due.with_for_update(skip_locked=True))
    for row in rows:
        line = and_(downlink.c.tenant == row.tenant, downlink.c.reference == row.reference)
        pause = repeat_after_ms(row.channel, row.told)
        await work.execute(downlink.update().where(line).values(next_ms=work.now_ms + pause, told=row.told + 1))
    return [Outgoing(MachineId(row.machine), row.channel, row.payload) for row in rows]


def repeat_after_ms(channel: DownChannel, told: int) -> int:
    """How long to wait before the next repetition, after `told` earlier ones."""
    if channel == "offer":
        return OFFER_EVERY_MS
    return min(OFFER_EVERY_MS << min(told, 10), COMMAND_EVERY_MAX_MS)


async def send_due(database: Database, publisher: Publisher) -> int:
    """Publish what is due, once; answers how many lines there were. A refused one is tried again in its turn."""
    outgoing = await database.transact(lease)
    for message in outgoing:
        try:
            await publisher.publish(message.topic, message.payload)
        except PublishRefused as error:
            log.warning("downlink: %s", error)
    return len(outgoing)


async def run(database: Database, publisher: Publisher) -> None:
    """Publish what is due until cancelled; raises what the database or the publisher raises."""
    woken = asyncio.Event()
    _wakers.add(woken.set)
    try:
        while True:
            woken.clear()
            while await send_due(database, publisher) == LEASE_MAX:
                pass
            try:
                async with asyncio.timeout(POLL_MS / 1000):
                    await woken.wait()
            except TimeoutError:
                continue
    finally:
        _wakers.discard(woken.set)
