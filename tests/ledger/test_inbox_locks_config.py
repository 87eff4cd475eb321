"""Commands accepted once, conditions told on change, configurations taken only when genuine, newer and whole."""

from __future__ import annotations

import sqlite3

import msgspec
import pytest

from edge_agent.errors import Refused
from edge_agent.ledger import config, inbox, locks, outbox
from edge_agent.ledger.inbox import StoredCommand
from shared.clock import ManualClock
from shared.ids import CommandId, MachineId
from shared.messages import (
    AisleConfig,
    AisleLockChanged,
    CommandAnswered,
    ConfigReported,
    DoorChanged,
    FaultChanged,
    MachineConfig,
    SellingChanged,
    StateFact,
    TemperatureBandChanged,
    decode_fact,
    encode,
)
from shared.seal import seal_config
from tests.ledger.vending import A1, MACHINE

C1 = CommandId("c1")
ASK = b'{"type":"set_selling","selling":false}'


def test_a_command_is_accepted_once(conn: sqlite3.Connection, clock: ManualClock) -> None:
    assert inbox.accept_command(conn, C1, ASK, clock)
    assert not inbox.accept_command(conn, C1, ASK, clock)
    assert inbox.unanswered(conn) == [StoredCommand(C1, ASK)]
    assert inbox.answer_of(conn, C1) is None


def test_the_same_command_with_other_content_is_refused(conn: sqlite3.Connection, clock: ManualClock) -> None:
    inbox.accept_command(conn, C1, ASK, clock)
    for _ in ("while it waits", "after its answer"):
        with pytest.RaisesExc(Refused, check=lambda error: error.reason == "command_differs"):
            inbox.accept_command(conn, C1, ASK + b" ", clock)
        if inbox.unanswered(conn):
            inbox.answer(conn, CommandAnswered(command=C1, done=True), clock)


def test_an_answer_is_given_once_and_can_be_told_again(conn: sqlite3.Connection, clock: ManualClock) -> None:
    inbox.accept_command(conn, C1, ASK, clock)
    fact = CommandAnswered(command=C1, done=False, detail="aisle is not known")
    inbox.answer(conn, fact, clock)
    assert decode_fact(outbox.pending(conn, 0, 100)[-1].fact) == fact
    assert inbox.answer_of(conn, C1) == fact
    assert inbox.unanswered(conn) == []
    assert not inbox.accept_command(conn, C1, ASK, clock)
    with pytest.RaisesExc(Refused, check=lambda error: error.reason == "already_answered"):
        inbox.answer(conn, fact, clock)


def test_commands_are_remembered_for_a_year(conn: sqlite3.Connection, clock: ManualClock) -> None:
    inbox.accept_command(conn, C1, ASK, clock)
    inbox.accept_command(conn, CommandId("c2"), ASK, clock)
    inbox.answer(conn, CommandAnswered(command=C1, done=True), clock)
    clock.advance(365 * 24 * 3_600_000)
    assert inbox.prune(conn, clock) == 0
    clock.advance(2 * 24 * 3_600_000)
    assert inbox.prune(conn, clock) == 1
    assert [known.command for known in inbox.unanswered(conn)] == ["c2"], "never answered, never forgotten"


def said(conn: sqlite3.Connection) -> list[object]:
    return [decode_fact(row.fact) for row in outbox.pending(conn, 3, 100)]


@pytest.mark.parametrize(
    ("first", "same", "other"),
    [
        (DoorChanged(open=True), DoorChanged(open=True), DoorChanged(open=False)),
        (
            TemperatureBandChanged(band="warm", tenths_c=121),
            TemperatureBandChanged(band="warm", tenths_c=125),
            TemperatureBandChanged(band="normal", tenths_c=80),
        ),
        (
            FaultChanged(code="jam", scope="A1", active=True, detail="900 mA"),
            FaultChanged(code="jam", scope="A1", active=True, detail="910 mA"),
            FaultChanged(code="jam", scope="A1", active=False),
        ),
        (
            AisleLockChanged(aisle="A1", locked=True, reason="jam"),
            AisleLockChanged(aisle="A1", locked=True, reason="jam"),
            AisleLockChanged(aisle="A1", locked=True, reason="by hand"),
        ),
        (
            SellingChanged(selling=False, reason="door"),
            SellingChanged(selling=False, reason="door"),
            SellingChanged(selling=False, reason="disk"),
        ),
        (ConfigReported(version=3), ConfigReported(version=3), ConfigReported(version=3, refused=4, reason="seal")),
    ],
)
def test_a_condition_is_told_when_it_changes(
    conn: sqlite3.Connection, clock: ManualClock, first: StateFact, same: StateFact, other: StateFact
) -> None:
    assert locks.set_state(conn, first, clock) is not None
    assert locks.set_state(conn, same, clock) is None
    assert said(conn) == [first]
    assert locks.set_state(conn, other, clock) is not None
    assert said(conn) == [other], "the first was not acknowledged, so only the newest remains"


def test_nothing_to_clear_is_not_told(conn: sqlite3.Connection, clock: ManualClock) -> None:
    assert locks.clear_fault(conn, "jam", "A1", "", clock) is None
    assert locks.set_lock(conn, A1, False, "", clock) is None
    assert said(conn) == []


def test_locks_and_faults_are_listed_while_they_hold(conn: sqlite3.Connection, clock: ManualClock) -> None:
    locks.set_lock(conn, A1, True, "jam", clock)
    locks.raise_fault(conn, "drop_sensor", "board-1", "blind", clock)
    locks.set_state(conn, DoorChanged(open=True), clock)
    assert locks.locked_aisles(conn) == {A1: "jam"}
    assert [(fault.code, fault.scope) for fault in locks.active_faults(conn)] == [("drop_sensor", "board-1")]
    assert locks.current(conn, "door") == DoorChanged(open=True)
    locks.set_lock(conn, A1, False, "serviced", clock)
    locks.clear_fault(conn, "drop_sensor", "board-1", "cleaned", clock)
    assert locks.locked_aisles(conn) == {}
    assert locks.active_faults(conn) == []


KEY = bytes(range(32))


def document(version: int = 4, machine: str = MACHINE, **changes: object) -> bytes:
    aisle = AisleConfig(aisle="A1", board=1, motor=4, goods="cola", price_fen=350, capacity=10)
    return encode(MachineConfig(machine=machine, version=version, aisles=(aisle, *changes.get("more", ()))))  # type: ignore[misc]


def check(raw: bytes, version: int = 4, *, machine: MachineId = MACHINE, current: int = 3) -> MachineConfig:
    return config.check_config(raw, seal_config(KEY, machine, version, raw), version, machine, KEY, current)


def test_a_genuine_newer_configuration_is_taken() -> None:
    assert check(document()) == msgspec.json.decode(document(), type=MachineConfig)


TWICE = AisleConfig(aisle="A1", board=1, motor=5, goods="cola", price_fen=350, capacity=10)


@pytest.mark.parametrize(
    ("raw", "version", "reason"),
    [
        (document(version=3), 3, "config_version"),
        (document(version=5), 4, "config_version"),
        (document(machine="m-8"), 4, "config_machine"),
        (document()[:-1], 4, "config_shape"),
        (document().replace(b'"price_fen":350', b'"price_fen":-1'), 4, "config_shape"),
        (b'{"machine":"\xff"}', 4, "config_shape"),
        (b"[" * 100_000, 4, "config_shape"),
        (document(more=(TWICE,)), 4, "config_content"),
    ],
)
def test_a_configuration_that_cannot_be_acted_on_is_refused(raw: bytes, version: int, reason: str) -> None:
    with pytest.RaisesExc(Refused, check=lambda error: error.reason == reason):
        check(raw, version)


def test_the_seal_fits_one_machine_one_version_and_every_byte() -> None:
    raw = document()
    mac = seal_config(KEY, MACHINE, 4, raw)
    for args in (
        (raw + b" ", mac, 4, MACHINE, KEY, 3),
        (raw, mac, 5, MACHINE, KEY, 3),
        (raw, mac, 4, MachineId("m-8"), KEY, 3),
        (raw, mac, 4, MACHINE, bytes(32), 3),
        (raw, "", 4, MACHINE, KEY, 3),
    ):
        with pytest.RaisesExc(Refused, check=lambda error: error.reason == "config_seal"):
            config.check_config(*args)


def test_the_last_known_good_is_the_newest_that_still_checks(conn: sqlite3.Connection) -> None:
    assert config.last_known_good(conn, MACHINE, KEY) is None
    for version in range(4, 10):
        raw = document(version)
        config.store(conn, version, raw, seal_config(KEY, MACHINE, version, raw))
    found = config.last_known_good(conn, MACHINE, KEY)
    assert found is not None
    assert found.version == 9
    conn.execute("UPDATE configs SET document = x'7b7d' WHERE version = 9")
    found = config.last_known_good(conn, MACHINE, KEY)
    assert found is not None
    assert found.version == 8
    assert conn.execute("SELECT count(*) FROM configs").fetchone() == (config.VERSIONS_KEPT,)
