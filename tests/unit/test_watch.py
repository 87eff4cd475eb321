"""What the machine knows of itself, and what follows: faults told on change, selling stopped and resumed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_agent.errors import BoardMisbehaved, BoardSilent
from edge_agent.ledger import locks, outbox
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.watch import OLD_COPY, MachineWatch
from shared.messages import (
    DoorChanged,
    FaultChanged,
    Reading,
    SellingChanged,
    TemperatureBandChanged,
    decode_fact,
)
from tests.unit.vend.scripted import RunningClock, ScriptedBoard, config_of, open_ledger

SILENT = BoardSilent("board-1", "POLL", 300)
CONFIG = config_of(("A1", 1, 5, "cola"))
DEADLINE_S = 20.0


class SwitchDoor:
    """A door switch that says what the test says."""

    def __init__(self) -> None:
        self.open: bool | None = False

    async def is_open(self) -> bool | None:
        return self.open


class World:
    """A watch over two scripted boards and a door."""

    def __init__(self, ledger: LedgerDatabase, clock: RunningClock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.one, self.two = ScriptedBoard(clock, board=1), ScriptedBoard(clock, board=2)
        self.door = SwitchDoor()
        self.readings: list[Reading] = []
        self.vending = False

        async def keep(reading: Reading) -> None:
            self.readings.append(reading)

        self.watch = MachineWatch(
            boards={1: self.one, 2: self.two},
            door=self.door,
            ledger=ledger,
            clock=clock,
            busy=lambda: self.vending,
            take_reading=keep,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        loops = [
            asyncio.ensure_future(self.watch.watch_board(1, 200)),
            asyncio.ensure_future(self.watch.watch_board(2, 200)),
            asyncio.ensure_future(self.watch.watch_door(200)),
        ]
        try:
            yield
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    async def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < deadline, f"it never came so; condition {self.watch.condition}"
            await asyncio.sleep(0)

    async def pass_ms(self, duration_ms: int) -> None:
        """The loops sleep on a clock that runs with them: wait until it shows so much more, and the ledger is idle."""
        until_ms = self.clock.mono_ms() + duration_ms
        await self.until(lambda: self.clock.mono_ms() > until_ms)
        await self.ledger.read(outbox.position)

    async def until_told(self, expected: list[object], kind: type) -> None:
        """The condition changes in memory first: wait for what is written down."""
        deadline = time.monotonic() + DEADLINE_S
        while (told := await self.told(kind)) != expected:
            assert time.monotonic() < deadline, f"expected {expected}, told was {told}"

    async def until_faults(self, *expected: tuple[str, str]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while (active := await self._active()) != list(expected):
            assert time.monotonic() < deadline, f"expected {expected}, active are {active}"

    async def _active(self) -> list[tuple[str, str]]:
        return [(fault.code, fault.scope) for fault in await self.ledger.read(locks.active_faults)]

    async def told(self, kind: type) -> list[object]:
        rows = await self.ledger.read(lambda conn: outbox.pending(conn, 0, 1000))
        return [fact for fact in (decode_fact(row.fact) for row in rows) if isinstance(fact, kind)]

    def sells(self) -> bool:
        return self.watch.why_not_selling() is None


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = RunningClock()
    async with await open_ledger(tmp_path, clock) as ledger:
        world = World(ledger, clock)
        await world.watch.configure(CONFIG)
        await world.watch.change(recovering=False)
        yield world


async def test_a_machine_sells_once_a_board_answers_and_says_so(world: World) -> None:
    assert world.watch.why_not_selling() == "no aisle board answers"
    async with world.running():
        await world.until(world.sells)
        # The earlier word was replaced before anybody had it.
        await world.until_told([SellingChanged(selling=True)], SellingChanged)


async def test_a_silent_board_is_told_once_and_its_neighbour_sells_on(world: World) -> None:
    world.two.looks = [None, *[SILENT] * 400]
    async with world.running():
        await world.until(lambda: 2 in world.watch.boards_down() and 1 not in world.watch.boards_down())
        assert world.sells()
        await world.until_faults(("board_silent", "board-2"))
        told = await world.told(FaultChanged)
        assert len(told) == 1
        world.two.looks.clear()
        await world.until(lambda: not world.watch.boards_down())
        await world.until_faults()


async def test_one_lost_answer_is_noise(world: World) -> None:
    async with world.running():
        await world.until(world.sells)
        world.one.looks = [SILENT, SILENT, None]
        await world.until(lambda: not world.one.looks)
        assert 1 not in world.watch.boards_down()


async def test_a_wrong_board_is_a_fault_that_says_what_to_do(world: World) -> None:
    wrong = BoardMisbehaved("board-1", "ID", "a name that begins with 'ADH815' (is this the right port?)", b"XYZ")
    world.one.looks = [wrong] * 400
    async with world.running():
        await world.until(lambda: "right port" in world.watch.boards_down().get(1, ""))
        await world.until_faults(("board_wrong", "board-1"))


async def test_a_blocked_sensor_takes_its_board_out_until_it_is_clear(world: World) -> None:
    async with world.running():
        await world.until(world.sells)
        world.one.sensor_blocked = True
        await world.until(lambda: "blocked" in world.watch.boards_down().get(1, ""))
        world.one.sensor_blocked = False
        await world.until(lambda: 1 not in world.watch.boards_down())
        await world.until_faults()


async def test_an_open_door_stops_the_sale_and_a_broken_switch_changes_nothing(world: World) -> None:
    async with world.running():
        await world.until(world.sells)
        world.door.open = True
        await world.until(lambda: world.watch.why_not_selling() == "the door is open")
        world.door.open = None
        for _ in range(50):
            await asyncio.sleep(0)
        assert not world.sells()
        world.door.open = False
        await world.until(world.sells)
    assert DoorChanged(open=False) in await world.told(DoorChanged)


async def test_a_warm_cabinet_stops_the_sale(world: World) -> None:
    limits = config_of(("A1", 1, 5, "cola"))
    await world.watch.configure(
        type(limits)(machine=limits.machine, version=5, aisles=limits.aisles, temperature_high_tenths_c=50)
    )
    async with world.running():
        await world.until(lambda: world.watch.condition.band == "warm")
        await world.until_told([TemperatureBandChanged(band="warm", tenths_c=60)], TemperatureBandChanged)
        await world.until(lambda: world.watch.why_not_selling() == "temperature: warm")
        await world.until(lambda: bool(world.readings))
        assert world.readings[0].value == 6_000


async def test_the_boards_are_left_alone_during_a_vend(world: World) -> None:
    async with world.running():
        await world.until(world.sells)
        world.vending = True
        await world.pass_ms(5_000)  # a look that had begun ends
        world.one.looks = [SILENT]
        await world.pass_ms(5_000)
        assert world.one.looks == [SILENT]


async def test_an_old_copy_of_a_ledger_does_not_sell(world: World) -> None:
    async with world.running():
        await world.until(world.sells)
        detail = "the cloud has facts that this ledger never numbered"
        await world.watch.tell(FaultChanged(code=OLD_COPY, scope="machine", active=True, detail=detail))
        await world.watch.configure(CONFIG)
        assert detail in (world.watch.why_not_selling() or "")
