"""The cloud as its owner runs it: `python -m cloud`, asked over a real socket."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from cloud.database import Database
from cloud.events import Event, events, tell
from cloud.migrations import migrate
from tests.brokers import mosquitto
from tests.cloud.api.conftest import bearer

ROOT = Path(__file__).parents[3]
# Importing everything takes two seconds on a busy machine; far beyond that it hangs.
START_S = 30
STOP_S = 15
EVENT_S = 10


class Cloud:
    """A running process, what it has said on its console, and who may ask it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[str] = []
        self.url = ""
        self.token = ""

    async def read_until(self, pattern: str) -> re.Match[str]:
        """Read the console until a line matches."""
        assert self.process.stdout is not None
        async with asyncio.timeout(START_S):
            while line := (await self.process.stdout.readline()).decode():
                self.said.append(line)
                if match := re.search(pattern, line):
                    return match
        raise AssertionError(f"it ended without saying {pattern!r}: {''.join(self.said)}")

    async def stop(self) -> int:
        """End it as systemd does, and answer its exit code."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stdout is not None
        async with asyncio.timeout(STOP_S):
            self.said.append((await self.process.stdout.read()).decode())
            return await self.process.wait()

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.url, headers=bearer(self.token), timeout=EVENT_S)


@asynccontextmanager
async def cloud(*arguments: str) -> AsyncIterator[Cloud]:
    """`python -m cloud` with everything that it writes on one stream; killed when the test has left it running."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::ResourceWarning"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "cloud", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
        env=environment,
    )
    try:
        yield Cloud(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def signed_in(running: Cloud) -> str:
    """The first administrator's password, used once to sign in."""
    running.url = (await running.read_until(r"AisleFlow cloud: (http://127\.0\.0\.1:\d+)/"))[1]
    password = (await running.read_until(r"login=admin password=(\S+)"))[1]
    async with httpx2.AsyncClient(base_url=running.url) as client:
        answer = await client.post("/api/v1/login", json={"login": "admin", "password": password})
    running.token = answer.json()["token"]
    return password


def url_of(data: Path) -> str:
    return f"sqlite+aiosqlite:///{data / 'aisleflow.db'}"


async def test_the_first_start(tmp_path: Path) -> None:
    data = tmp_path / "var"
    async with cloud("all", "--port", "0", "--data", str(data), "--broker", "127.0.0.1:9") as running:
        password = await signed_in(running)
        async with running.client() as client:
            assert (await client.get("/healthz")).json() == {"status": "ok"}
            assert (await client.get("/readyz")).status_code == 200
            assert (await client.get("/api/v1/me")).json()["role"] == "platform"
        assert await running.stop() == 0
    said = "".join(running.said)
    assert said.count(password) == 1, "the password is shown once"
    assert running.token not in said
    assert "Traceback" not in said
    assert "AisleFlow cloud: stopped" in said
    for path in [data, *data.iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, f"{path} can be seen by others"
        assert path.is_dir() or password.encode() not in path.read_bytes()
    async with cloud("all", "--port", "0", "--data", str(data), "--broker", "127.0.0.1:9") as again:
        await again.read_until(r"http://127\.0\.0\.1:\d+/")
        assert await again.stop() == 0
    assert "password=" not in "".join(again.said)


async def test_a_lost_administrator_is_let_in_from_the_console(tmp_path: Path) -> None:
    data = str(tmp_path)
    async with cloud("all", "--port", "0", "--data", data, "--broker", "127.0.0.1:9") as running:
        await signed_in(running)
        async with running.client() as client:
            async with cloud("admin-reset", "--data", data) as reset:
                password = (await reset.read_until(r"password=(\S+)"))[1]
                assert await reset.process.wait() == 0
            assert (await client.get("/api/v1/me")).status_code == 401
            answer = await client.post("/api/v1/login", json={"login": "admin", "password": password})
            assert answer.json()["user"]["password_is_temporary"] is True


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["api", "--port", "0"], 69, "run `migrate` first"),
        (["all", "--broker", "nonsense"], 78, "--broker: 'nonsense' is not HOST:PORT"),
        (["admin-reset", "--login", "nobody"], 69, "has no user 'nobody'"),
        (["dance"], 2, "invalid choice: 'dance'"),
    ],
)
async def test_a_wrong_call_says_what_to_do(arguments: list[str], code: int, said: str, tmp_path: Path) -> None:
    if arguments[0] == "admin-reset":
        await migrate(url_of(tmp_path))
    data = [] if arguments[0] == "dance" else ["--data", str(tmp_path)]
    async with cloud(*arguments, *data) as running:
        assert running.process.stdout is not None
        async with asyncio.timeout(START_S):
            told = (await running.process.stdout.read()).decode()
            assert await running.process.wait() == code
    assert said in told
    assert "Traceback" not in told


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    first, second = str(tmp_path / "one"), str(tmp_path / "two")
    async with cloud("all", "--port", "0", "--data", first, "--broker", "127.0.0.1:9") as running:
        port = (await running.read_until(r"http://127\.0\.0\.1:(\d+)/"))[1]
        async with cloud("all", "--port", port, "--data", second, "--broker", "127.0.0.1:9") as late:
            await late.read_until("in use")
            assert await late.process.wait() == 69


# --- the event stream ---


async def follow(client: httpx2.AsyncClient, count: int, **headers: str) -> list[dict[str, str]]:
    """The next `count` events of the stream, as their fields."""
    heard: list[dict[str, str]] = []
    async with asyncio.timeout(EVENT_S), client.stream("GET", "/api/v1/events", headers=headers) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if line and name:
                fields[name] = value
            elif fields:
                heard.append(fields)
                fields = {}
                if len(heard) == count:
                    return heard
    raise AssertionError(f"the stream ended after {heard}")


@asynccontextmanager
async def followed(tmp_path: Path) -> AsyncIterator[tuple[Cloud, httpx2.AsyncClient]]:
    async with cloud("all", "--port", "0", "--data", str(tmp_path), "--broker", "127.0.0.1:9") as running:
        await signed_in(running)
        async with running.client() as client:
            yield running, client


async def register(client: httpx2.AsyncClient, machine: str) -> None:
    answer = await client.post("/api/v1/machines", json={"machine": machine, "name": machine})
    assert answer.status_code == 201


async def test_events_are_followed_and_resumed(tmp_path: Path) -> None:
    async with followed(tmp_path) as (running, client):
        for number in range(1, 4):
            await register(client, f"m-{number}")
        seen = await follow(client, 3, **{"Last-Event-ID": "0"})
        assert [(one["id"], one["event"]) for one in seen] == [(str(n), "machine.registered") for n in (1, 2, 3)]
        assert json.loads(seen[0]["data"])["subject"] == "m-1"
        live = asyncio.ensure_future(follow(client, 1, **{"Last-Event-ID": "3"}))
        await register(client, "m-4")
        assert [one["id"] for one in await live] == ["4"]
        assert [one["id"] for one in await follow(client, 2, **{"Last-Event-ID": "2"})] == ["3", "4"]
        assert await running.stop() == 0


async def test_what_is_gone_is_said(tmp_path: Path) -> None:
    async with followed(tmp_path) as (running, client):
        for number in range(1, 4):
            await register(client, f"m-{number}")
        seen = await follow(client, 2, **{"Last-Event-ID": "0"})
        assert [one["event"] for one in seen] == ["machine.registered"] * 2
        await running.stop()
    database = Database.open(url_of(tmp_path))
    async with database.work() as work:
        await tell(work, [Event("main", "note", "x", {})])
        await work.execute(events.delete().where(events.c.id <= 2))
    await database.close()
    async with cloud("all", "--port", "0", "--data", str(tmp_path), "--broker", "127.0.0.1:9") as again:
        again.url = (await again.read_until(r"(http://127\.0\.0\.1:\d+)/"))[1]
        again.token = running.token
        async with again.client() as client:
            gap = await follow(client, 1, **{"Last-Event-ID": "0"})
            assert gap[0]["event"] == "gap"
            assert json.loads(gap[0]["data"]) == {"from": 1, "to": 2}


async def test_a_stream_ends_with_its_token(tmp_path: Path) -> None:
    async with followed(tmp_path) as (_, client):
        async with asyncio.timeout(EVENT_S), client.stream("GET", "/api/v1/events") as answer:
            lines = answer.aiter_lines()
            assert (await anext(lines)).startswith(": what comes after")
            assert (await client.post("/api/v1/logout")).status_code == 204
            rest = [line async for line in lines]
        assert [line for line in rest if line and not line.startswith(":")] == []


async def test_streams_are_sent_home_at_the_end(tmp_path: Path) -> None:
    async with followed(tmp_path) as (running, client), client.stream("GET", "/api/v1/events") as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        assert await running.stop() == 0
        assert [line async for line in lines if line and not line.startswith(":")] == []


# --- with a broker ---


async def test_ingest_and_downlink_find_a_broker_that_comes_later(tmp_path: Path) -> None:
    async with followed(tmp_path) as (running, client):
        assert (await client.get("/readyz")).json()["broker"] == "cannot be reached"
        assert await running.stop() == 0
    assert "ingest" in "".join(running.said)
    with mosquitto(tmp_path) as broker:
        address = f"127.0.0.1:{broker.port}"
        async with cloud("all", "--port", "0", "--data", str(tmp_path), "--broker", address) as again:
            heard = {(await again.read_until("(ingest): listening|(downlink): speaking"))[0] for _ in range(2)}
            assert heard == {"ingest: listening", "downlink: speaking"}
            assert await again.stop() == 0
