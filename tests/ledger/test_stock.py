"""Stock: each movement by hand, then every sequence of them that hypothesis can think of."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from edge_agent.errors import Refused
from edge_agent.ledger import journal, outbox, stock
from edge_agent.ledger.stock import Balance
from shared.clock import ManualClock
from shared.ids import AisleId, CommandId, OrderId
from shared.messages import StockCounted, StockLoaded, decode_fact
from tests.ledger.vending import (
    A1,
    A2,
    COLA,
    delivered,
    dropped,
    failed,
    jammed,
    open_plain,
    plan,
    sale,
    unknown,
    unseen,
)


def test_loading_and_taking_out_are_told_with_the_balance(conn: sqlite3.Connection, clock: ManualClock) -> None:
    stock.load(conn, A1, COLA, -4, clock, person="Wang", command=CommandId("c9"))
    assert stock.balance(conn, A1) == Balance(on_hand=6, held=0, goods=COLA)
    told = decode_fact(outbox.pending(conn, 0, 100)[-1].fact)
    assert told == StockLoaded(aisle=A1, goods=COLA, quantity=-4, on_hand=6, person="Wang", command="c9")


def test_what_is_held_cannot_be_taken_out(conn: sqlite3.Connection, clock: ManualClock) -> None:
    journal.begin(conn, sale(), plan(), clock)
    with pytest.RaisesExc(Refused, check=lambda error: error.reason == "not_enough"):
        stock.load(conn, A1, COLA, -10, clock)
    stock.load(conn, A1, COLA, -9, clock)
    assert stock.balance(conn, A1).available == 0


def test_a_count_is_told_with_what_was_expected(conn: sqlite3.Connection, clock: ManualClock) -> None:
    stock.count(conn, A1, COLA, 7, clock, person="Wang")
    assert stock.balances(conn)[A1] == Balance(on_hand=7, held=0, goods=COLA)
    told = decode_fact(outbox.pending(conn, 0, 100)[-1].fact)
    assert told == StockCounted(aisle=A1, goods=COLA, counted=7, expected=10, person="Wang")


def test_a_count_during_a_vend_is_refused(conn: sqlite3.Connection, clock: ManualClock) -> None:
    journal.begin(conn, sale(), plan(), clock)
    with pytest.RaisesExc(Refused, check=lambda error: error.reason == "busy"):
        stock.count(conn, A1, COLA, 10, clock)
    stock.count(conn, A2, COLA, 3, clock)


def test_a_count_releases_the_items_of_its_own_aisle_only(conn: sqlite3.Connection, clock: ManualClock) -> None:
    for order, aisle, txn in (("o1", A1, 1), ("o2", A2, 2), ("o3", A1, 3)):
        of = sale(order, aisle=aisle)
        journal.begin(conn, of, plan(aisle), clock)
        journal.end(conn, unknown(of, unseen(txn, aisle)), clock)
    stock.count(conn, A1, COLA, 8, clock)
    assert stock.balance(conn, A1) == Balance(on_hand=8, held=0, goods=COLA)
    assert stock.balance(conn, A2) == Balance(on_hand=10, held=1, goods=COLA)
    assert not stock.cancel(conn, OrderId("o1"), clock)
    assert stock.cancel(conn, OrderId("o2"), clock)


def test_a_balance_that_is_not_its_sum_is_found(conn: sqlite3.Connection) -> None:
    assert stock.fold_problems(conn) == []
    conn.execute("UPDATE balances SET on_hand = 11 WHERE aisle = 'A2'")
    assert stock.fold_problems(conn) == ["stock of aisle A2: the balance is not the sum of its movements"]


AISLES = st.sampled_from([A1, A2])


class Shelves(RuleBasedStateMachine):
    """Loads, counts and vends with every end, in any order, against a model of two numbers per aisle."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.conn = open_plain(Path(self.folder.name), self.clock)
        self.on_hand: dict[AisleId, int] = {A1: 0, A2: 0}
        self.in_review: dict[str, tuple[AisleId, bool]] = {}  # order: its aisle, whether it still holds an item
        self.running: tuple[str, AisleId, int] | None = None
        self.counted_difference = self.loaded = self.consumed = 0
        self.orders = 0

    def teardown(self) -> None:
        self.conn.close()
        self.folder.cleanup()

    def held(self, aisle: AisleId) -> int:
        reviews = sum(1 for where, holds in self.in_review.values() if holds and where == aisle)
        return reviews + (self.running is not None and self.running[1] == aisle)

    @rule(aisle=AISLES, quantity=st.integers(-5, 8))
    def load(self, aisle: AisleId, quantity: int) -> None:
        if self.on_hand[aisle] - self.held(aisle) + quantity < 0:
            with pytest.raises(Refused):
                stock.load(self.conn, aisle, COLA, quantity, self.clock)
            return
        stock.load(self.conn, aisle, COLA, quantity, self.clock)
        self.on_hand[aisle] += quantity
        self.loaded += quantity

    @rule(aisle=AISLES, counted=st.integers(0, 8))
    def count(self, aisle: AisleId, counted: int) -> None:
        if self.running is not None and self.running[1] == aisle:
            with pytest.raises(Refused):
                stock.count(self.conn, aisle, COLA, counted, self.clock)
            return
        stock.count(self.conn, aisle, COLA, counted, self.clock)
        self.counted_difference += counted - self.on_hand[aisle]
        self.on_hand[aisle] = counted
        for order, (where, _) in self.in_review.items():
            if where == aisle:
                self.in_review[order] = (where, False)

    @precondition(lambda self: self.running is None)
    @rule(aisle=AISLES)
    def start(self, aisle: AisleId) -> None:
        self.orders += 1
        order = f"o{self.orders}"
        try:
            self.conn.execute("BEGIN")
            txn = journal.begin(self.conn, sale(order, aisle=aisle), plan(aisle), self.clock)
            self.conn.execute("COMMIT")
        except Refused:
            self.conn.execute("ROLLBACK")
            assert self.on_hand[aisle] == self.held(aisle)
            return
        self.running = (order, aisle, txn)

    @precondition(lambda self: self.running is not None)
    @rule(outcome=st.sampled_from(["delivered", "failed", "unknown"]))
    def end(self, outcome: str) -> None:
        assert self.running is not None
        order, aisle, txn = self.running
        of = sale(order, aisle=aisle)
        fact = {
            "delivered": delivered(of, dropped(txn, aisle)),
            "failed": failed(of, jammed(txn, aisle)),
            "unknown": unknown(of, unseen(txn, aisle)),
        }[outcome]
        journal.end(self.conn, fact, self.clock)
        self.running = None
        if outcome == "delivered":
            self.on_hand[aisle] -= 1
            self.consumed += 1
        elif outcome == "unknown":
            self.in_review[order] = (aisle, True)

    @precondition(lambda self: self.in_review)
    @rule(was_delivered=st.booleans(), data=st.data())
    def review(self, was_delivered: bool, data: st.DataObject) -> None:
        order = data.draw(st.sampled_from(sorted(self.in_review)))
        aisle, holds = self.in_review.pop(order)
        journal.close_review(self.conn, OrderId(order), was_delivered, self.clock)
        if holds and was_delivered:
            self.on_hand[aisle] -= 1
            self.consumed += 1

    @invariant()
    def balances_follow_the_model_and_the_movements(self) -> None:
        for aisle in (A1, A2):
            found = stock.balance(self.conn, aisle)
            assert (found.on_hand, found.held) == (self.on_hand[aisle], self.held(aisle))
        assert stock.fold_problems(self.conn) == []

    @invariant()
    def nothing_is_made_or_lost(self) -> None:
        assert sum(self.on_hand.values()) == self.loaded - self.consumed + self.counted_difference


def test_stock_is_conserved_whatever_happens() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Shelves,
        settings=settings(
            max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
