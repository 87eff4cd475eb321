"""The truth: whatever goes wrong, no product is made or lost, and a run never turns out two."""

from __future__ import annotations

import random

import pytest

from firmware_sim.boards.crc16 import crc16
from firmware_sim.faults import BOARD_FAULTS
from firmware_sim.testbench import Host
from firmware_sim.truth import runs, truth
from tests.unit.firmware_sim.bench import BUSY, IDLE, host, poll, run

# Ten times what the preset does: every fault strikes in every story.
WILD = {kind: min(0.3, fault.rate * 10) for kind, fault in BOARD_FAULTS.items()}


def hectic(seed: int) -> Host:
    """A host without manners at a machine where everything fails, and a person who loads and unloads meanwhile."""
    one = host(seed=seed, board=[{"address": 1}, {"address": 2, "poll": "14"}])
    one.machine.set_rates(WILD)
    rng = random.Random(seed)
    for _ in range(120):
        board, motor = rng.choice((1, 2)), rng.randrange(12)
        body = bytes(
            [board, *rng.choice(([0x05, motor], [0x05, motor], [0x03], [0x06], [0x07, motor, 9], [0x21, 0x80, 0]))]
        )
        one.exchange(body + crc16(body), rng.choice((50, 400, 4_000)))
        spiral = one.machine.spiral(board, min(motor, 9))
        if rng.random() < 0.1 and spiral.remaining < spiral.capacity:
            spiral.load(1)
        if rng.random() < 0.1 and spiral.remaining:
            spiral.unload(1)
    one.machine.mend()
    one.wait(10_000)
    return one


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_products_reconcile_under_every_fault(first: int) -> None:
    struck = dict.fromkeys(BOARD_FAULTS, 0)
    for seed in range(first, first + 20):
        one = hectic(seed)
        told = truth(one.machine)
        for board in told["boards"].values():
            for motor in board["motors"].values():
                came_and_went = motor["opening"] + motor["loaded"] - motor["removed"] - motor["fell"]
                assert came_and_went == motor["remaining"] >= 0, f"seed {seed}"
                assert motor["fell"] <= motor["runs_accepted"], f"seed {seed}: two products in one run"
        totals = told["totals"]
        assert totals["fell"] == sum(one_run.fell for one_run in one.machine.runs)
        assert totals["opening"] == 2 * 10 * 8
        for kind in struck:
            struck[kind] += told["struck"][kind]
    assert all(struck.values()), f"not every fault was tried: {struck}"


def test_a_healthy_machine_tells_the_host_the_truth() -> None:
    one = host()
    for seed in range(80):
        motor = random.Random(seed).randrange(10)
        before = one.machine.spiral(1, motor).fell
        result = run(one, motor).result
        assert one.machine.spiral(1, motor).fell - before == (result == 0)


def test_the_run_log_says_what_happened() -> None:
    one = host()
    run(one, 3)
    one.ask(1, 0x07, 4, 5)
    logged = runs(one.machine)
    assert logged[0] | {"start_ms": 0, "end_ms": 0} == {
        "board": 1, "motor": 3, "partner": None, "start_ms": 0, "end_ms": 0, "fell": True, "cut": False,
    }  # fmt: skip
    assert 2_700 <= logged[0]["end_ms"] - logged[0]["start_ms"] <= 3_300
    assert (logged[1]["motor"], logged[1]["partner"], logged[1]["end_ms"]) == (4, 5, None)


def test_a_double_aisle_turns_two_wheels_and_one_product_falls() -> None:
    one = host()
    one.ask(1, 0x07, 4, 5)
    assert one.ask(1, 0x05, 6)[2] == BUSY
    one.wait(8_000)
    finished = poll(one)
    assert (finished.motor, finished.result) == (4, 0)
    assert finished.max_ma > 800, "two motors draw the current of two"
    four, five = one.machine.spiral(1, 4), one.machine.spiral(1, 5)
    assert (four.fell, five.fell) == (1, 0)
    assert (four.runs_accepted, five.runs_accepted) == (1, 1)
    assert (four.angle, five.angle) == (0, 0)


@pytest.mark.parametrize("failing", [4, 5])
def test_a_double_aisle_fails_with_either_motor(failing: int) -> None:
    one = host()
    one.machine.fault("open_motor", "on", board=1, motor=failing)
    one.ask(1, 0x15, 4, 5)
    one.wait(8_000)
    failed = poll(one)
    assert (failed.result, failed.run_100ms) == (2 | 4, 2), "the good motor stops with the bad one"
    assert one.machine.spiral(1, 4).fell == 0
    one.machine.fault("open_motor", "off")
    one.ask(1, 0x06)
    one.ask(1, 0x15, 4, 5)
    one.wait(8_000)
    assert poll(one).result == 0


def test_a_product_taken_out_while_the_motor_turns_does_not_fall() -> None:
    one = host(board=[{"stock": 1}])
    one.ask(1, 0x05, 3)
    one.machine.spiral(1, 3).unload(1)
    one.wait(8_000)
    assert poll(one).result == 4
    assert one.machine.spiral(1, 3).remaining == 0


def test_a_power_cycle_in_the_fall_does_not_put_the_product_back() -> None:
    one = host()
    one.ask(1, 0x05, 3)
    while not one.machine.spiral(1, 3).fell:
        one.wait(10)
    one.machine.power_cycle()
    one.wait(1_500)
    assert poll(one)[:3] == (IDLE, 0, 0)
    assert one.machine.spiral(1, 3).fell == 1


def test_current_limits_written_to_the_board_change_what_a_jam_looks_like() -> None:
    one = host()
    one.ask(1, 0x31, 0x07, 0xD0, 0x00, 0x14)
    one.machine.fault("jam", "once", board=1, motor=3)
    assert run(one, 3).result == 3 | 4, "at 2000 mA the stalled motor is no over-current"


def test_temperature_and_door_reach_the_boards() -> None:
    one = host(celsius=8)
    assert poll(one).celsius == 8
    one.machine.set_temperature(-40)
    assert poll(one).celsius == -40
    one.machine.set_temperature(30)
    assert poll(one).celsius == 30
    one.ask(1, 0x04, 1, 0, 5)
    one.wait(10 * 3_600_000)
    assert poll(one).celsius == 5
    one.machine.set_door(True)
    one.wait(3_600_000)
    assert poll(one).celsius == 25


def test_places_that_do_not_exist_are_named() -> None:
    machine = host().machine
    with pytest.raises(ValueError, match=r"board = 2, expected one of \[1\]"):
        machine.spiral(2, 0)
    with pytest.raises(ValueError, match="motor = 10, expected one of board 1: 0 to 9"):
        machine.spiral(1, 10)
    with pytest.raises(ValueError, match="motor = 3 without a board"):
        machine.fault("jam", "on", motor=3)
