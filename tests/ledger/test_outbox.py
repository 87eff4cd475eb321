"""Numbers, compaction, watermarks and what is kept."""

from __future__ import annotations

import sqlite3

import pytest

from edge_agent.errors import Refused
from edge_agent.ledger import outbox
from edge_agent.ledger.outbox import StreamPosition
from shared.clock import ManualClock
from shared.messages import CommandAnswered, DoorChanged, EpochBegan, Fact, SellingChanged, decode_fact
from tests.ledger.vending import open_plain


def money(number: int) -> Fact:
    return CommandAnswered(command=f"c{number}", done=True)


@pytest.fixture
def conn(tmp_path, clock: ManualClock):  # type: ignore[no-untyped-def]
    """A new ledger: its one fact is the beginning of its epoch."""
    connection = open_plain(tmp_path, clock)
    yield connection
    connection.close()


def numbers(conn: sqlite3.Connection, after: int = 0) -> list[tuple[int, int]]:
    return [(row.prev, row.seq) for row in outbox.pending(conn, after, 10_000)]


def test_the_first_fact_says_that_the_epoch_began(conn: sqlite3.Connection) -> None:
    (row,) = outbox.pending(conn, 0, 10)
    assert (row.prev, row.seq) == (0, 1)
    assert decode_fact(row.fact) == EpochBegan(reason="new", software="test 1")


def test_numbers_are_dense_and_rows_carry_their_clocks(conn: sqlite3.Connection, clock: ManualClock) -> None:
    clock.advance(5_000)
    assert [outbox.append(conn, money(n), clock) for n in range(3)] == [2, 3, 4]
    assert numbers(conn, after=1) == [(1, 2), (2, 3), (3, 4)]
    row = outbox.pending(conn, 3, 1)[0]
    assert (row.boot_id, row.mono_ms, row.wall_ms, row.clock_state) == (
        clock.boot_id,
        clock.mono_ms(),
        clock.wall_ms(),
        "synced",
    )


def test_an_unacknowledged_state_is_replaced_and_prev_spans_the_hole(
    conn: sqlite3.Connection, clock: ManualClock
) -> None:
    outbox.append(conn, DoorChanged(open=True), clock)
    outbox.append(conn, money(1), clock)
    outbox.append(conn, SellingChanged(selling=False, reason="door"), clock)
    outbox.append(conn, DoorChanged(open=False), clock)
    assert numbers(conn) == [(0, 1), (1, 3), (3, 4), (4, 5)], "2 is gone: another door fact came"


def test_an_acknowledged_state_stays(conn: sqlite3.Connection, clock: ManualClock) -> None:
    outbox.append(conn, DoorChanged(open=True), clock)
    outbox.acknowledge(conn, 2, "cloud-a")
    outbox.append(conn, DoorChanged(open=False), clock)
    assert numbers(conn) == [(0, 1), (1, 2), (2, 3)]


def test_money_is_never_compacted(conn: sqlite3.Connection, clock: ManualClock) -> None:
    for _ in range(20):
        outbox.append(conn, money(1), clock)
    assert len(numbers(conn)) == 21


def test_a_watermark_only_rises(conn: sqlite3.Connection, clock: ManualClock) -> None:
    for number in range(9):
        outbox.append(conn, money(number), clock)
    assert outbox.acknowledge(conn, 7, "cloud-a") == StreamPosition(next_seq=11, oldest_seq=1, acked=7)
    assert outbox.acknowledge(conn, 5, "cloud-a").acked == 7, "a late one"
    assert outbox.acknowledge(conn, 10, "cloud-a").acked == 10


def test_a_restored_cloud_gets_again_what_it_forgot(conn: sqlite3.Connection, clock: ManualClock) -> None:
    for number in range(9):
        outbox.append(conn, money(number), clock)
    before = outbox.pending(conn, 4, 100)
    outbox.acknowledge(conn, 10, "cloud-a")
    assert outbox.acknowledge(conn, 4, "cloud-b").acked == 4
    assert outbox.pending(conn, 4, 100) == before, "byte for byte what was sent before"
    assert outbox.acknowledge(conn, 10, "cloud-a").acked == 4, "the replaced database has no say any more"
    assert outbox.acknowledge(conn, 6, "cloud-b").acked == 6


def test_a_watermark_above_the_stream_is_refused(conn: sqlite3.Connection) -> None:
    with pytest.RaisesExc(Refused, check=lambda error: error.reason == "watermark_ahead"):
        outbox.acknowledge(conn, 2, "cloud-a")
    assert outbox.position(conn).acked == 0


DAY_MS = 24 * 3_600_000


def fill(conn: sqlite3.Connection, clock: ManualClock, count: int) -> None:
    conn.execute("BEGIN")
    for number in range(count):
        outbox.append(conn, money(number), clock)
    conn.execute("COMMIT")


def prune_all(conn: sqlite3.Connection, clock: ManualClock) -> int:
    total = 0
    while pruned := outbox.prune(conn, clock):
        assert pruned <= outbox.PRUNE_ROWS
        total += pruned
    return total


@pytest.fixture
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of a year, small enough to be reached in a test."""
    monkeypatch.setattr(outbox, "ACKED_ROWS_KEPT", 10)
    monkeypatch.setattr(outbox, "UNACKED_ROWS_MAX", 100)
    monkeypatch.setattr(outbox, "PRUNE_ROWS", 7)


@pytest.mark.usefixtures("short_memory")
def test_acknowledged_facts_are_kept_a_month_and_then_forgotten(conn: sqlite3.Connection, clock: ManualClock) -> None:
    fill(conn, clock, 29)
    clock.advance(29 * DAY_MS)
    fill(conn, clock, 30)
    outbox.acknowledge(conn, 60, "cloud-a")
    assert prune_all(conn, clock) == 0, "the oldest is 29 days old"
    clock.advance(2 * DAY_MS)
    assert prune_all(conn, clock) == 30
    assert numbers(conn)[0] == (30, 31), "prev of the oldest names the last that was forgotten"
    assert outbox.position(conn).oldest_seq == 31


@pytest.mark.usefixtures("short_memory")
def test_what_the_cloud_does_not_have_is_never_forgotten(conn: sqlite3.Connection, clock: ManualClock) -> None:
    fill(conn, clock, 300)
    clock.advance(400 * DAY_MS)
    assert prune_all(conn, clock) == 0
    outbox.acknowledge(conn, 5, "cloud-a")
    assert prune_all(conn, clock) == 5
    assert len(numbers(conn)) == 296


@pytest.mark.usefixtures("short_memory")
def test_a_wrong_clock_forgets_nothing_by_age(conn: sqlite3.Connection, clock: ManualClock) -> None:
    clock.step_wall(-clock.wall_ms(), "unset")
    fill(conn, clock, 40)
    outbox.acknowledge(conn, 41, "cloud-a")
    assert prune_all(conn, clock) == 0
    clock.step_wall(1_800_000_000_000, "synced")
    assert prune_all(conn, clock) == 1, "the epoch's first fact, which knew the time; 1970 proves no age"


@pytest.mark.usefixtures("short_memory")
def test_the_newest_stay_whatever_the_clock_says(conn: sqlite3.Connection, clock: ManualClock) -> None:
    fill(conn, clock, 40)
    outbox.acknowledge(conn, 41, "cloud-a")
    clock.step_wall(3650 * DAY_MS)
    prune_all(conn, clock)
    assert len(numbers(conn)) == 10


@pytest.mark.usefixtures("short_memory")
def test_a_cloud_restored_to_before_the_oldest_gets_what_there_is(conn: sqlite3.Connection, clock: ManualClock) -> None:
    fill(conn, clock, 40)
    outbox.acknowledge(conn, 41, "cloud-a")
    clock.advance(31 * DAY_MS)
    prune_all(conn, clock)
    where = outbox.acknowledge(conn, 3, "cloud-b")
    assert (where.acked, where.oldest_seq) == (31, 32), "Hello names the oldest; the cloud sees that 4 to 31 are gone"
