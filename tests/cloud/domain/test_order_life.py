"""The whole life of an order on a real database: every way it can end, with its money, stock, tickets and messages."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from cloud.database import Database, Work
from cloud.downlink import downlink, send_due
from cloud.errors import FleetError, IllegalEvent
from cloud.machines.store import commands
from cloud.members.store import ledger_accounts
from cloud.orders.expire import WriteOffPolicy, expire_due, write_off_due
from cloud.orders.grant import GRANT_MS
from cloud.orders.place import DEADLINE_MS, cancel, place
from cloud.orders.refund import refund
from cloud.orders.review import decide
from cloud.orders.store import orders
from cloud.stock.store import stock_balances
from cloud.tickets.store import tickets
from shared.clock import ManualClock
from shared.ids import AisleId, BootId, MachineId, Nonce, OrderId
from shared.messages import (
    AisleLockChanged,
    CloseReview,
    Command,
    CommandAnswered,
    FaultChanged,
    Grant,
    Offer,
    Refusal,
    ReviewClosed,
    SellingChanged,
    StockCounted,
    VendDelivered,
    VendFailed,
    VendUnknown,
    decode_ask,
)
from shared.seal import seal_command, seal_grant
from tests.cloud.fleet import (
    CREDENTIALS,
    PRICE_FEN,
    TENANT,
    Device,
    drift,
    grants,
    new_machine,
    open_shop,
    place_order,
    pressed,
    say,
    vend,
    wanted,
)

ISSUED = CREDENTIALS.keys(MachineId("m1"), 1).mac_key


class Broker:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []

    async def publish(self, topic: str, payload: bytes) -> None:
        self.sent.append((topic, payload))


async def balances(database: Database) -> Mapping[str, int]:
    async with database.look(tenant=TENANT) as work:
        return {row.account: row.balance_fen for row in await work.rows(select(ledger_accounts)) if row.balance_fen}


async def order_row(database: Database, order: str) -> Any:
    async with database.look(tenant=TENANT) as work:
        return await work.row(select(orders).where(orders.c.order == order))


async def on_hand(database: Database, aisle: str = "A1") -> tuple[int, int]:
    async with database.look(tenant=TENANT) as work:
        row = await work.row(select(stock_balances).where(stock_balances.c.aisle == aisle))
        assert row is not None
        return row.on_hand, row.held


async def open_ticket_codes(database: Database) -> list[str]:
    async with database.look(tenant=TENANT) as work:
        rows = await work.rows(select(tickets.c.code).where(tickets.c.open_key.is_not(None)))
        return sorted(row.code for row in rows)


async def claimed(database: Database, device: Device) -> str:
    order = await place_order(database)
    (grant,) = grants(await say(database, device.claim(order)))
    assert isinstance(grant, Grant)
    return order


async def test_placing_holds_the_money_and_offers_the_job(database: Database) -> None:
    await open_shop(database)
    order = await place_order(database)
    assert await balances(database) == {"funding": -10_000, "wallet:anna": 10_000 - PRICE_FEN, "escrow": PRICE_FEN}
    broker = Broker()
    await send_due(database, broker)
    offers = [msgspec.json.decode(raw, type=Offer) for topic, raw in broker.sent if topic == "dn/m1/offer"]
    assert offers == [Offer(order=order, aisle="A1", goods="cola", price_fen=PRICE_FEN)]
    assert await drift(database) == 0


async def test_claim_is_granted_with_a_seal_that_fits_this_claim_only(database: Database) -> None:
    device = await open_shop(database)
    order = await place_order(database)
    (grant,) = grants(await say(database, device.claim(order, nonce="n7")))
    assert isinstance(grant, Grant)
    fits = seal_grant(ISSUED, MachineId("m1"), OrderId(order), AisleId("A1"), Nonce("n7"), BootId("boot-1"))
    assert grant.mac == fits
    assert (await order_row(database, order)).state == "claimed"
    async with database.look() as work:
        assert await work.row(select(downlink).where(downlink.c.reference == order)) is None


async def test_the_same_claim_gets_the_same_grant_and_another_nonce_is_void(database: Database) -> None:
    device = await open_shop(database)
    order = await place_order(database)
    first = grants(await say(database, device.claim(order)))
    assert grants(await say(database, device.claim(order), device.claim(order))) == first * 2
    (other,) = grants(await say(database, device.claim(order, nonce="n2")))
    assert other == Refusal(order=order, nonce="n2", verdict="void")


async def test_a_claim_repeated_too_late_is_void_and_the_tombstone_refunds(
    database: Database, clock: ManualClock
) -> None:
    device = await open_shop(database)
    order = await claimed(database, device)
    clock.advance(GRANT_MS + 1)
    (answer,) = grants(await say(database, device.claim(order)))
    assert isinstance(answer, Refusal)
    assert answer.verdict == "void"
    assert (await order_row(database, order)).state == "claimed"  # only the machine's word ends it (I7)
    await say(database, device.fact(vend(VendFailed, order, reason="late_grant")))
    assert (await order_row(database, order)).state == "refunded"
    assert (await balances(database))["wallet:anna"] == 10_000
    assert await open_ticket_codes(database) == []


async def test_a_claim_after_the_deadline_is_void_and_refunded_at_once(database: Database, clock: ManualClock) -> None:
    device = await open_shop(database)
    order = await place_order(database)
    clock.advance(DEADLINE_MS)
    (answer,) = grants(await say(database, device.claim(order)))
    assert answer == Refusal(order=order, nonce="n1", verdict="void")
    assert (await order_row(database, order)).state == "refunded"
    await say(database, device.fact(vend(VendFailed, order, reason="void")))
    assert (await balances(database))["wallet:anna"] == 10_000
    assert await drift(database) == 0


async def test_a_claim_for_a_strangers_order_is_refused(database: Database) -> None:
    await open_shop(database)
    other = await new_machine(database, "m2")
    order = await place_order(database)
    answers = grants(await say(database, other.claim(order), other.claim("o-nobody")))
    assert [answer.verdict for answer in answers if isinstance(answer, Refusal)] == ["no", "no"]
    assert (await order_row(database, order)).state == "held"


async def test_unclaimed_at_the_deadline_is_refunded_without_the_machine(
    database: Database, clock: ManualClock
) -> None:
    await open_shop(database)
    order = await place_order(database)
    clock.advance(DEADLINE_MS - 1)
    assert await database.transact(expire_due) == 0
    clock.advance(1)
    assert await database.transact(expire_due) == 1
    row = await order_row(database, order)
    assert (row.state, row.reason) == ("refunded", "expired")
    assert await balances(database) == {"funding": -10_000, "wallet:anna": 10_000}


async def test_a_claimed_order_never_expires(database: Database, clock: ManualClock) -> None:
    device = await open_shop(database)
    order = await claimed(database, device)
    clock.advance(DEADLINE_MS * 1_000)
    assert await database.transact(expire_due) == 0
    assert (await order_row(database, order)).state == "claimed"


async def test_cancel_only_while_nobody_has_claimed(database: Database) -> None:
    device = await open_shop(database)
    first = await place_order(database, "k1")
    async with database.work(tenant=TENANT) as work:
        assert (await cancel(work, TENANT, first)).state == "refunded"
    assert (await balances(database))["wallet:anna"] == 10_000
    second = await place_order(database, "k2")
    await say(database, device.claim(second))
    with pytest.raises(IllegalEvent):
        async with database.work(tenant=TENANT) as work:
            await cancel(work, TENANT, second)


async def test_delivered_earns_the_money_and_takes_the_item(database: Database) -> None:
    device = await open_shop(database)
    order = await claimed(database, device)
    await say(database, device.fact(vend(VendDelivered, order)))
    row = await order_row(database, order)
    assert (row.state, row.delivered_aisle) == ("delivered", "A1")
    assert await balances(database) == {"funding": -10_000, "wallet:anna": 10_000 - PRICE_FEN, "revenue": PRICE_FEN}
    assert await on_hand(database) == (9, 0)
    assert await drift(database) == 0


async def test_a_twin_aisle_delivers_and_the_twin_loses_the_item(database: Database) -> None:
    device = await open_shop(database)
    order = await claimed(database, device)
    await say(database, device.loaded(5, 5, "A2"), device.fact(vend(VendDelivered, order, aisle="A2")))
    assert (await order_row(database, order)).delivered_aisle == "A2"
    assert await on_hand(database, "A1") == (10, 0)
    assert await on_hand(database, "A2") == (4, 0)


async def test_failed_returns_the_money_and_opens_one_ticket(database: Database) -> None:
    device = await open_shop(database)
    for key in ("k1", "k2"):
        order = await place_order(database, key)
        await say(database, device.claim(order), device.fact(vend(VendFailed, order, reason="jam")))
        assert (await order_row(database, order)).reason == "jam"
    assert (await balances(database)) == {"funding": -10_000, "wallet:anna": 10_000}
    assert await on_hand(database) == (10, 0)
    assert await open_ticket_codes(database) == ["vend_failed"]
    order = await place_order(database, "k3")
    await say(database, device.claim(order), device.fact(vend(VendDelivered, order)))
    assert await open_ticket_codes(database) == []  # the aisle has proved itself


@pytest.mark.parametrize("delivered", [True, False])
async def test_unknown_waits_for_a_person_and_the_machine_follows(database: Database, delivered: bool) -> None:
    device = await open_shop(database)
    order = await claimed(database, device)
    await say(database, device.fact(vend(VendUnknown, order)))
    assert (await order_row(database, order)).state == "review"
    assert (await balances(database))["escrow"] == PRICE_FEN
    assert await on_hand(database) == (10, 1)
    assert await open_ticket_codes(database) == ["vend_unknown"]
    async with database.work(tenant=TENANT) as work:
        await decide(work, CREDENTIALS, TENANT, order, delivered=delivered, decided_by="li")
    with pytest.raises(IllegalEvent):
        async with database.work(tenant=TENANT) as work:
            await decide(work, CREDENTIALS, TENANT, order, delivered=delivered, decided_by="li")
    account = "revenue" if delivered else "wallet:anna"
    assert (await balances(database))[account] == (PRICE_FEN if delivered else 10_000)
    assert await open_ticket_codes(database) == []
    broker = Broker()
    await send_due(database, broker)
    sent = [msgspec.json.decode(raw, type=Command) for topic, raw in broker.sent if topic == "dn/m1/command"]
    command = next(c for c in sent if decode_ask(c.ask) == CloseReview(order=order, delivered=delivered))
    assert command.mac == seal_command(ISSUED, MachineId("m1"), bytes(command.ask))
    closed = ReviewClosed(order=order, aisle="A1", goods="cola", delivered=delivered, command=command.command)
    await say(database, device.fact(closed))
    assert await on_hand(database) == ((9, 0) if delivered else (10, 0))
    assert await drift(database) == 0


async def test_a_review_closed_at_the_machine_settles_the_money_too(database: Database) -> None:
    device = await open_shop(database)
    order = await claimed(database, device)
    closed = ReviewClosed(order=order, aisle="A1", goods="cola", delivered=False)
    await say(database, device.fact(vend(VendUnknown, order)), device.fact(closed))
    row = await order_row(database, order)
    assert (row.state, row.decided_by) == ("refunded", "m1")
    assert await on_hand(database) == (10, 0)
    assert await drift(database) == 0


@pytest.mark.parametrize("delivered", [True, False])
async def test_what_a_count_has_settled_does_not_move_with_the_decision(database: Database, delivered: bool) -> None:
    """The item fell and was counted as gone; whichever way the money is decided afterwards, no item follows."""
    device = await open_shop(database)
    order = await claimed(database, device)
    counted = StockCounted(aisle="A1", goods="cola", counted=9, expected=10, person="li")
    closed = ReviewClosed(order=order, aisle="A1", goods="cola", delivered=delivered, counted_before=True)
    await say(database, device.fact(vend(VendUnknown, order)), device.fact(counted))
    assert await on_hand(database) == (9, 0)
    await say(database, device.fact(closed))
    assert await on_hand(database) == (9, 0)
    assert (await order_row(database, order)).state == ("delivered" if delivered else "refunded")
    assert await drift(database) == 0


async def test_a_sale_at_the_machine_is_settled_from_its_fact_alone(database: Database) -> None:
    device = await open_shop(database, balance_fen=0)
    await say(database, device.fact(pressed("b1")))
    row = await order_row(database, "b1")
    assert (row.state, row.means, row.member, row.paid_fen) == ("delivered", "coin", None, PRICE_FEN)
    assert await balances(database) == {"cash:m1": -PRICE_FEN, "revenue": PRICE_FEN}
    assert await on_hand(database) == (9, 0)


async def test_money_taken_at_the_machine_for_nothing_waits_for_a_person(database: Database) -> None:
    device = await open_shop(database, balance_fen=0)
    await say(database, device.fact(pressed("b1", kind=VendFailed)))
    assert (await order_row(database, "b1")).state == "review"
    assert await open_ticket_codes(database) == ["money_kept"]
    assert await drift(database) == 0
    async with database.work(tenant=TENANT) as work:
        await decide(work, CREDENTIALS, TENANT, "b1", delivered=False, decided_by="li")
    assert await balances(database) == {}
    assert await open_ticket_codes(database) == []


async def test_a_free_sale_that_failed_owes_nobody(database: Database) -> None:
    device = await open_shop(database, balance_fen=0)
    await say(database, device.fact(pressed("b1", kind=VendFailed, paid_fen=0)))
    assert (await order_row(database, "b1")).state == "refunded"
    assert await balances(database) == {}


async def test_write_off_is_capped_and_the_late_truth_is_a_loss_not_a_charge(
    database: Database, clock: ManualClock
) -> None:
    device = await open_shop(database)
    first, second = await claimed(database, device), await place_order(database, "k2")
    await say(database, device.claim(second))
    clock.advance(600_001)
    policy = WriteOffPolicy(after_ms=600_000, cap_fen=PRICE_FEN + 100)

    async def write_off(work: Work) -> int:
        return await write_off_due(work, policy)

    assert await database.transact(write_off) == 1
    states = {(await order_row(database, key)).state for key in (first, second)}
    assert states == {"refunded", "claimed"}
    assert "write_off_cap" in await open_ticket_codes(database)
    lost = first if (await order_row(database, first)).state == "refunded" else second
    await say(database, device.fact(vend(VendDelivered, lost)))
    found = await balances(database)
    assert (found["shrinkage"], found["revenue"], found["wallet:anna"]) == (-PRICE_FEN, PRICE_FEN, 10_000 - PRICE_FEN)
    assert await on_hand(database) == (9, 0)
    assert (await order_row(database, lost)).state == "refunded"
    assert "late_delivery" in await open_ticket_codes(database)
    await say(database, device.fact(vend(VendDelivered, lost)))  # a second delivery of one order is never believed
    assert await on_hand(database) == (9, 0)
    assert await drift(database) == 0


async def test_refunds_stay_within_what_was_captured_and_happen_once(database: Database) -> None:
    device = await open_shop(database)
    order = await claimed(database, device)
    with pytest.raises(FleetError, match="only a delivered one"):
        async with database.work(tenant=TENANT) as work:
            await refund(work, TENANT, order, 1, reference="r0", reason="warm", decided_by="li")
    await say(database, device.fact(vend(VendDelivered, order)))
    for _ in range(2):  # asked again: the same answer, no second effect
        async with database.work(tenant=TENANT) as work:
            assert (
                await refund(work, TENANT, order, 300, reference="r1", reason="warm", decided_by="li")
            ).refunded_fen == 300
    for reference, amount in (("r1", 50), ("r2", 51), ("r3", 0)):
        with pytest.raises(FleetError):
            async with database.work(tenant=TENANT) as work:
                await refund(work, TENANT, order, amount, reference=reference, reason="warm", decided_by="li")
    assert (await balances(database))["revenue"] == 50
    assert await drift(database) == 0


async def test_the_same_key_is_the_same_order_for_ever_and_another_body_a_conflict(
    database: Database, clock: ManualClock
) -> None:
    await open_shop(database)
    order = await place_order(database, "k1")
    clock.advance(400 * 24 * 3_600_000)
    assert await place_order(database, "k1") == order
    with pytest.raises(FleetError, match="used for another order"):
        await place_order(database, "k1", aisle="A2")
    assert (await balances(database))["escrow"] == PRICE_FEN


async def test_concurrent_requests_with_one_key_have_one_effect(database: Database) -> None:
    await open_shop(database)
    answers = await asyncio.gather(*(place_order(database, "k1") for _ in range(10)))
    assert len(set(answers)) == 1
    assert (await balances(database))["escrow"] == PRICE_FEN


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ("gone", "unavailable", "not online"),
        ("silent", "unavailable", "not online"),
        ("not selling", "unavailable", "door"),
        ("locked", "conflict", "closed"),
        ("sold out", "conflict", "sold out"),
        ("no aisle", "not_found", "no aisle"),
        ("no machine", "not_found", "no machine"),
        ("no member", "not_found", "no member"),
        ("poor", "conflict", "does not hold"),
    ],
)
async def test_why_an_order_is_not_taken(
    database: Database, clock: ManualClock, change: str, kind: str, says: str
) -> None:
    device = await open_shop(database, balance_fen=PRICE_FEN - 1 if change == "poor" else 10_000)
    request = wanted()
    match change:
        case "gone":
            await say(database, device.gone())
        case "silent":
            clock.advance(12 * 60_000)
        case "not selling":
            await say(database, device.fact(SellingChanged(selling=False, reason="door open")))
        case "locked":
            await say(database, device.fact(FaultChanged(code="jam", scope="A1", active=True)), _locked(device))
        case "sold out":
            await say(database, device.fact(StockCounted(aisle="A1", goods="cola", counted=0, expected=10)))
        case "no aisle":
            request = wanted(aisle="A9")
        case "no machine":
            request = wanted(machine="m9")
        case "no member":
            request = wanted(member="bob")
    with pytest.raises(FleetError, match=says) as refused:
        async with database.work(tenant=TENANT) as work:
            await place(work, request)
    assert refused.value.kind == kind
    assert (await balances(database)).get("escrow", 0) == 0


def _locked(device: Device) -> Any:
    return device.fact(AisleLockChanged(aisle="A1", locked=True, reason="jam"))


async def test_open_orders_count_against_the_stock(database: Database) -> None:
    device = await open_shop(database, stock=2)
    await place_order(database, "k1")
    second = await place_order(database, "k2")
    with pytest.raises(FleetError, match="sold out"):
        await place_order(database, "k3")
    await say(database, device.claim(second), device.fact(vend(VendUnknown, second)))
    with pytest.raises(FleetError, match="sold out"):  # one is promised, one is in doubt
        await place_order(database, "k4")


async def test_after_a_restore_the_machines_word_settles_what_the_cloud_forgot(database: Database) -> None:
    device = await open_shop(database)
    order = await place_order(database)
    await say(database, device.fact(vend(VendDelivered, order)))  # its claim is not in the restored database
    assert (await order_row(database, order)).state == "delivered"
    assert await drift(database) == 0


async def test_fifty_parallel_spends_never_overspend(on_postgres: Database) -> None:
    await open_shop(on_postgres, balance_fen=PRICE_FEN * 7, stock=60)
    answers = await asyncio.gather(*(place_order(on_postgres, f"k{n}") for n in range(50)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert len(refused) == 43
    assert all(isinstance(error, FleetError) and error.kind == "conflict" for error in refused)
    assert (await balances(on_postgres)) == {"funding": -PRICE_FEN * 7, "escrow": PRICE_FEN * 7}
    assert await drift(on_postgres) == 0


async def test_parallel_cancel_expire_claim_and_refund_end_each_order_once(
    on_postgres: Database, clock: ManualClock
) -> None:
    device = await open_shop(on_postgres, stock=30)
    keys = [await place_order(on_postgres, f"k{n}") for n in range(20)]

    async def try_cancel(order: str) -> None:
        await on_postgres.transact(lambda work: cancel(work, TENANT, order), tenant=TENANT)

    clock.advance(DEADLINE_MS)
    races = [try_cancel(key) for key in keys] + [on_postgres.transact(expire_due) for _ in range(5)]
    claims = [say(on_postgres, device.claim(key)) for key in keys]
    results = await asyncio.gather(*races, *claims, return_exceptions=True)
    assert all(isinstance(r, FleetError) for r in results if isinstance(r, BaseException))
    assert await balances(on_postgres) == {"funding": -10_000, "wallet:anna": 10_000}
    assert await drift(on_postgres) == 0


async def test_commands_are_repeated_until_answered(database: Database, clock: ManualClock) -> None:
    device = await open_shop(database)
    broker = Broker()
    assert await send_due(database, broker) == 1  # the planogram
    assert await send_due(database, broker) == 0
    clock.advance(5_000)
    assert await send_due(database, broker) == 1
    async with database.look(tenant=TENANT) as work:
        command = await work.scalar(select(commands.c.command))
    await say(database, device.fact(CommandAnswered(command=command, done=True)))
    clock.advance(3_600_000)
    assert await send_due(database, broker) == 0
    async with database.look(tenant=TENANT) as work:
        assert await work.scalar(select(commands.c.state)) == "done"


async def test_offers_are_repeated_every_five_seconds_until_the_deadline(
    database: Database, clock: ManualClock
) -> None:
    await open_shop(database)
    await place_order(database)
    broker = Broker()
    for _ in range(20):
        await send_due(database, broker)
        clock.advance(5_000)
    assert sum(1 for topic, _ in broker.sent if topic.endswith("/offer")) == DEADLINE_MS // 5_000


async def test_two_workers_do_not_say_the_same_line_at_once(on_postgres: Database) -> None:
    await open_shop(on_postgres, balance_fen=100_000, stock=100)
    for n in range(30):
        await place_order(on_postgres, f"k{n}")
    first, second = Broker(), Broker()
    await asyncio.gather(send_due(on_postgres, first), send_due(on_postgres, second))
    sent = [raw for _, raw in first.sent + second.sent]
    assert len(sent) == len(set(sent)) == 31
