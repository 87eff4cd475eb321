"""From the broker to committed: take what has arrived, commit it, tell the machines, and only then acknowledge.

There is no timer. A batch is what came in while the previous one was committed, so an idle system answers at once and
a loaded one forms larger batches by itself. Several workers share the machines on an MQTT 5 broker (a shared
subscription); a machine's facts may then be spread over workers, so the stream's row is locked, and a fact that comes
before its forerunner waits in a table for whoever brings that one. A 3.1.1 broker feeds one worker.

When this process dies after the commit, the broker delivers again, the numbers are known, and nothing happens twice.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Sequence

from cloud.database import Database
from cloud.downlink import Outgoing
from cloud.ingest.batch import BATCH_MAX, ingest_batch
from cloud.ingest.read import Incoming
from cloud.machines.credentials import Credentials
from shared import mqtt
from shared.topics import ALL_UP

log = logging.getLogger("cloud.ingest")

SHARED = f"$share/ingest/{ALL_UP}"

# Messages that the broker may have on their way to us: two full batches, one in work and one arriving.
IN_FLIGHT_MAX = 2 * BATCH_MAX


def worker_name(role: str) -> str:
    """A client id that is this process's own. It holds dots, which no machine id can, so none is ever a machine's."""
    return f"cloud.{role}.{socket.gethostname()[:20]}.{os.getpid()}"


async def run(
    database: Database,
    credentials: Credentials,
    address: mqtt.MqttAddress,
    *,
    username: str | None = None,
    password: str | None = None,
) -> None:
    """Ingest until cancelled; raises `Disconnected`, or what the database raises when it is away."""
    async with mqtt.connect(
        address,
        client_id=worker_name("ingest"),
        username=username,
        password=password,
        max_inflight=IN_FLIGHT_MAX,
    ) as link:
        await link.subscribe(SHARED if link.version == 5 else ALL_UP)
        log.info("ingest: listening at %s", address)
        while True:
            await take_batch(database, credentials, link)


async def take_batch(database: Database, credentials: Credentials, link: mqtt.Connection) -> int:
    """Wait for messages, commit what has arrived, tell, acknowledge; answers how many there were."""
    messages = await link.next_batch(BATCH_MAX)
    outgoing = await ingest_batch(
        database, credentials, [Incoming(message.topic, message.payload) for message in messages]
    )
    await _tell(link, outgoing)
    for message in messages:
        message.ack()
    return len(messages)


async def _tell(link: mqtt.Connection, outgoing: Sequence[Outgoing]) -> None:
    """Publish side by side. What the broker refuses is lost, and the machine's next word brings it up again."""
    sent = [link.publish_soon(message.topic, message.payload) for message in outgoing]
    for message, result in zip(outgoing, await asyncio.gather(*sent, return_exceptions=True), strict=True):
        if isinstance(result, mqtt.PublishRefused):
            log.warning("%s: %s", message.topic, result)
        elif isinstance(result, BaseException):
            raise result
