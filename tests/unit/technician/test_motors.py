"""A motor among its neighbours."""

from __future__ import annotations

from typing import Any

import pytest

from edge_agent.technician.motors import is_fine, oddities


def run(aisle: str, current: int = 300, ms: int = 3000, board: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "aisle": aisle,
        "board": board,
        "result": "ok",
        "outcome": "delivered",
        "avg_current_ma": current,
        "run_time_ms": ms,
        **more,
    }


def test_a_motor_that_stands_out_is_named() -> None:
    runs = [run("A1"), run("A2"), run("A3"), run("A4", current=500), run("A5", current=100), run("A6", ms=5000)]
    assert oddities([*runs, run("A7", ms=1000)]) == {"A4": ["heavy"], "A5": ["light"], "A6": ["slow"], "A7": ["quick"]}


def test_boards_are_not_compared_with_each_other() -> None:
    runs = [run(f"A{n}") for n in range(3)] + [run(f"B{n}", current=900, board=2) for n in range(3)]
    assert oddities(runs) == {}


def test_too_few_good_runs_make_no_median() -> None:
    assert oddities([run("A1"), run("A2", current=900), run("A3", result="over_current")]) == {}


@pytest.mark.parametrize(
    ("more", "fine"),
    [
        ({}, True),
        ({"outcome": "unknown"}, False),
        ({"result": "no_stop_signal"}, False),
        ({"outcome": "unknown", "on_hand": 0}, True),
        ({"outcome": "failed", "result": "over_current", "on_hand": 0}, False),
    ],
)
def test_what_a_run_should_show(more: dict[str, Any], fine: bool) -> None:
    assert is_fine(run("A1", **more)) is fine
