"""What was handed in, before anybody asks what it means: sheets, lines, cells, and what is wrong with them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cloud.errors import FleetError

# A value in a complaint is there to be recognised, not to be read.
_SHOWN_CHARS = 80


class BadBook(FleetError):
    """The book as a whole cannot be read: no such format, broken syntax, too large."""

    def __init__(self, detail: str, *, file: str) -> None:
        super().__init__("invalid", detail, field=file)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a sheet. `number` is where people find it: the row of the table, or the line of the text file."""

    number: int
    cells: Mapping[str, Any]


@dataclass(slots=True)
class Sheet:
    """The lines of one noun, by the name it has in the book; `file` is what holds it."""

    file: str
    name: str
    lines: list[Line] = field(default_factory=list)
    # The header of a table: every line has these cells, empty ones as ''. None: each line names its own.
    header: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where. `line` None: the sheet as a whole; `column` None: the whole line."""

    file: str
    sheet: str
    line: int | None
    column: str | None
    value: Any
    reason: str

    def __str__(self) -> str:
        where = [f"{self.file}: {self.sheet}"]
        if self.line is not None:
            where.append(f"row {self.line}")
        if self.column is not None:
            where.append(f"column {self.column}")
        shown = "" if self.value is None else f"{_short(self.value)}: "
        return f"{', '.join(where)}: {shown}{self.reason}"


@dataclass(slots=True)
class Book:
    """All sheets of what was handed in; `file` is how people called it."""

    file: str
    sheets: list[Sheet] = field(default_factory=list)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
