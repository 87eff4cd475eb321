"""Real brokers as child processes on free ports of 127.0.0.1: mosquitto (MQTT 5 and 3.1.1) and amqtt (3.1.1 only).

Usage:
    with mosquitto(tmp_path) as broker:
        async with mqtt.connect(broker.address, client_id="m-1") as link: ...
        broker.kill()      # SIGKILL: what was not persisted is gone
        broker.start()     # the same port, the same files
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.mqtt import MqttAddress

# A broker needs 0.05 to 1.5 s to listen on an idle machine; a loaded one gets ten times that.
START_DEADLINE_S = 20.0
STOP_DEADLINE_S = 5.0
PAUSE_BETWEEN_LOOKS_S = 0.02

# Queue limits off: with its defaults mosquitto drops what goes beyond 1,000 messages for one client.
MOSQUITTO_CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages 100
set_tcp_nodelay true
log_dest file {folder}/mosquitto.log
log_type all
{user}
{extra}
"""

AMQTT_CONFIG = """
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Broker:
    """One broker process that can be killed and started again on the same port."""

    def __init__(self, name: str, command: list[str], port: int, log: Path) -> None:
        self.name = name
        self.address = MqttAddress("127.0.0.1", port)
        self.log = log
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        return self.address.port

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    def start(self) -> None:
        """Start the process and return once it listens."""
        assert self._process is None, f"{self.name} runs already"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_DEADLINE_S
        while not self._listens():
            dead = self._process.poll()
            if dead is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"{self.name} does not listen on {self.port}; its log:\n{self.log.read_text()}")
            time.sleep(PAUSE_BETWEEN_LOOKS_S)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that is not enough."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _listens(self) -> bool:
        try:
            socket.create_connection((self.address.host, self.port), timeout=1).close()
        except OSError:
            return False
        return True


@contextmanager
def mosquitto(folder: Path, *, config: str = "", port: int | None = None) -> Iterator[Broker]:
    """A mosquitto that lets everybody in; `config` holds more lines of mosquitto.conf and may override ours."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    assert program, "mosquitto is not installed: apt-get install mosquitto"
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mosquitto.conf"
    # Started by root it would become another user, who cannot read a test's folder.
    user = "user root" if os.geteuid() == 0 else ""
    path.write_text(MOSQUITTO_CONFIG.format(port=port, folder=folder, user=user, extra=config))
    broker = Broker("mosquitto", [program, "-c", str(path)], port, folder / "mosquitto.log")
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@contextmanager
def amqtt_broker(folder: Path, *, port: int | None = None) -> Iterator[Broker]:
    """An amqtt that lets everybody in. It speaks MQTT 3.1.1 alone and keeps nothing over a restart."""
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "amqtt.yaml"
    path.write_text(AMQTT_CONFIG.format(port=port))
    command = [sys.executable, "-W", "ignore", "-m", "amqtt.scripts.broker_script", "-c", str(path)]
    broker = Broker("amqtt", command, port, folder / "amqtt.log")
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
