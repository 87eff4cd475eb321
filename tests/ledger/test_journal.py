"""Every step of an order that the ledger allows, and that it allows no other."""

from __future__ import annotations

import sqlite3

import pytest

from edge_agent.errors import Refused
from edge_agent.ledger import journal, outbox, stock
from edge_agent.ledger.stock import Balance
from shared.clock import ManualClock
from shared.ids import CommandId, OrderId
from shared.messages import Attempt, Fact, ReviewClosed, VendDelivered, VendFailed, decode_fact
from tests.ledger.vending import (
    A1,
    A2,
    COLA,
    delivered,
    dropped,
    failed,
    jammed,
    plan,
    sale,
    terms,
    unknown,
    unseen,
)


def facts(conn: sqlite3.Connection) -> list[Fact]:
    return [decode_fact(row.fact) for row in outbox.pending(conn, 0, 1000)]


def state(conn: sqlite3.Connection, order: str = "o1") -> str:
    row = journal.order(conn, OrderId(order))
    assert row is not None
    return row.state


def refusal(reason: str) -> pytest.RaisesExc[Refused]:
    return pytest.RaisesExc(Refused, check=lambda error: error.reason == reason)


def test_the_intent_opens_the_order_numbers_the_attempt_and_holds_the_item(
    conn: sqlite3.Connection, clock: ManualClock
) -> None:
    txn = journal.begin(conn, sale(), plan(), clock)

    (found,) = journal.open_orders(conn)
    assert (found.sale, found.plan, found.txn, found.closed_attempts) == (sale(), plan(), txn, ())
    assert found.order.boot_id == clock.boot_id
    assert found.order.begun_mono_ms == clock.mono_ms()
    assert found.attempts[0].outcome is None
    assert stock.balance(conn, A1) == Balance(on_hand=10, held=1, goods=COLA)


def test_a_delivery_consumes_the_item_and_is_the_newest_fact(conn: sqlite3.Connection, clock: ManualClock) -> None:
    txn = journal.begin(conn, sale(), plan(), clock)
    fact = delivered(sale(), dropped(txn))
    seq = journal.end(conn, fact, clock)

    assert state(conn) == "delivered"
    assert stock.balance(conn, A1) == Balance(on_hand=9, held=0, goods=COLA)
    assert facts(conn)[-1] == fact
    assert outbox.position(conn).next_seq == seq + 1
    assert [row.as_fact() for row in journal.attempts_of(conn, OrderId("o1"))] == [dropped(txn)]
    assert journal.open_orders(conn) == []


def test_a_failure_gives_the_item_back(conn: sqlite3.Connection, clock: ManualClock) -> None:
    txn = journal.begin(conn, sale(), plan(), clock)
    journal.end(conn, failed(sale(), jammed(txn)), clock)

    assert state(conn) == "failed"
    assert stock.balance(conn, A1) == Balance(on_hand=10, held=0, goods=COLA)


@pytest.mark.parametrize(("was_delivered", "on_hand"), [(True, 9), (False, 10)])
def test_an_unknown_vend_holds_its_item_until_a_person_decides(
    conn: sqlite3.Connection, clock: ManualClock, was_delivered: bool, on_hand: int
) -> None:
    txn = journal.begin(conn, sale(), plan(), clock)
    journal.end(conn, unknown(sale(), unseen(txn)), clock)
    assert state(conn) == "unknown"
    assert stock.balance(conn, A1) == Balance(on_hand=10, held=1, goods=COLA)
    assert [row.sale for row in journal.orders_in_review(conn)] == [sale()]

    journal.close_review(conn, OrderId("o1"), was_delivered, clock, command=CommandId("c1"))

    assert state(conn) == ("delivered" if was_delivered else "failed")
    assert stock.balance(conn, A1) == Balance(on_hand=on_hand, held=0, goods=COLA)
    assert facts(conn)[-1] == ReviewClosed(
        order="o1", aisle=A1, goods=COLA, delivered=was_delivered, counted_before=False, command="c1"
    )
    with refusal("not_in_review"):
        journal.close_review(conn, OrderId("o1"), was_delivered, clock)


def test_a_count_settles_the_stock_of_a_vend_in_review(conn: sqlite3.Connection, clock: ManualClock) -> None:
    txn = journal.begin(conn, sale(), plan(), clock)
    journal.end(conn, unknown(sale(), unseen(txn)), clock)
    stock.count(conn, A1, COLA, 9, clock, person="Li")
    assert stock.balance(conn, A1) == Balance(on_hand=9, held=0, goods=COLA)

    journal.close_review(conn, OrderId("o1"), True, clock)

    assert stock.balance(conn, A1) == Balance(on_hand=9, held=0, goods=COLA)
    fact = facts(conn)[-1]
    assert isinstance(fact, ReviewClosed)
    assert fact.counted_before


def test_a_jam_goes_on_to_the_twin_aisle_and_the_item_with_it(conn: sqlite3.Connection, clock: ManualClock) -> None:
    first = journal.begin(conn, sale(), plan(), clock)
    second = journal.next_attempt(conn, OrderId("o1"), jammed(first), plan(A2, motor=5, last_motor=4), clock)

    assert second > first
    assert stock.balance(conn, A1) == Balance(on_hand=10, held=0, goods=COLA)
    assert stock.balance(conn, A2) == Balance(on_hand=10, held=1, goods=COLA)
    (found,) = journal.open_orders(conn)
    assert (found.txn, found.plan.aisle, found.closed_attempts) == (second, A2, (jammed(first),))

    fact = VendDelivered(**(terms(sale()) | {"aisle": A2}), txn=second, attempts=(jammed(first), dropped(second, A2)))
    journal.end(conn, fact, clock)
    assert stock.balance(conn, A2) == Balance(on_hand=9, held=0, goods=COLA)


@pytest.mark.parametrize("outcome", ["delivered", "unknown"])
def test_only_a_proven_failure_has_a_next_attempt(conn: sqlite3.Connection, clock: ManualClock, outcome: str) -> None:
    txn = journal.begin(conn, sale(), plan(), clock)
    closed = {"delivered": dropped(txn), "unknown": unseen(txn)}[outcome]
    with pytest.raises(ValueError, match="only a failed attempt"):
        journal.next_attempt(conn, OrderId("o1"), closed, plan(A2, motor=5), clock)


def test_an_order_never_begins_twice(conn: sqlite3.Connection, clock: ManualClock) -> None:
    txn = journal.begin(conn, sale(), plan(), clock)
    with refusal("busy"):
        journal.begin(conn, sale(), plan(), clock)
    journal.end(conn, delivered(sale(), dropped(txn)), clock)
    with refusal("known_order"):
        journal.begin(conn, sale(), plan(), clock)
    with refusal("known_order"):
        journal.claim(conn, sale(), clock)


def test_one_order_at_a_time(conn: sqlite3.Connection, clock: ManualClock) -> None:
    journal.begin(conn, sale(), plan(), clock)
    with refusal("busy"):
        journal.begin(conn, sale("o2"), plan(A2, motor=5), clock)


def test_an_empty_aisle_begins_nothing(conn: sqlite3.Connection, clock: ManualClock) -> None:
    stock.count(conn, A1, COLA, 0, clock)
    with refusal("aisle_closed"):
        journal.begin(conn, sale(), plan(), clock)


def test_an_order_ends_once(conn: sqlite3.Connection, clock: ManualClock) -> None:
    txn = journal.begin(conn, sale(), plan(), clock)
    journal.end(conn, delivered(sale(), dropped(txn)), clock)
    before = outbox.position(conn)
    for again in (delivered(sale(), dropped(txn)), failed(sale(), jammed(txn)), unknown(sale(), unseen(txn))):
        with refusal("already_ended"):
            journal.end(conn, again, clock)
    with refusal("already_ended"):
        journal.end(conn, delivered(sale("never begun"), dropped(1)), clock)
    assert outbox.position(conn) == before


def _contradictions(txn: int) -> list[VendDelivered | VendFailed]:
    good = terms(sale())
    return [
        VendDelivered(**good | {"price_fen": 300}, txn=txn, attempts=(dropped(txn),)),
        VendDelivered(**good | {"goods": "tea"}, txn=txn, attempts=(dropped(txn),)),
        VendDelivered(**good | {"means": "free"}, txn=txn, attempts=(dropped(txn),)),
        VendDelivered(**good, txn=txn, attempts=(jammed(txn),)),
        VendDelivered(**good, txn=txn, attempts=()),
        VendDelivered(**good, txn=txn, attempts=(dropped(txn, A2),)),
        VendDelivered(**good, txn=txn, attempts=(dropped(txn), jammed(txn + 1))),
        VendFailed(**good, txn=txn, attempts=(dropped(txn),), reason="jam"),
        VendFailed(**good, txn=txn, attempts=(unseen(txn),), reason="jam"),
        VendFailed(**good, reason="void"),
    ]


@pytest.mark.parametrize("which", range(10))
def test_an_end_that_contradicts_its_beginning_is_refused(
    conn: sqlite3.Connection, clock: ManualClock, which: int
) -> None:
    txn = journal.begin(conn, sale(), plan(), clock)
    with pytest.raises(ValueError):
        journal.end(conn, _contradictions(txn)[which], clock)


def test_a_claim_is_begun_under_its_own_terms_only(conn: sqlite3.Connection, clock: ManualClock) -> None:
    journal.claim(conn, sale(nonce="n1"), clock)
    assert [row.sale.order for row in journal.claimed_orders(conn)] == ["o1"]
    with refusal("known_order"):
        journal.begin(conn, sale(nonce="n2"), plan(), clock)
    journal.begin(conn, sale(nonce="n1"), plan(), clock)
    assert state(conn) == "open"
    assert journal.claimed_orders(conn) == []


@pytest.mark.parametrize("claimed", [True, False])
def test_a_tombstone_keeps_the_order_from_ever_starting(
    conn: sqlite3.Connection, clock: ManualClock, claimed: bool
) -> None:
    if claimed:
        journal.claim(conn, sale(nonce="n1"), clock)
    fact = failed(sale(nonce="n1"), reason="late_grant")
    assert journal.tombstone(conn, fact, clock) is not None
    assert facts(conn)[-1] == fact
    before = outbox.position(conn)
    assert journal.tombstone(conn, fact, clock) is None, "said once"
    assert outbox.position(conn) == before
    with refusal("known_order"):
        journal.begin(conn, sale(nonce="n1"), plan(), clock)
    assert state(conn) == "tombstoned"


def test_a_tombstone_cannot_bury_an_open_order(conn: sqlite3.Connection, clock: ManualClock) -> None:
    journal.begin(conn, sale(), plan(), clock)
    with refusal("busy"):
        journal.tombstone(conn, failed(sale(), reason="void"), clock)


def test_a_tombstone_has_no_attempt(conn: sqlite3.Connection, clock: ManualClock) -> None:
    with pytest.raises(ValueError, match="no attempt"):
        journal.tombstone(conn, failed(sale(), jammed(1), reason="void"), clock)


def vend(conn: sqlite3.Connection, clock: ManualClock, order: str, attempt: Attempt, **where: int) -> None:
    journal.begin(conn, sale(order), plan(**where), clock)
    end = {"delivered": delivered, "failed": failed, "unknown": unknown}[attempt.outcome]
    journal.end(conn, end(sale(order), attempt), clock)


def test_missed_drops_are_counted_back_from_the_newest_run(conn: sqlite3.Connection, clock: ManualClock) -> None:
    assert journal.missed_drops(conn, 1) == 0
    vend(conn, clock, "o1", unseen(1))
    vend(conn, clock, "o2", unseen(2))
    assert journal.missed_drops(conn, 1) == 2
    assert journal.missed_drops(conn, 2) == 0, "another board"
    vend(conn, clock, "o3", dropped(3))
    assert journal.missed_drops(conn, 1) == 0
    vend(conn, clock, "o4", unseen(4))
    assert journal.missed_drops(conn, 1) == 1


def test_the_last_run_is_the_last_that_the_board_reported(conn: sqlite3.Connection, clock: ManualClock) -> None:
    assert journal.last_run(conn, 1) is None
    vend(conn, clock, "o1", dropped(1), motor=4)
    vend(conn, clock, "o2", Attempt(txn=2, aisle=A1, outcome="failed"), motor=5)
    assert journal.last_run(conn, 1) == 4, "the second never began"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE orders SET state = 'open', end_seq = NULL",
        "UPDATE orders SET price_fen = 1",
        "DELETE FROM orders",
        "UPDATE attempts SET outcome = 'failed'",
        "DELETE FROM attempts",
        "UPDATE movements SET on_hand_delta = 5",
        "DELETE FROM movements",
        "UPDATE outbox SET fact = x'00'",
        "INSERT INTO attempts SELECT 9, order_id, aisle, 1, 1, 1, '', 0, 0, outcome, 'ok', 1, 0, 0, 0 FROM attempts",
        "UPDATE balances SET held = 11",
        "UPDATE balances SET on_hand = -1, held = -1",
        "UPDATE stream SET acked = next_seq",
    ],
)
def test_the_database_itself_refuses(conn: sqlite3.Connection, clock: ManualClock, statement: str) -> None:
    vend(conn, clock, "o1", dropped(1))
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute(statement)


def test_two_attempts_are_never_open_at_once(conn: sqlite3.Connection, clock: ManualClock) -> None:
    journal.begin(conn, sale(), plan(), clock)
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute(
            "INSERT INTO attempts (order_id, aisle, board, motor, boot_id, mono_ms, wall_ms)"
            " VALUES ('o1', 'A2', 2, 5, 'b', 0, 0)"
        )
