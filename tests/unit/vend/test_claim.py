"""The dialogue of claim and grant: only a fresh, genuine grant starts anything; everything else leaves a tombstone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from edge_agent.errors import Refused
from edge_agent.ledger import journal, outbox
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.vend.attempt import VendLimits
from edge_agent.vend.claim import REPEAT_MS, WAIT_MS, Claims, Won
from edge_agent.vend.recovery import recover
from edge_agent.vend.session import Vending
from shared.ids import AisleId, BootId, Nonce, OrderId
from shared.messages import AisleConfig, Claim, Grant, Offer, Refusal, VendFailed, decode_fact
from shared.seal import seal_grant
from tests.unit.vend.scripted import MACHINE, RunningClock, open_ledger, state_on_disk

KEY = b"k" * 32
OFFER = Offer(order="o1", aisle="A1", goods="cola", price_fen=350)
AISLE = AisleConfig(aisle="A1", board=1, motor=5, goods="cola", price_fen=350, capacity=9)

Answer = Callable[[Claim, int], Grant | Refusal | None]


def grant(claim: Claim, *, key: bytes = KEY, aisle: str = "A1", boot: str | None = None, nonce: str = "") -> Grant:
    """A grant for a claim, genuine unless told otherwise."""
    boot = boot or claim.boot_id
    nonce = nonce or claim.nonce
    mac = seal_grant(key, MACHINE, OrderId(claim.order), AisleId(aisle), Nonce(nonce), BootId(boot))
    return Grant(order=claim.order, nonce=nonce, boot_id=boot, mac=mac)


class World:
    """A ledger, a clock that runs, and a cloud that is one function."""

    def __init__(self, ledger: LedgerDatabase, clock: RunningClock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.said: list[Claim] = []
        self.answer: Answer = lambda claim, count: None
        self.claims = Claims(ledger=ledger, clock=clock, mac_key=KEY, say=self._say)

    def _say(self, claim: Claim) -> None:
        self.said.append(claim)
        answer = self.answer(claim, len(self.said))
        if answer is not None:
            self.claims.hear(answer)

    async def win(self) -> Won | None:
        return await self.claims.win(OFFER, AISLE, 4)

    async def tombstones(self) -> list[str]:
        rows = await self.ledger.read(lambda conn: outbox.pending(conn, 0, 1000))
        facts = [decode_fact(row.fact) for row in rows]
        return [fact.reason for fact in facts if isinstance(fact, VendFailed)]

    async def state(self) -> str:
        row = await self.ledger.read(lambda conn: journal.order(conn, OrderId("o1")))
        assert row is not None
        return row.state


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = RunningClock()
    async with await open_ledger(tmp_path, clock, [("A1", "cola", 3)]) as ledger:
        yield World(ledger, clock)


async def test_a_genuine_grant_wins_until_ten_seconds_after_the_claim(world: World) -> None:
    claimed_ms = world.clock.mono_ms()
    world.answer = lambda claim, count: grant(claim)
    won = await world.win()
    assert won is not None
    assert won.not_after_mono_ms == claimed_ms + WAIT_MS
    assert await world.state() == "claimed"
    assert won.sale.nonce == world.said[0].nonce


async def test_the_claim_is_on_the_disk_before_it_is_said(world: World, tmp_path: Path) -> None:
    states: list[str] = []

    def answer(claim: Claim, count: int) -> None:
        states.append(state_on_disk(tmp_path))

    world.answer = answer
    await world.win()
    assert set(states) == {"claimed"}


async def test_silence_is_asked_again_and_ends_in_a_tombstone(world: World) -> None:
    assert await world.win() is None
    assert len(world.said) == WAIT_MS // REPEAT_MS
    assert len({claim.nonce for claim in world.said}) == 1
    assert await world.tombstones() == ["late_grant"]


async def test_a_refusal_ends_at_once(world: World) -> None:
    world.answer = lambda claim, count: Refusal(order=claim.order, nonce=claim.nonce, verdict="void")
    assert await world.win() is None
    assert len(world.said) == 1
    assert await world.tombstones() == ["void"]


@pytest.mark.parametrize(
    "forge",
    [
        lambda claim: grant(claim, key=b"x" * 32),
        lambda claim: grant(claim, aisle="A2"),
        lambda claim: grant(claim, boot="another-boot"),
        lambda claim: grant(claim, nonce="another-nonce"),
    ],
)
async def test_a_grant_that_does_not_fit_is_ignored(world: World, forge: Callable[[Claim], Grant]) -> None:
    world.answer = lambda claim, count: forge(claim)
    assert await world.win() is None
    assert await world.tombstones() == ["late_grant"]
    assert len(world.said) == WAIT_MS // REPEAT_MS  # answers that do not fit do not make it repeat sooner


async def test_a_good_grant_after_a_forged_one_still_wins(world: World) -> None:
    world.answer = lambda claim, count: grant(claim, key=b"x" * 32) if count == 1 else grant(claim)
    assert await world.win() is not None


async def test_a_late_answer_means_nothing(world: World) -> None:
    await world.win()
    world.claims.hear(grant(world.said[0]))
    assert await world.state() == "tombstoned"


async def test_an_order_is_never_claimed_twice(world: World) -> None:
    await world.win()
    with pytest.raises(Refused, match="o1"):
        await world.win()


async def test_a_claim_found_after_a_crash_gets_its_tombstone(world: World) -> None:
    world.answer = lambda claim, count: grant(claim)
    await world.win()  # and the process dies before the intent
    vending = Vending(boards={}, boards_down=dict, ledger=world.ledger, clock=world.clock, limits=VendLimits())
    await recover(world.ledger, vending, None, world.clock)
    assert (await world.state(), await world.tombstones()) == ("tombstoned", ["late_grant"])
