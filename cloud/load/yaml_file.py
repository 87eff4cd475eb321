"""A YAML file: nouns, each with a list of lines.

Plain scalars stay text, as in a table: the column's type decides what they are. So 00001 keeps its zeros, and a shop
called `no` is no boolean. Inside a nested value, whose parts have no columns, plain numbers and booleans are what they
look like. An empty scalar, `~` or `null` without quotes is nothing. Anchors and aliases, which a short file could grow
with, are refused. A line is known by where it begins in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import yaml

from cloud.load.book import BadBook, Line, Sheet
from cloud.load.limits import DEPTH_MAX

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_NOTHING = ("", "~", "null", "Null", "NULL")
# Where a column's own value stands: document, sheet, line, column.
_CELL_DEPTH = 3
# A number without zeros at its front, as YAML 1.1 has it; at most as long as the longest that a float can be.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,308})(\.[0-9]{1,330}([eE][-+][0-9]{1,3})?)?")
# Lines of one piece: the emitter works on nodes in memory.
_LINES_AT_ONCE = 1_000


def read(path: Path) -> Iterator[Sheet]:
    """The sheets of a file. Raises BadBook."""
    with path.open("rb") as file:
        try:
            yield from _Events(yaml.parse(file, Loader=_Loader), str(path)).sheets()
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise BadBook(" ".join(str(error).split()), file=str(path)) from error


def write(file: TextIO, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one sheet."""
    file.write(f"{name}:\n")
    some: list[Mapping[str, Any]] = []
    for row in rows:
        some.append(row)
        if len(some) == _LINES_AT_ONCE:
            _write(file, some)
            some = []
    _write(file, some)


def _write(file: TextIO, rows: list[Mapping[str, Any]]) -> None:
    if rows:
        yaml.dump(rows, file, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=10_000)


class _Events:
    """The parser's events, turned into plain values. Nothing is recursive deeper than DEPTH_MAX."""

    def __init__(self, events: Iterator[yaml.Event], file: str) -> None:
        self._events = events
        self._file = file

    def sheets(self) -> Iterator[Sheet]:
        """The whole document: a mapping of nouns to lists of mappings."""
        self._next()  # the stream begins
        first = self._next()
        if isinstance(first, yaml.StreamEndEvent):
            raise BadBook("is empty", file=self._file)
        self._expect(self._next(), yaml.MappingStartEvent, "a mapping of nouns to lists of lines")
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            name = self._name(event)
            yield Sheet(self._file, name, list(self._lines()))
        self._next()  # the document ends
        if not isinstance(self._next(), yaml.StreamEndEvent):
            raise BadBook("holds several documents, expected one", file=self._file)

    def _lines(self) -> Iterator[Line]:
        event = self._next()
        if isinstance(event, yaml.ScalarEvent) and self._scalar(event) is None:
            return
        self._expect(event, yaml.SequenceStartEvent, "a list of lines")
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            self._expect(event, yaml.MappingStartEvent, "a line: a mapping of columns to values")
            yield Line(event.start_mark.line + 1, self._mapping(_CELL_DEPTH))

    def _mapping(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            name = self._name(event)
            if name in values:
                raise self._bad(event, f"{name!r} appears twice")
            values[name] = self._value(self._next(), depth)
        return values

    def _value(self, event: yaml.Event, depth: int) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, nested=depth > _CELL_DEPTH)
        if depth >= DEPTH_MAX:
            raise self._bad(event, f"is nested deeper than {DEPTH_MAX}")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(depth + 1)
        self._expect(event, yaml.SequenceStartEvent, "a value")
        values = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            values.append(self._value(event, depth + 1))
        return values

    def _name(self, event: yaml.Event) -> str:
        self._expect(event, yaml.ScalarEvent, "a name")
        return str(event.value)

    @staticmethod
    def _scalar(event: yaml.ScalarEvent, *, nested: bool = False) -> Any:
        text, plain = str(event.value), event.implicit[0]
        if not plain:
            return text
        if text in _NOTHING:
            return None
        if nested and _NUMBER.fullmatch(text):
            return float(text) if "." in text else int(text)
        return text == "true" if nested and text in ("true", "false") else text

    def _next(self) -> Any:
        event = next(self._events)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self._bad(event, "is an anchor or alias: write the value out")
        return event

    def _expect(self, event: yaml.Event, kind: type[yaml.Event], what: str) -> None:
        if not isinstance(event, kind):
            raise self._bad(event, f"is not what is expected here: {what}")

    def _bad(self, event: yaml.Event, reason: str) -> BadBook:
        mark = event.start_mark
        return BadBook(f"line {mark.line + 1}, column {mark.column + 1}: {reason}", file=self._file)
