"""What an error of SQLite means for this machine."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from edge_agent.errors import AgentError, LedgerDamaged, LedgerRefused, LedgerUnsafe


def is_full(error: sqlite3.Error) -> bool:
    """No space left; the transaction was rolled back."""
    return _primary_code(error) == sqlite3.SQLITE_FULL


def in_our_words(error: sqlite3.Error, path: Path) -> AgentError | None:
    """The error as the agent's callers know it; None for one that only a mistake of ours can cause."""
    match _primary_code(error):
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return LedgerUnsafe(f"{path}: {error} ({error.sqlite_errorname}): check the disk, then start again")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return LedgerDamaged(str(path), str(error))
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LedgerRefused(f"{path}: another program has this ledger open: close it; ask the agent instead")
        case _:
            return None


def _primary_code(error: sqlite3.Error) -> int | None:
    """The low byte of an extended code; None for errors that Python raised without asking SQLite."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
