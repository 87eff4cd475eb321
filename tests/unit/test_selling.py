"""Temperature bands and the rule that decides whether the machine may sell."""

from dataclasses import replace

import pytest

from edge_agent.selling import Band, Condition, next_band, not_selling_because, stopped_because


@pytest.mark.parametrize(
    ("band", "tenths", "after"),
    [
        ("normal", 80, "normal"),
        ("normal", 81, "warm"),
        ("warm", 75, "warm"),  # inside the hysteresis
        ("warm", 70, "normal"),
        ("normal", 19, "cold"),
        ("cold", 29, "cold"),
        ("cold", 30, "normal"),
        ("normal", None, "sensor_fault"),
        ("sensor_fault", 50, "normal"),
        ("cold", 120, "warm"),
    ],
)
def test_bands(band: Band, tenths: int | None, after: Band) -> None:
    assert next_band(band, tenths, low=20, high=80) == after


def test_without_limits_even_a_missing_probe_is_normal() -> None:
    assert next_band("normal", None, None, None) == "normal"


FINE = Condition(
    has_config=True,
    door_open=False,
    band="normal",
    disk_problem=None,
    ledger_damaged=False,
    stopped_by=None,
    boards_up=1,
    recovering=False,
)


def test_a_sound_machine_sells() -> None:
    assert not_selling_because(FINE) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"has_config": False}, "no configuration"),
        ({"door_open": True}, "door"),
        ({"band": "warm"}, "warm"),
        ({"band": "sensor_fault"}, "sensor_fault"),
        ({"disk_problem": "12 kB free"}, "12 kB free"),
        ({"ledger_damaged": True}, "damaged"),
        ({"stopped_by": "cleaning"}, "cleaning"),
        ({"boards_up": 0}, "no aisle board"),
        ({"recovering": True}, "left open"),
    ],
)
def test_each_condition_stops_the_sale_and_says_so(change: dict[str, object], words: str) -> None:
    assert words in (not_selling_because(replace(FINE, **change)) or "")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("boards_up", "water", "words"),
    [
        (None, "", None),  # a purifier alone, and it gives water
        (None, "leak", "leak"),
        (0, "", None),  # the boards are silent, the water runs
        (1, "leak", None),
        (0, "leak", "no aisle board answers; leak"),
    ],
)
def test_a_machine_sells_while_one_of_its_parts_does(boards_up: int | None, water: str, words: str | None) -> None:
    assert not_selling_because(replace(FINE, boards_up=boards_up, water=water)) == words


def test_what_stops_the_whole_machine_is_none_of_its_parts() -> None:
    assert stopped_because(replace(FINE, boards_up=0, water="leak")) is None
    assert "door" in (stopped_because(replace(FINE, door_open=True)) or "")
