"""From asking for water to the last fen and millilitre, through the messages that a machine sends."""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from cloud.database import Database, Work
from cloud.downlink import lease
from cloud.errors import FleetError
from cloud.orders.expire import WriteOffPolicy
from cloud.reports import WaterAccount
from cloud.tickets.store import tickets
from cloud.water.expire import expire_due, write_off_due
from cloud.water.place import cancel_pour, place_pour
from cloud.water.refund import refund
from cloud.water.review import decide
from shared.clock import ManualClock
from shared.ids import AisleId, BootId, MachineId, Nonce, OrderId
from shared.messages import Grant, PourOffer, PourReason, PourRefused, Refusal, SellingChanged, WaterQualityChanged
from shared.seal import seal_grant
from shared.water import ServicePlan
from tests.cloud.fleet import CREDENTIALS, TENANT, Device, drift, grants, new_machine, say
from tests.cloud.water.tap import (
    BALANCE_FEN,
    balances,
    claimed_pour,
    ended,
    litres,
    open_jobs,
    open_tap,
    order_pour,
    pour_row,
    purifier,
    quarantined,
    tapped,
    wish,
)

HOLD = 56  # a litre and a half at 37 fen, rounded up


async def settle_by_hand(database: Database, order: str, poured_ml: int) -> None:
    await database.transact(
        lambda work: decide(work, TENANT, order, poured_ml=poured_ml, decided_by="li"), tenant=TENANT
    )


# --- asking ---


async def test_asking_holds_the_price_of_all_that_is_asked_and_offers_the_pour(database: Database) -> None:
    await open_tap(database)
    order = await order_pour(database)
    assert await balances(database) == {"wallet:anna": BALANCE_FEN - HOLD, "escrow": HOLD}
    offers = [sent for sent in await database.transact(lease) if sent.channel == "offer"]
    assert [sent.topic for sent in offers] == ["dn/w1/offer"]
    assert msgspec.json.decode(offers[0].payload, type=PourOffer) == PourOffer(
        order=order, outlet="normal", asked_ml=1_500, price_fen_per_litre=37, hold_fen=HOLD
    )
    assert await drift(database) == 0


async def test_the_same_key_is_the_same_pour_for_ever_and_never_another_one(
    database: Database, clock: ManualClock
) -> None:
    device = await open_tap(database)
    first = await claimed_pour(database, device)
    await say(database, device.fact(ended(first, 1_500)))
    clock.advance(400 * 24 * 3_600_000)
    assert await order_pour(database) == first
    with pytest.raises(FleetError, match="used for another pour"):
        await order_pour(database, asked_ml=1_000)
    assert await drift(database) == 0


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"asked_ml": 0}, "invalid"),
        ({"asked_ml": 5_001}, "invalid"),
        ({"outlet": "cold"}, "not_found"),
        ({"machine": "w2"}, "not_found"),
        ({"member": "nobody"}, "not_found"),
        ({"key": ""}, "invalid"),
    ],
)
async def test_what_cannot_be_asked(database: Database, asked: dict[str, object], kind: str) -> None:
    await open_tap(database)
    with pytest.raises(FleetError) as refused:
        await order_pour(database, **asked)  # type: ignore[arg-type]
    assert refused.value.kind == kind


async def test_nobody_drinks_on_credit(database: Database) -> None:
    await open_tap(database, balance_fen=HOLD - 1)
    with pytest.raises(FleetError, match="does not hold 56 fen"):
        await order_pour(database)
    await order_pour(database, asked_ml=1_000)
    assert await drift(database) == 0


async def test_a_purifier_that_gives_no_water_is_not_asked_for_any(database: Database, clock: ManualClock) -> None:
    device = await open_tap(database)
    await say(database, device.fact(WaterQualityChanged(fit=False, tds_in_ppm=300, tds_out_ppm=170, reason="tds")))
    with pytest.raises(FleetError, match="gives no water now: unfit"):
        await order_pour(database)
    await say(database, device.fact(WaterQualityChanged(fit=True, tds_in_ppm=300, tds_out_ppm=12)))
    await say(database, device.fact(SellingChanged(selling=False, reason="leak")))
    with pytest.raises(FleetError, match="does not sell now: leak"):
        await order_pour(database)
    await say(database, device.fact(SellingChanged(selling=True)))
    await order_pour(database)
    clock.advance(12 * 60_000)
    with pytest.raises(FleetError, match="not online"):
        await order_pour(database, "k2")


async def test_water_of_a_rented_purifier_costs_nothing_until_the_plan_is_used_up(database: Database) -> None:
    plan = ServicePlan(
        plan="p1", mode="metered_rental", prepaid_ml=2_000, began_wall_ms=database.clock.wall_ms() - 1_000
    )
    device = await open_tap(database, config=purifier(plan), balance_fen=0)
    order = await claimed_pour(database, device)
    await say(database, device.fact(ended(order, 1_500, price=0)))
    assert (await pour_row(database, order)).state == "poured"
    assert await balances(database) == {}
    assert await litres(database) == WaterAccount(sold_ml=0, given_ml=1_500, leaked_ml=0, doubtful_ml=0)
    order = await claimed_pour(database, device, "k2", asked_ml=500)
    await say(database, device.fact(ended(order, 500, asked_ml=500, price=0)))
    with pytest.raises(FleetError, match="plan_used_up"):
        await order_pour(database, "k3")


# --- claiming ---


async def test_a_claim_in_time_is_granted_once_for_its_outlet(database: Database, clock: ManualClock) -> None:
    device = await open_tap(database)
    order = await order_pour(database)
    (grant,) = grants(await say(database, device.claim(order)))
    assert isinstance(grant, Grant)
    key = CREDENTIALS.keys(MachineId("w1"), 1).mac_key
    assert grant.mac == seal_grant(
        key, MachineId("w1"), OrderId(order), AisleId("normal"), Nonce("n1"), BootId(clock.boot_id)
    )
    assert grants(await say(database, device.claim(order))) == [grant]
    other = Refusal(order=order, nonce="n2", verdict="void")
    assert grants(await say(database, device.claim(order, nonce="n2"))) == [other]
    clock.advance(11_000)
    assert grants(await say(database, device.claim(order))) == [Refusal(order=order, nonce="n1", verdict="void")]
    offers = [sent for sent in await database.transact(lease) if sent.channel == "offer"]
    assert offers == []


async def test_a_claim_after_the_deadline_is_void_and_the_money_is_back_at_once(
    database: Database, clock: ManualClock
) -> None:
    device = await open_tap(database)
    order = await order_pour(database)
    clock.advance(60_000)
    assert grants(await say(database, device.claim(order))) == [Refusal(order=order, nonce="n1", verdict="void")]
    assert await balances(database) == {"wallet:anna": BALANCE_FEN}
    await say(database, device.fact(PourRefused(order=order, reason="void")))
    assert (await pour_row(database, order)).state == "refunded"
    assert await quarantined(database) == []
    assert await drift(database) == 0


async def test_another_machine_is_answered_no(database: Database) -> None:
    await open_tap(database)
    order = await order_pour(database)
    stranger = await _second_tap(database)
    assert grants(await say(database, stranger.claim(order))) == [Refusal(order=order, nonce="n1", verdict="no")]
    await say(database, stranger.fact(ended(order, 1_500)))
    assert "belongs to another machine" in (await quarantined(database))[0]
    assert (await pour_row(database, order)).state == "held"


async def _second_tap(database: Database) -> Device:
    device = await new_machine(database, "w9")
    await say(database, device.hello(), device.began())
    return device


async def test_nobody_claims_it(database: Database, clock: ManualClock) -> None:
    await open_tap(database)
    order = await order_pour(database)
    assert await database.transact(expire_due) == 0
    clock.advance(60_000)
    assert await database.transact(expire_due) == 1
    assert (await pour_row(database, order)).reason == "expired"
    assert await balances(database) == {"wallet:anna": BALANCE_FEN}
    assert await drift(database) == 0


async def test_it_can_be_taken_back_until_it_is_claimed(database: Database) -> None:
    device = await open_tap(database)
    order = await order_pour(database)
    await database.transact(lambda work: cancel_pour(work, TENANT, order), tenant=TENANT)
    assert await balances(database) == {"wallet:anna": BALANCE_FEN}
    order = await claimed_pour(database, device, "k2")
    with pytest.raises(FleetError, match="'cancel' is not possible"):
        await database.transact(lambda work: cancel_pour(work, TENANT, order), tenant=TENANT)


# --- ending ---


@pytest.mark.parametrize(
    ("poured", "charged", "sold", "given"),
    [
        (1_500, HOLD, 1_500, 0),
        (1_512, HOLD, 1_500, 12),  # what runs over is given
        (700, 26, 700, 0),  # 25.9 fen
        (13, 0, 0, 13),  # 0.481 fen: rounded to nothing, and therefore given
        (14, 1, 14, 0),  # 0.518 fen
    ],
)
async def test_what_flowed_is_charged_and_the_rest_goes_back(
    database: Database, poured: int, charged: int, sold: int, given: int
) -> None:
    device = await open_tap(database)
    order = await claimed_pour(database, device)
    await say(database, device.fact(ended(order, poured)))
    row = await pour_row(database, order)
    assert (row.state, row.poured_ml, row.charged_fen, row.plan) == ("poured", poured, charged, "p1")
    held = {"wallet:anna": BALANCE_FEN - charged} | ({"revenue": charged} if charged else {})
    assert await balances(database) == held
    assert await litres(database) == WaterAccount(sold_ml=sold, given_ml=given, leaked_ml=0, doubtful_ml=0)
    assert await drift(database) == 0


@pytest.mark.parametrize("reason", ["stopped", "stalled", "valve_lost"])
async def test_nothing_flowed_and_nothing_is_owed(database: Database, reason: PourReason) -> None:
    device = await open_tap(database)
    order = await claimed_pour(database, device)
    await say(database, device.fact(ended(order, 0, reason=reason)))
    assert (await pour_row(database, order)).state == "refunded"
    assert await balances(database) == {"wallet:anna": BALANCE_FEN}
    assert (("pour_trouble", "normal") in await open_jobs(database)) == (reason != "stopped")


async def test_a_good_pour_ends_the_trouble_of_its_outlet(database: Database) -> None:
    device = await open_tap(database)
    await say(database, device.fact(ended(await claimed_pour(database, device), 300, reason="stalled")))
    assert await open_jobs(database) == {("pour_trouble", "normal")}
    again = await claimed_pour(database, device, "k2", outlet="hot")
    await say(database, device.fact(ended(again, 1_500, price=120, outlet="hot")))
    assert await open_jobs(database) == {("pour_trouble", "normal")}
    again = await claimed_pour(database, device, "k3")
    await say(database, device.fact(ended(again, 1_500)))
    assert await open_jobs(database) == set()


async def test_what_the_machine_refuses_is_refunded(database: Database) -> None:
    device = await open_tap(database)
    order = await claimed_pour(database, device)
    await say(database, device.fact(PourRefused(order=order, reason="plan_ended")))
    row = await pour_row(database, order)
    assert (row.state, row.reason, row.poured_ml) == ("refunded", "plan_ended", 0)
    assert await balances(database) == {"wallet:anna": BALANCE_FEN}


async def test_an_end_is_told_once(database: Database) -> None:
    """A second end under another number is no second charge; the same number again is nothing at all (I9)."""
    device = await open_tap(database)
    order = await claimed_pour(database, device)
    first = device.fact(ended(order, 1_000))
    await say(database, first, first)
    await say(database, first)
    assert await quarantined(database) == []
    await say(database, device.fact(ended(order, 1_500)), device.fact(PourRefused(order=order, reason="unfit")))
    assert len(await quarantined(database)) == 2
    assert await balances(database) == {"wallet:anna": BALANCE_FEN - 37, "revenue": 37}
    assert (await litres(database)).metered_ml == 1_000


async def test_the_truth_after_a_refund_is_a_loss_and_never_charged(database: Database, clock: ManualClock) -> None:
    device = await open_tap(database)
    order = await order_pour(database)
    clock.advance(60_000)
    await database.transact(expire_due)
    await say(database, device.fact(ended(order, 1_000)))
    assert (await pour_row(database, order)).state == "refunded"
    assert await balances(database) == {"wallet:anna": BALANCE_FEN, "shrinkage": -37, "revenue": 37}
    assert await litres(database) == WaterAccount(sold_ml=0, given_ml=1_000, leaked_ml=0, doubtful_ml=0)
    assert ("late_delivery", order) in await open_jobs(database)
    assert await drift(database) == 0


async def test_the_database_itself_gives_back_no_more_than_was_charged(database: Database) -> None:
    device = await open_tap(database)
    order = await claimed_pour(database, device)
    await say(database, device.fact(ended(order, 1_000)))

    async def give_back(amount_fen: int, reference: str) -> None:
        await database.transact(
            lambda work: refund(work, TENANT, order, amount_fen, reference=reference, reason="warm", decided_by="li"),
            tenant=TENANT,
        )

    await give_back(7, "one")
    await give_back(30, "two")
    with pytest.raises(FleetError, match="0 fen are left"):
        await give_back(1, "three")
    row = await pour_row(database, order)
    assert (row.charged_fen, row.refunded_fen) == (37, 37)
    assert "revenue" not in await balances(database), "all of it went back"
    for wrong in ("refunded_fen = 38", "refunded_fen = -1", "charged_fen = 36"):
        with pytest.raises(IntegrityError):
            async with database.work(tenant=TENANT) as work:
                await work.execute(text(f"UPDATE pours SET {wrong}"))
    assert await drift(database) == 0


async def test_a_claim_without_a_word_is_written_off_within_the_cap(database: Database, clock: ManualClock) -> None:
    device = await open_tap(database)
    first = await claimed_pour(database, device)
    second = await claimed_pour(database, device, "k2")
    clock.advance(600_000)
    policy = WriteOffPolicy(after_ms=600_000, cap_fen=2 * HOLD - 1)
    assert await database.transact(partial(write_off_due, policy=policy)) == 1
    rows = {order: await pour_row(database, order) for order in (first, second)}
    assert sorted(row.state for row in rows.values()) == ["claimed", "refunded"]
    assert ("write_off_cap", "machine") in await open_jobs(database)
    clock.advance(24 * 3_600_000 + 1)
    assert await database.transact(partial(write_off_due, policy=policy)) == 1
    assert await balances(database) == {"wallet:anna": BALANCE_FEN}
    assert await drift(database) == 0


# --- doubt ---


@pytest.mark.parametrize(("doubt", "told"), [("the pace jumped", "the pace jumped"), (None, "nobody can prove it")])
async def test_whoever_reviews_a_pour_is_told_why_also_by_older_machines_that_say_nothing(
    database: Database, doubt: str | None, told: str
) -> None:
    device = await open_tap(database)
    order = await claimed_pour(database, device)
    await say(database, device.fact(ended(order, 1_200, certain=False, doubt=doubt)))
    async with database.look(tenant=TENANT) as work:
        found = await work.rows(select(tickets.c.detail).where(tickets.c.scope == order))
    assert [row.detail for row in found] == [f"outlet normal: stopped; the meter says 1200 ml: {told}"]


@pytest.mark.parametrize(("decided", "charged", "sold"), [(1_000, 37, 1_000), (0, 0, 0), (1_500, HOLD, 1_500)])
async def test_a_person_sets_the_volume_that_no_meter_can_prove(
    database: Database, decided: int, charged: int, sold: int
) -> None:
    device = await open_tap(database)
    order = await claimed_pour(database, device)
    await say(database, device.fact(ended(order, 1_200, reason="meter_lost", certain=False)))
    assert (await pour_row(database, order)).state == "review"
    assert await balances(database) == {"wallet:anna": BALANCE_FEN - HOLD, "escrow": HOLD}
    assert await litres(database) == WaterAccount(sold_ml=0, given_ml=0, leaked_ml=0, doubtful_ml=1_200)
    assert ("pour_uncertain", order) in await open_jobs(database)
    assert await drift(database) == 0
    await settle_by_hand(database, order, decided)
    row = await pour_row(database, order)
    assert (row.state, row.charged_fen) == ("poured" if decided else "refunded", charged)
    assert (await balances(database))["wallet:anna"] == BALANCE_FEN - charged
    assert await litres(database) == WaterAccount(sold_ml=sold, given_ml=1_200 - sold, leaked_ml=0, doubtful_ml=0)
    assert ("pour_uncertain", order) not in await open_jobs(database)
    assert await drift(database) == 0
    with pytest.raises(FleetError, match="is not possible"):
        await settle_by_hand(database, order, decided)


@pytest.mark.parametrize("volume", [-1, 1_501])
async def test_nobody_is_charged_for_more_than_was_asked(database: Database, volume: int) -> None:
    device = await open_tap(database)
    order = await claimed_pour(database, device)
    await say(database, device.fact(ended(order, 1_200, certain=False)))
    with pytest.raises(FleetError, match="not between 0 and the 1500 ml"):
        await settle_by_hand(database, order, volume)


@pytest.mark.parametrize("charged", [HOLD + 1, 36, 38, 0])
async def test_a_charge_that_is_not_ours_waits_for_a_person(database: Database, charged: int) -> None:
    """A litre costs 37 fen: what the machine says instead is not taken from the buyer (nor given to him)."""
    device = await open_tap(database)
    order = await claimed_pour(database, device)
    await say(database, device.fact(ended(order, 1_000, charged_fen=charged)))
    row = await pour_row(database, order)
    assert (row.state, row.charged_fen) == ("review", 0)
    assert (await balances(database))["escrow"] == HOLD
    await settle_by_hand(database, order, 1_000)
    assert (await balances(database))["revenue"] == 37


async def test_a_doubt_after_a_refund_is_decided_as_a_loss(database: Database, clock: ManualClock) -> None:
    device = await open_tap(database)
    order = await order_pour(database)
    clock.advance(60_000)
    await database.transact(expire_due)
    await say(database, device.fact(ended(order, 1_200, certain=False)))
    await settle_by_hand(database, order, 1_000)
    assert (await pour_row(database, order)).state == "refunded"
    assert await balances(database) == {"wallet:anna": BALANCE_FEN, "shrinkage": -37, "revenue": 37}
    assert await litres(database) == WaterAccount(sold_ml=0, given_ml=1_200, leaked_ml=0, doubtful_ml=0)
    assert await drift(database) == 0


# --- at the machine ---


async def test_a_pour_begun_at_the_machine_is_settled_from_its_fact_alone(database: Database) -> None:
    device = await open_tap(database, balance_fen=0)
    await say(database, device.fact(tapped("b1", 1_000)))
    row = await pour_row(database, "b1")
    assert (row.state, row.means, row.member, row.paid_fen, row.charged_fen) == ("poured", "coin", None, 56, 37)
    assert await balances(database) == {"cash:w1": -37, "revenue": 37}
    assert await drift(database) == 0


async def test_coins_for_water_that_did_not_flow_are_the_panels_to_return(database: Database) -> None:
    device = await open_tap(database, balance_fen=0)
    await say(database, device.fact(tapped("b1", 0, reason="stalled")))
    assert (await pour_row(database, "b1")).state == "refunded"
    assert await balances(database) == {}


async def test_a_doubtful_pour_for_coins_keeps_them_in_escrow(database: Database) -> None:
    device = await open_tap(database, balance_fen=0)
    await say(database, device.fact(tapped("b1", 1_200, certain=False, reason="power_lost")))
    assert await balances(database) == {"cash:w1": -56, "escrow": 56}
    assert await drift(database) == 0
    await settle_by_hand(database, "b1", 1_000)
    assert await balances(database) == {"cash:w1": -37, "revenue": 37}
    assert await drift(database) == 0


async def test_free_water_moves_no_money(database: Database) -> None:
    device = await open_tap(database, balance_fen=0)
    await say(database, device.fact(tapped("b1", 800, paid_fen=0, means="free", charged_fen=0, plan=None)))
    assert (await pour_row(database, "b1")).state == "poured"
    assert await balances(database) == {}
    assert await litres(database) == WaterAccount(sold_ml=0, given_ml=800, leaked_ml=0, doubtful_ml=0)


async def test_an_app_order_that_nobody_placed_is_not_invented(database: Database) -> None:
    device = await open_tap(database)
    await say(database, device.fact(ended("ghost", 1_000)), device.fact(PourRefused(order="ghost", reason="void")))
    assert len(await quarantined(database)) == 2
    assert (await litres(database)).metered_ml == 0


# --- many at once ---


async def test_fifty_thirsty_apps_spend_a_wallet_once(on_postgres: Database) -> None:
    await open_tap(on_postgres, balance_fen=5 * HOLD)

    async def ask(number: int) -> bool:
        async def use(work: Work) -> None:
            await place_pour(work, wish(f"k{number}"))

        try:
            await on_postgres.transact(use, tenant=TENANT)
        except FleetError:
            return False
        return True

    assert sum(await asyncio.gather(*(ask(number) for number in range(50)))) == 5
    assert await balances(on_postgres) == {"escrow": 5 * HOLD}
    assert await drift(on_postgres) == 0


async def test_one_key_asked_twenty_times_at_once_is_one_pour(on_postgres: Database) -> None:
    await open_tap(on_postgres)
    orders = await asyncio.gather(*(order_pour(on_postgres) for _ in range(20)))
    assert len(set(orders)) == 1
    assert (await balances(on_postgres))["escrow"] == HOLD
