"""No power cut takes back what the world was told (C2); and the same judge convicts a ledger that does not sync."""

from __future__ import annotations

import random
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.ledger import inbox, journal, opening, outbox, pours, water
from shared.clock import ManualClock
from shared.ids import CommandId, OrderId
from tests.crash.power_cut import Create, Cut, Disk, Mark, Op, Rename, Sync, Write, cuts, record
from tests.ledger.pouring import POUR_INTENT
from tests.ledger.vending import open_plain

# Two cuts of the log into the file, so that the log is written again from its beginning.
OPERATIONS = ["load", "sell", "watermark", "jam", "tidy", "miss", "command", "tombstone", "pour", "tidy", "sell"]


def recorded(folder: Path, synchronous: str, operations: list[str]) -> list[Op]:
    data, marks = folder / "data", folder / "marks"
    data.mkdir(mode=0o700)
    argv = [sys.executable, "-m", "tests.crash.ledger_driver", str(data), str(marks), synchronous, *operations]
    ops = record(argv, data, lambda path, raw: raw.decode().strip() if path == str(marks) else None)
    told = [op.text for op in ops if isinstance(op, Mark)]
    assert told == marks.read_text().splitlines(), "every mark was recorded"
    return [op for op in ops if not _beside_the_ledger(op)]


def _beside_the_ledger(op: Op) -> bool:
    """The lock and the reserve hold nothing."""
    name = getattr(op, "name", "")
    return name.endswith((".lock", ".reserve"))


def broken_promises(cut: Cut, folder: Path) -> list[str]:
    """What a start on this disk finds missing of what the world was told, or wrong in itself."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in cut.image.items():
        (folder / name).write_bytes(content)
    conn = open_plain(folder, ManualClock(boot_id="boot-2"))
    try:
        identity = outbox.identity(conn)
        assert identity is not None
        if identity.damage is not None:
            return [f"taken for damage: {identity.damage}"]
        broken = [line for (line,) in conn.execute("PRAGMA integrity_check") if line != "ok"]
        broken += opening.content_problems(conn, thorough=True)
        have = {row.seq for row in outbox.pending(conn, 0, 1000)}
        for promise in cut.told:
            match promise.split():
                case ["started", order, txn]:
                    attempts = [attempt.txn for attempt in journal.attempts_of(conn, OrderId(order))]
                    kept = int(txn) in attempts
                case ["ended", order, seq]:
                    known = journal.order(conn, OrderId(order))
                    kept = known is not None and known.end_seq == int(seq) and int(seq) in have
                case ["opened", order, txn]:
                    pour = pours.pour(conn, OrderId(order))
                    kept = pour is not None and pour.txn == int(txn) and pour.intent == POUR_INTENT
                case ["poured", order, seq]:
                    pour = pours.pour(conn, OrderId(order))
                    used = water.usage(conn, "shop")[2]
                    kept = pour is not None and pour.poured_ml == used and int(seq) in have
                case ["said", seq]:
                    kept = int(seq) in have
                case ["answered", command]:
                    kept = inbox.answer_of(conn, CommandId(command)) is not None
            if not kept:
                broken.append(f"forgotten: {promise}")
        return broken
    except sqlite3.DatabaseError as error:
        return [f"unreadable: {error}"]
    finally:
        conn.close()


def verdicts(ops: list[Op], folder: Path) -> Iterator[tuple[Cut, list[str]]]:
    for cut in cuts(ops):
        yield cut, broken_promises(cut, folder)


@pytest.fixture
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """In memory when there is such a folder: thousands of images are opened, and none of them needs a disk."""
    memory = Path("/dev/shm")
    folder = (
        memory if memory.is_dir() else tmp_path_factory.mktemp("image")
    ) / f"image-{tmp_path_factory.getbasetemp().name}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_no_power_cut_takes_back_what_was_told(tmp_path: Path, image_folder: Path) -> None:
    ops = recorded(tmp_path, "FULL", OPERATIONS)
    images = 0
    for cut, broken in verdicts(ops, image_folder):
        images += 1
        assert broken == [], f"power cut after operation {cut.at} ({ops[: cut.at][-1:]}), told {cut.told[-1:]}"
    assert images > 2_000, "the record covers the run"


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_a_ledger_that_does_not_sync_is_convicted(tmp_path: Path, image_folder: Path, synchronous: str) -> None:
    ops = recorded(tmp_path, synchronous, ["load", "sell"])
    convicted = [broken for _, broken in verdicts(ops, image_folder) if broken]
    assert any("forgotten: ended o1" in line for broken in convicted for line in broken)
    assert any("forgotten: started o1" in line for broken in convicted for line in broken)
    if synchronous == "OFF":
        assert any("unreadable" in line or "damage" in line for broken in convicted for line in broken)


def test_a_write_is_uncertain_until_its_sync() -> None:
    ops: list[Op] = [Create("a"), Sync(""), Write("a", 0, b"x" * 1024), Write("a", 1024, b"y"), Sync("a"), Mark("told")]
    found = {(cut.at, cut.image.get("a")) for cut in cuts(ops)}
    x, y = b"x" * 1024, b"y"
    at_sync = {image for at, image in found if at == 4}
    assert at_sync == {bytes(1024) + y, x + y, x} - {image for at, image in found if at < 4}
    assert (0, None) in found
    assert {image for at, image in found if at == 3} == {x, x[:512]}, "torn at a sector, nothing was there before"
    assert {cut.image["a"] for cut in cuts(ops) if cut.told} == {x + y}


def test_a_name_is_uncertain_until_the_folder_is_synced() -> None:
    disk = Disk()
    for op in (Create("new"), Write("new", 0, b"z"), Sync("new"), Rename("new", "old")):
        disk.apply(op)
    images = list(disk.outcomes(random.Random(1), thorough=True))
    assert {} in images
    assert {"new": b"z"} in images
    assert {"old": b"z"} in images
    disk.apply(Sync(""))
    assert all(image == {"old": b"z"} for image in disk.outcomes(random.Random(1), thorough=True))
