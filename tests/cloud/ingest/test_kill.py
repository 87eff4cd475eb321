"""kill -9 of ingest, wherever it hurts: afterwards the messages come again, and everything happened once."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cloud.database import Database
from cloud.ingest.read import Incoming
from shared.clock import ManualClock
from shared.messages import VendDelivered
from tests.cloud.conftest import NOON_MS
from tests.cloud.fleet import Device, drift, open_shop, place_order, pressed, say, vend, watermarks
from tests.cloud.ingest.test_streams import on_hand, quarantined
from tests.cloud.ingest.victim import ingest

STOCK = 1_000

# A claim, its order and a button sale take about 25 statements of two steps each, and the commit.
STEPS_MAX = 150

# What SQLite writes with: pages and frames go through pwrite64, and the commit through fdatasync.
WRITE_CALLS = ("pwrite64", "fdatasync")
# Facts of one kind differ by a few pages in what they write.
SPREAD = 10

ROOT = Path(__file__).parents[3]


async def prepare(url: str) -> Device:
    """A shop with a member and much stock."""
    database = Database.open(url, clock=ManualClock(wall_ms=NOON_MS))
    device = await open_shop(database, stock=STOCK, balance_fen=100_000)
    await database.close()
    return device


async def order_and_sale(url: str, device: Device, number: int) -> list[Incoming]:
    """What a machine says of one more order and one more button sale."""
    database = Database.open(url, clock=ManualClock(wall_ms=NOON_MS))
    order = await place_order(database, f"k{number}")
    await database.close()
    return [device.claim(order), device.fact(vend(VendDelivered, order)), device.fact(pressed(f"b{number}"))]


async def deliver_again(url: str, device: Device, batch: list[Incoming], expected_on_hand: int) -> None:
    """Nobody acknowledged, so the broker delivers again; then everything has happened, and happened once."""
    database = Database.open(url, clock=ManualClock(wall_ms=NOON_MS))
    outgoing = await say(database, *batch)
    assert max(mark.applied for mark in watermarks(outgoing)) == device.seq
    assert await on_hand(database) == expected_on_hand
    assert await quarantined(database) == []
    assert await drift(database) == 0
    await database.close()


def fork_and_kill(url: str, batch: list[Incoming], kill_at: int) -> int:
    """A victim with everything imported; answers how it ended, as `waitpid` does."""
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(ingest(url, batch, kill_at))
            os._exit(0)
        finally:
            os._exit(1)  # an error in the victim is no kill
    return os.waitpid(pid, 0)[1]


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_kill_before_and_after_every_statement_and_commit(database_url: str) -> None:
    device = asyncio.run(prepare(database_url))
    for kill_at in range(1, STEPS_MAX):
        batch = asyncio.run(order_and_sale(database_url, device, kill_at))
        ended = fork_and_kill(database_url, batch, kill_at)
        asyncio.run(deliver_again(database_url, device, batch, STOCK - 2 * kill_at))
        if not os.WIFSIGNALED(ended):
            break
        assert os.WTERMSIG(ended) == signal.SIGKILL
    assert ended == 0, "the victim failed, or has more steps than this test knows"
    assert kill_at > 30, f"only {kill_at} steps were killed"


def victim_under_strace(url: str, batch: list[Incoming], folder: Path, *options: str) -> tuple[int, str]:
    """Run the victim, unharmed by itself, with strace looking or killing; answers the exit code and the trace."""
    assert shutil.which("strace"), "strace is not installed: apt-get install strace"
    messages, log = folder / "messages.json", folder / "strace.log"
    messages.write_text(json.dumps([[one.topic, one.payload.decode()] for one in batch]))
    never = str(STEPS_MAX * 10)
    victim = [sys.executable, "-m", "tests.cloud.ingest.victim", url, str(messages), never]
    ended = subprocess.run(["strace", "-f", "-qq", "-o", str(log), *options, *victim], check=False, cwd=ROOT).returncode
    return ended, log.read_text()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("call", WRITE_CALLS)
def test_kill_while_sqlite_writes_one_fact(sqlite_url: str, tmp_path: Path, call: str) -> None:
    """At every sync; among the frames of the WAL, which are all alike until the last, at every sixth and the last six.

    strace counts calls per thread, and one thread writes.
    """
    device = asyncio.run(prepare(sqlite_url))
    ended, trace = victim_under_strace(sqlite_url, [device.fact(pressed("b0"))], tmp_path, "-e", f"trace={call}")
    assert ended == 0, trace
    by_thread = Counter(line.split()[0] for line in trace.splitlines() if f"{call}(" in line)
    calls = max(by_thread.values())
    points = {*range(1, calls + 1, 6), *range(max(1, calls - 5), calls + 1)}
    for number, kill_at in enumerate(sorted(points), 1):
        batch = [device.fact(pressed(f"b{number}"))]
        inject = f"inject={call}:signal=SIGKILL:when={kill_at}"
        ended, trace = victim_under_strace(sqlite_url, batch, tmp_path, "-e", f"trace={call}", "-e", inject)
        asyncio.run(deliver_again(sqlite_url, device, batch, STOCK - 1 - number))
        if ended == 0:  # one fact does not touch as many pages as the next
            assert kill_at > calls - SPREAD, f"{call} {kill_at} of {calls}: {trace}"
            break
        assert ended in (-signal.SIGKILL, 128 + signal.SIGKILL), f"{call} {kill_at} of {calls}: {trace}"
