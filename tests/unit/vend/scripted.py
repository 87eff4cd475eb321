"""A board that plays a script, a clock that runs by itself, and a ledger with something to sell."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.devices.ports import BoardFinished, BoardIdle, BoardStatus, BoardTurning, MotorFault, Proof, StartAnswer
from edge_agent.errors import DeadlinePassed
from edge_agent.ledger import stock
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.ledger.journal import Sale
from shared.clock import Clock, ManualClock
from shared.ids import AisleId, GoodsId, OrderId, parse_machine_id
from shared.messages import AisleConfig, MachineConfig

MACHINE = parse_machine_id("m-test")


class RunningClock(ManualClock):
    """A manual clock in which waiting makes time pass."""

    async def sleep_ms(self, duration_ms: int) -> None:
        self.advance(max(1, duration_ms))
        await asyncio.sleep(0)


@dataclass
class ScriptedBoard:
    """An aisle board without a line. Each start takes the next `runs` entry: what the run will end as.

    `answers` and `looks` hold errors to raise, one per call, before the board behaves again (None: behave).
    """

    clock: Clock
    board: int = 1
    runs: list[BoardFinished | None] = field(default_factory=list)
    answers: list[Exception | StartAnswer | None] = field(default_factory=list)
    looks: list[Exception | None] = field(default_factory=list)
    last_motor: int = 3
    sensor_blocked: bool = False
    proof: Proof = field(default_factory=lambda: Proof(result_latched=True, remembers_last_motor=True))
    starts: list[int] = field(default_factory=list)
    acknowledged: int = 0
    waiting: BoardFinished | None = None
    turning: int | None = None
    on_start: Callable[[], None] = lambda: None
    on_acknowledge: Callable[[], None] = lambda: None

    async def identify(self) -> str:
        return "ADH815V4.0.01"

    async def prepare(self, *, drop_sensor: bool) -> None:
        pass

    async def status(self, *, confirmed: bool = False) -> BoardStatus:
        self._raise_next(self.looks)
        if self.turning is not None:
            motor, self.turning = self.turning, None
            return BoardTurning(motor=motor)
        if self.waiting is not None:
            return self.waiting
        return BoardIdle(last_motor=self.last_motor, sensor_blocked=self.sensor_blocked, temperature_c=6)

    async def start(self, motor: int, *, not_after_mono_ms: int) -> StartAnswer:
        if self.clock.mono_ms() > not_after_mono_ms:
            raise DeadlinePassed("board-1", "RUN")
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception) and not getattr(answer, "began", False):
            self.starts.append(-motor)
            raise answer
        if isinstance(answer, str) and answer != "accepted":
            return answer
        self.on_start()
        self.starts.append(motor)
        self.last_motor = motor
        self.turning, self.waiting = motor, self.runs.pop(0)
        if self.waiting is None:  # reset while turning
            self.turning, self.last_motor = None, 0
        if isinstance(answer, Exception):
            raise answer
        return "accepted"

    async def acknowledge(self) -> None:
        self.on_acknowledge()
        self.acknowledged += 1
        self.waiting = None

    @staticmethod
    def _raise_next(errors: list[Exception | None]) -> None:
        if errors and (error := errors.pop(0)) is not None:
            raise error


def run_of(
    motor: int, fault: MotorFault | None = None, *, drop: bool | None = True, run_time_ms: int = 2900
) -> BoardFinished:
    """What a finished run of `motor` looks like."""
    return BoardFinished(
        motor=motor,
        fault=fault,
        drop_seen=drop,
        max_current_ma=420,
        avg_current_ma=180,
        run_time_ms=run_time_ms,
        temperature_c=6,
    )


def config_of(*aisles: tuple[str, int, int, str], drop_sensor: bool = True) -> MachineConfig:
    """A configuration from (aisle, board, motor, goods)."""
    return MachineConfig(
        machine=MACHINE,
        version=4,
        drop_sensor=drop_sensor,
        aisles=tuple(
            AisleConfig(aisle=aisle, board=board, motor=motor, goods=goods, price_fen=350, capacity=9)
            for aisle, board, motor, goods in aisles
        ),
    )


async def open_ledger(folder: Path, clock: Clock, loaded: Iterable[tuple[str, str, int]] = ()) -> LedgerDatabase:
    """A new ledger in `folder` with (aisle, goods, quantity) loaded."""
    ledger = await LedgerDatabase.open(
        folder / "ledger.sqlite", machine=MACHINE, clock=clock, software="test", reserve_bytes=65_536
    )
    for aisle, goods, quantity in loaded:
        await ledger.write(
            lambda conn, aisle=aisle, goods=goods, quantity=quantity: stock.load(
                conn, AisleId(aisle), GoodsId(goods), quantity, clock
            )
        )
    return ledger


def sale_of(order: str, aisle: str, goods: str) -> Sale:
    """An order of the cloud, paid from escrow."""
    return Sale(
        order=OrderId(order),
        aisle=AisleId(aisle),
        goods=GoodsId(goods),
        price_fen=350,
        source="order",
        means="escrow",
        paid_fen=350,
        config_version=4,
    )


def state_on_disk(folder: Path) -> str:
    """The state of the only order in the ledger of `folder`, as a power cut at this moment would leave it."""
    picture = folder / "picture"
    picture.mkdir(exist_ok=True)
    for name in ("ledger.sqlite", "ledger.sqlite-wal"):
        shutil.copy(folder / name, picture / name)
    with closing(sqlite3.connect(picture / "ledger.sqlite")) as conn:
        (state,) = conn.execute("SELECT state FROM orders").fetchone()
    return str(state)
