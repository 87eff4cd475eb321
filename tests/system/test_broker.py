"""The shipped broker configuration keeps machines apart. Judged by what is delivered, never by what is answered:
mosquitto grants a subscription to '#' and then delivers nothing, and answers a denied 3.1.1 publish with success."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from msgspec import Raw

from shared import topics
from shared.ids import MachineId
from shared.messages import ApplyConfig, Command, encode
from shared.mqtt import PACKET_BYTES_MAX
from tests.system.shipped_broker import DEADLINE_S, SHIPPED, Broker, Visitor, make_certificates, running

ALPHA, BRAVO = MachineId("alpha"), MachineId("bravo")
FOREIGN = [
    topics.up(BRAVO, "fact"),
    topics.up(BRAVO, "hello"),
    topics.up(BRAVO, "gone"),
    topics.down(BRAVO, "grant"),
    topics.down(BRAVO, "command"),
    topics.down(ALPHA, "command"),
    "elsewhere",
    "$SYS/broker/uptime",
]
WIDE = ["#", "+/#", "up/#", "dn/#", "dn/+/offer", topics.all_down(BRAVO), "$SYS/#", "$share/thieves/#"]
VERSIONS = pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5], ids=["3.1.1", "5"])

# More than any bound that mosquitto has by default (1,000 queued, 20 in flight).
BURST = 3_000

Enter = Callable[..., Visitor]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture
def enter(broker: Broker) -> Iterator[Enter]:
    """Connect a visitor at the door where its login belongs; all visitors leave at the end."""
    inside: list[Visitor] = []

    def _enter(login: str | None, *, port: int = 0, **options: object) -> Visitor:
        own_door = broker.cloud_port if login == "cloud" else broker.machines_port
        if login == "cloud":
            options.setdefault("client_id", f"cloud.{len(inside)}")
        visitor = Visitor(port or own_door, login, ca=broker.ca, **options)  # type: ignore[arg-type]
        inside.append(visitor)
        return visitor

    yield _enter
    for visitor in inside:
        visitor.leave()


@VERSIONS
def test_a_machine_and_the_cloud_reach_each_other(enter: Enter, version: int) -> None:
    cloud = enter("cloud", version=version).welcomed().subscribe(topics.ALL_UP)
    alpha = enter("alpha", version=version).welcomed().subscribe(topics.all_down(ALPHA))
    alpha.publish(topics.up(ALPHA, "fact"), b"a fact")
    cloud.publish(topics.down(ALPHA, "offer"), b"an offer")
    assert cloud.take(1) == [b"a fact"]
    assert alpha.take(1) == [b"an offer"]


@VERSIONS
def test_a_machine_cannot_speak_on_foreign_topics(enter: Enter, version: int) -> None:
    cloud = enter("cloud").welcomed().subscribe("#").subscribe(topics.ALL_UP)
    bravo = enter("bravo").welcomed().subscribe("#").subscribe(topics.all_down(BRAVO))
    alpha = enter("alpha", version=version).welcomed().subscribe("#")
    for topic in FOREIGN:
        alpha.publish(topic, b"forged")
    alpha.publish(topics.up(ALPHA, "hello"), b"marker")
    assert cloud.delivered_until(b"marker") == []
    cloud.publish(topics.down(BRAVO, "offer"), b"marker")
    assert bravo.delivered_until(b"marker") == []


@VERSIONS
def test_a_machine_cannot_hear_foreign_topics(enter: Enter, version: int) -> None:
    alpha = enter("alpha", version=version).welcomed()
    for wide in WIDE:
        if version == paho.MQTTv5 or not wide.startswith("$share"):
            alpha.subscribe(wide)
    bravo = enter("bravo").welcomed()
    cloud = enter("cloud").welcomed()
    for channel in ("hello", "fact", "claim"):
        bravo.publish(f"up/{BRAVO}/{channel}", b"private")
    for channel in ("offer", "grant", "command"):
        cloud.publish(f"dn/{BRAVO}/{channel}", b"private")
    cloud.publish(topics.down(ALPHA, "offer"), b"marker")
    assert alpha.delivered_until(b"marker") == []


@pytest.mark.parametrize("topic", FOREIGN[:5])
def test_a_foreign_will_is_never_spoken(enter: Enter, topic: str) -> None:
    cloud = enter("cloud").welcomed().subscribe(topics.ALL_UP)
    bravo = enter("bravo").welcomed().subscribe(topics.all_down(BRAVO))
    dying = enter("alpha", will=topic)
    if dying.answer() == "Success":
        dying.vanish()
    # The same login again: whatever was left of the first session has ended before this one begins.
    enter("alpha").welcomed().publish(topics.up(ALPHA, "hello"), b"marker")
    assert cloud.delivered_until(b"marker") == []
    cloud.publish(topics.down(BRAVO, "offer"), b"marker")
    assert bravo.delivered_until(b"marker") == []


def test_a_machines_own_will_is_spoken(enter: Enter) -> None:
    cloud = enter("cloud").welcomed().subscribe(topics.ALL_UP)
    enter("alpha", will=topics.up(ALPHA, "gone")).welcomed().vanish()
    assert cloud.take(1) == [b"will"]


@VERSIONS
def test_nothing_is_retained(enter: Enter, version: int) -> None:
    for login, topic in (("alpha", topics.up(ALPHA, "hello")), ("cloud", topics.down(ALPHA, "command"))):
        # The broker may end the connection over this; what counts is what a later visitor hears.
        enter(login, version=version, client_id="cloud.retainer").welcomed().send(topic, b"kept", retain=True)
    cloud = enter("cloud").welcomed().subscribe(topics.ALL_UP)
    alpha = enter("alpha").welcomed().subscribe(topics.all_down(ALPHA))
    cloud.publish(topics.down(ALPHA, "offer"), b"marker")
    assert alpha.delivered_until(b"marker") == []
    alpha.publish(topics.up(ALPHA, "hello"), b"marker")
    assert cloud.delivered_until(b"marker") == []


@VERSIONS
def test_a_neighbours_client_id_is_worth_nothing(enter: Enter, version: int) -> None:
    alpha = enter("alpha", version=version).welcomed().subscribe(topics.all_down(ALPHA))
    enter("bravo", client_id="alpha", version=version).welcomed().publish(topics.up(BRAVO, "hello"))
    enter("cloud").welcomed().publish(topics.down(ALPHA, "offer"), b"still mine")
    assert alpha.take(1) == [b"still mine"]
    assert alpha.still_connected()


def test_many_cloud_workers_share_one_login(enter: Enter) -> None:
    workers = [enter("cloud", client_id=f"cloud.ingest.{n}").welcomed().subscribe(topics.ALL_UP) for n in range(3)]
    enter("alpha").welcomed().publish(topics.up(ALPHA, "hello"), b"marker")
    assert [worker.delivered_until(b"marker") for worker in workers] == [[], [], []]


def test_the_cloud_cannot_pretend_to_be_a_machine(enter: Enter) -> None:
    observer = enter("cloud").welcomed().subscribe(topics.ALL_UP)
    enter("cloud", client_id="cloud.liar").welcomed().publish(topics.up(ALPHA, "fact"), b"forged")
    enter("alpha").welcomed().publish(topics.up(ALPHA, "hello"), b"marker")
    assert observer.delivered_until(b"marker") == []


@VERSIONS
def test_a_login_opens_only_its_own_door(broker: Broker, enter: Enter, version: int) -> None:
    assert enter("alpha", port=broker.cloud_port, version=version).answer() == "Not authorized"
    assert enter("cloud", port=broker.machines_port, version=version).answer() == "Not authorized"


@VERSIONS
def test_nobody_enters_without_a_credential(broker: Broker, enter: Enter, version: int) -> None:
    for port in (broker.machines_port, broker.cloud_port):
        assert enter(None, port=port, client_id="alpha", version=version).answer() == "Not authorized"


def test_plaintext_is_refused(broker: Broker) -> None:
    connect = bytes.fromhex("101100044d5154540402003c0005616c706861")  # a well-formed MQTT 3.1.1 CONNECT
    for port in (broker.machines_port, broker.cloud_port):
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as plain:
            plain.sendall(connect)
            received = b""
            try:
                while chunk := plain.recv(64):
                    received += chunk
            except ConnectionResetError:
                pass
            assert received[:1] != b"\x20", "the broker answered a CONNECT in plain text"


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_tls_is_refused(broker: Broker, version: str) -> None:
    for port in (broker.machines_port, broker.cloud_port):
        old = [version, "-cipher", "ALL:@SECLEVEL=0"]
        assert not handshake(port, broker.ca, *old), f"{version} was accepted"
        assert handshake(port, broker.ca, "-tls1_2")


def handshake(port: int, ca: Path, *options: str) -> bool:
    """True when openssl agrees on TLS with the broker under `options`."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(ca), *options]
    finished = subprocess.run(command, input=b"", capture_output=True, timeout=DEADLINE_S, check=False)
    return finished.returncode == 0


def verify(port: int, ca: Path, name: str = "localhost") -> None:
    """Shake hands as a machine does; `ssl.SSLCertVerificationError` when the broker does not prove who it is."""
    context = ssl.create_default_context(cafile=str(ca))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as plain,
        context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False) as secure,
    ):
        secure.do_handshake()


def test_the_brokers_certificate_proves_its_names(broker: Broker) -> None:
    verify(broker.machines_port, broker.ca, "localhost")
    verify(broker.cloud_port, broker.ca, "127.0.0.1")


def test_a_broker_with_another_ca_is_refused(broker: Broker, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        verify(broker.machines_port, tmp_path / "ca.crt")


def test_a_broker_under_another_name_is_refused(broker: Broker) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"127\.0\.0\.2"):
        verify(broker.machines_port, broker.ca, "127.0.0.2")


def test_an_expired_broker_certificate_is_refused(tmp_path: Path) -> None:
    with running(tmp_path, server_days=-1) as expired, pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        verify(expired.machines_port, expired.ca)


@VERSIONS
def test_an_oversized_packet_ends_the_connection_and_arrives_nowhere(enter: Enter, version: int) -> None:
    cloud = enter("cloud").welcomed().subscribe(topics.ALL_UP)
    alpha = enter("alpha", version=version).welcomed()
    alpha.send(topics.up(ALPHA, "fact"), bytes(PACKET_BYTES_MAX))
    alpha.dropped()
    enter("alpha").welcomed().publish(topics.up(ALPHA, "hello"), b"marker")
    assert cloud.delivered_until(b"marker") == []


def test_the_broker_carries_what_our_clients_take() -> None:
    shipped = (SHIPPED / "aisleflow.conf").read_text(encoding="utf-8")
    assert f"\nmax_packet_size {PACKET_BYTES_MAX}\n" in shipped


def test_the_largest_configuration_passes(enter: Enter) -> None:
    """400 aisles, each with names as long as people give them, in the signed command that carries them."""
    aisles = [
        {"aisle": f"aisle-{n}", "board": n // 100 + 1, "motor": n % 100, "goods": f"goods-{n}", "price_fen": 99_900}
        | {"capacity": 10, "name": "农夫山泉天然矿泉水五百五十毫升瓶装特惠装"}
        for n in range(400)
    ]
    document = json.dumps({"machine": ALPHA, "version": 1, "aisles": aisles}, ensure_ascii=False)
    ask = ApplyConfig(version=1, document=document, mac="0" * 64)
    command = encode(Command(command="c1", ask=Raw(encode(ask)), mac="0" * 64))
    alpha = enter("alpha").welcomed().subscribe(topics.all_down(ALPHA))
    enter("cloud").welcomed().publish(topics.down(ALPHA, "command"), command)
    assert alpha.take(1) == [command]


def test_a_burst_for_an_absent_reader_is_kept(enter: Enter) -> None:
    reader = enter("cloud", client_id="cloud.ingest", session_s=3600).welcomed().subscribe(topics.ALL_UP)
    reader.leave()
    alpha = enter("alpha").welcomed()
    for number in range(BURST):
        alpha.send(topics.up(ALPHA, "fact"), b"%d" % number)
    for _ in range(BURST):
        alpha.published()
    back = enter("cloud", client_id="cloud.ingest", session_s=3600).welcomed()
    assert back.take(BURST) == [b"%d" % number for number in range(BURST)]
    back.end_session()


def test_a_revoked_machine_is_cut_off_and_stays_out(tmp_path: Path) -> None:
    with running(tmp_path) as broker:
        alpha = Visitor(broker.machines_port, "alpha", ca=broker.ca).welcomed()
        bravo = Visitor(broker.machines_port, "bravo", ca=broker.ca).welcomed().subscribe(topics.all_down(BRAVO))
        broker.write_machines("bravo")
        broker.reload()
        alpha.dropped()
        again = Visitor(broker.machines_port, "alpha", ca=broker.ca)
        assert again.answer() == "Not authorized"
        cloud = Visitor(broker.cloud_port, "cloud", ca=broker.ca, client_id="cloud.1").welcomed()
        cloud.publish(topics.down(BRAVO, "offer"), b"still here")
        assert bravo.take(1) == [b"still here"]
        assert bravo.still_connected()
        for visitor in (alpha, again, bravo, cloud):
            visitor.leave()
