"""What purifiers tell beside pours: every fact takes effect, and people hear of what they must do."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cloud.accounts.model import Reach
from cloud.database import Database
from cloud.ingest.apply import APPLY
from cloud.ingest.replay import replay
from cloud.ingest.store import quarantine
from cloud.machines.planogram import current_config, put_config
from cloud.machines.pricing import put_prices
from cloud.machines.register import claim, revoke
from cloud.paging import Ask
from cloud.reports import WaterAccount, sales_by_hour, water_by_plan
from cloud.tickets.browse import TicketFilter, history_of, list_tickets
from cloud.tickets.handle import dispatch, finish
from cloud.tickets.model import Ticket
from cloud.tickets.store import tickets
from cloud.water.browse import list_calibrations, list_filter_changes, list_visits
from cloud.water.condition import PurifierCondition, condition_of
from shared.clock import ManualClock
from shared.ids import MachineId
from shared.messages import (
    AisleConfig,
    Fact,
    FaultChanged,
    FilterChanged,
    FilterConditionChanged,
    MeterCalibrated,
    VisitRecorded,
    WaterLeaked,
    WaterQualityChanged,
    decode_fact,
    encode,
    unsealed,
)
from shared.seal import seal_visit
from tests.cloud.fleet import CREDENTIALS, TENANT, say
from tests.cloud.water.tap import (
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
)


async def condition(database: Database) -> PurifierCondition:
    async with database.look(tenant=TENANT) as work:
        return await condition_of(work, TENANT, "w1", purifier())


def test_every_fact_has_a_use() -> None:
    assert set(APPLY) == set(get_args(Fact))


async def test_a_worn_filter_is_one_job_urgent_past_its_end_and_done_with_a_new_one(database: Database) -> None:
    device = await open_tap(database)

    async def tell(state: str, left: int) -> None:
        fact = FilterConditionChanged(position=2, name="RO membrane", condition=state, percent_left=left)  # type: ignore[arg-type]
        await say(database, device.fact(fact))

    async def send(name: str, *, to: str) -> None:
        async with database.work(tenant=TENANT) as work:
            await dispatch(work, Reach(TENANT), TENANT, to, "li", name=name)

    async def job() -> Ticket:
        async with database.look(tenant=TENANT) as work:
            (one,) = (await list_tickets(work, Reach(TENANT), TicketFilter(code="filter_worn"), Ask())).items
        return one

    await tell("near_end", 9)
    assert ((await job()).scope, (await job()).kind, (await job()).priority) == ("filter-2", "maintenance", 2)
    assert (await condition(database)).no_sale == ()
    await send("wang", to=(await job()).ticket)
    for _ in ("once", "again"):
        await tell("past_end", 0)
        urgent = await job()
        assert (urgent.state, urgent.assignee, urgent.priority) == ("dispatched", "wang", 3), "whoever has it, keeps it"
        assert urgent.detail == "filter 2 (RO membrane): 0 % of its life left"
    assert (await condition(database)).no_sale == ("filter_past_end",)
    changed = FilterChanged(
        position=2, name="RO membrane", powered_hours=17_000, worked_hours=900, litres=5_210, person="wang"
    )
    await say(database, device.fact(changed))
    await tell("good", 100)
    assert ((await job()).state, (await job()).priority) == ("finished", 3)
    async with database.look(tenant=TENANT) as work:
        steps = await history_of(work, TENANT, urgent.ticket)
    assert [step.event for step in steps] == ["open", "dispatch", "worsen", "condition_over"]
    known = await condition(database)
    assert [(one.position, one.condition, one.percent_left) for one in known.filters] == [(2, "good", 100)]
    async with database.look(tenant=TENANT) as work:
        (kept,) = (await list_filter_changes(work, TENANT, "w1", Ask())).items
    assert (kept.person, kept.worked_hours, kept.litres) == ("wang", 900, 5_210)


async def test_unfit_water_is_a_job_until_it_is_fit_again(database: Database) -> None:
    device = await open_tap(database)
    await say(database, device.fact(WaterQualityChanged(fit=False, tds_in_ppm=310, tds_out_ppm=160, reason="tds")))
    assert await open_jobs(database) == {("water_unfit", "machine")}
    await say(database, device.fact(WaterQualityChanged(fit=True, tds_in_ppm=None, tds_out_ppm=11)))
    assert await open_jobs(database) == set()
    water = (await condition(database)).water
    assert water is not None
    assert (water.fit, water.tds_in_ppm, water.tds_out_ppm) == (True, None, 11)


async def test_a_leak_is_metered_and_repaired(database: Database) -> None:
    """The machine's fault and its litres are one job: the fault's end closes it."""
    device = await open_tap(database)
    await say(
        database,
        device.fact(FaultChanged(code="water_leak", scope="machine", active=True)),
        device.fact(WaterLeaked(leaked_ml=120)),
        device.fact(WaterLeaked(leaked_ml=80)),
    )
    assert await open_jobs(database) == {("water_leak", "machine")}
    assert await litres(database) == WaterAccount(sold_ml=0, given_ml=0, leaked_ml=200, doubtful_ml=0)
    await say(database, device.fact(FaultChanged(code="water_leak", scope="machine", active=False)))
    assert await open_jobs(database) == set()


async def test_calibrations_are_history(database: Database, clock: ManualClock) -> None:
    device = await open_tap(database)
    for factor in (450_000, 452_300):
        clock.advance(1_000)
        fact = MeterCalibrated(meter="flow", pulses_per_litre_milli=factor, spread_ppm=900, runs=3, person="wang")
        await say(database, device.fact(fact))
    async with database.look(tenant=TENANT) as work:
        found = (await list_calibrations(work, TENANT, "w1", Ask())).items
    assert [one.pulses_per_litre_milli for one in found] == [452_300, 450_000]


def visit(name: str, *, version: int = 1, machine: str = "w1") -> VisitRecorded:
    """A record sealed with the key of one claim."""
    record = VisitRecorded(
        visit=name, person="wang", began_wall_ms=5, duration_ms=600_000, actions=("filter 2 changed", "门"), mac=""
    )
    key = CREDENTIALS.keys(MachineId("w1"), version).mac_key
    return msgspec.structs.replace(record, mac=seal_visit(key, MachineId(machine), unsealed(record)))


async def test_a_visit_counts_with_its_seal_and_is_looked_into_without(database: Database) -> None:
    device = await open_tap(database)
    forged = msgspec.structs.replace(visit("v2"), person="somebody else")
    await say(database, device.fact(visit("v1")), device.fact(forged), device.fact(visit("v3", machine="w2")))
    async with database.look(tenant=TENANT) as work:
        found = {one.visit: one for one in (await list_visits(work, TENANT, Ask())).items}
        genuine = (await list_visits(work, TENANT, Ask(), machine="w1", genuine=True)).items
    assert {name: one.genuine for name, one in found.items()} == {"v1": True, "v2": False, "v3": False}
    assert genuine == [found["v1"]]
    assert found["v1"].actions == ("filter 2 changed", "门")
    assert await open_jobs(database) == {("visit_unsealed", "v2"), ("visit_unsealed", "v3")}


async def test_a_visit_older_than_the_newest_claim_is_still_genuine(database: Database) -> None:
    device = await open_tap(database)
    async with database.work(tenant=TENANT) as work:
        await revoke(work, TENANT, "w1")
        await claim(work, CREDENTIALS, TENANT, "w1")
    await say(database, device.fact(visit("v1", version=1)), device.fact(visit("v2", version=2)))
    async with database.look(tenant=TENANT) as work:
        assert all(one.genuine for one in (await list_visits(work, TENANT, Ask())).items)


async def test_a_visit_told_twice_stays_one(database: Database) -> None:
    """The second comes under another number, as after a restore of the machine's disk: it goes to quarantine."""
    device = await open_tap(database)
    await say(database, device.fact(visit("v1")))
    await say(database, device.fact(visit("v1")))
    async with database.look(tenant=TENANT) as work:
        assert (await list_visits(work, TENANT, Ask())).total == 1
    assert len(await quarantined(database)) == 1


async def test_water_waits_in_quarantine_for_a_rule_that_knows_it(database: Database, clock: ManualClock) -> None:
    """A pour told before its order was restored is refused, kept, and replayed later with the same effect."""
    device = await open_tap(database)
    order = await order_pour(database)
    async with database.work() as work:
        await work.execute(text("UPDATE pours SET machine = 'w2'"))
    await say(database, device.fact(ended(order, 1_000)))
    assert len(await quarantined(database)) == 1
    async with database.work() as work:
        await work.execute(text("UPDATE pours SET machine = 'w1'"))
    async with database.work(tenant=TENANT) as work:
        item = await work.scalar(quarantine.select().with_only_columns(quarantine.c.item))
        assert await replay(work, CREDENTIALS, TENANT, item) == "pour_ended"
    assert (await pour_row(database, order)).state == "poured"
    assert (await litres(database)).sold_ml == 1_000


@pytest.mark.parametrize("table", ["water_flows", "filter_changes", "calibrations", "visits"])
async def test_histories_only_grow(database: Database, table: str) -> None:
    device = await open_tap(database)
    facts = (
        WaterLeaked(leaked_ml=80),
        FilterChanged(position=1, name="PP", powered_hours=1, worked_hours=1, litres=1),
        MeterCalibrated(meter="flow", pulses_per_litre_milli=1, spread_ppm=0, runs=1),
        visit("v1"),
    )
    await say(database, *(device.fact(fact) for fact in facts))
    for change in (f"UPDATE {table} SET machine = 'w2'", f"DELETE FROM {table}"):
        with pytest.raises(DBAPIError, match="append-only"):
            async with database.work(tenant=TENANT) as work:
                await work.execute(text(change))


async def test_planogram_prices_and_purifier_are_one_configuration(database: Database, clock: ManualClock) -> None:
    """Deciding one of them leaves the others as they are."""
    await open_tap(database)
    aisle = AisleConfig(aisle="A1", board=1, motor=1, goods="cola", price_fen=350, capacity=10)
    async with database.work(tenant=TENANT) as work:
        await put_config(work, CREDENTIALS, TENANT, "w1", [aisle], "li", temperature_low_tenths_c=20)
        await put_prices(work, CREDENTIALS, TENANT, "w1", {"A1": 400}, "li", expected_version=2)
        config = await current_config(work, TENANT, "w1")
    assert config is not None
    assert config.version == 3
    assert config.decided_wall_ms == clock.wall_ms(), "a machine that cannot know the time learns it so"
    assert config.purifier == purifier()
    assert (config.aisles[0].price_fen, config.temperature_low_tenths_c) == (400, 20)


async def test_reports_tell_water_beside_goods(database: Database, clock: ManualClock) -> None:
    device = await open_tap(database)
    await say(database, device.fact(ended(await claimed_pour(database, device), 1_000)))
    await say(database, device.fact(tapped("b1", 200, paid_fen=0, means="free", charged_fen=0, plan=None)))
    await say(database, device.fact(tapped("b2", 400, certain=False)), device.fact(WaterLeaked(leaked_ml=60)))
    hour = clock.wall_ms() - clock.wall_ms() % 3_600_000
    async with database.look(tenant=TENANT) as work:
        (told,) = await sales_by_hour(work, TENANT, hour, hour + 3_600_000, machine="w1")
        assert (told.pours, told.poured_ml, told.revenue_fen, told.delivered) == (2, 1_200, 37, 0)
        assert await sales_by_hour(work, TENANT, hour, hour + 3_600_000, machine="w2") == []
        plans = await water_by_plan(work, TENANT, hour, hour + 3_600_000)
    assert [(p.machine, p.plan, p.pours, p.sold_ml, p.given_ml, p.doubtful_ml) for p in plans] == [
        ("w1", "", 1, 0, 200, 0),
        ("w1", "p1", 2, 1_000, 0, 400),
    ]
    assert (await litres(database)).metered_ml == 1_660


async def test_a_job_that_somebody_closed_opens_again_with_the_next_leak(database: Database) -> None:
    device = await open_tap(database)
    await say(database, device.fact(WaterLeaked(leaked_ml=80)))
    async with database.work(tenant=TENANT) as work:
        ticket = await work.scalar(tickets.select().with_only_columns(tickets.c.ticket))
        await finish(work, Reach(TENANT), TENANT, ticket, "wang", "new hose")
    assert await open_jobs(database) == set()
    await say(database, device.fact(WaterLeaked(leaked_ml=80)))
    assert await open_jobs(database) == {("water_leak", "machine")}


def test_a_sealed_visit_survives_the_wire() -> None:
    """What the cloud checks is made from the decoded fact, not from the bytes that came."""
    sealed = visit("v1")
    read = decode_fact(encode(sealed))
    assert isinstance(read, VisitRecorded)
    assert unsealed(read) == unsealed(sealed)
