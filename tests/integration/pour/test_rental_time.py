"""A rental ends on time on a machine that cannot know the time, and between two ticks of its service clock."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from edge_agent.errors import Refused
from edge_agent.pour.plan import DAY_MS
from shared.messages import MachineConfig, PourRefused
from shared.water import ServicePlan
from tests.integration.pour.basin import CONFIG, MACHINE, Basin
from tests.integration.pour.test_offers import Machine, machine, offer

MINUTE_MS = 60_000


async def rented(basin: Basin, ends_wall_ms: int) -> Machine:
    """A machine under a rental that the cloud decides now, with a wall clock of two months ago."""
    giving = await machine(basin.ledger, basin.clock, basin, CONFIG)
    now = basin.clock.wall_ms()
    basin.clock.step_wall(-60 * DAY_MS, "restored")
    await told(giving, ServicePlan(plan="r", mode="timed_rental", began_wall_ms=now, ends_wall_ms=ends_wall_ms), now)
    assert giving.works.watch.stop() is None
    return giving


async def told(giving: Machine, plan: ServicePlan, decided_wall_ms: int) -> None:
    purifier = replace(CONFIG, plan=plan)
    await giving.watch.configure(
        MachineConfig(machine=MACHINE, version=2, decided_wall_ms=decided_wall_ms, aisles=(), purifier=purifier)
    )


async def test_an_ended_rental_gives_no_water_though_no_tick_has_seen_it_end(basin: Basin) -> None:
    giving = await rented(basin, basin.clock.wall_ms() + 5 * MINUTE_MS)
    basin.clock.pass_ms(4 * MINUTE_MS)
    assert await giving.pour(200, "in-time") is not None
    basin.clock.pass_ms(2 * MINUTE_MS)
    assert await giving.works.operations.take_offer(offer("late")) is None
    assert await giving.facts(PourRefused) == [PourRefused(order="late", reason="plan_ended")]
    with pytest.raises(Refused, match="rental has ended"):
        await giving.works.operations.pour("late", "normal", 200, "free", 0)


async def test_a_press_right_after_the_end_is_refused(basin: Basin) -> None:
    giving = await rented(basin, basin.clock.wall_ms() + 5 * MINUTE_MS)
    basin.clock.pass_ms(5 * MINUTE_MS)
    with pytest.raises(Refused, match="rental has ended"):
        await giving.works.operations.pour("late", "normal", 200, "free", 0)


async def test_what_the_cloud_has_ended_has_ended_whatever_the_machine_thinks_of_the_time(basin: Basin) -> None:
    began = basin.clock.wall_ms()
    giving = await rented(basin, began + 30 * DAY_MS)
    # It stood without power for ten days, and heard no time server.
    now = began + 10 * DAY_MS
    terms = ServicePlan(plan="r", mode="timed_rental", began_wall_ms=began, ends_wall_ms=now - MINUTE_MS)
    await told(giving, terms, now)
    assert giving.works.watch.stop() == "expired"


async def test_the_display_says_within_a_second_that_a_rental_has_ended(basin: Basin) -> None:
    began = basin.clock.mono_ms()
    giving = await rented(basin, basin.clock.wall_ms() + 90_000)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(giving.works.watch.keep_time())
        while giving.works.watch.stop() is None:  # noqa: ASYNC110 - time moves with every turn of the loop
            await asyncio.sleep(0)
        keeping.cancel()
    # The two measures of the same time: a first look and the configuration took some of it.
    assert 90_000 <= basin.clock.mono_ms() - began <= 92_000
