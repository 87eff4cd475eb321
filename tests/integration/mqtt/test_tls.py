"""TLS towards a real broker: verification is always on, also when this computer does not know what day it is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.settings import Uplink
from edge_agent.technician.broker import reach
from edge_agent.technician.speech import Speech
from shared import mqtt
from shared.clock import WALL_FLOOR_MS, Clock, ManualClock, SystemClock
from shared.mqtt import Disconnected, MqttAddress, TlsFiles
from tests.brokers import mosquitto

NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


class Authority:
    """A certificate authority in a folder; `sign` makes a server certificate for localhost."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.certificate = folder / "ca.crt"
        self._openssl(f"req -x509 {NEW_KEY} -days 7300 -subj /CN=Test -keyout ca.key -out ca.crt")
        (folder / "index.txt").touch()
        (folder / "serial").write_text("01")
        (folder / "ca.conf").write_text(
            "[ca]\ndefault_ca=c\n[c]\ndir=.\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\n"
            "certificate=ca.crt\nprivate_key=ca.key\ndefault_md=sha256\npolicy=p\nunique_subject=no\n"
            "[p]\ncommonName=supplied\n[san]\nsubjectAltName=DNS:localhost\n"
        )

    def sign(self, name: str, begin: str, end: str) -> str:
        """Lines of mosquitto.conf for a server whose certificate holds from `begin` to `end` (YYYYMMDD)."""
        self._openssl(f"req {NEW_KEY} -subj /CN=localhost -keyout {name}.key -out {name}.csr")
        dates = f"-startdate {begin}000000Z -enddate {end}000000Z"
        self._openssl(f"ca -batch -config ca.conf -extensions san -notext {dates} -in {name}.csr -out {name}.crt")
        return f"certfile {self.folder}/{name}.crt\nkeyfile {self.folder}/{name}.key\n"

    def _openssl(self, arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments.split()], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ca")


@pytest.fixture
def valid(tmp_path: Path, authority: Authority) -> Iterator[MqttAddress]:
    with mosquitto(tmp_path, config=authority.sign("valid", "20200101", "20400101")) as broker:
        yield MqttAddress("localhost", broker.port, TlsFiles(ca_file=authority.certificate))


@pytest.fixture
def long_expired(tmp_path: Path, authority: Authority) -> Iterator[MqttAddress]:
    with mosquitto(tmp_path, config=authority.sign("expired", "20200101", "20210101")) as broker:
        yield MqttAddress("localhost", broker.port, TlsFiles(ca_file=authority.certificate))


async def publish(address: MqttAddress, clock: Clock | None = None) -> None:
    async with mqtt.connect(address, client_id="m-1", clock=clock) as link:
        await link.publish("t", b"x" * 100_000)


def in_1970() -> ManualClock:
    return ManualClock(wall_ms=0, state="unset")


async def test_a_genuine_broker_is_accepted(valid: MqttAddress) -> None:
    await publish(valid)


async def test_a_foreign_authority_is_refused(valid: MqttAddress, tmp_path: Path) -> None:
    foreign = Authority(tmp_path / "foreign")
    with pytest.raises(Disconnected, match="certificate verify failed"):
        await publish(replace(valid, tls=TlsFiles(ca_file=foreign.certificate)))


async def test_another_host_name_is_refused(valid: MqttAddress) -> None:
    with pytest.raises(Disconnected, match=r"certificate is not valid for '127\.0\.0\.1'"):
        await publish(replace(valid, host="127.0.0.1"))


async def test_an_expired_certificate_is_refused(long_expired: MqttAddress) -> None:
    with pytest.raises(Disconnected, match="certificate has expired"):
        await publish(long_expired)


async def test_the_doctor_tells_a_certificate_that_has_ended_from_a_clock_that_is_behind(
    tmp_path: Path, authority: Authority
) -> None:
    for begin, end, fix in (("20200101", "20210101", "renews"), ("20390101", "20400101", "is behind")):
        (tmp_path / end).mkdir()
        with mosquitto(tmp_path / end, config=authority.sign(end, begin, end)) as broker:
            uplink = Uplink(
                host="localhost", port=broker.port, ca_file=authority.certificate, secret_file=tmp_path / "secret"
            )
            *_, (check, state, _, told) = await reach(uplink, SystemClock(), Speech("en"))
            assert (check, state, fix in told) == ("tls", "bad", True), told


async def test_plain_tcp_to_a_tls_broker_is_an_error(valid: MqttAddress) -> None:
    with pytest.raises(Disconnected):
        await publish(replace(valid, tls=None))


async def test_a_missing_authority_file_says_so(valid: MqttAddress, tmp_path: Path) -> None:
    with pytest.raises(Disconnected, match="No such file"):
        await publish(replace(valid, tls=TlsFiles(ca_file=tmp_path / "missing.crt")))


async def test_in_1970_a_genuine_broker_is_accepted(valid: MqttAddress) -> None:
    await publish(valid, in_1970())


async def test_in_1970_a_certificate_that_ended_before_this_release_is_refused(long_expired: MqttAddress) -> None:
    with pytest.raises(Disconnected, match="ended on Jan  1 00:00:00 2021 GMT"):
        await publish(long_expired, in_1970())


async def test_in_1970_a_foreign_authority_is_refused_all_the_same(valid: MqttAddress, tmp_path: Path) -> None:
    foreign = Authority(tmp_path / "foreign")
    with pytest.raises(Disconnected, match="certificate verify failed"):
        await publish(replace(valid, tls=TlsFiles(ca_file=foreign.certificate)), in_1970())


async def test_dates_count_again_as_soon_as_the_clock_is_plausible(long_expired: MqttAddress) -> None:
    with pytest.raises(Disconnected, match="certificate has expired"):
        await publish(long_expired, ManualClock(wall_ms=WALL_FLOOR_MS))
