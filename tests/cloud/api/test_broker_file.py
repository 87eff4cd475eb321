"""The broker's password file: mosquitto itself says whether a line is right."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from cloud.database import Database
from cloud.machines.credentials import Credentials
from cloud.machines.register import claim, register, revoke
from cloud.providers.broker_file import BrokerFile, replace_if_changed
from shared import mqtt
from shared.ids import MachineId
from shared.seal import derive_keys
from shared.topics import up
from tests.brokers import mosquitto
from tests.cloud.api.world import SERVER_SECRET

CREDENTIALS = Credentials(SERVER_SECRET)
# Mosquitto handles SIGHUP in its loop, which turns at least once a second.
BROKER_S = 10


async def claimed(database: Database, machine: str, *, anew: bool = False) -> str:
    """A claimed machine's MQTT password, derived from its secret as the machine does it."""
    async with database.work(tenant="acme") as work:
        if not anew:
            await register(work, "acme", machine, machine=machine)
        _, secret = await claim(work, CREDENTIALS, "acme", machine)
    return derive_keys(bytes.fromhex(secret)).mqtt_password


async def lets_in(address: mqtt.MqttAddress, machine: str, password: str) -> bool:
    try:
        async with mqtt.connect(address, client_id=machine, username=machine, password=password):
            return True
    except mqtt.Disconnected:
        return False


async def becomes(wanted: bool, address: mqtt.MqttAddress, machine: str, password: str) -> None:
    async with asyncio.timeout(BROKER_S):
        while await lets_in(address, machine, password) is not wanted:
            pass


async def speak_on(link: mqtt.Connection) -> None:
    """Publish until the broker has had enough."""
    async with asyncio.timeout(BROKER_S):
        while True:
            await link.publish(up(MachineId("m-1"), "hello"), b"{}")


async def test_mosquitto_takes_the_claimed_and_no_others(database: Database, tmp_path: Path) -> None:
    path, pid_file = tmp_path / "machines.passwd", tmp_path / "mosquitto.pid"
    file = BrokerFile(database, CREDENTIALS, path, pid_file)
    first = await claimed(database, "m-1")
    assert await file.refresh()
    path.chmod(0o644)  # the broker may run as another user
    with mosquitto(tmp_path, config=f"allow_anonymous false\npassword_file {path}") as broker:
        pid_file.write_text(str(broker.pid))
        address = broker.address
        assert await lets_in(address, "m-1", first)
        assert not await lets_in(address, "m-1", first[:-1] + ("0" if first[-1] != "0" else "1"))
        second = await claimed(database, "m-2")
        assert not await lets_in(address, "m-2", second)
        assert await file.refresh()
        await becomes(True, address, "m-2", second)
        async with database.work(tenant="acme") as work:
            await revoke(work, "acme", "m-1")
        async with mqtt.connect(address, client_id="m-1", username="m-1", password=first) as live:
            assert await file.refresh()
            with pytest.raises(mqtt.Disconnected):  # the session that stands is cut as well
                await speak_on(live)
        assert not await lets_in(address, "m-1", first)
        anew = await claimed(database, "m-1", anew=True)
        assert await file.refresh()
        await becomes(True, address, "m-1", anew)
        assert not await lets_in(address, "m-1", first)


async def test_the_file_changes_only_when_machines_do(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "machines.passwd"
    await claimed(database, "m-1")
    assert await BrokerFile(database, CREDENTIALS, path).refresh()
    written = path.read_bytes()
    assert not await BrokerFile(database, CREDENTIALS, path).refresh(), "another process derives the same lines"
    assert path.read_bytes() == written
    path.write_text("somebody: was here\n")
    assert await BrokerFile(database, CREDENTIALS, path).refresh()
    assert path.read_bytes() == written


async def test_no_secret_is_in_it(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "machines.passwd"
    password = await claimed(database, "m-1")
    await BrokerFile(database, CREDENTIALS, path).refresh()
    text = path.read_text()
    assert password not in text
    assert CREDENTIALS.machine_secret(MachineId("m-1"), 1).hex() not in text
    assert stat.S_IMODE(path.stat().st_mode) & 0o137 == 0


def test_a_reader_never_sees_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "machines.passwd"
    replace_if_changed(path, "old\n")

    def fails(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space left"):
        replace_if_changed(path, "new\n")
    assert path.read_text() == "old\n"


async def test_a_broker_that_does_not_run_is_no_failure(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await claimed(database, "m-1")
    assert await BrokerFile(database, CREDENTIALS, tmp_path / "machines.passwd", tmp_path / "no.pid").refresh()
    assert "was not told" in caplog.text
