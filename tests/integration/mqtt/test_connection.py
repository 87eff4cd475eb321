"""One MQTT connection against real brokers: what it promises, and how it says that it broke."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from shared import mqtt
from shared.mqtt import AccessRefused, Connection, Disconnected, Message, MqttAddress, PublishRefused, SubscribeRefused
from tests.brokers import Broker, amqtt_broker, free_port, mosquitto

ANSWER_S = 10.0

Start = Callable[[Path], AbstractContextManager[Broker]]


@pytest.fixture(params=[mosquitto, amqtt_broker], ids=["mosquitto", "amqtt"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    start: Start = request.param
    with start(tmp_path) as running:
        yield running


@pytest.fixture
def mosquitto_broker(tmp_path: Path) -> Iterator[Broker]:
    with mosquitto(tmp_path) as running:
        yield running


async def receive(link: Connection, count: int, *, ack: bool = True) -> list[Message]:
    """The next `count` messages."""
    got: list[Message] = []
    async with asyncio.timeout(ANSWER_S):
        while len(got) < count:
            batch = await link.next_batch(count - len(got))
            for message in batch if ack else ():
                message.ack()
            got += batch
    return got


async def test_speaks_the_newest_version_that_the_broker_speaks(broker: Broker) -> None:
    async with mqtt.connect(broker.address, client_id="a") as link:
        assert link.version == (5 if broker.name == "mosquitto" else 4)


async def test_published_in_order_arrives_in_order(broker: Broker) -> None:
    async with (
        mqtt.connect(broker.address, client_id="reader", version=4) as reader,
        mqtt.connect(broker.address, client_id="writer", version=4, max_inflight=20) as writer,
    ):
        await reader.subscribe("up/+/fact")
        payloads = [b"%d" % n for n in range(300)]
        acknowledged = [writer.publish_soon("up/m-1/fact", payload) for payload in payloads]
        messages = await receive(reader, 300)
        assert [message.payload for message in messages] == payloads
        assert {message.topic for message in messages} == {"up/m-1/fact"}
        async with asyncio.timeout(ANSWER_S):
            await asyncio.gather(*acknowledged)


async def test_publish_without_any_subscriber_is_a_success(mosquitto_broker: Broker) -> None:
    # MQTT 5 answers it with reason 0x10, which is not a failure.
    async with mqtt.connect(mosquitto_broker.address, client_id="a", version=5) as link:
        await link.publish("nobody/listens", b"x")


@pytest.mark.parametrize("version", [5, 4])
async def test_a_message_without_ack_comes_again(mosquitto_broker: Broker, version: mqtt.MqttVersion) -> None:
    address = mosquitto_broker.address
    async with mqtt.connect(address, client_id="writer") as writer:
        async with mqtt.connect(address, client_id="reader", clean=False, version=version) as reader:
            await reader.subscribe("t")
            await writer.publish("t", b"kept")
            await writer.publish("t", b"done")
            first, second = await receive(reader, 2, ack=False)
            second.ack()
        async with mqtt.connect(address, client_id="reader", clean=False, version=version) as reader:
            (again,) = await receive(reader, 1)
            assert (again.payload, again.duplicate) == (first.payload, True)
            await writer.publish("t", b"next")
            (after,) = await receive(reader, 1)
            assert after.payload == b"next", "what was acknowledged came again"


async def test_ack_after_the_connection_is_gone_does_nothing(mosquitto_broker: Broker) -> None:
    async with mqtt.connect(mosquitto_broker.address, client_id="a") as link:
        await link.subscribe("t")
        await link.publish("t", b"x")
        (message,) = await receive(link, 1, ack=False)
    message.ack()


async def test_a_killed_broker_ends_every_wait_and_a_new_connection_works(broker: Broker) -> None:
    async with mqtt.connect(broker.address, client_id="a", version=4) as link:
        await link.subscribe("t")
        waiting = asyncio.ensure_future(link.next_batch(1))
        await link.publish("other", b"x")
        broker.kill()
        with pytest.raises(Disconnected):
            await asyncio.wait_for(waiting, ANSWER_S)
        with pytest.raises(Disconnected):
            await link.publish("t", b"x")
        with pytest.raises(Disconnected):
            await link.subscribe("t")
    with pytest.raises(Disconnected, match=str(broker.port)):
        async with mqtt.connect(broker.address, client_id="a"):
            pass
    broker.start()
    async with mqtt.connect(broker.address, client_id="a", version=4) as link:
        await link.subscribe("t")
        await link.publish("t", b"back")
        assert (await receive(link, 1))[0].payload == b"back"


async def test_a_publish_in_flight_fails_when_the_broker_dies(tmp_path: Path) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    address = MqttAddress("127.0.0.1", silent.getsockname()[1])
    loop = asyncio.get_running_loop()
    silent.setblocking(False)
    opening = asyncio.ensure_future(_publish_once(address))
    peer, _ = await loop.sock_accept(silent)
    await loop.sock_recv(peer, 1024)
    await loop.sock_sendall(peer, bytes.fromhex("20020000"))  # CONNACK of MQTT 3.1.1: accepted
    await loop.sock_recv(peer, 1024)  # the PUBLISH, never acknowledged
    peer.close()
    silent.close()
    with pytest.raises(Disconnected):
        await asyncio.wait_for(opening, ANSWER_S)


async def _publish_once(address: MqttAddress) -> None:
    async with mqtt.connect(address, client_id="a", version=4) as link:
        await link.publish("t", b"x")


ACCESS = """
acl_file {folder}/acl
"""


async def test_a_denied_publish_is_visible_in_mqtt_5_and_only_there(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("user m-1\ntopic write up/m-1/#\n")
    with mosquitto(tmp_path, config=ACCESS.format(folder=tmp_path)) as broker:
        async with mqtt.connect(broker.address, client_id="m-1", username="m-1") as link:
            await link.publish("up/m-1/fact", b"mine")
            with pytest.raises(PublishRefused, match=r"up/m-2/fact: publish refused: Not authorized"):
                await link.publish("up/m-2/fact", b"not mine")
        async with mqtt.connect(broker.address, client_id="m-1", username="m-1", version=4) as link:
            # This lie of 3.1.1 is why only the watermark counts.
            await link.publish("up/m-2/fact", b"not mine")


async def test_a_refused_subscription_is_an_error() -> None:
    # mosquitto grants every subscription and then delivers nothing, so the refusal comes from bytes of the standard.
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(bytes.fromhex("20020000"))  # CONNACK of MQTT 3.1.1: accepted
        subscribe = await reader.read(1024)
        writer.write(bytes.fromhex("9003") + subscribe[2:4] + b"\x80")  # SUBACK: failure
        await reader.read(-1)
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        address = MqttAddress("127.0.0.1", server.sockets[0].getsockname()[1])
        async with mqtt.connect(address, client_id="a", version=4) as link:
            with pytest.raises(SubscribeRefused, match="dn/m-2/"):
                await link.subscribe("dn/m-2/+")


async def test_wrong_password_is_told_apart_from_a_missing_broker(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "m-1", "right"], check=True)
    passwords.chmod(0o644)
    with mosquitto(tmp_path, config=f"allow_anonymous false\npassword_file {passwords}") as broker:
        with pytest.raises(AccessRefused, match="Not authorized") as refused:
            async with mqtt.connect(broker.address, client_id="m-1", username="m-1", password="wr0ng-secret"):
                pass
        assert "wr0ng-secret" not in str(refused.value)
        async with mqtt.connect(broker.address, client_id="m-1", username="m-1", password="right") as link:
            assert "right" not in repr(link)
    with pytest.raises(Disconnected, match="Connection refused") as missing:
        async with mqtt.connect(MqttAddress("127.0.0.1", free_port()), client_id="m-1"):
            pass
    assert not isinstance(missing.value, AccessRefused)


@pytest.mark.parametrize("version", [5, 4])
async def test_a_second_client_of_the_same_id_kicks_the_first(
    mosquitto_broker: Broker, version: mqtt.MqttVersion
) -> None:
    async with mqtt.connect(mosquitto_broker.address, client_id="twin", version=version) as first:
        waiting = asyncio.ensure_future(first.next_batch(1))
        async with mqtt.connect(mosquitto_broker.address, client_id="twin", version=version):
            with pytest.raises(Disconnected):
                await asyncio.wait_for(waiting, ANSWER_S)


async def test_the_reason_of_a_disconnect_is_told() -> None:
    async def take_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(bytes.fromhex("2003000000e0028e00"))  # CONNACK, then DISCONNECT: session taken over
        await reader.read(-1)
        writer.close()

    async with await asyncio.start_server(take_over, "127.0.0.1", 0) as server:
        address = MqttAddress("127.0.0.1", server.sockets[0].getsockname()[1])
        with pytest.raises(Disconnected, match="Session taken over"):
            async with mqtt.connect(address, client_id="a", version=5) as link:
                await asyncio.wait_for(link.next_batch(1), ANSWER_S)


async def test_the_will_speaks_for_a_dead_client_and_not_for_a_polite_one(broker: Broker) -> None:
    async with mqtt.connect(broker.address, client_id="reader", version=4) as reader:
        await reader.subscribe("up/+/gone")
        async with mqtt.connect(broker.address, client_id="m-1", will=("up/m-1/gone", b"polite"), version=4):
            pass
        with pytest.raises(RuntimeError, match="a bug"):
            async with mqtt.connect(broker.address, client_id="m-2", will=("up/m-2/gone", b"dead"), version=4):
                raise RuntimeError("a bug")
        (will,) = await receive(reader, 1)
        assert (will.topic, will.payload) == ("up/m-2/gone", b"dead")


async def test_retained_messages_are_marked_or_not_sent_at_all(mosquitto_broker: Broker) -> None:
    port = str(mosquitto_broker.port)
    subprocess.run(["mosquitto_pub", "-p", port, "-r", "-q", "1", "-t", "dn/m-1/command", "-m", "old"], check=True)
    async with mqtt.connect(mosquitto_broker.address, client_id="a", version=4) as link:
        await link.subscribe("dn/m-1/+")
        (message,) = await receive(link, 1)
        assert message.retain
    async with mqtt.connect(mosquitto_broker.address, client_id="b", version=5) as link:
        await link.subscribe("dn/m-1/+")
        await link.publish("dn/m-1/offer", b"new")
        (message,) = await receive(link, 1)
        assert (message.payload, message.retain) == (b"new", False)


async def test_the_window_obeys_the_broker_and_the_rest_waits_its_turn(tmp_path: Path) -> None:
    # A broker that promises room for 2 ends the connection at the third unacknowledged publish.
    with mosquitto(tmp_path, config="max_inflight_messages 2") as broker:
        async with mqtt.connect(broker.address, client_id="a", max_inflight=50) as link:
            async with asyncio.timeout(ANSWER_S):
                await asyncio.gather(*[link.publish("t", b"%d" % n) for n in range(200)])


async def test_too_large_for_the_broker_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    with mosquitto(tmp_path, config="max_packet_size 2000") as broker:
        async with mqtt.connect(broker.address, client_id="a") as link:
            with pytest.raises(PublishRefused, match="the broker takes 2000"):
                await link.publish("t", bytes(3000))
            await link.publish("t", bytes(1000))


async def test_a_reader_who_stands_still_stops_the_socket_and_loses_nothing(
    mosquitto_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "RECEIVED_MAX", 50)
    address = mosquitto_broker.address
    async with (
        mqtt.connect(address, client_id="reader", version=4) as reader,
        mqtt.connect(address, client_id="writer") as writer,
    ):
        await reader.subscribe("t", qos=0)
        for n in range(400):
            await writer.publish("t", b"%d" % n, qos=0)
        await writer.publish("other", b"everything before this has reached the broker")
        paused_at = len(await receive(reader, 1)) + len(reader._inbox)
        assert paused_at <= 400
        # A publish of the reader itself still gets its answer: no deadlock.
        async with asyncio.timeout(ANSWER_S):
            await reader.publish("other", b"x")
        rest = await receive(reader, 399)
        assert [message.payload for message in rest] == [b"%d" % n for n in range(1, 400)]


async def test_garbage_instead_of_mqtt_is_a_disconnect(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"\xff\xff\xff\xff\xffHTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        address = MqttAddress("127.0.0.1", server.sockets[0].getsockname()[1])
        with pytest.raises(Disconnected):
            async with mqtt.connect(address, client_id="a"):
                pass


async def test_a_dead_line_is_found_by_the_keepalive(monkeypatch: pytest.MonkeyPatch) -> None:
    async def accept_and_fall_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(bytes.fromhex("20020000"))
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(accept_and_fall_silent, "127.0.0.1", 0)
    async with server:
        address = MqttAddress("127.0.0.1", server.sockets[0].getsockname()[1])
        async with mqtt.connect(address, client_id="a", version=4, keepalive_s=1) as link:
            with pytest.raises(Disconnected):
                await asyncio.wait_for(link.next_batch(1), ANSWER_S)
