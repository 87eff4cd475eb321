"""Facts arrive once, in order, and settled; whatever else arrives is kept aside and blocks nobody."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select, text

from cloud.database import Database, incarnation, renew_incarnation
from cloud.errors import FleetError
from cloud.ingest.read import Incoming
from cloud.ingest.replay import replay
from cloud.ingest.store import facts, quarantine, streams
from cloud.machines.planogram import put_config
from cloud.machines.presence import state_of
from cloud.machines.register import claim, register, revoke
from cloud.machines.store import commands, faults, machine_readings
from cloud.stock.store import stock_balances
from cloud.tickets.store import tickets
from shared.clock import ManualClock
from shared.envelope import pack, unpack
from shared.messages import (
    ConfigReported,
    DoorChanged,
    EpochBegan,
    FaultChanged,
    Reading,
    Readings,
    StockCounted,
    VendDelivered,
    Watermark,
    encode,
)
from tests.cloud.fleet import (
    CREDENTIALS,
    TENANT,
    Device,
    drift,
    new_machine,
    open_shop,
    place_order,
    pressed,
    say,
    vend,
    watermarks,
)


async def on_hand(database: Database, machine: str = "m1") -> int:
    async with database.look(tenant=TENANT) as work:
        query = select(func.sum(stock_balances.c.on_hand)).where(stock_balances.c.machine == machine)
        return int(await work.scalar(query) or 0)


async def applied(database: Database, epoch: str = "e1", machine: str = "m1") -> int:
    async with database.look() as work:
        here = select(streams.c.applied).where(streams.c.epoch == epoch, streams.c.machine == machine)
        return int(await work.scalar(here) or 0)


async def quarantined(database: Database) -> list[Any]:
    async with database.look() as work:
        return list(await work.rows(select(quarantine).order_by(quarantine.c.received_ms, quarantine.c.item)))


async def open_ticket_codes(database: Database) -> set[str]:
    async with database.look(tenant=TENANT) as work:
        return {row.code for row in await work.rows(select(tickets.c.code).where(tickets.c.open_key.is_not(None)))}


def altered(said: Incoming, **changes: Any) -> Incoming:
    return Incoming(said.topic, pack(msgspec.structs.replace(unpack(said.payload), **changes)))


async def test_a_fact_takes_effect_once_however_often_it_comes(database: Database) -> None:
    device = await open_shop(database)
    sale = device.fact(pressed("b1"))
    for outgoing in (await say(database, sale, sale), await say(database, sale), await say(database, *[sale] * 5)):
        assert [(mark.applied, mark.resend) for mark in watermarks(outgoing)] == [(device.seq, False)]
    assert await on_hand(database) == 9
    assert await quarantined(database) == []
    assert await drift(database) == 0


async def test_concurrent_workers_apply_a_fact_once(on_postgres: Database) -> None:
    device = await open_shop(on_postgres, stock=100)
    sales = [device.fact(pressed(f"b{n}")) for n in range(20)]
    await asyncio.gather(*(say(on_postgres, *sales) for _ in range(6)))
    assert await on_hand(on_postgres) == 80
    assert await applied(on_postgres) == device.seq
    assert await quarantined(on_postgres) == []


async def test_the_same_number_with_other_content_does_nothing_and_alarms(database: Database) -> None:
    device = await open_shop(database)
    sale = device.fact(pressed("b1"))
    forged = altered(sale, fact=msgspec.Raw(encode(pressed("b2"))))
    await say(database, sale)
    await say(database, forged)
    await say(database, forged, sale)
    assert await on_hand(database) == 9
    (item,) = await quarantined(database)
    assert "other content" in item.reason
    assert (item.times, item.raw) == (2, forged.payload)
    assert "forged_fact" in await open_ticket_codes(database)
    with pytest.raises(FleetError, match="no place"):
        async with database.work(tenant=TENANT) as work:
            await replay(work, CREDENTIALS, TENANT, item.item)


async def test_a_missing_number_stops_the_stream_and_is_asked_for(database: Database) -> None:
    device = await open_shop(database)
    first, second, third = (device.fact(pressed(f"b{n}")) for n in range(3))
    assert [(mark.applied, mark.resend) for mark in watermarks(await say(database, second, third))] == [(2, True)]
    assert await on_hand(database) == 10
    outgoing = await say(database, first)  # the others have waited for it
    assert [(mark.applied, mark.resend) for mark in watermarks(outgoing)] == [(5, False)]
    assert await on_hand(database) == 7


async def test_numbers_that_were_compacted_away_are_no_gap(database: Database) -> None:
    device = await open_shop(database)
    device.seq += 3
    outgoing = await say(database, device.fact(DoorChanged(open=True), prev=2))
    assert [(mark.applied, mark.resend) for mark in watermarks(outgoing)] == [(6, False)]


async def test_any_order_of_arrival_ends_in_the_same_state(database: Database) -> None:
    device = await open_shop(database, stock=40)
    sales = [device.fact(pressed(f"b{n}")) for n in range(30)]
    shuffle = random.Random(5)
    while await applied(database) < device.seq:
        batch = shuffle.sample(sales, 12)
        await say(database, *batch)
    assert await on_hand(database) == 10
    assert await drift(database) == 0


async def test_a_new_epoch_begins_at_zero_and_closes_the_old_one(database: Database) -> None:
    device = await open_shop(database)
    late = device.fact(pressed("b1"))
    reborn = Device("m1", device.clock, epoch="e2")
    began = reborn.fact(EpochBegan(reason="damaged", previous="e1"))
    outgoing = await say(database, reborn.hello(), began, reborn.fact(pressed("b2")))
    assert [(mark.epoch, mark.applied) for mark in watermarks(outgoing)] == [("e2", 2)]
    async with database.look() as work:
        closed = {row.epoch: row.closed_ms is not None for row in await work.rows(select(streams))}
    assert closed == {"e1": True, "e2": False}
    await say(database, late)  # rescued from the kept file: still counted
    assert await on_hand(database) == 8
    assert "ledger_damaged" in await open_ticket_codes(database)


async def test_hello_is_answered_with_the_watermark_and_the_databases_life(database: Database) -> None:
    device = await open_shop(database)
    async with database.work() as work:
        before = await incarnation(work)
        await renew_incarnation(work, "restored-1")
    (mark,) = watermarks(await say(database, device.hello()))
    assert mark == Watermark(epoch="e1", applied=2, incarnation="restored-1")
    assert before != "restored-1"


async def test_hello_brings_the_configuration_to_a_machine_that_lost_it(database: Database) -> None:
    device = await open_shop(database)

    async def waiting() -> int:
        async with database.look(tenant=TENANT) as work:
            return len(await work.rows(select(commands).where(commands.c.state == "waiting")))

    async with database.work() as work:
        await work.execute(commands.update().values(state="done"))
    await say(database, device.hello(config_version=1))
    assert await waiting() == 0
    await say(database, device.hello(config_version=0))
    await say(database, device.hello(config_version=0))
    assert await waiting() == 1
    async with database.work() as work:
        await work.execute(commands.update().values(state="refused"))
    await say(database, device.fact(ConfigReported(version=0, refused=1, reason="two motors")))
    await say(database, device.hello(config_version=0))
    assert await waiting() == 0  # it would refuse it again


@pytest.mark.parametrize("who", ["unknown", "unclaimed", "revoked", "other payload"])
async def test_who_is_not_known_is_not_heard(database: Database, who: str, clock: ManualClock) -> None:
    device = await open_shop(database)
    said = device.fact(pressed("b1"))
    match who:
        case "unknown":
            said = Device("m9", clock).began()
        case "unclaimed":
            async with database.work(tenant=TENANT) as work:
                await register(work, TENANT, "new", machine="m9")
            said = Device("m9", clock).began()
        case "revoked":
            async with database.work(tenant=TENANT) as work:
                await revoke(work, TENANT, "m1")
        case "other payload":
            said = altered(said, machine="m2")
    assert await say(database, said) == []
    (item,) = await quarantined(database)
    assert item.reason.startswith("machine:")
    assert (item.tenant, item.seq) == ("" if who == "unknown" else TENANT, None)
    assert await on_hand(database) == 10


async def test_a_machine_that_is_claimed_again_goes_on_with_its_stream(database: Database) -> None:
    device = await open_shop(database)
    async with database.work(tenant=TENANT) as work:
        await revoke(work, TENANT, "m1")
        _, second = await claim(work, CREDENTIALS, TENANT, "m1")
    assert second == CREDENTIALS.machine_secret(device.machine, 2).hex()  # type: ignore[arg-type]
    (mark,) = watermarks(await say(database, device.fact(pressed("b1"))))
    assert mark.applied == 3


async def test_a_machine_cannot_end_another_machines_order(database: Database) -> None:
    await open_shop(database)
    order = await place_order(database)
    thief = await new_machine(database, "m2")
    await say(database, thief.began(), thief.fact(vend(VendDelivered, order)))
    (item,) = await quarantined(database)
    assert "another machine" in item.reason
    assert await applied(database, machine="m2") == 2
    assert await drift(database) == 0


def malformed(device: Device, count: int) -> list[Incoming]:
    """Payloads that no reader takes, all different, on the machine's topics."""
    draw = random.Random(11)
    good = device.fact(pressed("never")).payload
    device.seq -= 1
    kinds = [
        lambda n: good[: n % (len(good) - 1)] + b"%d" % n,
        lambda n: draw.randbytes(40),
        lambda n: b'{"v":1,"m":"m1","e":"e1","n":NaN,"p":%d}' % n,
        lambda n: b"[" * 5_000 + b"%d" % n,
        lambda n: b'{"m":"m1","x":"\xff\xfe%d"}' % n,
        lambda n: good.replace(b'"n":', b'"n":-%d' % n),
        lambda n: good.replace(b'"v":1', b'"v":%d' % (n + 2)),
        lambda n: b"%d" % n,
    ]
    topics = ["up/m1/fact", "up/m1/claim", "up/m1/hello", "up/m1/reading", "up/m1/nonsense", "up//fact", "x"]
    return [Incoming(topics[n % 7] if n % 3 == 0 else "up/m1/fact", kinds[n % 8](n)) for n in range(count)]


async def test_ten_thousand_malformed_payloads_are_all_kept_and_none_blocks(database: Database) -> None:
    device = await open_shop(database, stock=100)
    bad = malformed(device, 10_000)
    for start in range(0, len(bad), 500):
        sale = device.fact(pressed(f"b{start}"))
        await say(database, *bad[start : start + 250], sale, *bad[start + 250 : start + 500])
    items = await quarantined(database)
    assert sum(item.times for item in items) == 10_000
    assert {item.raw for item in items} == {one.payload for one in bad}
    assert all(item.reason for item in items)
    assert await on_hand(database) == 80
    assert await applied(database) == device.seq
    assert await drift(database) == 0


async def test_a_fact_of_a_newer_release_counts_and_is_replayed_later(database: Database) -> None:
    device = await open_shop(database)
    strange = altered(device.fact(pressed("b1")), fact=msgspec.Raw(b'{"type":"coffee_brewed","cups":2}'))
    outgoing = await say(database, strange, device.fact(pressed("b2")))
    assert [mark.applied for mark in watermarks(outgoing)] == [device.seq]
    (item,) = await quarantined(database)
    assert "coffee_brewed" in item.reason
    assert item.seq == device.seq - 1
    with pytest.raises(FleetError, match="coffee_brewed"):
        async with database.work(tenant=TENANT) as work:
            await replay(work, CREDENTIALS, TENANT, item.item)
    await say(database, strange)
    assert len(await quarantined(database)) == 1  # a repeat of a known number, not a second item
    assert await on_hand(database) == 9


async def test_an_order_that_nobody_placed_is_kept_and_replayed_once_it_is_known(database: Database) -> None:
    device = await open_shop(database)
    lost = device.fact(vend(VendDelivered, "o-forgotten"))
    await say(database, lost)
    (item,) = await quarantined(database)
    assert "nobody placed it" in item.reason
    assert "quarantine" in await open_ticket_codes(database)
    order = await place_order(database)
    async with database.work() as work:
        await work.execute(text("UPDATE orders SET \"order\" = 'o-forgotten'"))
    assert order != "o-forgotten"
    async with database.work(tenant=TENANT) as work:
        assert await replay(work, CREDENTIALS, TENANT, item.item) == "vend_delivered"
    with pytest.raises(FleetError, match="replayed before"):
        async with database.work(tenant=TENANT) as work:
            await replay(work, CREDENTIALS, TENANT, item.item)
    assert await on_hand(database) == 9
    async with database.look(tenant=TENANT) as work:
        row = await work.row(select(facts).where(facts.c.order == "o-forgotten"))
        assert row is not None
        assert row.kind == "vend_delivered"
    with pytest.raises(FleetError, match="no quarantined"):
        async with database.work(tenant="t2") as work:
            await replay(work, CREDENTIALS, "t2", item.item)


async def test_what_the_database_refuses_is_found_and_the_others_go_on(on_postgres: Database) -> None:
    device = await open_shop(on_postgres, stock=30)
    said = [device.fact(pressed(f"b{n}")) for n in range(10)]
    # PostgreSQL cannot store NUL in text: readable JSON, a valid fact, and an error from the server.
    said.append(device.fact(FaultChanged(code="jam", scope="A1", active=True, detail="broken\0text")))
    said += [device.fact(pressed(f"b{n}")) for n in range(10, 20)]
    outgoing = await say(on_postgres, *said)
    assert max(mark.applied for mark in watermarks(outgoing)) == device.seq
    (item,) = await quarantined(on_postgres)
    assert item.seq == device.seq - 10
    assert await on_hand(on_postgres) == 10
    assert await drift(on_postgres) == 0


async def test_a_value_that_no_column_holds_goes_to_quarantine(database: Database) -> None:
    device = await open_shop(database)
    reading = Reading(sensor="cabinet", unit="C", value=4_000, wall_ms=10**30)
    said = [device.fact(pressed(f"b{n}")) for n in range(3)]
    said.insert(1, Incoming("up/m1/reading", encode(Readings(boot_id="boot-1", readings=(reading,)))))
    await say(database, *said)
    (item,) = await quarantined(database)
    assert item.topic == "up/m1/reading"
    assert await on_hand(database) == 7
    assert await applied(database) == device.seq


async def test_a_database_that_is_away_condemns_nobody(on_postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    device = await open_shop(on_postgres)
    sale = device.fact(pressed("b1"))
    everyone = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    transact = on_postgres.transact
    tried = []

    async def lose_the_server_before_the_commit(use: Any, *, tenant: str | None = None) -> Any:
        async def use_then_lose(work: Any) -> Any:
            tried.append(use)
            done = await use(work)
            async with on_postgres.engine.connect() as other:
                await other.execute(everyone)
            return done

        return await transact(use_then_lose, tenant=tenant)

    with monkeypatch.context() as cut:
        cut.setattr(on_postgres, "transact", lose_the_server_before_the_commit)
        with pytest.raises(Exception, match=r"terminating|closed|in progress|connection"):
            await say(on_postgres, sale)
    assert len(tried) == 1  # nothing was taken one by one, nothing went to quarantine
    assert await quarantined(on_postgres) == []
    await say(on_postgres, sale)
    assert await on_hand(on_postgres) == 9


async def test_stock_follows_the_count_and_a_mismatch_is_a_ticket(database: Database) -> None:
    device = await open_shop(database)
    await say(database, device.loaded(5, 15))
    assert "stock_mismatch" not in await open_ticket_codes(database)
    await say(database, device.fact(StockCounted(aisle="A1", goods="cola", counted=13, expected=14)))
    assert await on_hand(database) == 13
    assert "stock_mismatch" in await open_ticket_codes(database)


async def test_faults_and_their_tickets_come_and_go(database: Database) -> None:
    device = await open_shop(database)
    jam = {"code": "door_open_long", "scope": "machine"}
    await say(database, device.fact(FaultChanged(**jam, active=True)))
    await say(database, device.fact(FaultChanged(**jam, active=True, detail="still")))
    async with database.look(tenant=TENANT) as work:
        assert len(await work.rows(select(tickets).where(tickets.c.code == "door_open_long"))) == 1
    await say(database, device.fact(FaultChanged(**jam, active=False)))
    async with database.look(tenant=TENANT) as work:
        (row,) = await work.rows(select(tickets).where(tickets.c.code == "door_open_long"))
        assert (row.state, row.closed_by, row.open_key) == ("finished", "system", None)
        assert [fault.active for fault in await work.rows(select(faults))] == [False]


async def test_presence_and_readings(database: Database, clock: ManualClock) -> None:
    device = await open_shop(database)
    readings = Readings(boot_id="boot-1", readings=(Reading(sensor="cabinet", unit="C", value=4_000, wall_ms=1),))
    await say(database, Incoming("up/m1/reading", encode(readings)), device.fact(DoorChanged(open=True)))
    async with database.look(tenant=TENANT) as work:
        state = await state_of(work, TENANT, "m1")
        assert (state.online, state.door_open, state.last_seen_ms) == (True, True, clock.wall_ms())
        assert await work.scalar(select(machine_readings.c.value)) == 4_000
    await say(database, device.gone())
    async with database.look(tenant=TENANT) as work:
        assert not (await state_of(work, TENANT, "m1")).online


async def test_a_new_configuration_takes_the_place_of_one_that_still_waits(database: Database) -> None:
    await open_shop(database)
    async with database.work(tenant=TENANT) as work:
        assert (await put_config(work, CREDENTIALS, TENANT, "m1", [], "li", expected_version=1)).version == 2
    with pytest.raises(FleetError, match="at version 2"):
        async with database.work(tenant=TENANT) as work:
            await put_config(work, CREDENTIALS, TENANT, "m1", [], "li", expected_version=1)
    async with database.look(tenant=TENANT) as work:
        states = [row.state for row in await work.rows(select(commands).order_by(commands.c.state))]
    assert states == ["superseded", "waiting"]
