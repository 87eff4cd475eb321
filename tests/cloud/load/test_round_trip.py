"""load(dump(x)) == x, for generated worlds, in every form of a book, on both engines."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cloud.accounts.passwords import Passwords
from cloud.database import Database
from cloud.load.book import Book
from cloud.load.dump import dump
from cloud.load.formats import read_book, write_book
from cloud.load.load import Outcome, load
from cloud.load.nouns import NOUNS
from tests.cloud.fleet import CREDENTIALS
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
            assert {noun: count.created for noun, count in loaded.counts.items() if count.created} == {
                noun: len(rows) for noun, rows in world.items() if rows
            }
            again = await _load(first, read_book(folder / form))
            assert not again.differences
            await dump(first, CREDENTIALS, PASSWORDS, folder / f"dumped-{other}", hashes=True)
        async with _empty(engine, postgres, migrated_sqlite, folder) as second:
            assert not (await _load(second, read_book(folder / f"dumped-{other}"))).problems
            # What was said first is what is there now: nothing of it is new or different.
            back = await _load(second, read_book(folder / form))
            assert (back.differences, back.problems) == ([], [])
            await dump(second, CREDENTIALS, PASSWORDS, folder / f"dumped-again-{other}", hashes=True)
        assert _bytes(folder / f"dumped-{other}") == _bytes(folder / f"dumped-again-{other}")


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
    return await load(database, CREDENTIALS, PASSWORDS, book)


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
