"""Ingest and downlink over real brokers: committed before acknowledged, and told after the commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from cloud import downlink
from cloud.database import Database
from cloud.ingest import subscriber
from cloud.ingest.batch import ingest_batch
from cloud.ingest.read import Incoming
from shared import mqtt
from shared.ids import MalformedId, parse_machine_id
from shared.messages import Grant, Offer, Watermark, decode_grant
from shared.topics import all_down
from tests.brokers import Broker, amqtt_broker, mosquitto
from tests.cloud.fleet import CREDENTIALS, Device, drift, open_shop, place_order, pressed
from tests.cloud.ingest.test_streams import on_hand

# Real sockets and real commits; generous, because the computer may be busy.
DEADLINE_S = 30.0


@pytest.fixture(params=[mosquitto, amqtt_broker], ids=["mosquitto", "amqtt"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    with request.param(tmp_path) as running:
        yield running


@asynccontextmanager
async def cloud(database: Database, broker: Broker) -> AsyncIterator[None]:
    """Ingest and downlink, running until the block ends."""

    async def speak() -> None:
        async with mqtt.connect(broker.address, client_id="downlink-test") as link:
            await downlink.run(database, link)

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(subscriber.run(database, CREDENTIALS, broker.address)),
            group.create_task(speak()),
        ]
        yield
        for task in tasks:
            task.cancel()


async def say_until(
    link: mqtt.Connection, device: Device, said: Callable[[], list[object]], heard: Callable[[mqtt.Message], bool]
) -> None:
    """Publish, and again every second as a machine would, until a message comes that `heard` takes."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            for message in said():
                await link.publish(message.topic, message.payload)  # type: ignore[attr-defined]
            try:
                async with asyncio.timeout(1.0):
                    async for message in link.messages():
                        message.ack()
                        if heard(message):
                            return
            except TimeoutError:
                continue


def applied_up_to(seq: int) -> Callable[[mqtt.Message], bool]:
    def heard(message: mqtt.Message) -> bool:
        return (
            message.topic.endswith("/watermark") and msgspec.json.decode(message.payload, type=Watermark).applied >= seq
        )

    return heard


async def test_a_sale_from_offer_to_watermark(database: Database, broker: Broker) -> None:
    device = await open_shop(database)
    async with (
        cloud(database, broker),
        mqtt.connect(broker.address, client_id="m1") as link,
    ):
        await link.subscribe(all_down("m1"))  # type: ignore[arg-type]
        await say_until(link, device, lambda: [device.hello()], applied_up_to(2))
        order = await place_order(database)

        def is_offer(message: mqtt.Message) -> bool:
            assert not message.retain
            return message.topic.endswith("/offer") and msgspec.json.decode(message.payload, type=Offer).order == order

        def is_grant(message: mqtt.Message) -> bool:
            return message.topic.endswith("/grant") and isinstance(decode_grant(message.payload), Grant)

        await say_until(link, device, list, is_offer)
        await say_until(link, device, lambda: [device.claim(order)], is_grant)
        sales = [device.fact(pressed(f"b{n}")) for n in range(5)]
        await say_until(link, device, lambda: list(sales), applied_up_to(device.seq))
    assert await on_hand(database) == 5
    assert await drift(database) == 0


async def test_a_worker_that_dies_between_commit_and_watermark_is_made_up_for(
    on_postgres: Database, tmp_path: Path
) -> None:
    device = await open_shop(on_postgres, stock=100)
    sales = [device.fact(pressed(f"b{n}")) for n in range(20)]
    with mosquitto(tmp_path) as broker:
        async with mqtt.connect(broker.address, client_id="m1") as link:
            await link.subscribe(all_down("m1"))  # type: ignore[arg-type]
            committed = 0
            async with mqtt.connect(broker.address, client_id="ingest-doomed") as doomed:
                await doomed.subscribe(subscriber.SHARED)
                for sale in sales:
                    await link.publish(sale.topic, sale.payload)
                while committed < len(sales):
                    messages = await doomed.next_batch(100)
                    await ingest_batch(on_postgres, CREDENTIALS, [Incoming(m.topic, m.payload) for m in messages])
                    committed += len(messages)  # and now it is gone: nothing told, nothing acknowledged
            assert await on_hand(on_postgres) == 80
            async with cloud(on_postgres, broker):
                await say_until(link, device, lambda: list(sales), applied_up_to(device.seq))
    assert await on_hand(on_postgres) == 80
    assert await drift(on_postgres) == 0


async def test_two_workers_share_the_machines_of_an_mqtt_5_broker(on_postgres: Database, tmp_path: Path) -> None:
    device = await open_shop(on_postgres, stock=300)
    sales = [device.fact(pressed(f"b{n}")) for n in range(200)]
    with mosquitto(tmp_path) as broker:
        async with mqtt.connect(broker.address, client_id="m1") as link:
            await link.subscribe(all_down("m1"))  # type: ignore[arg-type]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_worker(on_postgres, broker, f"ingest-{n}")) for n in range(2)]
                await say_until(link, device, lambda: list(sales), applied_up_to(device.seq))
                for task in tasks:
                    task.cancel()
    assert await on_hand(on_postgres) == 100
    assert await drift(on_postgres) == 0


async def _worker(database: Database, broker: Broker, client_id: str) -> None:
    async with mqtt.connect(broker.address, client_id=client_id) as link:
        await link.subscribe(subscriber.SHARED)
        while True:
            await subscriber.take_batch(database, CREDENTIALS, link)


def test_a_worker_can_never_be_taken_for_a_machine() -> None:
    """A broker ends an older session of the same client id: no machine may be able to choose a worker's."""
    with pytest.raises(MalformedId):
        parse_machine_id(subscriber.worker_name("ingest"))
