"""Wheels, products and air: what a run does to the world, whatever goes wrong in it."""

from __future__ import annotations

import random

import pytest

from firmware_sim.physics import (
    FULL_TURN,
    HOUR_MS,
    Air,
    CurrentLimits,
    Physics,
    Spiral,
    Trouble,
    plan_turn,
)

PHYSICS = Physics()
LIMITS = CurrentLimits()
SEEDS = range(300)
TROUBLES: tuple[Trouble, ...] = ("jam", "over_current", "open_motor", "no_stop")


def angles() -> range:
    return range(0, FULL_TURN, 37)


@pytest.mark.parametrize("angle", angles())
def test_a_healthy_run_ends_at_home_and_turns_out_one_product(angle: int) -> None:
    for seed in SEEDS:
        turn = plan_turn(0, angle, PHYSICS, LIMITS, None, random.Random(seed))
        assert turn.fault is None
        assert turn.angle_at(turn.duration_ms) == 0
        assert turn.drop_after_ms is not None
        assert 0 < turn.drop_after_ms < turn.duration_ms < PHYSICS.stop_timeout_ms
        assert turn.avg_ma < turn.max_ma < LIMITS.over_ma


def test_a_wheel_past_its_drop_goes_on_to_the_next_home() -> None:
    rng = random.Random(1)
    whole = plan_turn(0, 0, PHYSICS, LIMITS, None, rng)
    rest = plan_turn(0, PHYSICS.drop_angle + 1, PHYSICS, LIMITS, None, rng)
    assert rest.end_angle == 2 * FULL_TURN
    assert rest.duration_ms > whole.duration_ms * 9 // 10


def test_half_a_turn_is_finished_by_the_next_run() -> None:
    rest = plan_turn(0, 600, PHYSICS, LIMITS, None, random.Random(1))
    assert rest.end_angle == FULL_TURN
    assert rest.duration_ms < PHYSICS.turn_ms // 2


@pytest.mark.parametrize("angle", angles())
@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_drops_at_most_one_product(trouble: Trouble, angle: int) -> None:
    """The wheel never passes the drop angle twice, and a planned drop is one that the wheel really reaches."""
    for seed in SEEDS:
        turn = plan_turn(0, angle, PHYSICS, LIMITS, trouble, random.Random(seed))
        drop = PHYSICS.drop_angle if angle < PHYSICS.drop_angle else FULL_TURN + PHYSICS.drop_angle
        assert angle <= turn.end_angle < drop + FULL_TURN
        assert (turn.drop_after_ms is not None) == (turn.end_angle >= drop)
        if turn.drop_after_ms is not None:
            assert turn.drop_after_ms <= turn.duration_ms


def test_each_trouble_shows_as_its_own_fault() -> None:
    seen: dict[str, set[tuple[object, bool]]] = {trouble: set() for trouble in TROUBLES}
    for trouble in TROUBLES:
        for seed in SEEDS:
            turn = plan_turn(0, 0, PHYSICS, LIMITS, trouble, random.Random(seed))
            seen[trouble].add((turn.fault, turn.drop_after_ms is not None))
    assert seen == {
        "jam": {("over_current", False)},
        "over_current": {("over_current", True)},
        "open_motor": {("open", False)},
        "no_stop": {("no_stop_signal", False), ("no_stop_signal", True)},
    }


def test_a_stall_below_the_board_s_limit_ends_by_time() -> None:
    turn = plan_turn(0, 0, PHYSICS, CurrentLimits(over_ma=2000), "jam", random.Random(1))
    assert (turn.fault, turn.duration_ms) == ("no_stop_signal", PHYSICS.stop_timeout_ms)
    assert turn.max_ma == PHYSICS.stall_ma


def test_an_open_circuit_moves_nothing_and_draws_nothing() -> None:
    turn = plan_turn(0, 123, PHYSICS, LIMITS, "open_motor", random.Random(1))
    assert turn.angle_at(turn.duration_ms) == 123
    assert turn.max_ma < LIMITS.open_ma


def test_power_cut_before_the_drop_leaves_the_wheel_before_it_and_after_it_behind() -> None:
    turn = plan_turn(0, 0, PHYSICS, LIMITS, None, random.Random(1))
    assert turn.drop_after_ms is not None
    assert turn.angle_at(turn.drop_after_ms - 1) < PHYSICS.drop_angle <= turn.angle_at(turn.drop_after_ms)


def test_hands_and_gravity_keep_the_account() -> None:
    spiral = Spiral(capacity=10, opening=2)
    spiral.load(8)
    with pytest.raises(ValueError, match="expected 1 to 0"):
        spiral.load(1)
    spiral.unload(9)
    assert spiral.tip()
    assert not spiral.tip(), "an empty spiral turns for nothing"
    with pytest.raises(ValueError, match="quantity = 1"):
        spiral.unload(1)
    assert (spiral.loaded, spiral.removed, spiral.fell, spiral.remaining) == (8, 9, 1, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"turn_ms": 0}, "turn_ms = 0"),
        ({"drop_angle": 1000}, "drop_angle = 1000"),
        ({"turn_spread_ms": 3000}, "turn_spread_ms = 3000"),
        ({"stop_timeout_ms": 3000}, "stop_timeout_ms = 3000"),
        ({"fall_ms": 900}, "fall_ms = 900"),
    ],
)
def test_impossible_mechanics_are_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Physics(**change)


def test_air_is_cooled_heated_and_left_alone() -> None:
    air = Air(25.0)
    air.regulate(0, "cool", 8)
    assert 17 <= air.probe_c(HOUR_MS) <= 19, "seven degrees an hour"
    assert air.probe_c(10 * HOUR_MS) == 8
    air.regulate(10 * HOUR_MS, "ambient", 0)
    assert air.probe_c(11 * HOUR_MS) == 10, "two degrees an hour"
    assert air.probe_c(40 * HOUR_MS) == 25
    air.regulate(40 * HOUR_MS, "heat", 55)
    assert air.probe_c(50 * HOUR_MS) == 55


def test_an_open_door_warms_the_cabinet_faster_than_a_shut_one() -> None:
    shut, opened = Air(8.0), Air(8.0)
    opened.open_door(0, True)
    assert shut.probe_c(HOUR_MS // 12) == 8
    assert opened.probe_c(HOUR_MS // 12) > 15


def test_a_broken_probe_says_so_until_it_is_mended() -> None:
    air = Air(8.0)
    for broken in (-40, 120):
        air.force(0, broken)
        assert air.probe_c(HOUR_MS) == broken
    air.force(HOUR_MS, 9)
    assert air.probe_c(HOUR_MS) == 9
