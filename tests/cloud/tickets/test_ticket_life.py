"""The life of tickets on a real database: opened in bulk and by hand, sent by place, reminded, rated, written down."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import DBAPIError

from cloud.accounts import store as accounts
from cloud.accounts.model import Reach, Role, User
from cloud.accounts.options import TICKET_DISPATCH, choose
from cloud.accounts.units import open_unit
from cloud.database import Database, Work
from cloud.errors import FleetError, IllegalEvent
from cloud.machines.model import MachineProfile
from cloud.machines.register import register
from cloud.machines.store import machines, put_profiles
from cloud.paging import Ask
from cloud.tickets.browse import TicketFilter, count_tickets, history_of, list_tickets, ticket_of, tickets_about
from cloud.tickets.create import (
    NewTicket,
    ask_for_dismantling,
    ask_for_installation,
    ask_for_stock,
    create,
)
from cloud.tickets.desk import TicketDesk
from cloud.tickets.handle import approve, dispatch, finish, give_up, note, rate, remind
from cloud.tickets.model import Condition, Ticket
from cloud.tickets.store import ticket_steps, tickets
from shared.clock import ManualClock

TENANT = "t1"
ALL = Reach(TENANT)
JAM = Condition(TENANT, "m1", "jam", "A1")


async def open_jam(database: Database, *conditions: Condition, priority: int = 2) -> None:
    async with database.work(tenant=TENANT) as work:
        desk = TicketDesk(work)
        for condition in conditions or (JAM,):
            desk.open(condition, f"stuck: {condition.scope}", priority=priority)
        await desk.write()


async def over(database: Database, *conditions: Condition) -> None:
    async with database.work(tenant=TENANT) as work:
        desk = TicketDesk(work)
        for condition in conditions or (JAM,):
            desk.clear(condition)
        await desk.write()


async def all_tickets(database: Database, reach: Reach = ALL, **wanted: Any) -> list[Ticket]:
    async with database.look(tenant=TENANT) as work:
        found = await list_tickets(work, reach, TicketFilter(**wanted), Ask(page_size=200, sort="ticket"))
    return found.items


async def events(database: Database, ticket: str) -> list[tuple[str, str, str]]:
    async with database.look(tenant=TENANT) as work:
        return [(step.event, step.state, step.person) for step in await history_of(work, TENANT, ticket)]


async def chain(database: Database) -> None:
    """t1 with agent AG1, dealer DL1, shops SH1 (m1) and SH2 (m2), technicians at both ends, and m3 in no shop."""
    async with database.work(tenant=TENANT) as work:
        await open_unit(work, TENANT, "AG1", "agent", "South")
        await open_unit(work, TENANT, "DL1", "dealer", "Dealer", parent="AG1")
        await open_unit(work, TENANT, "SH1", "shop", "First shop", parent="DL1")
        await open_unit(work, TENANT, "SH2", "shop", "Second shop", parent="AG1")
        for machine, shop, keeper in (("m1", "SH1", "Keeper"), ("m2", "SH2", ""), ("m3", None, "")):
            await register(work, TENANT, machine, machine=machine)
            here = machines.update().where(machines.c.tenant == TENANT, machines.c.machine == machine)
            await work.execute(here.values(shop=shop, keeper=keeper, keeper_phone="13900002001" if keeper else ""))
        await hire(work, "ann", "technician", "SH1")
        await hire(work, "ben", "technician", "AG1")
        await hire(work, "cid", "technician", None)
        await hire(work, "boss", "owner", "SH1")


async def hire(work: Work, user: str, role: Role, unit: str | None, **more: str) -> None:
    person = User(TENANT, f"u-{user}", user, user.title(), role, False, False, work.now_ms, unit, **more)
    assert await accounts.add_user(work, person, "no hash of any password")


async def policy(database: Database, value: str) -> None:
    async with database.work(tenant=TENANT) as work:
        await choose(work, TENANT, {TICKET_DISPATCH: value})


async def test_a_condition_opens_one_ticket_and_its_end_finishes_it(database: Database) -> None:
    await open_jam(database)
    await open_jam(database)
    (one,) = await all_tickets(database)
    assert (one.ticket, one.kind, one.state, one.opened_by, one.detail) == (
        "FD1",
        "fault",
        "created",
        "system",
        "stuck: A1",
    )
    await over(database)
    await over(database)
    (one,) = await all_tickets(database)
    assert (one.state, one.closed_by, one.resolution) == ("finished", "system", "the condition is over")
    assert await events(database, "FD1") == [
        ("open", "created", "system"),
        ("condition_over", "finished", "system"),
    ]
    await open_jam(database)
    assert [ticket.ticket for ticket in await all_tickets(database)] == ["FD1", "FD2"]


async def test_what_becomes_graver_makes_its_ticket_urgent_and_nothing_makes_it_less_so(database: Database) -> None:
    await open_jam(database)
    for _ in range(2):
        await open_jam(database, priority=3)
    await open_jam(database)
    (one,) = await all_tickets(database)
    assert (one.state, one.priority) == ("created", 3)
    assert [event for event, *_ in await events(database, one.ticket)] == ["open", "worsen"]


async def test_two_units_of_work_open_one_ticket(on_postgres: Database) -> None:
    await asyncio.gather(*(open_jam(on_postgres) for _ in range(8)))
    (one,) = await all_tickets(on_postgres)
    assert await events(on_postgres, one.ticket) == [("open", "created", "system")]


async def test_a_batch_costs_as_many_statements_as_one(database: Database) -> None:
    counts: list[int] = []
    for size in (1, 60):
        counts.append(0)

        def count(*_: Any) -> None:
            counts[-1] += 1

        event.listen(database.engine.sync_engine, "before_cursor_execute", count)
        await open_jam(database, *(Condition(TENANT, f"x{size}", "jam", f"A{n}") for n in range(size)))
        await open_jam(database, *(Condition(TENANT, f"x{size}", "jam", f"A{n}") for n in range(size)), priority=3)
        await over(database, *(Condition(TENANT, f"x{size}", "jam", f"A{n}") for n in range(size)))
        event.remove(database.engine.sync_engine, "before_cursor_execute", count)
    assert counts[1] <= counts[0] + 1  # many rows are inserted as arrays, in one statement or two


async def test_the_way_of_a_customers_ticket(database: Database, clock: ManualClock) -> None:
    mine = Reach(TENANT, member="anna")
    async with database.work(tenant=TENANT) as work:
        asked = await create(
            work, NewTicket(tenant=TENANT, kind="exchange", by="anna", detail="it leaks", member="anna", priority=3)
        )
        await approve(work, ALL, TENANT, asked.ticket, "boss", granted=True)
        await dispatch(work, ALL, TENANT, asked.ticket, "boss", name="Li", phone="13900002001")
        assert (await note(work, ALL, TENANT, asked.ticket, "Li", "on my way")).state == "working"
        assert (await note(work, ALL, TENANT, asked.ticket, "Li", "nobody at home", waiting=True)).state == "waiting"
        back = await give_up(work, ALL, TENANT, asked.ticket, "Li", "no spare machine")
        assert (back.state, back.assignee, back.checked) == ("created", "Li", True)
        await dispatch(work, ALL, TENANT, asked.ticket, "boss", name="Wang")
        with pytest.raises(IllegalEvent):
            await rate(work, mine, TENANT, asked.ticket, "anna", 5)
        done = await finish(work, ALL, TENANT, asked.ticket, "Wang", "exchanged")
        assert (done.state, done.closed_by, done.resolution) == ("finished", "Wang", "exchanged")
        with pytest.raises(FleetError, match="1 to 5"):
            await rate(work, mine, TENANT, asked.ticket, "anna", 6)
        with pytest.raises(FleetError, match="by the customer"):
            await rate(work, ALL, TENANT, asked.ticket, "boss", 5)
        rated = await rate(work, mine, TENANT, asked.ticket, "anna", 4, detail="quick")
        assert (rated.rating, rated.rating_detail, rated.rated_ms) == (4, "quick", clock.wall_ms())
        with pytest.raises(IllegalEvent, match="rated"):
            await rate(work, mine, TENANT, asked.ticket, "anna", 5)
    assert [step[0] for step in await events(database, asked.ticket)] == [
        *("open", "approve", "dispatch", "note", "wait", "give_up", "dispatch", "finish", "rate")
    ]


async def test_a_refused_ticket_has_ended(database: Database) -> None:
    async with database.work(tenant=TENANT) as work:
        asked = await create(work, NewTicket(tenant=TENANT, kind="return", by="anna", detail="", member="anna"))
        refused = await approve(work, ALL, TENANT, asked.ticket, "boss", granted=False, detail="too late")
        assert (refused.state, refused.checked, refused.resolution) == ("rejected", False, "too late")
        with pytest.raises(IllegalEvent):
            await dispatch(work, ALL, TENANT, asked.ticket, "boss", name="Li")


async def test_reminders_count_once_a_minute(database: Database, clock: ManualClock) -> None:
    await open_jam(database)

    async def urge() -> int:
        async with database.work(tenant=TENANT) as work:
            return (await remind(work, ALL, TENANT, "FD1", "anna")).reminders

    assert [await urge(), await urge()] == [1, 1]
    clock.advance(60_000)
    assert await urge() == 2
    await over(database)
    with pytest.raises(IllegalEvent):
        await urge()


async def test_jobs_that_something_else_asks_for_exist_once(database: Database) -> None:
    async with database.work(tenant=TENANT) as work:
        job = {"member": "anna", "unit": None, "address": "", "detail": "one machine"}
        first = await ask_for_installation(work, TENANT, "D1", **job)
        assert await ask_for_installation(work, TENANT, "D1", **job) == first
        assert (first.kind, first.subject, first.member) == ("installation", "D1", "anna")
        assert await tickets_about(work, TENANT, "D1") == [first]
        fetch = await ask_for_dismantling(work, TENANT, "L1", "m1", member="anna", detail="overdue")
        assert await ask_for_dismantling(work, TENANT, "L1", "m1", member="anna", detail="overdue") == fetch
        empty = await ask_for_stock(work, TENANT, "m1", by="boss")
        assert await ask_for_stock(work, TENANT, "m1", by="ann") == empty
        assert (fetch.kind, empty.kind, empty.code) == ("dismantling", "fault", "out_of_stock")
        loose = [await create(work, NewTicket(tenant=TENANT, kind="fault", by="anna", detail="")) for _ in range(2)]
        assert loose[0].ticket != loose[1].ticket


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("manual", {"m1": None, "m2": None, "m3": None}),
        ("keeper", {"m1": "Keeper", "m2": None, "m3": None}),
        ("nearest", {"m1": "Ann", "m2": "Ben", "m3": "Cid"}),
    ],
)
async def test_who_is_sent_when_nobody_says(database: Database, value: str, sent: dict[str, str | None]) -> None:
    await chain(database)
    await policy(database, value)
    await open_jam(database, *(Condition(TENANT, machine, "jam", "A1") for machine in sent))
    found = await all_tickets(database)
    assert {ticket.machine: ticket.assignee for ticket in found} == sent
    for ticket in found:
        steps = [name for name, _, _ in await events(database, ticket.ticket)]
        assert steps == (["open"] if ticket.assignee is None else ["open", "dispatch"])
        assert len(steps) == ticket.steps


async def test_of_several_who_are_near_the_one_with_the_least_to_do_goes(database: Database) -> None:
    await chain(database)
    await policy(database, "nearest")
    async with database.work(tenant=TENANT) as work:
        await hire(work, "zoe", "technician", "SH1")
    await open_jam(database, *(Condition(TENANT, "m1", "jam", f"A{n}") for n in range(4)))
    assert sorted(str(ticket.assignee) for ticket in await all_tickets(database)) == ["Ann", "Ann", "Zoe", "Zoe"]


async def test_who_is_nearest_by_place_goes_before_who_is_nearest_in_the_tree(database: Database) -> None:
    """Of those in whose reach the machine is: a shop elsewhere does not see it, however near its people are."""
    await chain(database)
    await policy(database, "nearest")
    async with database.work(tenant=TENANT) as work:
        for name, unit, area, coordinates in (
            ("near", None, "", "113.55,22.22"),
            ("far", None, "", "22.60,114.05"),
            ("district", None, "广东省珠海市香洲区", ""),
            ("city", "AG1", "广东省珠海市斗门区", ""),
            ("elsewhere", "SH2", "", "113.56,22.22"),
        ):
            await hire(work, name, "technician", unit, area=area, coordinates=coordinates)
        await put_profiles(work, [MachineProfile(tenant=TENANT, machine="m1", coordinates="22.23,113.56")])
        address = {"address": "广东省珠海市香洲区情侣路 1 号"}
        jobs = [
            NewTicket(tenant=TENANT, kind="fault", by="x", detail="", machine="m1"),
            NewTicket(tenant=TENANT, kind="installation", by="x", detail="", **address),
            NewTicket(tenant=TENANT, kind="installation", by="x", detail="", unit="SH1", address="珠海市 某处"),
            NewTicket(tenant=TENANT, kind="installation", by="x", detail="", unit="SH1"),
        ]
        sent = [(await create(work, job)).assignee for job in jobs]
    # By coordinates; by district; by city, and then by the tree; by the tree alone.
    assert sent == ["Near", "District", "City", "Ann"]


async def test_what_has_to_be_approved_is_not_sent_by_itself(database: Database) -> None:
    await chain(database)
    await policy(database, "nearest")
    async with database.work(tenant=TENANT) as work:
        asked = await create(work, NewTicket(tenant=TENANT, kind="return", by="anna", detail="", machine="m1"))
        assert asked.state == "created"
        sent = await create(work, NewTicket(tenant=TENANT, kind="fault", by="anna", detail="", machine="m1"))
        assert (sent.state, sent.assignee_user) == ("dispatched", "u-ann")


async def test_everybody_sees_what_is_within_reach(database: Database) -> None:
    await chain(database)
    await open_jam(database, *(Condition(TENANT, machine, "jam", "A1") for machine in ("m1", "m2", "m3")))
    async with database.work(tenant=TENANT) as work:
        await create(work, NewTicket(tenant=TENANT, kind="fault", by="anna", detail="", machine="m2", member="anna"))
        await create(work, NewTicket(tenant=TENANT, kind="installation", by="boss", detail="", unit="SH1"))
    seen = {
        "all": {"FD1", "FD2", "FD3", "FD4", "FD5"},
        "/AG1/": {"FD1", "FD2", "FD4", "FD5"},
        "/AG1/DL1/": {"FD1", "FD5"},
        "/AG1/SH2/": {"FD2", "FD4"},
        "anna": {"FD4"},
        "ben": set(),
    }
    for who, expected in seen.items():
        path, member = (who if who.startswith("/") else ""), (who if who in ("anna", "ben") else None)
        reach = Reach(TENANT, path=path, member=member)
        assert {ticket.ticket for ticket in await all_tickets(database, reach)} == expected, who
        async with database.look(tenant=TENANT) as work:
            assert (await count_tickets(work, reach)).total == len(expected)
            for ticket in seen["all"] - expected:
                with pytest.raises(FleetError, match=ticket):
                    await ticket_of(work, reach, TENANT, ticket)
    assert [ticket.ticket for ticket in await all_tickets(database, shop="SH2", search="M2")] == ["FD2", "FD4"]
    assert await all_tickets(database, sent=True) == []


async def test_histories_are_not_rewritten(database: Database) -> None:
    await open_jam(database)
    for change in (ticket_steps.update().values(person="nobody"), ticket_steps.delete()):
        with pytest.raises(DBAPIError, match="append-only"):
            async with database.work(tenant=TENANT) as work:
                await work.execute(change)
    async with database.look(tenant=TENANT) as work:
        assert await work.scalar(select(tickets.c.steps)) == 1


async def test_options_are_held_to_what_they_may_be(database: Database) -> None:
    async with database.work(tenant=TENANT) as work:
        chosen = await choose(work, TENANT, {"shortage_threshold": 2, "colour": {"of": "the app"}})
        assert (chosen["shortage_threshold"], chosen["colour"]) == (2, {"of": "the app"})
        assert chosen["ticket_dispatch"] == "manual"
        assert "colour" not in await choose(work, TENANT, {"colour": None})
        for name, value in (("ticket_dispatch", "dice"), ("shortage_threshold", -1), ("time_zone", "Mars/Base")):
            with pytest.raises(FleetError, match=name):
                await choose(work, TENANT, {name: value})
        with pytest.raises(FleetError, match="more than"):
            await choose(work, TENANT, {"colour": "x" * 20_001})
