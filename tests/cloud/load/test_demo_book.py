"""The demo's data set is a load file: it loads as it is, and once is enough."""

from __future__ import annotations

from pathlib import Path

from cloud.accounts.passwords import Passwords
from cloud.database import Database
from cloud.load.formats import read_book
from cloud.load.load import load
from firmware_sim.demo.book import old_programs, write_book
from firmware_sim.demo.cast import WHOLE_CAST
from tests.cloud.fleet import CREDENTIALS, VAULT


async def test_the_demos_book_loads_once(database: Database, tmp_path: Path) -> None:
    write_book(tmp_path / "book.json", WHOLE_CAST, old_programs())
    passwords = Passwords(b"pepper")
    first = await load(database, CREDENTIALS, passwords, VAULT, read_book(tmp_path / "book.json"))
    assert first.problems == []
    # And one that stands in a kitchen since before the demo, whose rental is over.
    assert first.counts["machines"].created == len(WHOLE_CAST.everybody) + 1
    assert first.counts["rentals"].created == 1
    again = await load(database, CREDENTIALS, passwords, VAULT, read_book(tmp_path / "book.json"))
    assert (again.differences, again.problems) == ([], [])
