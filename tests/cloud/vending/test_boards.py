"""Boards count what machines reported, on the days of the brand's own clock; standings follow what lies in aisles."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from pydantic import TypeAdapter

from cloud import boards
from cloud.accounts.model import Reach
from cloud.boards import Period
from cloud.calendar import Calendar, day_numbered, numbered
from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.facades.vending.wire import Day
from cloud.machines.planogram import put_config
from cloud.machines.register import machine_of, register
from cloud.machines.store import put_machine
from cloud.orders.browse import count_settled
from cloud.orders.refund import refund
from cloud.paging import Ask
from cloud.standing import MachineStanding, StandingFilter, count_standings, list_standings
from cloud.stock.rearrange import rearrange
from cloud.tickets.create import ask_for_stock
from shared.clock import ManualClock
from shared.messages import AisleConfig
from tests.cloud.conftest import NOON_MS
from tests.cloud.fleet import CREDENTIALS, PRICE_FEN, TENANT, VendFailed, pressed, say
from tests.cloud.vending.shop import SHOP, fill, open_shop
from tests.cloud.water.tap import open_tap

CHINA = Calendar("Asia/Shanghai")
TODAY = date(2026, 11, 20)


async def test_days_and_hours_are_those_of_the_brand(database: Database, clock: ManualClock) -> None:
    shelf = await open_shop(database)
    # 23:59:59 and 00:00:00 by the clock in China are two days, though UTC calls them one.
    midnight = CHINA.begins_ms(TODAY + timedelta(days=1))
    for number, ms in enumerate((NOON_MS, midnight - 1_000, midnight)):
        clock.advance(ms - clock.wall_ms())
        await say(database, shelf.device.fact(pressed(f"b{number}")))
    async with database.look(tenant=TENANT) as work:
        days = await boards.sold_by_day(work, TENANT, SHOP, CHINA, Period(TODAY, TODAY + timedelta(days=1)))
        assert [(CHINA.day_of(day.at_ms), day.orders, day.fen) for day in days] == [
            (TODAY, 2, 2 * PRICE_FEN),
            (TODAY + timedelta(days=1), 1, PRICE_FEN),
        ]
        hours = await boards.sold_by_hour(work, TENANT, SHOP, CHINA, TODAY)
        assert [CHINA.hour_of(hour.at_ms) for hour in hours] == [12, 23]
        assert await boards.first_sale(work, TENANT, SHOP, CHINA) == TODAY
        utc = await boards.sold_by_day(work, TENANT, SHOP, Calendar("UTC"), Period(TODAY, TODAY))
        assert [day.orders for day in utc] == [3]


async def test_only_what_was_delivered_and_paid_counts(database: Database) -> None:
    shelf = await open_shop(database)
    facts = [pressed("b1"), pressed("b2"), pressed("b3"), pressed("b4", kind=VendFailed), pressed("b5", paid_fen=0)]
    await say(database, *(shelf.device.fact(fact) for fact in facts))

    async def give_back(work: Work) -> None:
        await refund(work, TENANT, "b2", 50, reference="part", reason="stale", decided_by="tests")
        await refund(work, TENANT, "b3", PRICE_FEN, reference="whole", reason="stale", decided_by="tests")

    await database.transact(give_back, tenant=TENANT)
    async with database.look(tenant=TENANT) as work:
        (day,) = await boards.sold_by_day(work, TENANT, SHOP, CHINA, Period(TODAY, TODAY))
        assert (day.orders, day.fen) == (3, 2 * PRICE_FEN - 50)
        (machine,) = await boards.best_machines(work, TENANT, SHOP, CHINA, Period(TODAY, TODAY))
        assert (machine.id, machine.number, machine.orders, machine.fen) == ("m1", "0001", 3, day.fen)
        (goods,) = await boards.best_goods(work, TENANT, SHOP, CHINA, Period(TODAY, TODAY))
        assert (goods.id, goods.name, goods.orders, goods.fen) == ("cola", "Cola", 3, day.fen)
        # Given back is settled too; what waits for a person is not.
        assert await count_settled(work, TENANT, SHOP) == 4


async def test_a_machine_that_moves_takes_no_past_sales_along(database: Database) -> None:
    shelf = await open_shop(database)
    await say(database, shelf.device.fact(pressed("b1")))
    async with database.work(tenant=TENANT) as work:
        await put_machine(work, replace(await machine_of(work, TENANT, "m1", lock=True), shop="SH2"))
    await say(database, shelf.device.fact(pressed("b2")))
    async with database.look(tenant=TENANT) as work:
        for shop in (SHOP, "SH2"):
            assert await boards.sold_fen(work, TENANT, shop, CHINA, Period(TODAY, TODAY)) == PRICE_FEN


def test_a_day_need_not_have_24_hours() -> None:
    berlin = Calendar("Europe/Berlin")
    spring, autumn = date(2026, 3, 29), date(2026, 10, 25)
    for day, hours in ((spring, 23), (autumn, 25), (TODAY, 24)):
        assert berlin.begins_ms(day + timedelta(days=1)) - berlin.begins_ms(day) == hours * 3_600_000
    shifts = berlin.shifts(date(2026, 1, 1), date(2026, 12, 31))
    assert [shift // 3_600_000 for _, shift in shifts] == [1, 2, 1]
    for since, shift in shifts[1:]:
        assert berlin.shift_ms(since) == shift != berlin.shift_ms(since - 1)
    for ms in range(berlin.begins_ms(spring), berlin.begins_ms(autumn + timedelta(days=2)), 7_200_001):
        ahead = next(shift for since, shift in reversed(shifts) if ms >= since)
        assert (date(1970, 1, 1) + timedelta(days=(ms + ahead) // 86_400_000)) == berlin.day_of(ms)


@pytest.mark.parametrize("number", [20260231, 0, 20261301, 99999999, 19991231, -1])
def test_a_day_that_is_none(number: int) -> None:
    with pytest.raises(FleetError, match="is not a day"):
        day_numbered(number)


@pytest.mark.parametrize("sent", [20180102, "20180102", "2018-01-02", "2018/1/2", "2018.01.02", "2018-01-02 00:00:00"])
def test_a_day_is_asked_in_every_form_that_people_write(sent: object) -> None:
    assert TypeAdapter(Day).validate_python(sent) == 20180102


def test_days_read_back() -> None:
    assert day_numbered(numbered(TODAY)) == TODAY
    with pytest.raises(FleetError, match="not a time zone"):
        Calendar("Nowhere/At all").day_of(0)


async def standing(database: Database, *, shortage_at: int = 0, **wish: object) -> list[tuple[str, str, int, int]]:
    wanted = StandingFilter(**wish)  # type: ignore[arg-type]
    async with database.look(tenant=TENANT) as work:
        found = await list_standings(work, Reach(TENANT), TENANT, wanted, Ask(), shortage_at=shortage_at)
        counted = await count_standings(work, TENANT, SHOP, shortage_at=shortage_at)
        if not wish:
            assert counted[found.items[0].standing] == 1
    return [(one.machine, one.standing, one.short, one.out) for one in found.items]


async def test_a_machine_stands_as_its_aisles_do(database: Database) -> None:
    shelf = await open_shop(database)
    assert await standing(database) == [("m1", "out", 3, 3)]
    await fill(database, ("AI1", 2), ("AI2", 3))
    assert await standing(database) == [("m1", "short", 1, 1)]
    await shelf.obey()
    assert await standing(database) == [("m1", "short", 1, 1)]
    assert await standing(database, shortage_at=2) == [("m1", "short", 2, 1)]
    await fill(database, ("AI3", 1))
    assert await standing(database) == [("m1", "normal", 0, 0)]
    for wanted, expected in ((["normal"], 1), (["short", "out"], 0), ([], 0)):
        assert len(await standing(database, standings=frozenset(wanted))) == expected
    assert len(await standing(database, search="0001")) == 1
    assert len(await standing(database, search="%")) == 0


async def test_only_aisles_for_sale_can_be_short(database: Database) -> None:
    shelf = await open_shop(database)
    await fill(database, ("AI1", 2), ("AI2", 3))
    await shelf.obey()
    empty = (await list_all(database))[0].empty
    async with database.work(tenant=TENANT) as work:
        await rearrange(work, CREDENTIALS, TENANT, empty[0].id, user="u1", person="Ann", off_sale=True)
    assert await standing(database) == [("m1", "normal", 0, 0)]
    # Something fell out of an aisle that no planogram knows: it is nobody's to fill.
    await say(database, shelf.device.fact(pressed("b1", aisle="A99")))
    assert await standing(database) == [("m1", "normal", 0, 0)]
    assert len(await standing(database, standings=frozenset({"short", "out"}))) == 0
    async with database.work(tenant=TENANT) as work:
        await rearrange(work, CREDENTIALS, TENANT, empty[0].id, user="u1", person="Ann", goods="tea")
    assert await standing(database) == [("m1", "short", 1, 1)]


async def list_all(database: Database) -> list[MachineStanding]:
    async with database.look(tenant=TENANT) as work:
        return (await list_standings(work, Reach(TENANT), TENANT, StandingFilter(), Ask(), shortage_at=0)).items


async def test_somebodys_word_holds_until_goods_arrive(database: Database) -> None:
    shelf = await open_shop(database)
    await fill(database, ("AI1", 2), ("AI2", 2), ("AI3", 2))
    await shelf.obey()
    async with database.work(tenant=TENANT) as work:
        first = await ask_for_stock(work, TENANT, "m1", by="ann")
        assert (await ask_for_stock(work, TENANT, "m1", by="bob")).ticket == first.ticket
    assert await standing(database) == [("m1", "out", 0, 0)]
    assert len(await standing(database, standings=frozenset({"out"}))) == 1
    await fill(database, ("AI1", 1))
    assert (await standing(database))[0][1] == "out", "the machine has not said so yet"
    await shelf.obey()
    assert await standing(database) == [("m1", "normal", 0, 0)]


async def test_a_purifier_in_a_shop_is_no_vending_machine(database: Database) -> None:
    await open_shop(database)
    await open_tap(database)

    async def move(machine: str) -> None:
        async with database.work(tenant=TENANT) as work:
            await put_machine(work, replace(await machine_of(work, TENANT, machine), shop=SHOP))

    await move("w1")
    async with database.work(tenant=TENANT) as work:
        await register(work, TENANT, "fresh from the factory", machine="m2")
    await move("m2")
    async with database.look(tenant=TENANT) as work:
        found = await list_standings(work, Reach(TENANT), TENANT, StandingFilter(), Ask(), shortage_at=0)
        counted = await count_standings(work, TENANT, SHOP, shortage_at=0)
    assert ([one.machine for one in found.items], found.total) == (["m1", "m2"], 2)
    assert sum(counted.values()) == 2
    aisle = AisleConfig(aisle="A1", board=1, motor=1, goods="cola", price_fen=PRICE_FEN, capacity=10)
    async with database.work(tenant=TENANT) as work:
        await put_config(work, CREDENTIALS, TENANT, "w1", [aisle], "tests")
    async with database.look(tenant=TENANT) as work:
        both = await list_standings(work, Reach(TENANT), TENANT, StandingFilter(shop=SHOP), Ask(), shortage_at=0)
    assert [one.machine for one in both.items] == ["m1", "m2", "w1"], "it gives water, and sells what lies in it"
