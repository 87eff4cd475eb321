"""Every way in which a vend ends, on a real port, and what it leaves behind: stock, locks, faults, the next sale."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edge_agent.errors import Refused
from firmware_sim.physics import Physics
from tests.integration.agent.rig import MACHINE, Rig, planogram, rig

# The product falls right after the start, so a jam comes before that and proves that nothing fell, even twice in a row.
EARLY_JAM = Physics(drop_angle=20, stop_timeout_ms=8_000)
# The product falls late and so does the stall: nobody can say how far the spiral came.
LATE_JAM = Physics(drop_angle=999)

# Slow enough to do something to a turning motor: a turn of three seconds takes a real one.
SLOW = 3.0


async def refusal(machine: Rig, aisle: str) -> str:
    """The reason for which a press is refused; no motor may turn for it."""
    runs = await machine.runs()
    with pytest.raises(Refused) as refused:
        await machine.press(aisle)
    assert await machine.runs() == runs, "a refused press turned a motor"
    return refused.value.reason


async def ends_as(machine: Rig, aisle: str, state: str, reason: str | None = None) -> dict[str, Any]:
    """Press, and hold the answer to `state` and `reason`."""
    answer = await machine.press(aisle)
    assert (answer["state"], answer["reason"]) == (state, reason)
    return answer


async def test_delivered_and_the_same_press_asked_again(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        first = await machine.press("1-00", press="card-77")
        assert first["state"] == "delivered"
        assert await machine.press("1-00", press="card-77") == first
        assert (await machine.runs(), await machine.fell()) == (1, 1)
        await machine.account_balances()


async def test_a_jam_is_tried_once_more(tmp_path: Path) -> None:
    async with rig(tmp_path, physics=EARLY_JAM) as machine, machine.running():
        await machine.until_selling()
        await machine.sim.fault(MACHINE, "jam", "once", board=1, motor=2)
        answer = await ends_as(machine, "1-02", "delivered")
        assert await machine.attempts(answer) == [("1-02", "failed"), ("1-02", "delivered")]
        assert await machine.locked() == {}
        await machine.account_balances()


async def test_a_jam_that_stays_sells_from_the_twin_and_closes_the_aisle(tmp_path: Path) -> None:
    async with rig(tmp_path, physics=EARLY_JAM) as machine, machine.running():
        await machine.until_selling()
        await machine.sim.fault(MACHINE, "jam", "on", board=1, motor=2)
        answer = await ends_as(machine, "1-02", "delivered")
        assert await machine.attempts(answer) == [("1-02", "failed"), ("1-02", "failed"), ("1-03", "delivered")]
        assert await machine.locked() == {"1-02": "jam"}
        assert await machine.fell() == 1
        await machine.account_balances()
        # The next buyer is not made to wait for the jammed spiral.
        assert await machine.attempts(await ends_as(machine, "1-02", "delivered")) == [("1-03", "delivered")]


async def test_when_everything_jams_the_buyer_is_refunded(tmp_path: Path) -> None:
    async with rig(tmp_path, physics=EARLY_JAM) as machine, machine.running():
        await machine.until_selling()
        await machine.sim.fault(MACHINE, "jam", "on")
        answer = await ends_as(machine, "1-02", "failed", "jam")
        assert await machine.attempts(answer) == [("1-02", "failed"), ("1-02", "failed"), ("1-03", "failed")]
        assert await machine.fell() == 0
        await machine.account_balances()
        assert await machine.locked() == {"1-02": "jam", "1-03": "jam"}
        assert await refusal(machine, "1-02") == "aisle_closed"


async def test_a_late_stall_proves_nothing_and_is_reviewed(tmp_path: Path) -> None:
    async with rig(tmp_path, physics=LATE_JAM, seed=2) as machine, machine.running():
        await machine.until_selling()
        await machine.sim.fault(MACHINE, "over_current", "once", board=1, motor=2)
        await machine.sim.fault(MACHINE, "sensor_blind", "on")
        answer = await ends_as(machine, "1-02", "unknown", "nothing_seen")
        assert await machine.attempts(answer) == [("1-02", "unknown")], "no second turn without proof"
        assert await machine.fell() == 1
        await machine.account_balances(in_review=1)


async def test_a_stall_after_a_drop_that_was_seen_is_a_delivery(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        await machine.sim.fault(MACHINE, "over_current", "once", board=1, motor=2)
        await ends_as(machine, "1-02", "delivered")
        assert await machine.fell() == 1
        await machine.account_balances()


async def test_an_open_motor_sells_from_the_twin(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        await machine.sim.fault(MACHINE, "open_motor", "on", board=1, motor=4)
        answer = await ends_as(machine, "1-04", "delivered")
        assert await machine.attempts(answer) == [("1-04", "failed"), ("1-05", "delivered")]
        assert await machine.locked() == {"1-04": "open_motor"}
        await machine.account_balances()


async def test_an_empty_spiral_is_reviewed(tmp_path: Path) -> None:
    """The ledger believes in an item that is not there: the motor turns soundly, and nothing is seen."""
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        await machine.sim.unload(MACHINE, 1, 2, 6)
        await ends_as(machine, "1-02", "unknown", "nothing_seen")
        assert await machine.fell() == 0
        assert await machine.locked() == {"1-02": "nothing_seen"}


async def test_a_blind_sensor_costs_two_reviews_and_then_the_board(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        await machine.sim.fault(MACHINE, "sensor_blind", "on", board=1)
        await ends_as(machine, "1-00", "unknown", "nothing_seen")
        assert await machine.locked() == {"1-00": "nothing_seen"}
        assert "drop_sensor" not in await machine.faults()
        await ends_as(machine, "1-02", "unknown", "nothing_seen")
        assert "drop_sensor" in await machine.faults()
        assert await refusal(machine, "1-04") == "aisle_closed"
        assert (await machine.runs(), await machine.fell()) == (2, 2)
        await machine.account_balances(in_review=2)

        await machine.sim.fault(MACHINE, "sensor_blind", "off", board=1)
        await machine.panel.ask("clear", code="drop_sensor", scope="board-1")
        await ends_as(machine, "1-04", "delivered")
        await machine.account_balances(in_review=2)


@pytest.mark.parametrize("code", ["stopped", "watermark_ahead"])
async def test_nobody_at_the_machine_clears_what_holds_the_whole_machine_back(tmp_path: Path, code: str) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        with pytest.raises(Refused) as refused:
            await machine.panel.ask("clear", code=code, scope="machine")
        assert refused.value.reason == "held_back"


async def test_a_blocked_sensor_is_refused_before_anything_moves(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        await machine.sim.fault(MACHINE, "sensor_blocked", "on", board=1)
        assert await refusal(machine, "1-00") in ("not_selling", "aisle_closed")
        await machine.sim.fault(MACHINE, "sensor_blocked", "off", board=1)

        async def clear() -> bool:
            return "sensor_blocked" not in await machine.faults()

        await machine.until(clear, "the sensor is seen to be clear")
        await ends_as(machine, "1-00", "delivered")
        await machine.account_balances()


async def test_a_board_that_restarts_while_turning_is_reviewed(tmp_path: Path) -> None:
    async with rig(tmp_path, speed=SLOW) as machine, machine.running():
        await machine.until_selling()
        press = asyncio.create_task(machine.press("1-02"))
        await machine.turning()
        await machine.sim.power_cycle(MACHINE)
        answer = await press
        assert answer["state"] == "unknown"
        assert answer["reason"] in ("board_reset", "no_proof"), "whether the start's answer was heard is luck"
        await machine.account_balances(in_review=1)
        await ends_as(machine, "1-04", "delivered")
        await machine.account_balances(in_review=1)


async def test_a_dead_board_is_refused_and_sells_when_it_lives_again(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine:
        await machine.sim.fault(MACHINE, "dead", "on", board=1)
        async with machine.running():

            async def noticed() -> bool:
                return "board_silent" in await machine.faults()

            await machine.until(noticed, "the silence is noticed")
            assert await refusal(machine, "1-00") == "not_selling"
            await machine.sim.fault(MACHINE, "dead", "off", board=1)
            await machine.until_selling()
            assert "board_silent" not in await machine.faults()
            await ends_as(machine, "1-00", "delivered")
            await machine.account_balances()


async def test_a_board_that_dies_between_two_sales_turns_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        await machine.sim.fault(MACHINE, "dead", "on", board=1)
        assert await refusal(machine, "1-00") == "not_selling"
        await machine.account_balances()


async def test_a_cable_pulled_while_turning_costs_only_time(tmp_path: Path) -> None:
    """The board keeps the result of its run until somebody is there to take it."""
    async with rig(tmp_path, speed=SLOW) as machine, machine.running():
        await machine.until_selling()
        press = asyncio.create_task(machine.press("1-02"))
        await machine.turning()
        await machine.sim.unplug(MACHINE)
        await machine.sim.plug(MACHINE)
        assert (await press)["state"] == "delivered"
        assert (await machine.runs(), await machine.fell()) == (1, 1)
        await machine.account_balances()


async def test_an_814e_sells_on_its_motors_word(tmp_path: Path) -> None:
    """That dialect has no known way to switch the drop sensor on, so its owner must say that there is none."""
    config = planogram(drop_sensor=False)
    async with (
        rig(
            tmp_path,
            config=config,
            board={"dialect": "814e"},
            bus='dialect = "814e"\nexpect = "ADH814E"',
        ) as machine,
        machine.running(),
    ):
        await machine.until_selling()
        await ends_as(machine, "1-02", "delivered")
        await machine.sim.fault(MACHINE, "over_current", "once", board=1, motor=4)
        answer = await ends_as(machine, "1-04", "unknown", "motor_fault")
        assert await machine.attempts(answer) == [("1-04", "unknown")]
        await machine.account_balances(in_review=1)


async def test_a_dead_board_does_not_stop_its_neighbour(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=2) as machine, machine.running():

        async def all_up() -> bool:
            return not (await machine.status())["boards_down"]

        await machine.until(all_up, "both boards answer")
        await machine.sim.fault(MACHINE, "dead", "on", board=1)
        for number in range(3):
            await ends_as(machine, f"2-0{number}", "delivered")
        await machine.account_balances()


async def test_a_line_of_9600_baud(tmp_path: Path) -> None:
    line = {"baud": 9600, "only_baud": True}
    async with rig(tmp_path, machine=line, bus="baud = 9600") as machine, machine.running():
        await machine.until_selling()
        await ends_as(machine, "1-00", "delivered")
        await machine.account_balances()


@pytest.mark.parametrize("form", ["14", "ack"])
async def test_other_forms_of_the_poll(tmp_path: Path, form: str) -> None:
    async with rig(tmp_path, board={"poll": form}) as machine, machine.running():
        await machine.until_selling()
        for aisle in ("1-00", "1-03"):
            await ends_as(machine, aisle, "delivered")
        await machine.account_balances()
