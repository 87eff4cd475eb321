"""Offers: which are claimed, which wait, and which are answered with a tombstone at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_agent.errors import BoardSilent
from edge_agent.ledger import locks
from shared.ids import AisleId, BootId, Nonce, OrderId
from shared.messages import Claim, Grant, LoadStock, Offer, VendDelivered, VendFailed
from shared.seal import seal_grant
from tests.unit.test_commands import KEY, World
from tests.unit.vend.scripted import MACHINE, RunningClock, open_ledger, run_of

OFFER = Offer(order="o1", aisle="A1", goods="cola", price_fen=350)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = RunningClock()
    async with await open_ledger(tmp_path, clock) as ledger:
        world = World(ledger, clock)
        await world.operations.reload()
        await world.operations.recover()
        await world.watch.change(boards_up=1)
        await world.apply()
        await world.obey(LoadStock(aisle="A1", quantity=3))
        world.on_claim = lambda claim: world.claims.hear(_grant(claim))
        yield world


def _grant(claim: Claim) -> Grant:
    mac = seal_grant(KEY, MACHINE, OrderId(claim.order), AisleId("A1"), Nonce(claim.nonce), BootId(claim.boot_id))
    return Grant(order=claim.order, nonce=claim.nonce, boot_id=claim.boot_id, mac=mac)


async def failures(world: World) -> list[str]:
    return [fact.reason for fact in await world.told(VendFailed)]


async def test_an_offer_is_claimed_granted_and_delivered(world: World) -> None:
    world.board.runs = [run_of(5)]
    assert isinstance(await world.operations.take_offer(OFFER), VendDelivered)
    assert world.board.starts == [5]


async def test_a_repeated_offer_turns_nothing(world: World) -> None:
    world.board.runs = [run_of(5), run_of(5)]
    await world.operations.take_offer(OFFER)
    assert await world.operations.take_offer(OFFER) is None
    assert world.board.starts == [5]


async def test_a_closed_aisle_is_told_at_once(world: World) -> None:
    await world.ledger.write(lambda conn: locks.set_lock(conn, "A1", True, "jam", RunningClock()))
    assert await world.operations.take_offer(OFFER) is None
    assert await failures(world) == ["aisle_closed"]
    assert world.claimed == []


async def test_a_board_that_is_silent_for_a_moment_leaves_the_offer_open(world: World) -> None:
    world.board.looks = [BoardSilent("board-1", "POLL", 300)]
    assert await world.operations.take_offer(OFFER) is None
    assert await failures(world) == []
    world.board.runs = [run_of(5)]
    assert isinstance(await world.operations.take_offer(OFFER), VendDelivered)


async def test_a_machine_that_may_not_sell_does_not_claim(world: World) -> None:
    await world.watch.change(door_open=True)
    assert await world.operations.take_offer(OFFER) is None
    assert world.claimed == []
    assert await failures(world) == []
