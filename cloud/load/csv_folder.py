"""A folder of CSV files, one per noun: UTF-8 with a mark at the front, as Excel in China writes and expects it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cloud.load.book import BadBook, Line, Sheet
from cloud.load.cells import guarded, unguarded
from cloud.load.limits import COLUMNS_MAX

_SUFFIX = ".csv"


def read(path: Path) -> Iterator[Sheet]:
    """The sheets of a folder, or the one of a single CSV file. Raises BadBook."""
    files = [path] if path.is_file() else sorted(one for one in path.iterdir() if one.suffix.lower() == _SUFFIX)
    if not files:
        raise BadBook("no CSV file is in this folder", file=str(path))
    for file in files:
        yield _sheet(file)


def write(path: Path, name: str, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write one sheet into the folder; None is an empty cell."""
    with (path / f"{name}{_SUFFIX}").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return guarded(value)
    return str(value).lower() if isinstance(value, bool) else value


def _sheet(file: Path) -> Sheet:
    rows = csv.reader(io.StringIO(_text(file), newline=""), strict=True)
    sheet = Sheet(str(file), file.stem)
    try:
        header = tuple(name.strip() for name in next(rows, ()))
        sheet.header = checked_header(header, str(file))
        for number, row in enumerate(rows, 2):
            if len(row) > len(header) and any(row[len(header) :]):
                raise BadBook(f"row {number} has {len(row)} cells under {len(header)} columns", file=str(file))
            if any(row):
                cells = {name: unguarded(cell) for name, cell in zip(header, row, strict=False)}
                sheet.lines.append(Line(number, cells))
    except csv.Error as error:
        raise BadBook(f"line {rows.line_num}: {error}", file=str(file)) from error
    return sheet


def checked_header(header: tuple[str, ...], file: str) -> tuple[str, ...]:
    """The names of a table's columns, if they can be told apart."""
    if len(header) > COLUMNS_MAX:
        raise BadBook(f"{len(header)} columns, expected at most {COLUMNS_MAX}", file=file)
    for position, name in enumerate(header):
        if not name:
            raise BadBook(f"column {position + 1} has no name", file=file)
        if name in header[:position]:
            raise BadBook(f"two columns are called {name!r}", file=file)
    return header


def _text(file: Path) -> str:
    raw = file.read_bytes()
    for encoding in ("utf-8-sig", "gb18030"):  # the second is what older Excel in China saves
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise BadBook("is neither UTF-8 nor GB 18030 text", file=str(file))
