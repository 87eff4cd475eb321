"""A clock that stands still and a ledger without its thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.clock import ManualClock
from tests.ledger.vending import load, open_plain


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def conn(tmp_path: Path, clock: ManualClock) -> Iterator[sqlite3.Connection]:
    """A new ledger with ten cans in each of two aisles."""
    connection = open_plain(tmp_path, clock)
    load(connection, clock)
    yield connection
    connection.close()
