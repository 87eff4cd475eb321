"""One vend, from the choice of the aisle to one settled fact.

The order of steps is the product's promise (delivery invariants in brackets):

    1. look at the board: idle, sensor clear, in the right mode; take a stray result away
    2. commit the intent: order, transaction number, aisle, the board's memory of its last motor      [I4]
    3. start, not after the deadline of our own claim, checked again right before the byte leaves     [I6]
    4. watch until the attempt table reaches an end; a silent board is waited for, its result is latched
    5. a proven failure may go on: close this attempt and commit the next intent in one transaction   [I5]
    6. commit the outcome: journal, stock, aisle lock and fact in one transaction                     [I2, I8, I10]
    7. only then take the result away from the board

A crash between any two steps leaves either nothing (before 2) or an open attempt, which `resume` settles by what the
board can prove.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from edge_agent.devices.ports import AisleMotors, BoardFinished, BoardIdle
from edge_agent.errors import DiskShort, Refused
from edge_agent.ledger import journal, locks, stock
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.ledger.journal import AttemptPlan, OpenOrder, Sale
from edge_agent.vend import aisles
from edge_agent.vend.aisles import NoAisle, Shelf
from edge_agent.vend.attempt import LINE_TROUBLE, AttemptRun, Evidence, VendLimits, Verdict
from edge_agent.vend.transitions import State
from shared.clock import Clock
from shared.ids import AisleId
from shared.messages import (
    AisleConfig,
    Attempt,
    MachineConfig,
    VendDelivered,
    VendFailed,
    VendUnknown,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

VendEnd = VendDelivered | VendFailed | VendUnknown

# The fault that takes a board out of service until a person has looked at its drop sensor.
BLIND_SENSOR = "drop_sensor"

# The turn time of a motor is the median of its last good runs; more of them would hide a motor that grows weak.
RUNS_REMEMBERED = 9


@dataclass(frozen=True, slots=True)
class Ready:
    """An aisle whose board was found fit to start, and the board's memory of its last motor."""

    aisle: AisleConfig
    last_motor: int

    def plan(self) -> AttemptPlan:
        """The attempt to write down before the motor moves."""
        return AttemptPlan(
            aisle=AisleId(self.aisle.aisle),
            board=self.aisle.board,
            motor=self.aisle.motor,
            last_motor_before=self.last_motor,
        )


class Vending:
    """Carries out one vend at a time on this machine's boards.

    `boards_down` tells which boards must not be used now, and why.
    """

    def __init__(
        self,
        *,
        boards: Mapping[int, AisleMotors],
        boards_down: Callable[[], Mapping[int, str]],
        ledger: LedgerDatabase,
        clock: Clock,
        limits: VendLimits,
    ) -> None:
        self._boards = boards
        self._boards_down = boards_down
        self._ledger = ledger
        self._clock = clock
        self._limits = limits

    async def make_ready(self, config: MachineConfig, asked: str, goods: str) -> Ready:
        """Choose the aisle and find its board fit to start; raises `Refused` with the reason, touching nothing."""
        choice = aisles.choose(await self._shelf(config), asked, goods)
        if isinstance(choice, NoAisle):
            raise Refused("aisle_closed", choice.detail)
        return await self.inspect(config, choice)

    async def deliver(self, sale: Sale, config: MachineConfig, ready: Ready, *, not_after_mono_ms: int) -> VendEnd:
        """Turn until something is delivered or proven not to be; returns the committed fact.

        Raises `Refused` when the intent could not be committed; nothing has moved then.
        """
        plan = ready.plan()
        try:
            txn = await self._ledger.write(lambda conn: journal.begin(conn, sale, plan, self._clock))
        except DiskShort as short:
            raise Refused("not_selling", str(short)) from short
        done: list[Attempt] = []
        while True:
            verdict = await self.attempt(plan, config.drop_sensor, State.READY, not_after_mono_ms)
            done.append(verdict.as_attempt(txn, plan))
            again = await self._ready_again(config, plan, verdict, done)
            if again is None:
                return await self._end(sale, plan, verdict, done)
            failed, plan = plan, again.plan()
            txn = await self._go_on(sale, failed, verdict, done[-1], plan)

    async def resume(self, order: OpenOrder, config: MachineConfig | None) -> VendEnd:
        """Settle an order found open after a crash, by what its board can prove. Nothing is started again."""
        sensor_expected = config.drop_sensor if config is not None else True
        verdict = await self.attempt(order.plan, sensor_expected, State.UNCERTAIN, not_after_mono_ms=0)
        done = [*order.closed_attempts, verdict.as_attempt(order.txn, order.plan)]
        return await self._end(order.sale, order.plan, verdict, done)

    async def _shelf(self, config: MachineConfig) -> Shelf:
        def look(conn: sqlite3.Connection) -> tuple[dict[str, int], set[str], set[int]]:
            available = {str(aisle): balance.available for aisle, balance in stock.balances(conn).items()}
            blind = {
                int(fault.scope.removeprefix("board-"))
                for fault in locks.active_faults(conn)
                if fault.code == BLIND_SENSOR
            }
            return available, {str(aisle) for aisle in locks.locked_aisles(conn)}, blind

        available, closed, blind = await self._ledger.read(look)
        return Shelf(config=config, available=available, closed=closed, boards_down={*self._boards_down(), *blind})

    async def inspect(self, config: MachineConfig, aisle: AisleConfig) -> Ready:
        """Find the board of one aisle fit to start, and take a stray result away; `Refused` says what it lacks."""
        motors = self._boards.get(aisle.board)
        if motors is None:
            raise Refused("aisle_closed", f"aisle {aisle.aisle}: board {aisle.board} is not in the settings")
        try:
            await motors.prepare(drop_sensor=config.drop_sensor)
            status = await motors.status(confirmed=True)
            if isinstance(status, BoardFinished):
                # Every result of ours is either acknowledged or belongs to an open order, and there is none now.
                await motors.acknowledge()
                status = await motors.status(confirmed=True)
        except LINE_TROUBLE as trouble:
            raise Refused("not_selling", str(trouble)) from trouble
        if not isinstance(status, BoardIdle):
            raise Refused("not_selling", f"board {aisle.board} is busy with motor {status.motor}")
        if config.drop_sensor and status.sensor_blocked:
            raise Refused("not_selling", f"the drop sensor of board {aisle.board} is blocked")
        return Ready(aisle=aisle, last_motor=status.last_motor)

    async def attempt(self, plan: AttemptPlan, sensor_expected: bool, state: State, not_after_mono_ms: int) -> Verdict:
        """Drive one attempt, whose intent is committed, to its end."""
        history = await self._ledger.read(
            lambda conn: journal.runs_of_motor(conn, plan.board, plan.motor, RUNS_REMEMBERED)
        )
        run = AttemptRun(
            motors=self._boards.get(plan.board),
            plan=plan,
            evidence=Evidence(sensor_expected, aisles.stall_proof_ms(history)),
            clock=self._clock,
            limits=self._limits,
            not_after_mono_ms=not_after_mono_ms,
        )
        return await run.settle(state)

    async def _ready_again(
        self, config: MachineConfig, plan: AttemptPlan, verdict: Verdict, done: list[Attempt]
    ) -> Ready | None:
        """The next aisle to try after a proven failure, inspected; None when the vend ends here."""
        failed = aisles.find(config, plan.aisle)
        reason = verdict.seen.fail_reason
        if verdict.state is not State.FAILED or failed is None or reason is None:
            return None
        choice = aisles.choose_again(await self._shelf(config), failed, reason, [attempt.aisle for attempt in done])
        if choice is None:
            return None
        if choice.board == plan.board:
            # Its result is still latched, so it cannot be asked; its memory of its last motor is the run we just saw.
            return Ready(aisle=choice, last_motor=plan.motor)
        try:
            return await self.inspect(config, choice)
        except Refused as refused:
            log.info("order ends without a further attempt: %s", refused)
            return None

    async def _go_on(
        self, sale: Sale, failed: AttemptPlan, verdict: Verdict, closed: Attempt, plan: AttemptPlan
    ) -> int:
        """Close the failed attempt and commit the next intent, then free the board of the old result."""
        reason = aisles.closing_reason(verdict.seen.fail_reason, None)

        def write(conn: sqlite3.Connection) -> int:
            if reason is not None and failed.aisle != plan.aisle:
                locks.set_lock(conn, failed.aisle, True, reason, self._clock)
            return journal.next_attempt(conn, sale.order, closed, plan, self._clock)

        txn = await self._ledger.write(write, outcome=True)
        await self.acknowledge(failed.board)
        return txn

    async def _end(self, sale: Sale, plan: AttemptPlan, verdict: Verdict, done: list[Attempt]) -> VendEnd:
        """Commit the outcome, then take the result away from the board."""
        fact = end_fact(sale, plan, verdict, done)
        reason = aisles.closing_reason(verdict.seen.fail_reason, verdict.seen.unknown_reason)

        def write(conn: sqlite3.Connection) -> None:
            journal.end(conn, fact, self._clock)
            if reason is not None:
                locks.set_lock(conn, plan.aisle, True, reason, self._clock)
            missed = journal.missed_drops(conn, plan.board)
            if reason == "nothing_seen" and missed >= aisles.MISSED_DROPS_MAX:
                detail = f"{missed} runs in a row with a sound motor and no drop seen: clean and test the drop sensor"
                locks.raise_fault(conn, BLIND_SENSOR, f"board-{plan.board}", detail, self._clock)

        await self._ledger.write(write, outcome=True)
        if verdict.run is not None:
            await self.acknowledge(plan.board)
        return fact

    async def acknowledge(self, board: int) -> None:
        """Take a committed result away from its board."""
        try:
            await self._boards[board].acknowledge()
        except LINE_TROUBLE as trouble:
            # The result stays latched: the next inspection takes it away, and until then a start is refused.
            log.info("result not acknowledged: %s", trouble)


def end_fact(sale: Sale, plan: AttemptPlan, verdict: Verdict, done: list[Attempt]) -> VendEnd:
    """The fact that settles `sale`; `plan` is its last attempt."""
    common: dict[str, Any] = {
        "order": sale.order,
        "aisle": plan.aisle,
        "goods": sale.goods,
        "price_fen": sale.price_fen,
        "source": sale.source,
        "means": sale.means,
        "paid_fen": sale.paid_fen,
        "txn": done[-1].txn,
        "config_version": sale.config_version,
        "attempts": tuple(done),
    }
    match verdict.state:
        case State.DELIVERED:
            return VendDelivered(**common)
        case State.FAILED:
            assert verdict.seen.fail_reason is not None
            return VendFailed(**common, reason=verdict.seen.fail_reason)
        case _:
            assert verdict.seen.unknown_reason is not None
            return VendUnknown(**common, reason=verdict.seen.unknown_reason)
