"""One connection, one hop, one transaction; and who is turned away at the door."""

from __future__ import annotations

import asyncio
import inspect
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import aiosqlite
import pytest

from edge_agent.errors import DiskShort, LedgerRefused, LedgerUnsafe
from edge_agent.ledger import journal, opening, outbox, stock
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.ledger.outbox import StreamPosition
from shared.clock import ManualClock
from shared.ids import MachineId, OrderId
from shared.messages import CommandAnswered, DoorChanged, EpochBegan, decode_fact
from tests.ledger.vending import A1, MACHINE, delivered, dropped, load, open_database, plan, sale

FILES = Path(__file__).parent / "files"


def test_aiosqlite_still_runs_a_function_on_its_thread() -> None:
    """The one private name that the ledger uses; if this fails, database.py needs another way to its thread."""
    assert list(inspect.signature(aiosqlite.Connection._execute).parameters) == ["self", "fn", "args", "kwargs"]


async def test_a_transaction_is_one_function_on_one_thread(tmp_path: Path, clock: ManualClock) -> None:
    async with await open_database(tmp_path, clock) as database:
        threads = {await database.write(lambda _: threading.get_ident()) for _ in range(3)}
        threads.add(await database.read(lambda _: threading.get_ident()))
        assert len(threads) == 1
        assert threading.get_ident() not in threads


async def test_what_was_written_is_there_after_closing(tmp_path: Path, clock: ManualClock) -> None:
    async with await open_database(tmp_path, clock) as database:
        epoch = database.epoch
        assert database.machine == MACHINE
        assert database.damaged_findings is None
        await database.write(lambda conn: load(conn, clock))
        assert database.written.is_set()
    async with await open_database(tmp_path, clock) as database:
        assert database.epoch == epoch
        assert (await database.read(stock.balances))[A1].on_hand == 10
        assert await database.read(outbox.position) == StreamPosition(next_seq=4, oldest_seq=1, acked=0)


async def test_an_error_inside_rolls_everything_back(tmp_path: Path, clock: ManualClock) -> None:
    def half(conn: sqlite3.Connection) -> None:
        load(conn, clock)
        raise RuntimeError("half way")

    async with await open_database(tmp_path, clock) as database:
        with pytest.raises(RuntimeError, match="half way"):
            await database.write(half)
        assert await database.read(stock.balances) == {}
        await database.write(lambda conn: load(conn, clock))


async def test_a_reader_that_writes_is_found_out(tmp_path: Path, clock: ManualClock) -> None:
    async with await open_database(tmp_path, clock) as database:
        with pytest.raises(AssertionError, match="use write"):
            await database.read(lambda conn: conn.execute("UPDATE stream SET incarnation = 'x'"))


async def test_a_cancelled_writer_is_held_until_its_commit(tmp_path: Path, clock: ManualClock) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(conn: sqlite3.Connection) -> None:
        began.set()
        assert go_on.wait(10)
        load(conn, clock)

    async with await open_database(tmp_path, clock) as database:
        writer = asyncio.ensure_future(database.write(slow))
        await asyncio.to_thread(began.wait, 10)
        writer.cancel()
        await asyncio.sleep(0)
        assert not writer.done(), "the transaction is still under way"
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await writer
        assert (await database.read(stock.balances))[A1].on_hand == 10


async def test_every_commit_is_synced(tmp_path: Path, clock: ManualClock) -> None:
    def pragmas(conn: sqlite3.Connection) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "locking_mode", "wal_autocheckpoint")
        return {name: conn.execute(f"PRAGMA {name}").fetchone()[0] for name in names}

    async with await open_database(tmp_path, clock) as database:
        assert await database.read(pragmas) == {
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "locking_mode": "exclusive",
            "wal_autocheckpoint": 0,
        }


async def test_the_log_does_not_grow_for_ever(tmp_path: Path, clock: ManualClock) -> None:
    sizes = []
    async with await open_database(tmp_path, clock) as database:
        await database.write(lambda conn: load(conn, clock, 1000))
        for number in range(300):
            txn = await database.write(lambda conn, n=number: journal.begin(conn, sale(f"o{n}"), plan(), clock))  # type: ignore[misc]
            fact = delivered(sale(f"o{number}"), dropped(txn))
            await database.write(lambda conn, fact=fact: journal.end(conn, fact, clock), outcome=True)  # type: ignore[misc]
            sizes.append((tmp_path / "ledger.sqlite-wal").stat().st_size)
    assert sizes[-1] == sizes[100] < 6 * 1024 * 1024


async def test_only_the_owner_can_read_it(tmp_path: Path, clock: ManualClock) -> None:
    folder = tmp_path / "var" / "aisleflow"
    async with await open_database(folder, clock) as database:
        await database.write(lambda conn: load(conn, clock))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
        assert set(modes.values()) == {0o600}
        assert "ledger.sqlite-wal" in modes
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_second_agent_is_turned_away(tmp_path: Path, clock: ManualClock) -> None:
    async with await open_database(tmp_path, clock):
        with pytest.raises(LedgerRefused, match="another agent uses this ledger"):
            await open_database(tmp_path, clock)
        program = (
            "import asyncio, pathlib, sys; from tests.ledger.vending import open_database;"
            "from shared.clock import ManualClock;"
            "asyncio.run(open_database(pathlib.Path(sys.argv[1]), ManualClock()))"
        )
        other = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
        )
        assert other.returncode == 1
        assert "another agent uses this ledger" in other.stderr
        plain = sqlite3.connect(tmp_path / "ledger.sqlite")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            plain.execute("SELECT * FROM stream")
        plain.close()
    async with await open_database(tmp_path, clock):
        pass


async def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(LedgerUnsafe, match=r"/proc/self/ledger.sqlite.lock: .*: check the data folder and its disk"):
        await LedgerDatabase.open(
            Path("/proc/self/ledger.sqlite"), machine=MachineId("m-1"), clock=clock, software="test"
        )


async def test_the_ledger_of_another_machine_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    async with await open_database(tmp_path, clock):
        pass
    with pytest.raises(LedgerRefused, match="machine 'm-7', the settings say 'm-8'"):
        await open_database(tmp_path, clock, machine=MachineId("m-8"))
    async with await open_database(tmp_path, clock) as database:
        assert database.damaged_findings is None


async def test_a_ledger_of_newer_software_is_refused_and_left_alone(tmp_path: Path, clock: ManualClock) -> None:
    async with await open_database(tmp_path, clock) as database:
        await database.write(lambda conn: conn.execute("PRAGMA user_version = 99"))
    before = (tmp_path / "ledger.sqlite").read_bytes()
    with pytest.raises(LedgerRefused, match="schema 99 was written by newer software"):
        await open_database(tmp_path, clock)
    assert (tmp_path / "ledger.sqlite").read_bytes() == before


async def test_yesterdays_file_opens(tmp_path: Path, clock: ManualClock) -> None:
    """A ledger as schema 1 wrote it, with a sale, a jam, a review, a lock and a command: kept for ever, as it was."""
    old = sqlite3.connect(tmp_path / "ledger.sqlite")
    old.executescript((FILES / "schema-1.sql").read_text(encoding="utf-8"))
    old.close()
    async with await open_database(tmp_path, clock) as database:
        assert database.damaged_findings is None
        assert database.epoch == "e1stored00000000000ab"
        where = await database.read(outbox.position)
        assert (where.acked, where.next_seq) == (5, 14)
        reviews = await database.read(journal.orders_in_review)
        assert [row.sale.order for row in reviews] == ["o-unseen"]
        sold = await database.read(lambda conn: journal.order(conn, OrderId("o-sold")))
        assert sold is not None
        assert (sold.state, sold.sale.price_fen) == ("delivered", 350)
        shelves = {aisle: (b.on_hand, b.held) for aisle, b in (await database.read(stock.balances)).items()}
        assert shelves == {"A1": (9, 1), "A2": (10, 0)}
        txn = await database.write(lambda conn: journal.begin(conn, sale("o-new"), plan(), clock))
        await database.write(lambda conn: journal.end(conn, delivered(sale("o-new"), dropped(txn)), clock))
        assert await database.integrity_check() == []


SHIPPED = opening.newest_schema()


@pytest.fixture
def next_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One more migration, which adds a table, fills it and then runs the statement that a test appends."""
    folder = tmp_path / "schema"
    shutil.copytree(opening._SCHEMA, folder)
    (folder / f"{SHIPPED + 1:04}_more.sql").write_text(
        "CREATE TABLE more (x INTEGER) STRICT; INSERT INTO more SELECT seq FROM outbox;\n"
        "ALTER TABLE orders ADD y TEXT;\n"
    )
    monkeypatch.setattr(opening, "_SCHEMA", folder)
    return folder


async def begun_as_shipped(folder: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as original:
        original.setattr(opening, "_SCHEMA", Path(opening.__file__).parent / "schema")
        async with await open_database(folder, clock) as database:
            await database.write(lambda conn: load(conn, clock))


async def test_a_migration_copies_first_and_keeps_everything(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, next_schema: Path
) -> None:
    data = tmp_path / "data"
    await begun_as_shipped(data, clock, monkeypatch)
    async with await open_database(data, clock) as database:
        assert await database.read(lambda conn: conn.execute("SELECT count(*) FROM more").fetchone()) == (3,)
        assert await database.read(lambda conn: conn.execute("PRAGMA user_version").fetchone()) == (SHIPPED + 1,)
        assert database.damaged_findings is None
    copy = sqlite3.connect(data / f"ledger.sqlite.schema-{SHIPPED}")
    assert copy.execute("PRAGMA user_version").fetchone() == (SHIPPED,)
    assert copy.execute("SELECT count(*) FROM outbox").fetchone() == (3,)
    copy.close()
    assert stat.S_IMODE((data / f"ledger.sqlite.schema-{SHIPPED}").stat().st_mode) == 0o600


async def test_a_migration_that_fails_half_way_changes_nothing(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, next_schema: Path
) -> None:
    data = tmp_path / "data"
    await begun_as_shipped(data, clock, monkeypatch)
    step = next_schema / f"{SHIPPED + 1:04}_more.sql"
    good = step.read_text()
    step.write_text(good + "INSERT INTO nowhere VALUES (1);")
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        await open_database(data, clock)
    file = sqlite3.connect(data / "ledger.sqlite")
    assert file.execute("PRAGMA user_version").fetchone() == (SHIPPED,)
    assert not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'more'").fetchone()
    file.close()
    step.write_text(good)
    async with await open_database(data, clock) as database:
        assert await database.read(lambda conn: conn.execute("SELECT count(*) FROM more").fetchone()) == (3,)


def test_migrations_are_numbered_without_gaps() -> None:
    names = sorted(file.name for file in opening._SCHEMA.glob("*.sql"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    assert all(re.fullmatch(r"\d{4}_[a-z_]+\.sql", name) for name in names)


async def test_room_follows_the_outbox(tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "UNACKED_ROWS_MAX", 3)
    async with await open_database(tmp_path, clock) as database:
        assert (await database.room()).may_sell
        await database.write(lambda conn: load(conn, clock))
        room = await database.room()
        assert not room.may_sell
        assert room.unacked_rows == 3
        assert room.why is not None
        assert "restore the connection" in room.why
        await database.write(lambda conn: outbox.acknowledge(conn, 2, "cloud-a"))
        assert (await database.room()).may_sell


async def test_room_needs_the_reserve(tmp_path: Path, clock: ManualClock) -> None:
    async with await open_database(tmp_path, clock) as database:
        reserve = tmp_path / "ledger.sqlite.reserve"
        reserve.unlink()
        room = await database.room()
        assert not room.may_sell
        assert room.why is not None
        assert "free some space" in room.why
        await database.tidy()
        assert reserve.stat().st_size == 256 * 1024
        assert (await database.room()).may_sell


async def test_a_disk_without_room_for_the_reserve_sells_nothing(tmp_path: Path, clock: ManualClock) -> None:
    async with await open_database(tmp_path, clock, reserve_bytes=1 << 60) as database:
        assert not (await database.room()).may_sell
        await database.write(lambda conn: outbox.append(conn, DoorChanged(open=True), clock))


async def test_an_epoch_begins_with_its_reason(tmp_path: Path, clock: ManualClock) -> None:
    async with await open_database(tmp_path, clock) as database:
        (row,) = await database.read(lambda conn: outbox.pending(conn, 0, 10))
    assert decode_fact(row.fact) == EpochBegan(reason="new", software="test 1")


async def test_a_broken_constraint_comes_out_as_it_is(tmp_path: Path, clock: ManualClock) -> None:
    async with await open_database(tmp_path, clock) as database:
        with pytest.raises(sqlite3.IntegrityError):
            await database.write(lambda conn: conn.execute("UPDATE stream SET acked = 99"))
        seq = await database.write(lambda conn: outbox.append(conn, CommandAnswered(command="c1", done=True), clock))
        assert seq == 2


async def test_an_outcome_that_fits_nowhere_ends_the_process_and_is_never_tried_again(tmp_path: Path) -> None:
    clock = ManualClock()
    async with await LedgerDatabase.open(
        tmp_path / "ledger.sqlite", machine=MACHINE, clock=clock, software="test", reserve_bytes=65_536
    ) as database:

        def full(conn: sqlite3.Connection) -> None:
            # SQLite's own limit on pages answers as a full disk does, with and without the reserve.
            conn.execute("PRAGMA max_page_count = 1")
            conn.execute("CREATE TABLE large (filling BLOB)")
            conn.execute("INSERT INTO large VALUES (zeroblob(10000000))")

        with pytest.raises(DiskShort):
            await database.write(full)
        with pytest.raises(LedgerUnsafe, match="cannot be written down"):
            await database.write(full, outcome=True)
        with pytest.raises(LedgerUnsafe):
            await database.write(lambda conn: None)
