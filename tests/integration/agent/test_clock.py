"""Wrong wall clocks: 1970, ten years on, ten years back, and a time server in the middle of a vend (I6, I18).

The wall clock is a label. Nothing that a buyer gets may depend on it, and the label says how far to trust it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge_agent.ledger import outbox
from edge_agent.ledger.outbox import OutboxRow
from shared.clock import WALL_FLOOR_MS, ClockState, SystemClock
from shared.messages import VendDelivered, decode_fact
from tests.integration.agent.rig import Rig, rig

TEN_YEARS_MS = 10 * 365 * 24 * 3_600_000
# A wall clock that was never set begins here.
EPOCH_1970_MS = 40_000
SLOW = 3.0


class WrongClock(SystemClock):
    """This computer's clock, but for a wall clock that a test sets as it likes."""

    def __init__(self, *, wall_ms: int, synced: bool = False) -> None:
        super().__init__()
        self._synced = synced
        self._offset_ms = wall_ms - super().wall_ms()

    def step(self, by_ms: int, *, synced: bool = False) -> None:
        """Somebody sets the wall clock."""
        self._offset_ms += by_ms
        self._synced = synced

    def wall_ms(self) -> int:
        return super().wall_ms() + self._offset_ms

    def clock_state(self) -> ClockState:
        if self.wall_ms() < WALL_FLOOR_MS:
            return "unset"
        return "synced" if self._synced else "restored"


async def sales(machine: Rig) -> list[OutboxRow]:
    """The facts of all deliveries, in the order of the stream, whose numbers and monotonic times only grow."""
    rows = await machine.agent.ledger.read(lambda conn: outbox.pending(conn, 0, 1000))
    ours = [row for row in rows if row.boot_id == machine.agent.clock.boot_id]
    assert [row.mono_ms for row in ours] == sorted(row.mono_ms for row in ours)
    assert [row.seq for row in rows] == sorted(row.seq for row in rows)
    return [row for row in rows if isinstance(decode_fact(row.fact), VendDelivered)]


async def test_a_machine_that_believes_in_1970_sells_and_says_so(tmp_path: Path) -> None:
    clock = WrongClock(wall_ms=EPOCH_1970_MS)
    async with rig(tmp_path) as machine, machine.running(clock):
        await machine.until_selling()
        for aisle in ("1-00", "1-02"):
            assert (await machine.press(aisle))["state"] == "delivered"
        sold = await sales(machine)
        assert [row.clock_state for row in sold] == ["unset", "unset"]
        assert all(0 < row.wall_ms < WALL_FLOOR_MS for row in sold)
        await machine.account_balances()


@pytest.mark.parametrize("step_ms", [TEN_YEARS_MS, -TEN_YEARS_MS], ids=["ten years on", "ten years back"])
async def test_a_step_while_the_motor_turns_changes_nothing_but_the_label(tmp_path: Path, step_ms: int) -> None:
    clock = WrongClock(wall_ms=WALL_FLOOR_MS + TEN_YEARS_MS // 2)
    async with rig(tmp_path, speed=SLOW) as machine, machine.running(clock):
        await machine.until_selling()
        assert (await machine.press("1-00"))["state"] == "delivered"
        press = asyncio.create_task(machine.press("1-02"))
        await machine.turning()
        clock.step(step_ms, synced=step_ms > 0)
        assert (await press)["state"] == "delivered"
        assert (await machine.press("1-04"))["state"] == "delivered"
        assert (await machine.runs(), await machine.fell()) == (3, 3)
        before, during, after = await sales(machine)
        assert [row.clock_state for row in (before, during, after)] == (
            ["restored", "synced", "synced"] if step_ms > 0 else ["restored", "unset", "unset"]
        )
        jump_ms = during.wall_ms - before.wall_ms - (during.mono_ms - before.mono_ms)
        assert abs(jump_ms - step_ms) < 1_000, "the label follows the clock"
        await machine.account_balances()


async def test_a_clock_that_jumps_at_every_sale_loses_none(tmp_path: Path) -> None:
    clock = WrongClock(wall_ms=EPOCH_1970_MS)
    async with rig(tmp_path) as machine, machine.running(clock):
        await machine.until_selling()
        for number in range(6):
            clock.step(TEN_YEARS_MS * (6 if number % 2 == 0 else -6))
            assert (await machine.press(f"1-{number:02d}"))["state"] == "delivered"
        sold = await sales(machine)
        assert [decode_fact(row.fact).aisle for row in sold] == [f"1-{number:02d}" for number in range(6)]  # type: ignore[union-attr]
        assert [row.clock_state for row in sold] == ["restored", "unset"] * 3
        await machine.account_balances()


async def test_a_restart_in_the_past_answers_for_the_future(tmp_path: Path) -> None:
    """A press made before the clock fell back is known, whenever it is asked again."""
    async with rig(tmp_path) as machine:
        async with machine.running(WrongClock(wall_ms=WALL_FLOOR_MS + TEN_YEARS_MS)):
            await machine.until_selling()
            sold = await machine.press("1-02", press="once")
        async with machine.running(WrongClock(wall_ms=EPOCH_1970_MS)):
            await machine.until_selling()
            assert await machine.press("1-02", press="once") == sold
            assert (await machine.runs(), await machine.fell()) == (1, 1)
            await machine.account_balances()
