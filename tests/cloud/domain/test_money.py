"""The ledger: double entries that cannot be out of balance, floors, and histories that only grow."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from cloud.audit import ledger_drift
from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.members.ledger import Ledger
from cloud.members.model import FUNDING, Posting, wallet
from cloud.members.store import ledger_entries, ledger_postings
from cloud.members.wallet import TOP_UP_MAX_FEN, join, top_up, wallet_balance
from cloud.migrations import migrate
from cloud.orders.expire import expire_due
from cloud.orders.place import DEADLINE_MS, cancel
from cloud.orders.refund import refund
from cloud.orders.review import decide
from shared.clock import ManualClock
from shared.messages import VendDelivered, VendFailed, VendUnknown
from tests.cloud.conftest import NOON_MS
from tests.cloud.fleet import (
    CREDENTIALS,
    MEMBER,
    PRICE_FEN,
    TENANT,
    Device,
    drift,
    open_shop,
    place_order,
    pressed,
    say,
    vend,
)


async def test_a_top_up_is_booked_once_per_reference(database: Database) -> None:
    async with database.work(tenant=TENANT) as work:
        await join(work, TENANT, MEMBER, "Anna")
        assert await top_up(work, TENANT, MEMBER, 500, "r1") == 500
        assert await top_up(work, TENANT, MEMBER, 500, "r1") == 500
        assert await top_up(work, TENANT, MEMBER, 500, "r2") == 1_000
    for amount, reference in ((501, "r1"), (0, "r3"), (-5, "r3"), (TOP_UP_MAX_FEN + 1, "r3")):
        with pytest.raises(FleetError):
            async with database.work(tenant=TENANT) as work:
                await top_up(work, TENANT, MEMBER, amount, reference)
    with pytest.raises(FleetError, match="no member"):
        async with database.work(tenant="t2") as work:
            await top_up(work, "t2", MEMBER, 500, "r1")
    assert await drift(database) == 0


async def test_parallel_top_ups_with_one_reference_have_one_effect(on_postgres: Database) -> None:
    async with on_postgres.work(tenant=TENANT) as work:
        await join(work, TENANT, MEMBER, "Anna")
    tries = [
        on_postgres.transact(lambda work: top_up(work, TENANT, MEMBER, 500, "r1"), tenant=TENANT) for _ in range(20)
    ]
    assert set(await asyncio.gather(*tries)) == {500}
    assert await drift(on_postgres) == 0


async def test_a_wallet_never_falls_below_its_floor(database: Database) -> None:
    async with database.work(tenant=TENANT) as work:
        await join(work, TENANT, MEMBER, "Anna")
        await top_up(work, TENANT, MEMBER, 100, "r1")

    async def spend(amount: int) -> None:
        async with database.work(tenant=TENANT) as work:
            ledger = Ledger(work)
            ledger.book(TENANT, "test", f"x{amount}", [Posting(wallet(MEMBER), FUNDING, amount)])
            await ledger.write()

    with pytest.raises(FleetError, match="does not hold enough"):
        await spend(101)
    await spend(100)
    with pytest.raises(IntegrityError):  # the database holds the same line
        async with database.work(tenant=TENANT) as work:
            await work.execute(text("UPDATE ledger_accounts SET balance_fen = -1 WHERE kind = 'wallet'"))
    assert await drift(database) == 0


@pytest.mark.parametrize("table", ["ledger_entries", "ledger_postings", "stock_movements"])
@pytest.mark.parametrize("change", ["UPDATE {} SET tenant = tenant", "DELETE FROM {}"])
async def test_history_only_grows(database: Database, table: str, change: str) -> None:
    device = await open_shop(database)
    await say(database, device.fact(pressed("b1")))
    with pytest.raises(DBAPIError, match="append-only"):
        async with database.work() as work:
            await work.execute(text(change.format(table)))


@pytest.mark.parametrize(
    ("from_account", "to_account", "amount"), [("escrow", "escrow", 5), ("escrow", "revenue", 0), ("a", "b", -5)]
)
async def test_a_posting_that_moves_nothing_cannot_be_written(
    database: Database, from_account: str, to_account: str, amount: int
) -> None:
    entry = {"tenant": TENANT, "entry": "x", "kind": "x", "subject": "x", "note": "", "booked_ms": 1}
    posting = {"from_account": from_account, "to_account": to_account, "amount_fen": amount}

    async def write(work: Work) -> None:
        await work.insert(ledger_entries, [entry])
        await work.insert(ledger_postings, [{"tenant": TENANT, "entry": "x", "line": 1, **posting}])

    with pytest.raises(IntegrityError):
        await database.transact(write)


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE ledger_accounts SET balance_fen = balance_fen + 7 WHERE account = 'revenue'",
        "INSERT INTO ledger_entries VALUES ('t1', 'half', 'half', 'half', '', 1)",
        "UPDATE orders SET state = 'review' WHERE paid_fen = 350",
        "UPDATE orders SET state = 'refunded'",
    ],
)
async def test_the_audit_finds_harm(database: Database, harm: str) -> None:
    device = await open_shop(database)
    await place_order(database)
    await say(database, device.fact(pressed("b1")))
    assert await drift(database) == 0
    async with database.work() as work:
        await work.execute(text(harm))
    assert await drift(database) != 0


class Shop(RuleBasedStateMachine):
    """Anything may happen to orders in any order; after every step the money fits, and the model agrees."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock(wall_ms=NOON_MS)
        self.wallet = 0
        self.states: dict[str, str] = {}
        self.refunded: defaultdict[str, int] = defaultdict(int)
        self.number = 0

    def run(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    @initialize(balance=st.integers(min_value=1, max_value=4_000))
    def open(self, balance: int) -> None:
        self.folder = TemporaryDirectory()
        path = Path(self.folder.name) / "shop.db"
        self.run(migrate(f"sqlite+aiosqlite:///{path}"))
        self.database = Database.open(f"sqlite+aiosqlite:///{path}", clock=self.clock)
        self.device: Device = self.run(open_shop(self.database, balance_fen=balance, stock=1_000))
        self.wallet = balance

    def in_state(self, *states: str) -> list[str]:
        return sorted(order for order, state in self.states.items() if state in states)

    @rule()
    def place(self) -> None:
        self.number += 1
        try:
            order = self.run(place_order(self.database, f"k{self.number}"))
        except FleetError:
            assert self.wallet < PRICE_FEN
        else:
            assert self.wallet >= PRICE_FEN
            self.wallet -= PRICE_FEN
            self.states[order] = "held"

    @precondition(lambda self: self.in_state("held"))
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        order = data.draw(st.sampled_from(self.in_state("held")))
        self.run(say(self.database, self.device.hello(), self.device.claim(order)))
        self.states[order] = "claimed"

    @precondition(lambda self: self.in_state("held"))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        order = data.draw(st.sampled_from(self.in_state("held")))
        self.run(self.database.transact(lambda work: cancel(work, TENANT, order)))
        self.give_back(order)

    @rule()
    def let_time_pass(self) -> None:
        self.clock.advance(DEADLINE_MS)
        self.run(self.database.transact(expire_due))
        for order in self.in_state("held"):
            self.give_back(order)
        self.run(say(self.database, self.device.hello()))

    @precondition(lambda self: self.in_state("claimed"))
    @rule(data=st.data(), kind=st.sampled_from([VendDelivered, VendFailed, VendUnknown]), twice=st.booleans())
    def end(self, data: st.DataObject, kind: type, twice: bool) -> None:
        order = data.draw(st.sampled_from(self.in_state("claimed")))
        said = self.device.fact(vend(kind, order))
        self.run(say(self.database, said, *[said] * twice))
        if kind is VendFailed:
            self.give_back(order)
        else:
            self.states[order] = "delivered" if kind is VendDelivered else "review"

    @precondition(lambda self: self.in_state("review"))
    @rule(data=st.data(), delivered=st.booleans())
    def decide(self, data: st.DataObject, delivered: bool) -> None:
        order = data.draw(st.sampled_from(self.in_state("review")))
        self.run(
            self.database.transact(
                lambda work: decide(work, CREDENTIALS, TENANT, order, delivered=delivered, decided_by="li")
            )
        )
        if delivered:
            self.states[order] = "delivered"
        else:
            self.give_back(order)

    @precondition(lambda self: self.in_state("delivered"))
    @rule(data=st.data(), amount=st.integers(min_value=-10, max_value=PRICE_FEN + 10))
    def refund(self, data: st.DataObject, amount: int) -> None:
        order = data.draw(st.sampled_from(self.in_state("delivered")))
        self.number += 1
        reference = f"r{self.number}"
        try:
            self.run(
                self.database.transact(
                    lambda work: refund(work, TENANT, order, amount, reference=reference, reason="", decided_by="li")
                )
            )
        except FleetError:
            assert not 0 < amount <= PRICE_FEN - self.refunded[order]
        else:
            assert 0 < amount <= PRICE_FEN - self.refunded[order]
            self.refunded[order] += amount
            self.wallet += amount

    @rule(kind=st.sampled_from([VendDelivered, VendFailed, VendUnknown]), paid=st.sampled_from([0, PRICE_FEN]))
    def press(self, kind: type, paid: int) -> None:
        self.number += 1
        self.run(say(self.database, self.device.fact(pressed(f"b{self.number}", kind=kind, paid_fen=paid))))

    def give_back(self, order: str) -> None:
        self.states[order] = "refunded"
        self.wallet += PRICE_FEN

    @invariant()
    def the_money_fits(self) -> None:
        if hasattr(self, "device"):
            assert self.run(self._check()) == (0, self.wallet)

    async def _check(self) -> tuple[int, int]:
        async with self.database.look(tenant=TENANT) as work:
            return await ledger_drift(work, TENANT), await wallet_balance(work, TENANT, MEMBER)

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.run(self.database.close())
            self.folder.cleanup()
        self.loop.close()


Shop.TestCase.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


class TestShop(Shop.TestCase):  # type: ignore[name-defined,misc]
    """Hypothesis runs the machine."""
