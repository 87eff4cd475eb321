"""load(dump(x)) == x, for generated worlds, in every form of a book, on both engines."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cloud.accounts.passwords import Passwords
from cloud.database import Database
from cloud.load.book import Book, Line
from cloud.load.columns import Column
from cloud.load.dump import dump
from cloud.load.formats import read_book, write_book
from cloud.load.load import Outcome, load
from cloud.load.noun import Noun
from cloud.load.nouns import NOUNS
from tests.cloud.fleet import CREDENTIALS, VAULT
from tests.cloud.load.worlds import World, worlds
from tests.cloud.postgres import PostgresServer

# Without shrinking: a run takes a while, and a small world is a small world.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
FORMS = ("book.yaml", "book.json", "book.xlsx", "book")
PASSWORDS = Passwords(b"pepper")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_what_was_dumped_loads_back_and_changes_nothing(
    engine: str, postgres: PostgresServer, migrated_sqlite: Path
) -> None:
    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
    @given(worlds(), st.sampled_from(FORMS), st.sampled_from(FORMS))
    def holds(world: World, form: str, other: str) -> None:
        asyncio.run(_holds(engine, postgres, migrated_sqlite, world, form, other))

    holds()


async def _holds(
    engine: str, postgres: PostgresServer, migrated_sqlite: Path, world: World, form: str, other: str
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder / form, world)
        async with _empty(engine, postgres, migrated_sqlite, folder) as first:
            loaded = await _load(first, read_book(folder / form))
            assert not loaded.problems, [str(problem) for problem in loaded.problems]
            # A purifier's profile is there with its configuration.
            known = sum(row.purifier is not None for row in world["machines"])  # type: ignore[attr-defined]
            for noun, rows in world.items():
                assert len(rows) - (known if noun == "device_profiles" else 0) <= _created(loaded, noun) <= len(rows)
            again = await _load(first, read_book(folder / form))
            assert (again.differences, again.notes) == ([], [])
            await dump(first, CREDENTIALS, PASSWORDS, VAULT, folder / f"dumped-{other}", hashes=True)
        async with _empty(engine, postgres, migrated_sqlite, folder) as second:
            assert not (await _load(second, read_book(folder / f"dumped-{other}"))).problems
            # What was said first is what is there now: nothing of it is new or different.
            back = await _load(second, read_book(folder / form))
            assert (back.differences, back.problems, back.notes) == ([], [], [])
            await dump(second, CREDENTIALS, PASSWORDS, VAULT, folder / f"dumped-again-{other}", hashes=True)
            assert _bytes(folder / f"dumped-{other}") == _bytes(folder / f"dumped-again-{other}")
            for noun in NOUNS:
                await _one_edit_is_one_difference(second, read_book(folder / f"dumped-again-{other}"), noun)


async def _one_edit_is_one_difference(database: Database, book: Book, noun: Noun[Any]) -> None:
    """Whoever edits one line of a dump changes this line, and nothing when it has ended."""
    sheet = next((sheet for sheet in book.sheets if sheet.name == noun.name), None)
    column = next((column for column in noun.columns.all if _is_free(noun, column)), None)
    if sheet is None or column is None or not sheet.lines:
        return
    line = sheet.lines[0]
    sheet.lines[0] = Line(line.number, {**line.cells, column.name: "edited"})
    outcome = await load(database, CREDENTIALS, PASSWORDS, VAULT, book, dry_run=True)
    assert not outcome.problems, [str(problem) for problem in outcome.problems]
    told = [(one.noun, list(one.changes or ())) for one in outcome.differences]
    assert told == ([] if line.cells.get("until") else [(noun.name, [column.name])])


def _is_free(noun: Noun[Any], column: Column) -> bool:
    """Whether any text may stand there."""
    bound = {*noun.key, *noun.references, "openid", "building"}
    return column.is_text and not column.is_moment and column.name in _FREE - bound


_FREE = {"name", "title", "reason", "remark", "spec", "nick", "room"}


def _created(outcome: Outcome, noun: str) -> int:
    return outcome.counts[noun].created if noun in outcome.counts else 0


def _write(path: Path, world: World) -> None:
    with write_book(path) as write_sheet:
        for noun in NOUNS:
            if world[noun.name]:
                write_sheet(noun.name, noun.columns.all, world[noun.name])


def _bytes(path: Path) -> object:
    if path.is_dir():
        return {file.name: file.read_bytes() for file in path.iterdir()}
    if path.suffix == ".xlsx":  # the zip holds the time of writing
        return [(sheet.name, sheet.lines) for sheet in read_book(path).sheets]
    return path.read_bytes()


async def _load(database: Database, book: Book) -> Outcome:
    return await load(database, CREDENTIALS, PASSWORDS, VAULT, book)


@asynccontextmanager
async def _empty(engine: str, postgres: PostgresServer, migrated_sqlite: Path, folder: Path) -> AsyncIterator[Database]:
    name = f"t{uuid4().hex}"
    if engine == "sqlite":
        shutil.copy(migrated_sqlite, folder / name)
        url = f"sqlite+aiosqlite:///{folder / name}"
    else:
        url = await postgres.create(name, template="template_fleet")
    database = Database.open(url)
    try:
        yield database
    finally:
        await database.close()
        if engine != "sqlite":
            await postgres.drop(name)
