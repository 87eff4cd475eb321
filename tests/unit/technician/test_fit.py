"""What fits on a screen: never more lines or columns than there are, and the important first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from edge_agent.technician import fit
from edge_agent.technician.fit import Section


def more(missing: int) -> str:
    return f"+ {missing} more"


def shown(sections: list[Section], columns: int, rows: int) -> list[str]:
    return [line.plain.rstrip() for line in fit.screen(sections, columns, rows, more)]


def section(title: str, *cells: str, vital: int = 1, alone: bool = False) -> Section:
    return Section(title, [Text(cell) for cell in cells], vital=vital, alone=alone)


LETTERS = st.text(alphabet="ab 水阀", min_size=1, max_size=60).filter(str.strip)
SECTIONS = st.lists(
    st.builds(
        Section,
        LETTERS,
        st.lists(LETTERS.map(Text), max_size=30),
        vital=st.integers(0, 5),
        alone=st.booleans(),
        aside=st.sampled_from(("", "Ctrl-C ends")),
    ),
    max_size=6,
)


@given(sections=SECTIONS, columns=st.integers(12, 130), rows=st.integers(1, 50))
def test_nothing_is_ever_larger_than_the_screen(sections: list[Section], columns: int, rows: int) -> None:
    lines = fit.screen(sections, columns, rows, more)
    assert len(lines) <= rows
    assert all(line.cell_len <= columns for line in lines), [line.plain for line in lines]


@given(
    rows=st.integers(0, 60),
    wants=st.lists(st.tuples(st.integers(2, 20), st.integers(0, 20)).map(lambda one: (one[0], sum(one))), max_size=8),
)
def test_the_first_get_first_and_nobody_more_than_wanted(rows: int, wants: list[tuple[int, int]]) -> None:
    given_rows = fit.shares(rows, wants)
    assert sum(given_rows) <= rows
    assert all(share <= most for share, (_, most) in zip(given_rows, wants, strict=True))
    if wants and rows >= fit.LINES_MIN:
        assert given_rows[0] >= min(wants[0][0], rows)
    if sum(most for _, most in wants) <= rows:
        assert given_rows == [most for _, most in wants]


def test_what_is_missing_stands_in_the_heading() -> None:
    aisles = section("Aisles", *(f"A{number} 5" for number in range(1, 10)))
    assert shown([aisles], 24, 10) == [
        "── Aisles ──────────────",
        "A1 5  A2 5  A3 5  A4 5",
        "A5 5  A6 5  A7 5  A8 5",
        "A9 5",
    ]
    assert shown([aisles], 24, 3) == [
        "── Aisles ── + 1 more ──",
        "A1 5  A2 5  A3 5  A4 5",
        "A5 5  A6 5  A7 5  A8 5",
    ]


def test_long_cells_are_folded_where_there_is_room_and_cut_short_where_there_is_none() -> None:
    faults = section("Faults", "leak: look for water below", "jam: look into A1", vital=2, alone=True)
    assert shown([faults], 18, 4)[1:] == ["leak: look for", "water below", "jam: look into A1"]
    assert shown([faults], 18, 3)[1:] == ["leak: look for wa…", "jam: look into A1"]


def test_in_a_row_what_is_vital_is_folded_before_the_rest_is_shown() -> None:
    water = section("Water", "no water: the rental has ended", "TDS 9", "level 3")
    assert shown([water], 20, 3) == ["── Wat…  + 2 more ──", "no water: the rental", "has ended"]


def test_cells_begin_at_the_same_columns_and_a_long_one_takes_several() -> None:
    assert shown([section("x", "one", "two", "three", "four")], 15, 9)[1:] == ["one    two", "three  four"]
    long = section("x", "a" * 30, "b", "c")
    assert shown([long], 60, 9)[1:] == [f"{'a' * 30:<52}b", "c"]


def test_wide_characters_count_twice() -> None:
    assert shown([section("水", "温度 正常", "门 关")], 22, 9) == ["── 水 ────────────────", "温度 正常  门 关"]


@pytest.mark.parametrize(
    ("rows", "titles"),
    [(2, ["a"]), (3, ["a"]), (4, ["a", "b"]), (6, ["a", "b", "c"])],
)
def test_the_last_are_left_out_first(rows: int, titles: list[str]) -> None:
    sections = [section(title, *"12345", alone=True) for title in "abc"]
    assert [line[3] for line in shown(sections, 30, rows) if line.startswith("──")] == titles
