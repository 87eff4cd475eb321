"""What can be seen of this computer and of the way to the broker."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest

from edge_agent.settings import Uplink
from edge_agent.technician import broker, host
from edge_agent.technician.speech import Speech
from shared.clock import Clock, ManualClock, SystemClock

SAY = Speech("en")


def test_a_port_that_is_not_there_names_what_is_plugged_in(tmp_path: Path) -> None:
    ((state, detail, fix),) = host.port(str(tmp_path / "none"), SAY)
    assert state == "bad"
    assert "there is no such port" in detail
    assert "plug the adapter in" in fix


def test_a_port_that_is_there_is_fine(tmp_path: Path) -> None:
    (tmp_path / "tty").touch()
    assert [state for state, _, _ in host.port(str(tmp_path / "tty"), SAY)] == ["ok"]
    assert [state for state, _, _ in host.port("socket://10.0.0.1:4001", SAY)] == ["ok"]


@pytest.mark.parametrize(("reserve_mb", "state"), [(1, "ok"), (10**9, "bad")])
def test_room_is_held_against_the_reserve(tmp_path: Path, reserve_mb: int, state: str) -> None:
    assert next(host.disk(tmp_path, reserve_mb, SAY))[:2] == ("disk", state)


def test_a_data_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    ((check, state, _, fix),) = host.disk(tmp_path / "none", 1, SAY)
    assert (check, state) == ("disk", "bad")
    assert "create the folder" in fix


def test_a_data_folder_that_the_kernel_does_not_write_is_told() -> None:
    ((check, state, detail, fix),) = host.disk(Path("/proc/self"), 1, SAY)
    assert (check, state) == ("disk", "bad")
    assert "cannot be written" in detail
    assert "replace the medium" in fix


@pytest.mark.parametrize(
    ("life", "spare", "state"),
    [("0x01 0x02", "0x01", "ok"), ("0x03 0x09", "0x01", "warn"), ("0x01 0x01", "0x02", "warn")],
)
def test_a_worn_medium_is_told(tmp_path: Path, life: str, spare: str, state: str) -> None:
    device = tmp_path / "mmcblk0/device"
    device.mkdir(parents=True)
    (device / "life_time").write_text(f"{life}\n")
    (device / "pre_eol_info").write_text(f"{spare}\n")
    ((check, told, detail, _),) = host.wear(tmp_path, SAY)
    assert (check, told) == ("wear", state)
    assert detail.startswith("mmcblk0: about")


def test_a_ledger_is_examined_in_a_copy_and_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("CREATE TABLE t (x)")
        conn.executemany("INSERT INTO t VALUES (?)", [("y" * 500,)] * 200)
        conn.commit()
    before = path.read_bytes()
    assert host.ledger_findings(path) == []
    assert path.read_bytes() == before
    path.write_bytes(before[:9000] + bytes(4096) + before[13096:])
    assert host.ledger_findings(path) != []
    path.write_bytes(b"no database at all" * 100)
    assert host.ledger_findings(path) != []
    with pytest.raises(OSError, match="No such file"):
        host.ledger_findings(tmp_path / "none")


@asynccontextmanager
async def listening(context: SSLContext | None = None) -> AsyncIterator[int]:
    """A server that takes connections and says nothing; its port."""
    conversations: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.append(task)
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*conversations)


async def found(port: int, *, tls: bool = True, ca_file: Path | None = None, name: str = "localhost") -> dict[str, str]:
    uplink = Uplink(host=name, port=port, tls=tls, ca_file=ca_file, secret_file=Path("secret"))
    told = await broker.reach(uplink, SystemClock(), SAY)
    assert all(fix for _, state, _, fix in told if state != "ok")
    return {check: state for check, state, _, _ in told}


def certificate(folder: Path, days: int) -> tuple[Path, SSLContext]:
    """A certificate for localhost that signs itself, and a server's context with it."""
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost"
        f" -addext subjectAltName=DNS:localhost -days {days} -keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context


async def test_a_broker_that_does_not_listen(tmp_path: Path) -> None:
    assert await found(9) == {"broker": "bad"}
    assert await found(9, ca_file=tmp_path / "none") == {"tls": "bad"}


async def test_a_broker_that_is_trusted_and_one_whose_certificate_ends_soon(tmp_path: Path) -> None:
    for days, state in ((400, "ok"), (10, "warn")):
        ca_file, context = certificate(tmp_path, days)
        async with listening(context) as port:
            assert await found(port, ca_file=ca_file) == {"broker": "ok", "tls": state}


async def test_a_broker_that_is_not_trusted_or_is_something_else(tmp_path: Path) -> None:
    ca_file, context = certificate(tmp_path, 400)
    async with listening(context) as port:
        assert await found(port) == {"broker": "ok", "tls": "bad"}
        assert await found(port, ca_file=ca_file, name="127.0.0.1") == {"broker": "ok", "tls": "bad"}


async def fix_of_tls(port: int, ca_file: Path | None, name: str = "localhost", clock: Clock | None = None) -> str:
    uplink = Uplink(host=name, port=port, ca_file=ca_file, secret_file=Path("secret"))
    ((_, state, _, fix),) = [one for one in await broker.reach(uplink, clock or SystemClock(), SAY) if one[0] == "tls"]
    assert bool(fix) is (state != "ok")
    return fix


async def test_what_to_do_about_tls_depends_on_what_is_wrong(tmp_path: Path) -> None:
    ca_file, context = certificate(tmp_path, 400)
    async with listening(context) as port:
        assert "ca_file is not the broker's" in await fix_of_tls(port, None)
        assert "uplink.host" in await fix_of_tls(port, ca_file, name="127.0.0.1")


async def test_dates_are_not_judged_by_a_clock_that_was_never_set(tmp_path: Path) -> None:
    """The agent connects all the same, and the doctor must not say otherwise."""
    ca_file, context = certificate(tmp_path, 400)
    async with listening(context) as port:
        assert await fix_of_tls(port, ca_file, clock=ManualClock(wall_ms=0)) == ""


async def test_a_port_that_knows_no_tls_is_no_matter_of_the_network() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert "something else listens" in await fix_of_tls(port, None)


async def test_a_broker_of_this_computer_without_tls() -> None:
    async with listening() as port:
        assert await found(port, tls=False) == {"broker": "ok", "tls": "ok"}
