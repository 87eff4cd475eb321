"""A real machine to measure: broker, simulator and agent, each a process, and the cloud's peer in this one."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bench.cloud_peer import CloudPeer, cloud_peer
from firmware_sim.demo.broker import find_mosquitto, free_port, listens
from firmware_sim.demo.processes import Child, Failed, child, python, until
from shared.ids import MachineId
from shared.messages import AisleConfig, MachineConfig
from shared.seal import SECRET_BYTES, MachineKeys, derive_keys

MACHINE = MachineId("bench-1")
# A second board on a line of its own, for the bare loop that does nothing but ask it.
BARE = "bench-2"
MOTORS = 60
CAPACITY = 10
# Characters of a log that explain a failure: about twenty lines.
LOG_SHOWN = 2_000

MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_inflight_messages 1000
max_queued_messages 0
set_tcp_nodelay true
log_dest none
{user}
"""

SCENARIO = """
seed = 7
speed = {speed}
[[machine]]
name = "{machine}"
port = "pty:board"
door = "door"
celsius = 6
[[machine.board]]
motors = {motors}
stock = {capacity}
capacity = {capacity}
[[machine]]
name = "{bare}"
port = "pty:bare"
[[machine.board]]
motors = 1
"""

SETTINGS = """
machine = "{machine}"
data_dir = "data"
[uplink]
host = "127.0.0.1"
port = {broker_port}
tls = false
secret_file = "secret"
keepalive_s = {keepalive_s}
[socket]
path = "agent.sock"
[limits]
reserve_mb = 8
{hardware}
"""

BOARDS = """
[[bus]]
url = "{url}"
boards = [1]
poll_ms = {poll_ms}
[door]
value_file = "door"
"""


def planogram() -> MachineConfig:
    """Sixty aisles, each with goods of its own."""
    return MachineConfig(
        machine=MACHINE,
        version=1,
        aisles=tuple(
            AisleConfig(
                aisle=f"1-{motor:02d}",
                board=1,
                motor=motor,
                goods=f"goods-{motor:02d}",
                price_fen=350,
                capacity=CAPACITY,
                name=f"Drink {motor:02d}",
            )
            for motor in range(MOTORS)
        ),
    )


@asynccontextmanager
async def mosquitto(folder: Path) -> AsyncIterator[int]:
    """A broker that lets everybody in and drops nothing; answers its port."""
    found = find_mosquitto()
    if found is None:
        raise Failed("mosquitto is not installed: apt-get install mosquitto")
    port = free_port()
    user = "user root" if os.geteuid() == 0 else ""
    conf = folder / "mosquitto.conf"
    conf.write_text(MOSQUITTO.format(port=port, user=user))
    async with child("mosquitto", [found[0], "-c", str(conf)], folder):
        await until(lambda: listens(port), "mosquitto listens")
        yield port


@asynccontextmanager
async def simulator(folder: Path, *, speed: float) -> AsyncIterator[Mapping[str, Path]]:
    """The simulated boards; answers the serial ports of `MACHINE` and `BARE`."""
    scenario = folder / "scenario.toml"
    scenario.write_text(
        SCENARIO.format(speed=speed, machine=MACHINE, bare=BARE, motors=MOTORS, capacity=CAPACITY), encoding="utf-8"
    )
    ready = folder / "simulator.ready"
    async with child("simulator", python("-m", "firmware_sim", str(scenario), "--ready", str(ready)), folder):
        await until(ready.exists, "the simulator is ready")
        ports = json.loads(ready.read_text(encoding="utf-8"))["machines"]
        yield {name: Path(machine["port"]) for name, machine in ports.items()}


@asynccontextmanager
async def agent(
    folder: Path, *, url: Path, broker_port: int, poll_ms: int = 200, keepalive_s: int = 60, hardware: str = BOARDS
) -> AsyncIterator[tuple[Child, MachineKeys]]:
    """The agent of `MACHINE` with a secret made for this run; its keys are the peer's as well.

    `hardware`: the tables of its settings that name what hangs on the line `{url}`.
    """
    secret = secrets.token_bytes(SECRET_BYTES)
    file = folder / "secret"
    file.touch(mode=0o600)
    file.write_text(secret.hex(), encoding="ascii")
    settings = folder / "agent.toml"
    tables = hardware.format(url=url, poll_ms=poll_ms)
    settings.write_text(
        SETTINGS.format(machine=MACHINE, broker_port=broker_port, keepalive_s=keepalive_s, hardware=tables),
        encoding="utf-8",
    )
    async with child("agent", python("-m", "edge_agent", "--settings", str(settings)), folder) as running:
        try:
            yield running, derive_keys(secret)
        except Exception as error:
            # The log goes with its folder: what the agent said last is kept with the error.
            error.add_note(f"the agent's last words:\n{running.log.read_text(errors='replace')[-LOG_SHOWN:]}")
            raise


@asynccontextmanager
async def equipped(
    broker_port: int, keys: MachineKeys, config: MachineConfig | None = None
) -> AsyncIterator[CloudPeer]:
    """The cloud of a machine that has its planogram (or `config`) and its stock, and sells."""
    async with cloud_peer(broker_port, MACHINE, keys) as cloud:
        await cloud.equip(config or planogram(), CAPACITY)
        yield cloud
