"""Registering, claiming, revoking; commands; goods, tickets, events, reports and settings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from cloud.accounts.model import Reach
from cloud.catalog.goods import add_goods, change_goods, check_saleable
from cloud.database import Database, Work
from cloud.downlink import downlink, repeat_after_ms
from cloud.errors import FleetError, IllegalEvent
from cloud.events import KEEP_MS, Event, forget_old, read_after, tell
from cloud.machines.commands import WAITING_MAX, ask
from cloud.machines.planogram import put_config
from cloud.machines.profile import ServiceChange, change_service
from cloud.machines.register import claim, register, revoke
from cloud.machines.store import commands
from cloud.reports import AisleAccount, days_to_empty, machine_account, sales_by_hour
from cloud.settings import load, server_secret
from cloud.tickets.handle import dispatch, finish
from cloud.tickets.store import tickets
from shared.clock import ManualClock
from shared.ids import MachineId
from shared.messages import AisleConfig, CommandAnswered, FaultChanged, SetSelling, StockCounted, VendFailed
from tests.cloud.conftest import NOON_MS
from tests.cloud.fleet import CREDENTIALS, PRICE_FEN, TENANT, Device, new_machine, open_shop, pressed, say

HOUR_MS = 3_600_000


async def test_a_secret_is_answered_once_and_changes_with_every_claim(database: Database) -> None:
    async with database.work(tenant=TENANT) as work:
        await register(work, TENANT, "lobby", machine="m1")
        _, first = await claim(work, CREDENTIALS, TENANT, "m1")
    with pytest.raises(FleetError, match="answered before"):
        async with database.work(tenant=TENANT) as work:
            await claim(work, CREDENTIALS, TENANT, "m1")
    async with database.work(tenant=TENANT) as work:
        await revoke(work, TENANT, "m1")
        machine, second = await claim(work, CREDENTIALS, TENANT, "m1")
    assert len(bytes.fromhex(first)) == 32
    assert first != second
    assert machine.credential_version == 2
    assert first not in repr(CREDENTIALS)


async def test_an_id_belongs_to_one_tenant_for_ever(database: Database) -> None:
    async with database.work(tenant="t1") as work:
        await register(work, "t1", "ours", machine="m1")
    for tenant in ("t1", "t2"):
        with pytest.raises(FleetError, match="taken"):
            async with database.work(tenant=tenant) as work:
                await register(work, tenant, "theirs", machine="m1")
    with pytest.raises(FleetError, match="no machine"):
        async with database.work(tenant="t2") as work:
            await claim(work, CREDENTIALS, "t2", "m1")
    with pytest.raises(FleetError, match="machine"):
        async with database.work(tenant="t1") as work:
            await register(work, "t1", "x", machine="a/b")


async def test_revoking_takes_back_what_was_sealed_with_the_old_key(database: Database) -> None:
    await new_machine(database)
    async with database.work(tenant=TENANT) as work:
        await revoke(work, TENANT, "m1")
        assert await work.rows(select(downlink)) == []
        assert {row.state for row in await work.rows(select(commands))} == {"superseded"}
    with pytest.raises(FleetError, match="not claimed"):
        async with database.work(tenant=TENANT) as work:
            await ask(work, CREDENTIALS, TENANT, "m1", SetSelling(selling=False), "li")


async def test_a_planogram_that_cannot_be_is_refused(database: Database) -> None:
    await new_machine(database)
    twice = [
        AisleConfig(aisle=aisle, board=1, motor=1, goods="cola", price_fen=1, capacity=1) for aisle in ("A1", "A2")
    ]
    with pytest.raises(FleetError, match="two aisles") as refused:
        async with database.work(tenant=TENANT) as work:
            await put_config(work, CREDENTIALS, TENANT, "m1", twice, "li")
    assert refused.value.kind == "invalid"


async def test_a_machine_that_answers_nothing_gets_no_more(database: Database) -> None:
    await new_machine(database)

    async def ask_again_and_again(work: Work) -> None:
        for _ in range(WAITING_MAX):
            await ask(work, CREDENTIALS, TENANT, "m1", SetSelling(selling=True), "li")

    with pytest.raises(FleetError) as refused:
        await database.transact(ask_again_and_again, tenant=TENANT)
    assert refused.value.kind == "too_many"


def test_repetitions_slow_down() -> None:
    assert [repeat_after_ms("offer", told) for told in (0, 5)] == [5_000, 5_000]
    pauses = [repeat_after_ms("command", told) for told in range(12)]
    assert pauses[:3] == [5_000, 10_000, 20_000]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 300_000


async def test_goods(database: Database) -> None:
    async with database.work(tenant=TENANT) as work:
        await add_goods(work, TENANT, "cola", "Cola", 350)
        assert (await change_goods(work, TENANT, "cola", price_fen=400)).name == "Cola"
        await check_saleable(work, TENANT, ["cola"])
        await change_goods(work, TENANT, "cola", archived=True)
    for wrong in (["cola"], ["tea"]):
        with pytest.raises(FleetError, match=wrong[0]):
            async with database.work(tenant=TENANT) as work:
                await check_saleable(work, TENANT, wrong)
    with pytest.raises(FleetError, match="exist already"):
        async with database.work(tenant=TENANT) as work:
            await add_goods(work, TENANT, "cola", "Cola", 350)
    with pytest.raises(FleetError, match="fen"):
        async with database.work(tenant=TENANT) as work:
            await add_goods(work, TENANT, "gold", "Gold", 10**9)


async def test_a_ticket_is_assigned_closed_once_and_opens_again(database: Database) -> None:
    device = await open_shop(database)
    fault = FaultChanged(code="cooling", scope="machine", active=True)
    await say(database, device.fact(fault))

    async def newest() -> str:
        async with database.look(tenant=TENANT) as work:
            return str(await work.scalar(select(tickets.c.ticket).where(tickets.c.open_key.is_not(None))))

    ticket = await newest()
    async with database.work(tenant=TENANT) as work:
        assert (await dispatch(work, Reach(TENANT), TENANT, ticket, "wang", name="li")).state == "dispatched"
        assert (await finish(work, Reach(TENANT), TENANT, ticket, "li", "fan cleaned")).resolution == "fan cleaned"
    with pytest.raises(IllegalEvent):
        async with database.work(tenant=TENANT) as work:
            await dispatch(work, Reach(TENANT), TENANT, ticket, "wang", name="li")
    with pytest.raises(FleetError, match="no ticket"):
        async with database.work(tenant="t2") as work:
            await finish(work, Reach("t2"), "t2", ticket, "li", "")
    await say(database, device.fact(fault))
    assert await newest() != ticket


async def test_events_are_numbered_without_holes_and_in_order_of_commit(on_postgres: Database) -> None:
    async def one(number: int) -> None:
        async with on_postgres.work(tenant=TENANT) as work:
            await tell(work, [Event(TENANT, "test", f"s{number}", {"n": number})])

    await asyncio.gather(*(one(number) for number in range(30)))
    async with on_postgres.look(tenant=TENANT) as work:
        seen = await read_after(work, TENANT, 0)
        assert [event.id for event in seen] == list(range(1, 31))
        assert [event.id for event in await read_after(work, TENANT, 27)] == [28, 29, 30]


async def test_old_events_are_forgotten_and_numbers_go_on(database: Database, clock: ManualClock) -> None:
    async with database.work(tenant=TENANT) as work:
        await tell(work, [Event(TENANT, "test", "a", {})])
    clock.advance(KEEP_MS + 1)
    async with database.work() as work:
        assert await forget_old(work) == 1
    async with database.work(tenant=TENANT) as work:
        await tell(work, [Event(TENANT, "test", "b", {})])
        assert [event.id for event in await read_after(work, TENANT, 0)] == [2]


async def test_reports(database: Database, clock: ManualClock) -> None:
    device = await open_shop(database)
    await say(database, *[device.fact(pressed(f"b{n}")) for n in range(3)])
    clock.advance(HOUR_MS)
    failed = pressed("b9", kind=VendFailed, paid_fen=0)
    await say(database, device.fact(pressed("b4")), device.fact(failed), device.loaded(5, 11))
    await say(database, device.fact(StockCounted(aisle="A1", goods="cola", counted=10, expected=11)))
    async with database.look(tenant=TENANT) as work:
        hours = await sales_by_hour(work, TENANT, NOON_MS, NOON_MS + 3 * HOUR_MS)
        assert [(hour.hour_ms, hour.delivered, hour.refunded, hour.revenue_fen) for hour in hours] == [
            (NOON_MS, 3, 0, 3 * PRICE_FEN),
            (NOON_MS + HOUR_MS, 1, 1, PRICE_FEN),
        ]
        outlook, *unsold = await days_to_empty(work, TENANT, machine="m1")
        assert (outlook.sellable, outlook.sold_last_week, outlook.days_to_empty) == (10, 4, 17.5)
        assert [(one.sellable, one.days_to_empty) for one in unsold] == [(0, None)] * len(unsold)
        today = await machine_account(work, TENANT, "m1", NOON_MS + HOUR_MS, NOON_MS + 2 * HOUR_MS)
        assert today == [AisleAccount("A1", opening=7, loaded=5, sold=1, corrected=-1, closing=10)]


def test_settings_name_what_is_wrong() -> None:
    assert load({"AISLEFLOW_BROKER_PORT": "8883", "AISLEFLOW_BROKER_TLS": "1"}).broker_port == 8883
    assert load({}, database_url=None).url == "sqlite+aiosqlite:///var/aisleflow.db"
    with pytest.raises(FleetError, match="AISLEFLOW_BROKER_PORT: 'many'"):
        load({"AISLEFLOW_BROKER_PORT": "many"})
    with pytest.raises(FleetError, match="AISLEFLOW_BROKER_TLS"):
        load({"AISLEFLOW_BROKER_TLS": "maybe"})


def test_the_server_secret_is_made_once_and_must_be_private(tmp_path: Path) -> None:
    first = server_secret(tmp_path / "data")
    assert server_secret(tmp_path / "data") == first
    path = tmp_path / "data" / "server_secret"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(FleetError, match="chmod 600"):
        server_secret(tmp_path / "data")
    assert CREDENTIALS.machine_secret(MachineId("m1"), 1) != CREDENTIALS.machine_secret(MachineId("m1"), 2)


async def test_a_stop_from_before_the_claim_reaches_the_machine(database: Database, clock: ManualClock) -> None:
    async def stops() -> list[tuple[str, str]]:
        async with database.look(tenant=TENANT) as work:
            asked = select(commands).where(commands.c.kind == "set_selling").order_by(commands.c.asked_ms)
            return [(row.state, row.command) for row in await work.rows(asked)]

    async def change(stopped: bool) -> None:
        async with database.work(tenant=TENANT) as work:
            await change_service(work, CREDENTIALS, TENANT, "m1", ServiceChange(stopped=stopped), "li")

    async with database.work(tenant=TENANT) as work:
        await register(work, TENANT, "lobby", machine="m1")
    await change(True)
    assert await stops() == []
    async with database.work(tenant=TENANT) as work:
        await claim(work, CREDENTIALS, TENANT, "m1")
    device = Device("m1", clock)
    await say(database, device.hello(config_version=0), device.began())
    await say(database, device.hello(config_version=0))
    ((state, command),) = await stops()
    assert state == "waiting", "it is said once, and repeated by the downlink"

    stopped = FaultChanged(code="stopped", scope="machine", active=True, detail="out of service")
    await say(database, device.fact(stopped), device.fact(CommandAnswered(command=command, done=True)))
    await say(database, device.hello(config_version=0, selling=False))
    assert [state for state, _ in await stops()] == ["done"]
    await say(database, device.hello(config_version=0, selling=True))
    assert [state for state, _ in await stops()] == ["done", "waiting"], "a new ledger has forgotten it"
    await change(False)
    clock.advance(1)
    await say(database, device.hello(config_version=0))
    assert len(await stops()) == 3
