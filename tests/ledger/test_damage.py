"""Damage is loud (I16): every page, three ways; every frame of the log; and every step of setting a file aside."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.errors import LedgerDamaged
from edge_agent.ledger import config, inbox, journal, opening, outbox, stock, wal
from shared.clock import ManualClock
from shared.ids import CommandId, Epoch
from shared.messages import EpochBegan, decode_fact
from tests.ledger.vending import A1, delivered, dropped, load, open_database, open_plain, plan, sale

PAGE = 4096
_LOG_HEADER, _FRAME_HEADER = 32, 24


def vend(conn: sqlite3.Connection, clock: ManualClock, order: str) -> None:
    conn.execute("BEGIN")
    txn = journal.begin(conn, sale(order), plan(), clock)
    conn.execute("COMMIT")
    conn.execute("BEGIN")
    journal.end(conn, delivered(sale(order), dropped(txn)), clock)
    conn.execute("COMMIT")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Epoch]:
    """A small ledger in which every kind of page occurs, and its epoch."""
    folder, clock = tmp_path_factory.mktemp("whole"), ManualClock()
    conn = open_plain(folder, clock)
    load(conn, clock, 100)
    for number in range(40):
        vend(conn, clock, f"o{number}")
    config.store(conn, 3, b"x" * 9_000, "mac")
    inbox.accept_command(conn, CommandId("c1"), b"y" * 9_000, clock)
    assert conn.execute("PRAGMA freelist_count").fetchone() == (0,), "an unused page would hide damage, rightly"
    identity = outbox.identity(conn)
    assert identity is not None
    conn.close()
    return (folder / "ledger.sqlite").read_bytes(), identity.epoch


def assert_set_aside(folder: Path, damaged: bytes, clock: ManualClock, *, previous: Epoch | None) -> None:
    conn = open_plain(folder, clock)
    identity = outbox.identity(conn)
    (first,) = outbox.pending(conn, 0, 10)
    conn.close()
    assert identity is not None
    assert identity.damage
    assert identity.epoch != previous
    (aside,) = folder.glob("ledger-*.damaged")
    assert aside.read_bytes() == damaged, "kept as it was found"
    told = decode_fact(first.fact)
    assert isinstance(told, EpochBegan)
    assert told.reason == "damaged"
    assert told.previous in (previous, None)


def zeroed(raw: bytes, page: int) -> bytes:
    return raw[: page * PAGE] + bytes(PAGE) + raw[(page + 1) * PAGE :]


def inverted(raw: bytes, page: int) -> bytes:
    flipped = bytes(byte ^ 0xFF for byte in raw[page * PAGE : (page + 1) * PAGE])
    return raw[: page * PAGE] + flipped + raw[(page + 1) * PAGE :]


def cut_off(raw: bytes, page: int) -> bytes:
    return raw[: page * PAGE]


@pytest.mark.parametrize("harm", [zeroed, inverted, cut_off])
def test_every_damaged_page_is_found(
    tmp_path: Path, clock: ManualClock, whole: tuple[bytes, Epoch], harm: Callable[[bytes, int], bytes]
) -> None:
    raw, epoch = whole
    pages = len(raw) // PAGE
    assert pages > 30
    for page in range(pages):
        folder = tmp_path / str(page)
        folder.mkdir()
        damaged = harm(raw, page)
        (folder / "ledger.sqlite").write_bytes(damaged)
        assert_set_aside(folder, damaged, clock, previous=epoch)


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("UPDATE configs SET document = x'00'", "configuration 3"),
        ("UPDATE commands SET ask = x'00'", "command c1"),
        ("UPDATE balances SET on_hand = on_hand + 1", "stock of aisle A1"),
        ("UPDATE stream SET next_seq = next_seq - 1", "is to be given next"),
        ("DROP TRIGGER outbox_fact_is_final; UPDATE outbox SET fact = x'7b7d' WHERE seq = 9", "fact 9"),
        ("PRAGMA foreign_keys = OFF; DROP TRIGGER orders_are_kept; DELETE FROM orders", "points nowhere"),
        ("DELETE FROM stream", "no stream"),
    ],
)
def test_content_that_no_page_check_sees_is_found(
    tmp_path: Path, clock: ManualClock, whole: tuple[bytes, Epoch], statement: str, finding: str
) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(whole[0])
    harm = sqlite3.connect(path, isolation_level=None)
    harm.executescript(statement)
    harm.close()
    conn = open_plain(tmp_path, clock)
    identity = outbox.identity(conn)
    conn.close()
    assert identity is not None
    assert identity.damage is not None
    assert finding in identity.damage


def test_every_synced_frame_of_the_log_is_guarded(tmp_path: Path, clock: ManualClock) -> None:
    """All but the last two transactions: their loss looks like a power cut, and the cloud's watermark tells it."""
    live = tmp_path / "live"
    conn = open_plain(live, clock)
    load(conn, clock)
    before_last_two = 0
    for number in range(4):
        if number == 3:
            before_last_two = (live / "ledger.sqlite-wal").stat().st_size
        vend(conn, clock, f"o{number}")
    file, log = ((live / name).read_bytes() for name in ("ledger.sqlite", "ledger.sqlite-wal"))
    conn.close()

    def opened(folder: Path, harmed: bytes) -> bool:
        """Whether the harmed log was taken for damage."""
        folder.mkdir()
        (folder / "ledger.sqlite").write_bytes(file)
        (folder / "ledger.sqlite-wal").write_bytes(harmed)
        again = open_plain(folder, clock)
        identity = outbox.identity(again)
        again.close()
        assert identity is not None
        return identity.damage is not None

    assert not opened(tmp_path / "unharmed", log)
    frame = _FRAME_HEADER + PAGE
    starts = range(_LOG_HEADER, before_last_two - frame + 1, frame)
    assert len(starts) > 20
    for start in starts:
        harmed = bytearray(log)
        for at in (start, start + 8, start + 20, start + _FRAME_HEADER + 100, start + frame - 1):
            one_byte = bytearray(log)
            one_byte[at] ^= 0x40
            (tmp_path / "log").write_bytes(one_byte)
            assert wal.lost_commits(tmp_path / "log"), f"byte {at}"
        harmed[start : start + frame] = bytes(frame)
        assert opened(tmp_path / f"zero-{start}", bytes(harmed))
    for at in range(_LOG_HEADER):
        harmed = bytearray(log)
        harmed[at] ^= 0x01
        (tmp_path / "log").write_bytes(harmed)
        assert wal.lost_commits(tmp_path / "log"), f"header byte {at}"


def test_an_unfinished_transaction_is_no_damage(tmp_path: Path, clock: ManualClock) -> None:
    live = tmp_path / "live"
    conn = open_plain(live, clock)
    load(conn, clock)
    vend(conn, clock, "o1")
    synced = (live / "ledger.sqlite-wal").stat().st_size
    conn.execute("BEGIN")
    journal.begin(conn, sale("o2"), plan(), clock)
    conn.execute("COMMIT")
    log = (live / "ledger.sqlite-wal").read_bytes()
    conn.close()
    for size in range(synced, len(log), 512):
        (tmp_path / "log").write_bytes(log[:size])
        assert wal.lost_commits(tmp_path / "log") is None
        (tmp_path / "log").write_bytes(log[:size] + bytes(512) + log[size + 512 :])
        assert wal.lost_commits(tmp_path / "log") is None


def test_the_log_written_again_from_its_beginning_is_no_damage(tmp_path: Path, clock: ManualClock) -> None:
    conn = open_plain(tmp_path, clock)
    load(conn, clock)
    log = tmp_path / "ledger.sqlite-wal"
    for number in range(6):
        vend(conn, clock, f"o{number}")
        if number % 3 == 2:
            conn.execute("PRAGMA wal_checkpoint(PASSIVE)")
        assert wal.lost_commits(log) is None
    conn.close()


async def test_findings_stay_until_a_person_confirms(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"garbage" * 1000)
    for _ in ("first start", "second start"):
        async with await open_database(tmp_path, clock) as database:
            assert database.damaged_findings == "file is not a database"
    async with await open_database(tmp_path, clock) as database:
        await database.confirm_damage()
        assert database.damaged_findings is None
    async with await open_database(tmp_path, clock) as database:
        assert database.damaged_findings is None
    assert len(list(tmp_path.glob("*.damaged"))) == 1


async def test_damage_met_in_use_condemns_the_file(tmp_path: Path, clock: ManualClock) -> None:
    async with await open_database(tmp_path, clock) as database:
        await database.write(lambda conn: load(conn, clock))
    raw = bytearray((tmp_path / "ledger.sqlite").read_bytes())
    async with await open_database(tmp_path, clock) as database:
        old = database.epoch
        with (tmp_path / "ledger.sqlite").open("r+b") as file:
            file.write(bytes(len(raw)))
        await database.write(lambda conn: conn.execute("PRAGMA shrink_memory"))
        with pytest.raises(LedgerDamaged):
            await database.write(lambda conn: conn.execute("PRAGMA integrity_check").fetchall() and load(conn, clock))
        with pytest.raises(LedgerDamaged):
            await database.write(lambda conn: None)
    # The file may read well again tomorrow; it is not trusted.
    (tmp_path / "ledger.sqlite").write_bytes(raw)
    async with await open_database(tmp_path, clock) as database:
        assert database.damaged_findings
        assert database.epoch != old


async def test_the_daily_check_condemns_what_it_finds(tmp_path: Path, clock: ManualClock) -> None:
    async with await open_database(tmp_path, clock) as database:
        await database.write(lambda conn: load(conn, clock))
        assert await database.integrity_check() == []
        await database.write(lambda conn: conn.execute("UPDATE balances SET on_hand = 99 WHERE aisle = 'A1'"))
        (finding,) = await database.integrity_check()
        assert "aisle A1" in finding
    async with await open_database(tmp_path, clock) as database:
        assert database.damaged_findings == finding
        assert A1 not in await database.read(stock.balances)


@pytest.mark.parametrize("cut", ["before", "file moved", "log moved", "mark moved", "half born"])
def test_setting_aside_can_be_cut_anywhere(tmp_path: Path, clock: ManualClock, cut: str) -> None:
    conn = open_plain(tmp_path, clock)
    vend_file = tmp_path / "ledger.sqlite"
    load(conn, clock)
    shutil.copy(tmp_path / "ledger.sqlite-wal", tmp_path / "kept-wal")
    conn.close()
    (tmp_path / "kept-wal").rename(tmp_path / "ledger.sqlite-wal")
    opening.condemn(vend_file, "found bad")

    steps = ["before", "file moved", "log moved", "mark moved", "half born"].index(cut)
    for suffix in ("", "-wal", ".condemned")[:steps]:
        (tmp_path / f"ledger.sqlite{suffix}").rename(tmp_path / f"ledger-e9.damaged{suffix}")
    if cut == "half born":
        (tmp_path / "ledger.sqlite.birth").write_bytes(b"half")

    again = open_plain(tmp_path, clock)
    identity = outbox.identity(again)
    again.close()
    assert identity is not None
    assert identity.damage
    assert not (tmp_path / "ledger.sqlite.condemned").exists()
    assert list(tmp_path.glob("ledger-*.damaged*"))


def test_a_half_born_ledger_is_born_again(tmp_path: Path, clock: ManualClock) -> None:
    for leftover in ("ledger.sqlite.birth", "ledger.sqlite.birth-journal"):
        (tmp_path / leftover).write_bytes(b"half")
    conn = open_plain(tmp_path, clock)
    identity = outbox.identity(conn)
    conn.close()
    assert identity is not None
    assert identity.damage is None
