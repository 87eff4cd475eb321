"""`python -m bench [ROW ...] [--json FILE] [--tiny]`: measure, and print one table."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import (
    agent_memory,
    dead_slaves,
    grant_to_run,
    idle_cpu,
    ledger_writes,
    lists,
    load_lines,
    settled_facts,
    wire_bytes,
)
from bench.row import Line, Row

ROWS: dict[str, Row[Any]] = {
    row.name: row
    for row in (
        agent_memory.ROW,
        idle_cpu.ROW,
        grant_to_run.ROW,
        ledger_writes.ROW,
        dead_slaves.ROW,
        settled_facts.ROW,
        lists.ROW,
        load_lines.ROW,
        wire_bytes.ROW,
    )
}

HEADS = ("row", "measured", "unit", "limit in the same run", "ratio", "aim", "met?")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows that are asked for, in their order; 0 when all were measured, whatever they say."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure, and print one table.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"some of: {', '.join(ROWS)} (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the lines there, too")
    parser.add_argument("--tiny", action="store_true", help="only show that every row runs; the numbers mean nothing")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.rows if name not in ROWS]:
        parser.error(f"unknown row {unknown[0]!r}: expected some of {', '.join(ROWS)}")
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))  # ends its brokers and databases, too
    print(f"{surroundings()}; load {load()}", flush=True)
    lines: dict[str, list[Line]] = {}
    for name in asked.rows or ROWS:
        row = ROWS[name]
        takes = "" if asked.tiny else f", about {row.minutes} min"
        print(f"measuring {name}{takes} ...", file=sys.stderr, flush=True)
        lines[name] = asyncio.run(row.measure(row.tiny if asked.tiny else row.full))
    print(table([line for some in lines.values() for line in some]))
    print(f"load {load()}")
    if asked.json:
        asked.json.write_text(json.dumps(as_json(lines), indent=1) + "\n", encoding="utf-8")
    return 0


def surroundings() -> str:
    """What the numbers were measured on."""
    cores = len(os.sched_getaffinity(0))
    python = platform.python_version()
    return f"{cores} cores, {platform.machine()}, Python {python}, SQLite {sqlite3.sqlite_version}"


def load() -> str:
    """Who else wants the cores: above their number, times are longer and rates lower than the product's own."""
    return f"{os.getloadavg()[0]:.1f}"


def table(lines: Sequence[Line]) -> str:
    """The lines as a table, with their notes below."""
    cells = [HEADS, *(_cells(line) for line in lines)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADS))]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    rows.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*rows, "", *(f"{line.what}: {line.note}" for line in lines if line.note)])


def _cells(line: Line) -> tuple[str, ...]:
    met = {None: "-", True: "yes", False: "NO"}[line.met]
    limit = f"{number(line.limit)} ({line.limit_is})"
    aim = str(line.aim) if line.aim else "-"
    return line.what, number(line.measured), line.unit, limit, f"{line.ratio:.2f}", aim, met


def number(value: float) -> str:
    """Three digits that count, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def as_json(lines: dict[str, list[Line]]) -> dict[str, Any]:
    """Everything that the table shows, for a program."""
    return {
        "surroundings": surroundings(),
        "lines": [
            {"row": name, **asdict(line), "ratio": line.ratio, "met": line.met}
            for name, some in lines.items()
            for line in some
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
