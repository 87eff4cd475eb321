"""What fits: sections of cells on a screen of so many columns and lines. Pure: cells in, lines out.

A serial console has 80 by 24, a telephone 40 by 20, and a window changes its size while somebody looks at it. So no
section has a place of its own. Each gets the lines that it cannot do without, in the order of the list, and then what
is left, in the same order. One that is cut says in its heading how many cells are missing ("+ 3 more"); one for which
nothing is left is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.text import Text

# Cells begin at the same columns in every row of a section, as with tab stops: this far apart, or closer where all
# cells are shorter. A longer cell takes several.
STOP_MAX: Final = 26
GAP: Final = 2

# A heading and one line below it; less says nothing.
LINES_MIN: Final = 2


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its cells, the most telling first.

    `vital`: so many cells must be seen before another section gets more. `alone`: each cell has lines of its own.
    `aside`: what stands at the right of the heading as long as nothing is missing.
    """

    title: str
    cells: Sequence[Text]
    vital: int = 1
    alone: bool = False
    aside: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    text: Text
    cells: int  # how many begin on it


def screen(
    sections: Sequence[Section], columns: int, rows: int, more: Callable[[int], str], dash: str = "─"
) -> list[Text]:
    """At most `rows` lines of at most `columns`; `more` tells how many cells are missing."""
    given = shares(
        rows,
        [
            (
                1 + len(_lines(one, columns, folded=False, first=one.vital)),
                1 + len(_lines(one, columns, folded=True)),
            )
            for one in sections
        ],
    )
    shown: list[Text] = []
    for one, its_rows in zip(sections, given, strict=True):
        if its_rows:
            lines, missing = _fitted(one, columns, its_rows - 1)
            shown.append(_heading(one.title, more(missing) if missing else one.aside, columns, dash))
            shown.extend(lines)
    return shown


def shares(rows: int, wants: Sequence[tuple[int, int]]) -> list[int]:
    """How many of the lines each gets who wants (at least, at most) so many; first come, first served."""
    given = []
    for least, _ in wants:
        share = min(least, rows)
        given.append(share if share >= LINES_MIN else 0)
        rows -= given[-1]
    for place, (_, most) in enumerate(wants):
        if given[place]:
            extra = max(0, min(most - given[place], rows))
            given[place] += extra
            rows -= extra
    return given


def _fitted(section: Section, columns: int, rows: int) -> tuple[list[Text], int]:
    """The lines of a section, and how many of its cells are missing.

    Long cells are folded when all is seen then, or all that is vital; where each cell has its own lines, and in all
    other cases, more of them are seen when they are cut short.
    """
    lines = _lines(section, columns, folded=True)
    enough = 0 if section.alone else len(_lines(section, columns, folded=True, first=section.vital))
    if len(lines) > rows and not 0 < enough <= rows:
        lines = _lines(section, columns, folded=False)
    return [line.text for line in lines[:rows]], sum(line.cells for line in lines[rows:])


def _lines(section: Section, columns: int, *, folded: bool, first: int | None = None) -> list[_Line]:
    """The first cells of a section, or all, in lines. What is longer than a line is folded, or ends with dots."""
    lines: list[_Line] = []
    row, begun = Text(), 0
    stop = min(max((cell.cell_len for cell in section.cells), default=0) + GAP, STOP_MAX)
    for cell in section.cells[:first]:
        at = -(-(row.cell_len + GAP) // stop) * stop if begun else 0
        if begun and (section.alone or at + cell.cell_len > columns):
            lines.append(_Line(row, begun))
            row, begun, at = Text(), 0, 0
        if cell.cell_len > columns:
            cut = _folded(cell, columns) if folded else [_cut(cell, columns)]
            lines.extend(_Line(part, int(part is cut[0])) for part in cut)
            continue
        row.append(" " * (at - row.cell_len)).append_text(cell)
        begun += 1
    if begun:
        lines.append(_Line(row, begun))
    return lines


def _folded(cell: Text, columns: int) -> list[Text]:
    # Measuring needs a console that has the width; it prints nothing.
    return list(cell.wrap(Console(width=columns), columns))


def _cut(cell: Text, columns: int) -> Text:
    short = cell.copy()
    short.truncate(columns, overflow="ellipsis")
    return short


def _heading(title: str, aside: str, columns: int, dash: str) -> Text:
    """The title at the left, the aside at the right, a line between them; a title that is too long gives way."""
    told = Text(f"{dash * 2} ", style="dim").append(title, style="bold not dim")
    right = Text(f" {aside} {dash * 2}" if aside else "", style="dim")
    told.truncate(max(0, columns - right.cell_len - 1), overflow="ellipsis")
    told.append(" " + dash * (columns - right.cell_len - told.cell_len - 1)).append_text(right)
    told.truncate(columns)
    return told
