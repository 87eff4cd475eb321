"""Text in a table's cell, so that no spreadsheet takes it for a formula, and back. Pure.

A cell that begins with one of `= + - @`, a tab or a line break may be executed by a spreadsheet, wherever the text
came from. Such text is written with an apostrophe before it, and one apostrophe before such text is taken away when it
is read. Apostrophes before it are told apart by their number, so every text reads back as it was.
"""

from __future__ import annotations

_EXECUTABLE = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")


def guarded(text: str) -> str:
    """The text as it may stand in a cell."""
    return f"'{text}" if text.lstrip("'").startswith(_EXECUTABLE) else text


def unguarded(cell: str) -> str:
    """The text that a cell stands for."""
    return cell[1:] if cell.startswith("'") and cell[1:].lstrip("'").startswith(_EXECUTABLE) else cell
