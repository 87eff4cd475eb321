"""The demo's broker: mosquitto when it is installed, else amqtt from the `sim` extra. On loopback only.

With mosquitto every machine has its own login and is held to its own topics, as in production but without TLS. amqtt
has no such rules in this demo; it lets every local process in, and the screen says so.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from firmware_sim.demo.processes import Child, Failed, child, python, until

MOSQUITTO_CONF = """
per_listener_settings true
listener {machines} 127.0.0.1
allow_anonymous false
password_file {folder}/machines.passwd
acl_file {folder}/machines.acl
use_username_as_clientid true
listener {cloud} 127.0.0.1
allow_anonymous false
password_file {folder}/cloud.passwd
acl_file {folder}/cloud.acl
retain_available false
max_packet_size 262144
max_inflight_messages 500
max_queued_messages 100000
max_queued_bytes 134217728
persistence false
set_tcp_nodelay true
pid_file {folder}/mosquitto.pid
log_dest stderr
{user}
"""

AMQTT_CONF = """
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{machines}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker: its process, the machines' port and the cloud's, and what the cloud needs to use it."""

    process: Child
    machines_port: int
    cloud_port: int
    cloud_options: tuple[str, ...]

    @property
    def name(self) -> str:
        """mosquitto or amqtt."""
        return self.process.name

    async def listening(self) -> None:
        """Return once it takes connections, at its start or when it was started again."""
        await until(lambda: listens(self.machines_port) and listens(self.cloud_port), f"{self.name} listens")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def find_mosquitto() -> tuple[str, str] | None:
    """The broker and its password tool. Debian keeps the broker where only root's PATH looks."""
    path = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin"
    broker, tool = shutil.which("mosquitto", path=path), shutil.which("mosquitto_passwd", path=path)
    return (broker, tool) if broker and tool else None


@asynccontextmanager
async def run_broker(folder: Path, choice: str) -> AsyncIterator[Broker]:
    """Run a broker; `choice` is auto, mosquitto or amqtt."""
    found = find_mosquitto() if choice != "amqtt" else None
    async with AsyncExitStack() as stack:
        if found is not None:
            yield await stack.enter_async_context(_mosquitto(folder, *found))
        else:
            yield await stack.enter_async_context(_amqtt(folder))


@asynccontextmanager
async def _mosquitto(folder: Path, program: str, tool: str) -> AsyncIterator[Broker]:
    machines, cloud = free_port(), free_port()
    password = folder / "cloud.password"
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(32))
    (folder / "machines.acl").write_text("pattern write up/%u/#\npattern read dn/%u/#\n")
    (folder / "cloud.acl").write_text("user cloud\ntopic read up/#\ntopic write dn/#\n")
    (folder / "machines.passwd").touch(mode=0o600)
    (folder / "cloud.passwd").touch(mode=0o600)
    # The tool wants the password as an argument; it is made for this run and opens a port of this computer only.
    command = (tool, "-b", str(folder / "cloud.passwd"), "cloud", password.read_text())
    hashing = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if await hashing.wait() != 0:
        raise Failed(f"{tool} could not write {folder / 'cloud.passwd'}")
    user = "user root" if os.geteuid() == 0 else ""
    conf = folder / "mosquitto.conf"
    conf.write_text(MOSQUITTO_CONF.format(folder=folder, machines=machines, cloud=cloud, user=user))
    async with child("mosquitto", [program, "-c", str(conf)], folder) as process:
        broker = Broker(
            process=process,
            machines_port=machines,
            cloud_port=cloud,
            cloud_options=(
                *("--broker", f"127.0.0.1:{cloud}", "--broker-user", "cloud"),
                *("--broker-password-file", str(password)),
                *("--broker-machines-file", str(folder / "machines.passwd")),
                *("--broker-pid-file", str(folder / "mosquitto.pid")),
            ),
        )
        await broker.listening()
        yield broker


@asynccontextmanager
async def _amqtt(folder: Path) -> AsyncIterator[Broker]:
    port = free_port()
    conf = folder / "amqtt.yaml"
    conf.write_text(AMQTT_CONF.format(machines=port))
    command = python("-W", "ignore", "-m", "amqtt.scripts.broker_script", "-c", str(conf))
    async with child("amqtt", command, folder) as process:
        broker = Broker(process, machines_port=port, cloud_port=port, cloud_options=("--broker", f"127.0.0.1:{port}"))
        await broker.listening()
        yield broker


def listens(port: int) -> bool:
    """Whether somebody accepts connections on this port of the loopback address."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
