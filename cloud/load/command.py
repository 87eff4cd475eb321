"""The console's side of it: what is shown while a book is loaded, and what is said about it afterwards."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from cloud.accounts.passwords import Passwords
from cloud.accounts.vault import Vault
from cloud.database import Database
from cloud.load.dump import dump
from cloud.load.formats import read_book
from cloud.load.load import Outcome, load
from cloud.machines.credentials import Credentials

# sysexits.h: what was handed in is wrong.
EX_DATAERR = 65

# A bar appears only where it is worth looking at.
_BAR_FROM_LINES = 5_000
_BAR_WIDTH = 30

Say = Callable[[str], None]


async def load_file(
    database: Database,
    credentials: Credentials,
    passwords: Passwords,
    vault: Vault,
    path: Path,
    say: Say,
    *,
    keep_good: bool = False,
    dry_run: bool = False,
    brand: str | None = None,
) -> int:
    """Load a file and say what became of it; 0 when every line was good, otherwise 65."""
    began_ms = database.clock.mono_ms()
    book = read_book(path)
    bar = Bar(sys.stderr)
    try:
        outcome = await load(
            database,
            credentials,
            passwords,
            vault,
            book,
            keep_good=keep_good,
            dry_run=dry_run,
            brand=brand,
            progress=bar.show,
        )
    finally:
        bar.clear()
    for problem in outcome.problems:
        print(problem, file=sys.stderr)
    _say(outcome, say, dry_run=dry_run)
    took_s = (database.clock.mono_ms() - began_ms) / 1000
    say(f"{path}: {_verdict(outcome, keep_good=keep_good, dry_run=dry_run)} ({took_s:.1f} s)")
    return EX_DATAERR if outcome.problems else 0


async def dump_file(
    database: Database,
    credentials: Credentials,
    passwords: Passwords,
    vault: Vault,
    path: Path | None,
    say: Say,
    *,
    brand: str | None = None,
    hashes: bool = False,
) -> None:
    """Dump to a file, or with None to the console."""
    dumped = await dump(database, credentials, passwords, vault, path, brand=brand, hashes=hashes)
    if path is not None:
        lines = ", ".join(f"{count} {noun}" for noun, count in dumped.lines.items())
        say(f"{path}: {lines}")


def _say(outcome: Outcome, say: Say, *, dry_run: bool) -> None:
    if dry_run:
        for one in outcome.differences:
            name = "/".join((one.brand, *one.key))
            if one.changes is None:
                say(f"+ {one.noun} {name}")
                continue
            for column, (before, after) in one.changes.items():
                say(f"~ {one.noun} {name}: {column}: {before!r} -> {after!r}")
    if outcome.counts:
        say(f"{'':<16}{'created':>10}{'changed':>10}{'unchanged':>11}{'refused':>10}")
    for noun, counts in outcome.counts.items():
        say(f"{noun:<16}{counts.created:>10}{counts.changed:>10}{counts.unchanged:>11}{counts.refused:>10}")
    for note in outcome.notes:
        say(note)


def _verdict(outcome: Outcome, *, keep_good: bool, dry_run: bool) -> str:
    bad = f"{len(outcome.problems)} problems"
    if dry_run:
        return f"nothing was written: a dry run{f', with {bad}' if outcome.problems else ''}"
    if not outcome.problems:
        return "loaded"
    return (
        f"the good lines were loaded, {bad}"
        if keep_good
        else f"nothing was written: {bad} (--keep-good loads the rest)"
    )


class Bar:
    """One line that grows, on a terminal only."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._shown = False

    def show(self, done: int, total: int) -> None:
        """`done` of `total` lines were looked at."""
        if total < _BAR_FROM_LINES or not self._file.isatty():
            return
        filled = _BAR_WIDTH * done // total
        bar = "#" * filled + "." * (_BAR_WIDTH - filled)
        self._file.write(f"\r[{bar}] {done}/{total}")
        self._file.flush()
        self._shown = True

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._file.write("\r\x1b[K")
            self._file.flush()
