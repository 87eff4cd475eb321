"""The shipped broker configuration, run as it is: only paths and ports are replaced, nothing is switched off."""

from __future__ import annotations

import os
import queue
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "mosquitto"

# Loopback answers in milliseconds; this only bounds a test that has already failed.
DEADLINE_S = 15.0

PASSWORDS = {"alpha": "password-of-alpha", "bravo": "password-of-bravo", "cloud": "password-of-cloud"}


@dataclass(frozen=True)
class Broker:
    """A running mosquitto with the shipped configuration."""

    folder: Path
    machines_port: int
    cloud_port: int
    process: subprocess.Popen[bytes]

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    def write_machines(self, *names: str) -> None:
        """Replace the machines' password file, as the cloud does after a claim or a revocation."""
        write_passwords(self.folder / "machines.passwd", *names)

    def reload(self) -> None:
        """What `systemctl reload mosquitto` sends."""
        self.process.send_signal(signal.SIGHUP)


@contextmanager
def running(folder: Path, *, server_days: int = 825) -> Iterator[Broker]:
    """Start the broker with a fresh CA in `folder`; `server_days` -1 gives it a certificate that ended yesterday."""
    make_certificates(folder, days=server_days)
    write_passwords(folder / "machines.passwd", "alpha", "bravo")
    write_passwords(folder / "cloud.passwd", "cloud")
    machines_port, cloud_port = free_port(), free_port()
    configuration = folder / "aisleflow.conf"
    configuration.write_text(substituted(folder, machines_port, cloud_port), encoding="utf-8")
    log = folder / "mosquitto.log"
    with log.open("wb") as sink:
        environment = {**with_sbin(), "OPENSSL_CONF": str(permissive_openssl(folder))}
        process = subprocess.Popen(["mosquitto", "-c", str(configuration)], stderr=sink, env=environment)
    try:
        for port in (machines_port, cloud_port):
            wait_until_listening(process, port, log)
        yield Broker(folder, machines_port, cloud_port, process)
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def substituted(folder: Path, machines_port: int, cloud_port: int) -> str:
    """The shipped text with this test's paths and ports; the replaced strings must be there."""
    text = (SHIPPED / "aisleflow.conf").read_text(encoding="utf-8")
    for old, new in (
        ("/etc/mosquitto/aisleflow/machines.acl", str(SHIPPED / "machines.acl")),
        ("/etc/mosquitto/aisleflow/cloud.acl", str(SHIPPED / "cloud.acl")),
        ("/etc/mosquitto/aisleflow", str(folder)),
        ("/var/lib/mosquitto/", f"{folder}/"),
        ("listener 8883\n", f"listener {machines_port} 127.0.0.1\n"),
        ("listener 8884 127.0.0.1\n", f"listener {cloud_port} 127.0.0.1\n"),
    ):
        assert old in text, f"deploy/mosquitto/aisleflow.conf no longer says {old!r}"
        text = text.replace(old, new)
    # Started by root, mosquitto changes to a user that may not read the test's folder.
    return text + ("user root\n" if os.geteuid() == 0 else "")


def permissive_openssl(folder: Path) -> Path:
    """An OpenSSL configuration that would allow everything back to TLS 1.0: what is refused, our file refuses."""
    path = folder / "openssl.cnf"
    path.write_text(
        "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = lax\n"
        "[lax]\nMinProtocol = TLSv1\nCipherString = ALL:@SECLEVEL=0\n",
        encoding="utf-8",
    )
    return path


def make_certificates(folder: Path, *, days: int = 825) -> None:
    """Run the shipped script: a CA and a certificate for localhost."""
    subprocess.run(
        [str(SHIPPED / "make-certificates"), str(folder), "localhost", "127.0.0.1"],
        check=True,
        env={**os.environ, "SERVER_DAYS": str(days)},
    )


def write_passwords(path: Path, *names: str) -> None:
    """Write a password file, hashed by mosquitto's own tool; no password appears on a command line."""
    path.write_text("".join(f"{name}:{PASSWORDS[name]}\n" for name in names), encoding="utf-8")
    subprocess.run(["mosquitto_passwd", "-U", str(path)], check=True)


def with_sbin() -> dict[str, str]:
    """The environment with the folders where Debian keeps daemons on PATH."""
    return {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}


def free_port() -> int:
    """A TCP port that nobody holds now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return when the port takes connections; fail with the broker's own words when it ended."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    raise AssertionError(f"port {port}: no listener\n{log.read_text(encoding='utf-8', errors='replace')}")


class Visitor:
    """One MQTT client that remembers what was delivered to it."""

    def __init__(
        self,
        port: int,
        login: str | None,
        *,
        ca: Path,
        client_id: str = "",
        version: int = paho.MQTTv5,
        will: str | None = None,
        host: str = "localhost",
        session_s: int = 0,
    ) -> None:
        self._delivered: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._answers: queue.Queue[str] = queue.Queue()
        self._published: queue.Queue[int] = queue.Queue()
        self._subscribed: queue.Queue[int] = queue.Queue()
        self._dropped: queue.Queue[str] = queue.Queue()
        self._v5 = version == paho.MQTTv5
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id or login or "", protocol=version, reconnect_on_failure=False
        )
        self._client = client
        client.max_queued_messages_set(0)
        client.tls_set_context(ssl.create_default_context(cafile=str(ca)))
        if login is not None:
            client.username_pw_set(login, PASSWORDS[login])
        if will is not None:
            client.will_set(will, b"will", qos=1)
        client.on_connect = lambda _c, _u, _f, reason, _p: self._answers.put(str(reason))
        client.on_disconnect = lambda _c, _u, _f, reason, _p: self._dropped.put(str(reason))
        client.on_publish = lambda _c, _u, mid, _r, _p: self._published.put(mid)
        client.on_subscribe = lambda _c, _u, mid, _r, _p: self._subscribed.put(mid)
        client.on_message = lambda _c, _u, message: self._delivered.put((message.topic, message.payload))
        if self._v5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = session_s
            client.connect(host, port, keepalive=30, clean_start=session_s == 0, properties=properties)
        else:
            client.connect(host, port, keepalive=30)
        client.loop_start()

    def answer(self) -> str:
        """The broker's answer to CONNECT, e.g. 'Success' or 'Not authorized'."""
        return self._answers.get(timeout=DEADLINE_S)

    def welcomed(self) -> Visitor:
        """This visitor, once the broker has let it in."""
        answer = self.answer()
        assert answer == "Success", answer
        return self

    def subscribe(self, topic_filter: str) -> Visitor:
        """Subscribe with QoS 1 and wait for the answer, which may promise more than is delivered."""
        self._client.subscribe(topic_filter, qos=1)
        self._subscribed.get(timeout=DEADLINE_S)
        return self

    def publish(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait for the answer: the broker has then decided about it."""
        self.send(topic, payload, retain=retain)
        self.published()

    def send(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> None:
        """Publish with QoS 1 and go on."""
        self._client.publish(topic, payload, qos=1, retain=retain)

    def published(self) -> None:
        """Wait for the answer to one publish that is under way."""
        self._published.get(timeout=DEADLINE_S)

    def delivered_until(self, marker: bytes) -> list[str]:
        """Topics of everything delivered before `marker`: what was denied would have had to come before it."""
        topics: list[str] = []
        while True:
            topic, payload = self._delivered.get(timeout=DEADLINE_S)
            if payload == marker:
                return topics
            topics.append(topic)

    def take(self, count: int) -> list[bytes]:
        """The next `count` payloads."""
        return [self._delivered.get(timeout=DEADLINE_S)[1] for _ in range(count)]

    def dropped(self) -> str:
        """Wait until the broker ends the connection; its reason."""
        return self._dropped.get(timeout=DEADLINE_S)

    def still_connected(self) -> bool:
        """True while nothing ended the connection."""
        return self._dropped.empty() and self._client.is_connected()

    def vanish(self) -> None:
        """Cut the socket without a word, so that the broker speaks the will."""
        cut = self._client.socket()
        assert cut is not None
        # The TLS layer is bypassed: no close_notify, no DISCONNECT.
        socket.socket.shutdown(cut, socket.SHUT_RDWR)
        self.leave()

    def end_session(self) -> None:
        """Leave, and have the broker forget the session."""
        properties = Properties(PacketTypes.DISCONNECT)
        properties.SessionExpiryInterval = 0
        self._client.disconnect(properties=properties)
        self._client.loop_stop()

    def leave(self) -> None:
        """Say goodbye and stop."""
        self._client.disconnect()
        self._client.loop_stop()
