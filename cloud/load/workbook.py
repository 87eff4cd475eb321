"""An XLSX workbook with a sheet per noun.

A workbook is a zip of XML. What it unpacks to is added up before anything is unpacked, and zlib gives no more than the
directory says, so a bomb is refused for the price of its directory; entities are refused by the parser (defusedxml).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import openpyxl
import xlsxwriter
from openpyxl.xml import DEFUSEDXML

from cloud.load.book import BadBook, Line, Sheet
from cloud.load.cells import guarded, unguarded
from cloud.load.columns import Column
from cloud.load.csv_folder import checked_header
from cloud.load.limits import CELL_CHARS_MAX, LINES_MAX, UNPACKED_BYTES_MAX, ZIP_MEMBERS_MAX

assert DEFUSEDXML, "openpyxl uses defusedxml where it is installed, and it is one of our dependencies"

# A sheet of a workbook has this many rows, and not one more.
ROWS_MAX = 1_048_576
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_WIDTH_MIN, _WIDTH_MAX = 10, 40


def read(path: Path) -> Iterator[Sheet]:
    """The sheets of a workbook. Formulas count as what they showed when it was saved. Raises BadBook."""
    _check_size(path)
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
        try:
            for sheet in book.worksheets:
                sheet.reset_dimensions()  # a file may lie about them
                yield _sheet(path, sheet.title, sheet.iter_rows(values_only=True))
        finally:
            book.close()
    except BadBook:
        raise
    # A broken workbook breaks openpyxl wherever it happens to look: any error of its is one of the file.
    except Exception as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise BadBook(f"is no workbook that can be read: {reason}", file=str(path)) from error


def _check_size(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as zipped:
            members = zipped.infolist()
    except (zipfile.BadZipFile, ValueError) as error:
        raise BadBook(f"is no XLSX workbook: {error}", file=str(path)) from error
    if len(members) > ZIP_MEMBERS_MAX:
        raise BadBook(f"holds {len(members)} parts, expected at most {ZIP_MEMBERS_MAX}", file=str(path))
    unpacked = sum(member.file_size for member in members)
    if unpacked > UNPACKED_BYTES_MAX:
        raise BadBook(f"unpacks to {unpacked} bytes, expected at most {UNPACKED_BYTES_MAX}", file=str(path))


def _sheet(path: Path, title: str, rows: Iterable[Sequence[Any]]) -> Sheet:
    where = f"{path} [{title}]"
    rows = iter(rows)
    first = list(next(rows, ()))
    while first and first[-1] is None:
        first.pop()
    header = tuple(_text(name).strip() if name is not None else "" for name in first)
    sheet = Sheet(str(path), title, header=checked_header(header, where))
    for number, row in enumerate(rows, 2):
        if number > ROWS_MAX:
            raise BadBook(f"has more than {ROWS_MAX} rows", file=where)
        if all(cell is None for cell in row):
            continue
        if len(sheet.lines) >= LINES_MAX:
            raise BadBook(f"has more than {LINES_MAX} lines", file=where)
        if any(cell is not None for cell in row[len(header) :]):
            raise BadBook(f"row {number} has cells beyond the last column", file=where)
        cells = dict.fromkeys(header, "")
        cells.update({name: _value(cell) for name, cell in zip(header, row, strict=False) if cell is not None})
        sheet.lines.append(Line(number, cells))
    return sheet


def _value(cell: Any) -> Any:
    return unguarded(_text(cell)) if isinstance(cell, str) else cell


def _text(cell: Any) -> str:
    """A cell's text: characters that XML cannot hold, and what looks like such an escape, are written as _xHHHH_."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), str(cell))


class Writer:
    """Writes sheets one after another, row by row, into a new file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Nothing of what is written is to be taken for a formula, a link or a number.
        plain = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
        self._book = xlsxwriter.Workbook(str(path), {"constant_memory": True, **plain})
        self._bold = self._book.add_format({"bold": True})

    def write(self, name: str, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> None:
        """Write one sheet. Each column's note tells what it holds, in Chinese and English."""
        sheet = self._book.add_worksheet(name)
        sheet.freeze_panes(1, 0)
        for position, column in enumerate(columns):
            width = min(max(len(column.name) + 2, _WIDTH_MIN), _WIDTH_MAX)
            sheet.set_column(position, position, width)
            sheet.write_string(0, position, column.name, self._bold)
            sheet.write_comment(0, position, f"{column.title}\n{column.says}", {"x_scale": 2})
        for number, row in enumerate(rows, 1):
            if number >= ROWS_MAX:
                raise BadBook(f"sheet {name} has more rows than a workbook holds: write CSV", file=str(self._path))
            for position, value in enumerate(row):
                if isinstance(value, str):
                    self._text(sheet, number, position, value)
                elif isinstance(value, bool):
                    sheet.write_boolean(number, position, value)
                elif value is not None:
                    sheet.write_number(number, position, value)

    def _text(self, sheet: Any, row: int, column: int, value: str) -> None:
        cell = guarded(value)
        if len(cell) > CELL_CHARS_MAX:
            raise BadBook(f"a text of {len(cell)} characters fits into no cell: write CSV", file=str(self._path))
        sheet.write_string(row, column, cell)

    def close(self) -> None:
        """Finish the file."""
        self._book.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
