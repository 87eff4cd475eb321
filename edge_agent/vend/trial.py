"""A motor turned for a test: one attempt on the way of a sale, outside any sale.

It takes the same lane, looks at the board in the same way, commits its intent before the motor moves and its evidence
before the board is acknowledged. It does not ask whether the machine sells or whether the aisle is locked: the person
who tests stands before it. There is one turn and no twin, because the question is about this motor.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.errors import DiskShort, Refused
from edge_agent.ledger import trials
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.ledger.journal import AttemptPlan
from edge_agent.vend import aisles
from edge_agent.vend.attempt import Verdict
from edge_agent.vend.claim import WAIT_MS
from edge_agent.vend.session import Vending
from edge_agent.vend.transitions import State
from shared.clock import Clock
from shared.ids import GoodsId
from shared.messages import Attempt, MachineConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrialEnd:
    """What a test run showed; `reason` says why it delivered nothing or why nobody knows.

    booked: an item fell and was booked out. An item that fell where the ledger had none is not; then count the aisle.
    """

    seen: Attempt
    reason: str | None
    booked: bool


class Trials:
    """Test runs. `config` says what the machine consists of, `settling` whether its past is still being settled."""

    def __init__(
        self,
        *,
        vending: Vending,
        ledger: LedgerDatabase,
        clock: Clock,
        lane: asyncio.Lock,
        config: Callable[[], MachineConfig | None],
        settling: Callable[[], bool],
    ) -> None:
        self._vending = vending
        self._ledger = ledger
        self._clock = clock
        self._lane = lane
        self._config = config
        self._settling = settling

    async def run(self, aisle: str, person: str) -> TrialEnd:
        """Wait for the lane and turn the motor of `aisle` once.

        Raises `Refused`: "busy" (the last run is being settled), "aisle_closed" (no such aisle), "not_selling" (the
        board is not fit to start, or the disk is full); nothing has moved then.
        """
        async with self._lane:
            config = self._config()
            found = aisles.find(config, aisle) if config is not None else None
            if config is None or found is None:
                raise Refused("aisle_closed", f"there is no aisle {aisle} in this machine's configuration")
            if self._settling():
                raise Refused("busy", "what the last run left open is being settled: try again in a minute")
            asked_ms = self._clock.mono_ms()
            plan = (await self._vending.inspect(config, found)).plan()
            goods = GoodsId(found.goods)
            try:
                trial = await self._ledger.write(lambda conn: trials.begin(conn, plan, goods, person, self._clock))
            except DiskShort as short:
                raise Refused("not_selling", str(short)) from short
            verdict = await self._vending.attempt(plan, config.drop_sensor, State.READY, asked_ms + WAIT_MS)
            return await self._end(trial, plan, goods, verdict)

    async def settle(self) -> TrialEnd | None:
        """Close what a crash left open, by what the board can prove; before anything is sold. Nothing is started."""
        open_trial = await self._ledger.read(trials.open_trial)
        if open_trial is None:
            return None
        log.warning("test run %d was left open: asking board %d", open_trial.trial, open_trial.plan.board)
        async with self._lane:
            config = self._config()
            sensor_expected = config.drop_sensor if config is not None else True
            verdict = await self._vending.attempt(open_trial.plan, sensor_expected, State.UNCERTAIN, 0)
            return await self._end(open_trial.trial, open_trial.plan, open_trial.goods, verdict)

    async def _end(self, trial: int, plan: AttemptPlan, goods: GoodsId, verdict: Verdict) -> TrialEnd:
        seen = verdict.as_attempt(trial, plan)
        reason = verdict.seen.fail_reason or verdict.seen.unknown_reason
        booked = await self._ledger.write(
            lambda conn: trials.end(conn, trial, goods, seen, reason, self._clock), outcome=True
        )
        if verdict.run is not None:
            await self._vending.acknowledge(plan.board)
        return TrialEnd(seen, reason, booked)
