"""Choice of aisle, twins, retries and lock-out."""

import pytest

from edge_agent.vend.aisles import MINIMUM_VEND_MS, NoAisle, Shelf, choose, choose_again, closing_reason, stall_proof_ms
from shared.messages import AisleConfig, BoardResult, MachineConfig


def aisle(name: str, motor: int, goods: str = "cola", *, board: int = 1, for_sale: bool = True) -> AisleConfig:
    return AisleConfig(aisle=name, board=board, motor=motor, goods=goods, price_fen=350, capacity=8, for_sale=for_sale)


A, B, C, TEA = aisle("A1", 1), aisle("A2", 2), aisle("B1", 1, board=2), aisle("T1", 9, "tea")


def shelf(available: dict[str, int], *, closed: tuple[str, ...] = (), down: tuple[int, ...] = ()) -> Shelf:
    config = MachineConfig(machine="m1", version=1, aisles=(A, B, C, TEA))
    return Shelf(config=config, available=available, closed=closed, boards_down=down)


def test_the_asked_aisle_goes_first_even_when_a_twin_is_fuller() -> None:
    assert choose(shelf({"A1": 1, "A2": 7}), "A1", "cola") == A


@pytest.mark.parametrize(
    ("available", "closed", "down", "chosen"),
    [
        ({"A2": 2, "B1": 5}, (), (), C),  # A1 is empty: its fullest twin
        ({"A1": 3, "A2": 2, "B1": 5}, ("A1", "B1"), (), B),
        ({"A1": 3, "B1": 5}, (), (1,), C),
    ],
)
def test_a_twin_replaces_an_aisle_that_cannot(
    available: dict[str, int], closed: tuple[str, ...], down: tuple[int, ...], chosen: AisleConfig
) -> None:
    assert choose(shelf(available, closed=closed, down=down), "A1", "cola") == chosen


@pytest.mark.parametrize(
    ("asked", "goods", "words"),
    [("A1", "cola", "A1 is empty"), ("Z9", "cola", "does not hold"), ("T1", "cola", "does not hold")],
)
def test_no_aisle_says_why(asked: str, goods: str, words: str) -> None:
    answer = choose(shelf({}), asked, goods)
    assert isinstance(answer, NoAisle)
    assert words in answer.detail


def test_a_jam_is_tried_once_more_then_on_twins_then_given_up() -> None:
    stocked = shelf({"A1": 3, "A2": 3, "B1": 4})
    assert choose_again(stocked, A, "jam", ["A1"]) == A
    assert choose_again(stocked, A, "jam", ["A1", "A1"]) == C
    assert choose_again(stocked, C, "jam", ["A1", "A1", "B1"]) is None


def test_an_open_motor_is_not_tried_again_but_its_twin_is() -> None:
    assert choose_again(shelf({"A1": 3, "A2": 3}), A, "open_motor", ["A1"]) == B
    assert choose_again(shelf({"A1": 3}), A, "open_motor", ["A1"]) is None


def test_a_board_that_refuses_or_never_began_is_not_tried_again() -> None:
    stocked = shelf({"A1": 3, "A2": 3, "B1": 4})
    assert choose_again(stocked, A, "refused", ["A1"]) is None
    assert choose_again(stocked, A, "never_began", ["A1"]) is None


@pytest.mark.parametrize(
    ("fail", "unknown", "reason"),
    [
        ("jam", None, "jam"),
        ("open_motor", None, "open_motor"),
        ("late_grant", None, None),
        (None, "nothing_seen", "nothing_seen"),
        (None, "board_reset", None),
        (None, "board_silent", None),
        (None, "motor_fault", "motor_fault"),
    ],
)
def test_only_what_speaks_of_the_spiral_closes_an_aisle(fail: str, unknown: str, reason: str | None) -> None:
    assert closing_reason(fail, unknown) == reason  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("history", "proof"),
    [
        ([], MINIMUM_VEND_MS),
        ([("ok", 3000)], 1500),
        ([("ok", 2800), ("ok", 3000), ("ok", 9000)], 1500),  # the median
        ([("ok", 1000)], MINIMUM_VEND_MS),
        ([("over_current", 700), ("ok", 3000)], 800),  # what was wound already is taken off
        ([("over_current", 700), ("over_current", 900), ("ok", 3000)], 0),
        ([("over_current", 700)], MINIMUM_VEND_MS - 700),
        ([(None, 0), ("ok", 3000)], None),  # nobody knows where the spiral stands
        ([("open", 200), (None, 0), ("ok", 3000)], None),
        ([("ok", 3000), (None, 0)], 1500),  # a good run ends at home
    ],
)
def test_a_stall_proves_something_only_before_the_spiral_can_open(
    history: list[tuple[BoardResult | None, int]], proof: int | None
) -> None:
    assert stall_proof_ms(history) == proof
