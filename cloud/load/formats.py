"""The four forms of a book, told apart by name: .yaml, .json, .xlsx, and a folder of .csv (or one such file)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from cloud.load import csv_folder, json_file, workbook, yaml_file
from cloud.load.book import BadBook, Book
from cloud.load.columns import Column, Row
from cloud.load.limits import FILE_BYTES_MAX, LINES_MAX

_READERS = {
    ".yaml": yaml_file.read,
    ".yml": yaml_file.read,
    ".json": json_file.read,
    ".xlsx": workbook.read,
    ".csv": csv_folder.read,
}

# Writes one sheet: its name, its columns, its lines.
WriteSheet = Callable[[str, Sequence[Column], Sequence[Row]], None]


def read_book(path: Path) -> Book:
    """Everything that a file or folder holds. Raises BadBook, and OSError when it is not there."""
    suffix = ".csv" if path.is_dir() else path.suffix.lower()
    if suffix not in _READERS:
        raise BadBook(
            f"expected a folder of CSV files, or a file ending in one of {', '.join(_READERS)}", file=str(path)
        )
    size = sum(one.stat().st_size for one in path.iterdir()) if path.is_dir() else path.stat().st_size
    if size > FILE_BYTES_MAX:
        raise BadBook(f"{size} bytes are more than the {FILE_BYTES_MAX} that are read at once", file=str(path))
    book = Book(path.name or str(path))
    lines = 0
    for sheet in _READERS[suffix](path):
        lines += len(sheet.lines)
        if lines > LINES_MAX:
            raise BadBook(f"has more than {LINES_MAX} lines: cut it", file=str(path))
        # '#' begins a remark, for sheets as for columns.
        if not sheet.name.startswith("#"):
            book.sheets.append(sheet)
    return book


@contextmanager
def write_book(path: Path | None) -> Iterator[WriteSheet]:
    """Write a book in the form that its name tells (a name without an ending: a folder; None: YAML to the console).

    A file appears whole or not at all.
    """
    if path is None:
        yield _yaml_into(sys.stdout)
        return
    suffix = path.suffix.lower()
    if suffix == "":
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield lambda name, columns, rows: csv_folder.write(path, name, [c.name for c in columns], _cells(columns, rows))
        return
    if suffix not in _WRITERS:
        raise BadBook(f"expected a name ending in {', '.join(_WRITERS)}, or without an ending for CSV", file=str(path))
    partial = path.with_name(f".{path.name}.part")
    try:
        with _WRITERS[suffix](partial) as write:
            yield write
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _yaml(partial: Path) -> Iterator[WriteSheet]:
    with partial.open("w", encoding="utf-8") as file:
        yield _yaml_into(file)


def _yaml_into(file: TextIO) -> WriteSheet:
    return lambda name, columns, rows: yaml_file.write(file, name, (_values(columns, row) for row in rows))


@contextmanager
def _json(partial: Path) -> Iterator[WriteSheet]:
    with partial.open("w", encoding="utf-8") as file:
        writer = json_file.Writer(file)
        yield lambda name, columns, rows: writer.write(name, (_values(columns, row) for row in rows))
        writer.close()


@contextmanager
def _xlsx(partial: Path) -> Iterator[WriteSheet]:
    with workbook.Writer(partial) as writer:
        yield lambda name, columns, rows: writer.write(name, columns, _cells(columns, rows))


_WRITERS = {".yaml": _yaml, ".yml": _yaml, ".json": _json, ".xlsx": _xlsx}


def _cells(columns: Sequence[Column], rows: Sequence[Row]) -> Iterator[list[Any]]:
    return ([column.cell(getattr(row, column.name)) for column in columns] for row in rows)


def _values(columns: Sequence[Column], row: Row) -> dict[str, Any]:
    return {column.name: column.value(getattr(row, column.name)) for column in columns}
