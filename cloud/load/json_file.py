"""A JSON file: an object of nouns, each with an array of lines. A line is known by its place in the array."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import msgspec

from cloud.load.book import BadBook, Line, Sheet

_Content = dict[str, list[dict[str, Any]] | str]


def read(path: Path) -> Iterator[Sheet]:
    """The sheets of a file; a text beside them (`$schema`) is no sheet. Raises BadBook."""
    try:
        content = msgspec.json.decode(path.read_bytes(), type=_Content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadBook(str(error) or "is nested too deeply", file=str(path)) from error
    for name, lines in content.items():
        if not isinstance(lines, str):
            yield Sheet(str(path), name, [Line(number, cells) for number, cells in enumerate(lines, 1)])


class Writer:
    """Writes sheets one after another."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._between = "{\n"

    def write(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write one sheet, a line per line."""
        self._file.write(f'{self._between}"{name}": [')
        between = "\n"
        for row in rows:
            self._file.write(between + msgspec.json.encode(row).decode())
            between = ",\n"
        self._file.write("\n]")
        self._between = ",\n"

    def close(self) -> None:
        """End the object."""
        self._file.write("{}\n" if self._between == "{\n" else "\n}\n")
