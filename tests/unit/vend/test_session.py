"""Every way a vend ends, on a real ledger file and a scripted board."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_agent.devices.ports import BoardFinished
from edge_agent.errors import BoardSilent, LinkDown, PortClosed, Refused
from edge_agent.ledger import journal, locks, outbox, stock
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.vend.attempt import VendLimits
from edge_agent.vend.session import BLIND_SENSOR, VendEnd, Vending
from shared.ids import AisleId, OrderId
from shared.messages import VendDelivered, VendFailed, VendUnknown, decode_fact
from tests.unit.vend.scripted import RunningClock, ScriptedBoard, config_of, open_ledger, run_of, sale_of, state_on_disk

SILENT = BoardSilent("board-1", "RUN", 500)
CONFIG = config_of(("A1", 1, 5, "cola"), ("A2", 1, 6, "cola"), ("B1", 2, 1, "cola"), ("T1", 1, 9, "tea"))


class LostAnswer(BoardSilent):
    """The board heard the start and turned; its answer was lost."""

    began = True

    def __init__(self) -> None:
        super().__init__("board-1", "RUN", 500)


class World:
    """A machine with two scripted boards."""

    def __init__(self, ledger: LedgerDatabase, clock: RunningClock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.one = ScriptedBoard(clock, board=1)
        self.two = ScriptedBoard(clock, board=2)
        self.down: dict[int, str] = {}
        self.vending = Vending(
            boards={1: self.one, 2: self.two},
            boards_down=lambda: self.down,
            ledger=ledger,
            clock=clock,
            limits=VendLimits(poll_ms=200, silence_ms=5_000, turning_ms=20_000),
        )

    async def vend(
        self, *runs: BoardFinished | None, order: str = "o1", aisle: str = "A1", goods: str = "cola"
    ) -> VendEnd:
        self.one.runs.extend(runs)
        ready = await self.vending.make_ready(CONFIG, aisle, goods)
        return await self.vending.deliver(
            sale_of(order, ready.aisle.aisle, goods), CONFIG, ready, not_after_mono_ms=self.clock.mono_ms() + 10_000
        )

    async def on_hand(self, aisle: str) -> tuple[int, int]:
        balance = await self.ledger.read(lambda conn: stock.balance(conn, AisleId(aisle)))
        return balance.on_hand, balance.held

    async def locked(self) -> dict[AisleId, str]:
        return await self.ledger.read(locks.locked_aisles)

    async def facts(self) -> list[object]:
        rows = await self.ledger.read(lambda conn: outbox.pending(conn, 0, 1000))
        return [decode_fact(row.fact) for row in rows]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = RunningClock()
    loaded = [("A1", "cola", 3), ("A2", "cola", 2), ("B1", "cola", 4), ("T1", "tea", 2)]
    async with await open_ledger(tmp_path, clock, loaded) as ledger:
        yield World(ledger, clock)


async def test_delivered(world: World) -> None:
    end = await world.vend(run_of(5))
    assert isinstance(end, VendDelivered)
    assert (end.order, end.aisle, end.price_fen, end.attempts[0].max_current_ma) == ("o1", "A1", 350, 420)
    assert await world.on_hand("A1") == (2, 0)
    assert world.one.starts == [5]
    assert world.one.acknowledged == 1
    assert end in await world.facts()
    assert await world.locked() == {}


async def test_intent_is_on_disk_before_the_start_and_the_outcome_before_the_acknowledgement(
    world: World, tmp_path: Path
) -> None:
    seen: list[str] = []

    def look(moment: str) -> None:
        seen.append(f"{moment}: {state_on_disk(tmp_path)}")

    world.one.on_start = lambda: look("start")
    world.one.on_acknowledge = lambda: look("acknowledge")
    await world.vend(run_of(5))
    assert seen == ["start: open", "acknowledge: delivered"]


def jam(motor: int, run_time_ms: int = 300) -> BoardFinished:
    """A stall that is too early for anything to have fallen."""
    return run_of(motor, "over_current", drop=False, run_time_ms=run_time_ms)


async def test_over_current_with_a_drop_is_delivered(world: World) -> None:
    end = await world.vend(run_of(5, "over_current"))
    assert isinstance(end, VendDelivered)
    assert end.attempts[0].result == "over_current"


async def test_jam_is_tried_again_and_then_on_the_fullest_twin(world: World) -> None:
    world.two.runs = [run_of(1)]
    end = await world.vend(jam(5), jam(5))
    assert isinstance(end, VendDelivered)
    assert [(attempt.aisle, attempt.outcome) for attempt in end.attempts] == [
        ("A1", "failed"),
        ("A1", "failed"),
        ("B1", "delivered"),
    ]
    assert (world.one.starts, world.two.starts) == ([5, 5], [1])
    assert await world.on_hand("A1") == (3, 0)
    assert await world.on_hand("B1") == (3, 0)
    assert await world.locked() == {AisleId("A1"): "jam"}


async def test_jam_everywhere_is_refunded(world: World) -> None:
    world.two.runs = [jam(1)]
    end = await world.vend(jam(5), jam(5))
    assert isinstance(end, VendFailed)
    assert (end.reason, len(end.attempts)) == ("jam", 3)
    assert await world.on_hand("A1") == (3, 0)
    assert await world.on_hand("B1") == (4, 0)
    assert await world.locked() == {AisleId("A1"): "jam", AisleId("B1"): "jam"}


async def test_open_motor_goes_straight_to_the_twin(world: World) -> None:
    world.two.runs = [run_of(1)]
    end = await world.vend(run_of(5, "open", drop=False))
    assert isinstance(end, VendDelivered)
    assert [attempt.aisle for attempt in end.attempts] == ["A1", "B1"]


async def test_nothing_seen_is_for_a_person_and_never_turns_twice(world: World) -> None:
    end = await world.vend(run_of(5, drop=False))
    assert isinstance(end, VendUnknown)
    assert end.reason == "nothing_seen"
    assert world.one.starts == [5]
    assert await world.on_hand("A1") == (3, 1)  # held until decided
    assert await world.locked() == {AisleId("A1"): "nothing_seen"}


async def test_two_missed_drops_in_a_row_take_the_board_out_of_service(world: World) -> None:
    await world.vend(run_of(5, drop=False), order="o1")
    await world.vend(run_of(9, drop=False), order="o2", aisle="T1", goods="tea")
    faults = await world.ledger.read(locks.active_faults)
    assert [(fault.code, fault.scope) for fault in faults] == [(BLIND_SENSOR, "board-1")]
    world.two.runs = [run_of(1)]
    end = await world.vend(order="o3", aisle="A2")  # A2 is on board 1: its twin on board 2 serves
    assert (end.aisle, type(end)) == ("B1", VendDelivered)


async def test_a_late_stall_with_nothing_seen_is_for_a_person(world: World) -> None:
    end = await world.vend(run_of(5, "over_current", drop=False))
    assert isinstance(end, VendUnknown)
    assert (end.reason, world.one.starts) == ("nothing_seen", [5])


async def test_a_second_stall_counts_from_home(world: World) -> None:
    end = await world.vend(jam(5, 500), jam(5, 500))
    assert isinstance(end, VendUnknown)  # together they may have come far enough
    assert world.one.starts == [5, 5]
    assert world.two.starts == []


async def test_board_reset_while_turning_is_for_a_person(world: World) -> None:
    end = await world.vend(None)
    assert isinstance(end, VendUnknown)
    assert end.reason == "board_reset"
    assert world.one.starts == [5]


async def test_a_sensor_that_forgot_to_watch_proves_nothing(world: World) -> None:
    end = await world.vend(run_of(5, drop=None))
    assert isinstance(end, VendUnknown)
    assert end.reason == "board_reset"


async def test_lost_answer_of_a_start_that_began(world: World) -> None:
    world.one.answers = [LostAnswer()]
    end = await world.vend(run_of(5))
    assert isinstance(end, VendDelivered)
    assert world.one.starts == [5]


async def test_lost_start_is_sent_again_only_because_the_board_proves_that_it_never_began(world: World) -> None:
    world.one.answers = [SILENT]
    end = await world.vend(run_of(5))
    assert isinstance(end, VendDelivered)
    assert world.one.starts == [-5, 5]


@pytest.mark.parametrize("last_motor", [0, 5])
async def test_lost_start_without_proof_is_for_a_person(world: World, last_motor: int) -> None:
    world.one.last_motor = last_motor
    world.one.answers = [SILENT]
    end = await world.vend()
    assert isinstance(end, VendUnknown)
    assert end.reason == "no_proof"
    assert world.one.starts == [-5]


async def test_lost_starts_end_at_the_deadline(world: World) -> None:
    world.one.answers = [SILENT] * 100
    end = await world.vend()
    assert isinstance(end, VendFailed)
    assert end.reason == "never_began"
    assert await world.on_hand("A1") == (3, 0)


async def test_a_port_that_was_closed_before_the_start_is_refunded(world: World) -> None:
    world.one.answers = [PortClosed("ttyX", "unplugged")]
    end = await world.vend()
    assert isinstance(end, VendFailed)
    assert end.reason == "never_began"


async def test_a_silent_board_is_waited_for_because_its_result_is_latched(world: World) -> None:
    world.one.looks = [None, *[LinkDown("ttyX", "unplugged")] * 20]
    end = await world.vend(run_of(5))
    assert isinstance(end, VendDelivered)


async def test_a_board_silent_for_too_long_is_for_a_person(world: World) -> None:
    world.one.looks = [None, *[SILENT] * 1000]
    end = await world.vend(run_of(5))
    assert isinstance(end, VendUnknown)
    assert end.reason == "board_silent"


async def test_a_motor_index_that_the_board_does_not_have_closes_the_aisle(world: World) -> None:
    world.one.answers = ["invalid_motor"]
    end = await world.vend()
    assert isinstance(end, VendFailed)
    assert (end.reason, await world.locked()) == ("refused", {AisleId("A1"): "refused"})


async def test_a_stray_result_is_taken_away_before_the_next_sale(world: World) -> None:
    world.one.waiting = run_of(7)
    end = await world.vend(run_of(5))
    assert isinstance(end, VendDelivered)
    assert world.one.acknowledged == 2


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda world: setattr(world.one, "sensor_blocked", True), "drop sensor"),
        (lambda world: setattr(world.one, "turning", 9), "busy with motor 9"),
        (lambda world: setattr(world.one, "looks", [SILENT]), "no answer"),
    ],
)
async def test_an_unfit_board_is_refused_before_anything_is_written(world: World, spoil: object, words: str) -> None:
    spoil(world)  # type: ignore[operator]
    with pytest.raises(Refused, match=words):
        await world.vend()
    assert await world.ledger.read(journal.open_orders) == []
    assert world.one.starts == []


async def test_an_order_is_never_begun_twice(world: World) -> None:
    await world.vend(run_of(5))
    with pytest.raises(Refused, match="o1"):
        await world.vend(run_of(5))
    assert world.one.starts == [5]


async def test_a_late_start_is_never_sent(world: World) -> None:
    ready = await world.vending.make_ready(CONFIG, "A1", "cola")
    end = await world.vending.deliver(
        sale_of("o1", "A1", "cola"), CONFIG, ready, not_after_mono_ms=world.clock.mono_ms() - 1
    )
    assert isinstance(end, VendFailed)
    assert (end.reason, world.one.starts) == ("late_grant", [])


async def test_an_order_found_open_is_settled_by_the_latched_result(world: World) -> None:
    ready = await world.vending.make_ready(CONFIG, "A1", "cola")
    sale = sale_of("o1", "A1", "cola")
    await world.ledger.write(lambda conn: journal.begin(conn, sale, ready.plan(), world.clock))
    world.one.waiting, world.one.last_motor = run_of(5), 5
    (order,) = await world.ledger.read(journal.open_orders)
    end = await world.vending.resume(order, CONFIG)
    assert isinstance(end, VendDelivered)
    assert (await world.ledger.read(lambda conn: journal.order(conn, OrderId("o1")))).state == "delivered"  # type: ignore[union-attr]


async def test_an_order_found_open_is_never_started_again(world: World) -> None:
    ready = await world.vending.make_ready(CONFIG, "A1", "cola")
    await world.ledger.write(lambda conn: journal.begin(conn, sale_of("o1", "A1", "cola"), ready.plan(), world.clock))
    (order,) = await world.ledger.read(journal.open_orders)
    end = await world.vending.resume(order, CONFIG)
    assert isinstance(end, VendFailed)
    assert (end.reason, world.one.starts) == ("never_began", [])
