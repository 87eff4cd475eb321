"""Commands from the cloud: each carried out once, with its answer in the same transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.commands import Commands
from edge_agent.devices.ports import BoardFinished
from edge_agent.ledger import inbox, journal, locks, outbox, stock
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.operations import Operations
from edge_agent.vend.attempt import VendLimits
from edge_agent.vend.claim import Claims
from edge_agent.vend.session import Vending
from edge_agent.watch import MachineWatch
from shared.ids import AisleId, CommandId
from shared.messages import (
    ApplyConfig,
    Ask,
    Claim,
    CloseReview,
    CommandAnswered,
    ConfigReported,
    CountStock,
    LoadStock,
    SetAisleLock,
    SetSelling,
    VendDelivered,
    VendFailed,
    VendUnknown,
    decode_fact,
    encode,
)
from shared.seal import seal_config
from tests.unit.vend.scripted import MACHINE, RunningClock, ScriptedBoard, config_of, open_ledger, run_of

KEY = b"k" * 32
CONFIG = config_of(("A1", 1, 5, "cola"), ("A2", 1, 6, "cola"))


class World:
    """Operations and commands on one scripted board."""

    def __init__(self, ledger: LedgerDatabase, clock: RunningClock) -> None:
        self.ledger = ledger
        self.board = ScriptedBoard(clock)

        async def drop(reading: object) -> None:
            pass

        lane = asyncio.Lock()
        self.watch = MachineWatch(
            boards={1: self.board}, door=None, ledger=ledger, clock=clock, busy=lane.locked, take_reading=drop
        )
        vending = Vending(boards={1: self.board}, boards_down=dict, ledger=ledger, clock=clock, limits=VendLimits())
        self.claimed: list[Claim] = []
        self.on_claim: Callable[[Claim], None] = lambda claim: None

        def say(claim: Claim) -> None:
            self.claimed.append(claim)
            self.on_claim(claim)

        self.claims = Claims(ledger=ledger, clock=clock, mac_key=KEY, say=say)
        self.operations = Operations(
            ledger=ledger, clock=clock, mac_key=KEY, vending=vending, claims=self.claims, watch=self.watch, lane=lane
        )
        self.commands = Commands(ledger=ledger, clock=clock, mac_key=KEY, operations=self.operations)
        self._clock = clock
        self._number = 0

    async def obey(self, ask: Ask) -> CommandAnswered:
        """Accept one command, carry it out, and return its answer."""
        self._number += 1
        command = CommandId(f"c{self._number}")
        await self.ledger.write(lambda conn: inbox.accept_command(conn, command, encode(ask), self._clock))
        await self.commands.carry_out_waiting()
        (answer,) = [fact for fact in await self.told(CommandAnswered) if fact.command == command]
        assert await self.ledger.read(inbox.unanswered) == []
        return answer

    async def told(self, kind: type) -> list[Any]:
        rows = await self.ledger.read(lambda conn: outbox.pending(conn, 0, 1000))
        return [fact for fact in (decode_fact(row.fact) for row in rows) if isinstance(fact, kind)]

    async def apply(self, version: int = 4, *, key: bytes = KEY) -> CommandAnswered:
        document = encode(CONFIG)
        mac = seal_config(key, MACHINE, version, document)
        return await self.obey(ApplyConfig(version=version, document=document.decode(), mac=mac))

    async def on_hand(self, aisle: str) -> int:
        return (await self.ledger.read(lambda conn: stock.balance(conn, AisleId(aisle)))).on_hand


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = RunningClock()
    async with await open_ledger(tmp_path, clock) as ledger:
        world = World(ledger, clock)
        await world.operations.reload()
        await world.operations.recover()
        await world.watch.change(boards_up=1)
        yield world


async def test_a_sealed_configuration_is_taken_and_reported(world: World) -> None:
    assert (await world.apply()).done
    assert world.operations.config == CONFIG
    assert await world.told(ConfigReported) == [ConfigReported(version=4)]
    assert world.operations.why_not_selling() is None


async def test_a_configuration_with_a_foreign_seal_is_refused_and_the_old_one_kept(world: World) -> None:
    await world.apply()
    answer = await world.apply(key=b"x" * 32)
    assert not answer.done
    assert "seal" in answer.detail
    assert world.operations.config == CONFIG
    assert [report.refused for report in await world.told(ConfigReported)][-1] == 4


async def test_an_older_configuration_is_refused(world: World) -> None:
    await world.apply()
    assert "not above 4" in (await world.apply()).detail


async def test_load_and_count_move_the_stock_once(world: World) -> None:
    await world.apply()
    assert (await world.obey(LoadStock(aisle="A1", quantity=6, person="li"))).done
    assert (await world.obey(CountStock(aisle="A1", counted=5, person="li"))).done
    assert await world.on_hand("A1") == 5
    await world.commands.carry_out_waiting()
    assert await world.on_hand("A1") == 5


async def test_an_unknown_aisle_is_answered_with_its_name(world: World) -> None:
    await world.apply()
    answer = await world.obey(LoadStock(aisle="Z9", quantity=1))
    assert (answer.done, "Z9" in answer.detail) == (False, True)


async def test_locks_and_selling(world: World) -> None:
    await world.apply()
    await world.obey(SetAisleLock(aisle="A1", locked=True, reason="broken glass"))
    assert await world.ledger.read(locks.locked_aisles) == {AisleId("A1"): "broken glass"}
    await world.obey(SetSelling(selling=False, reason="moving house"))
    assert "moving house" in (world.operations.why_not_selling() or "")
    await world.obey(SetSelling(selling=True))
    assert world.operations.why_not_selling() is None


async def test_a_review_is_closed_and_the_stock_follows(world: World) -> None:
    await world.apply()
    await world.obey(LoadStock(aisle="A1", quantity=3))
    world.board.runs = [run_of(5, drop=False)]
    settled = await world.operations.sell("press-1", "A1", "coin", 500)
    assert settled.state == "unknown"
    assert (await world.obey(CloseReview(order=settled.order, delivered=True))).done
    assert await world.on_hand("A1") == 2
    assert not (await world.obey(CloseReview(order=settled.order, delivered=False))).done
    row = await world.ledger.read(lambda conn: journal.order(conn, settled.order))
    assert row is not None
    assert row.state == "delivered"


async def test_the_same_press_is_answered_and_never_sold_again(world: World) -> None:
    await world.apply()
    await world.obey(LoadStock(aisle="A1", quantity=3))
    world.board.runs = [run_of(5), run_of(5)]
    first = await world.operations.sell("press-1", "A1", "coin", 500)
    again = await world.operations.sell("press-1", "A1", "coin", 500)
    assert first == again
    assert world.board.starts == [5]


@pytest.mark.parametrize(
    ("run", "state", "kept_fen"),
    [
        (run_of(5), "delivered", 350),
        (run_of(5, drop=False), "unknown", 350),
        (run_of(5, "open", drop=False), "failed", 0),
    ],
)
async def test_the_price_stays_in_the_machine_and_no_coin_beyond_it(
    world: World, run: BoardFinished, state: str, kept_fen: int
) -> None:
    await world.apply()
    await world.obey(LoadStock(aisle="A1", quantity=3))
    world.board.runs = [run]
    settled = await world.operations.sell("press-1", "A1", "coin", 1_000)
    assert (settled.state, settled.kept_fen) == (state, kept_fen)
    (end,) = [*await world.told(VendDelivered), *await world.told(VendUnknown), *await world.told(VendFailed)]
    assert end.paid_fen == 350
