"""From a path to a ledger that may be trusted: checked, migrated, or set aside and begun anew.

Every step can be cut by a power loss and is finished by the next start:

* A new ledger is built under another name and renamed when complete, so a file of this name was once whole.
* A damaged file is renamed, its log after it. A log without its file, a file set aside without a successor and a
  mark of condemnation are all read as: the last ledger was damaged.
* A migration is one transaction, after a copy of the file.

Nothing is deleted here but the unfinished birth of a ledger that never held a fact.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from edge_agent.errors import LedgerDamaged, LedgerRefused, LedgerUnsafe
from edge_agent.ledger import outbox, stock, wal
from edge_agent.ledger.failures import in_our_words
from shared.clock import Clock
from shared.envelope import fact_hash
from shared.ids import Epoch, MachineId, mint_epoch

_SCHEMA = Path(__file__).parent / "schema"
# A finding is a line; a file that is all damage would have thousands.
_FINDINGS_MAX = 10


def open_ledger(path: Path, *, machine: MachineId, clock: Clock, software: str) -> sqlite3.Connection:
    """Open, check and migrate the ledger at `path`, or begin a new one.

    A damaged file is set aside; the new one keeps the findings in its identity until a person confirms. Raises
    `LedgerRefused` for a file of newer software or of another machine, `LedgerUnsafe` when the disk fails.
    """
    findings = _unfinished_business(path)
    if findings is None and path.exists():
        try:
            return _open_sound(path, machine)
        except LedgerDamaged as damaged:
            findings = damaged.findings
    previous = None
    if findings is not None:
        previous = _set_aside(path, clock)
    _give_birth(path, machine, clock, software=software, previous=previous, damage=findings)
    return _open_sound(path, machine)


def condemn(path: Path, findings: str) -> None:
    """Mark a ledger found damaged while in use: the next start sets it aside, whatever its own checks say."""
    mark = _beside(path, ".condemned")
    mark.write_text(findings, encoding="utf-8")
    _sync(mark)
    _sync(path.parent)


def content_problems(conn: sqlite3.Connection, *, thorough: bool) -> list[str]:
    """Damage that SQLite cannot see, because any bytes would do: facts, asks, documents and sums that do not fit.

    Not thorough leaves out facts that the cloud has: the part that takes time in an old file.
    """
    stream = outbox.identity(conn)
    if stream is None:
        return ["the file has no stream"]
    where = outbox.position(conn)
    problems = [
        f"{table} {key}: the content does not fit its hash"
        for table, query in (
            ("fact", "SELECT seq, fact, hash FROM outbox WHERE seq > :after"),
            ("command", "SELECT id, ask, hash FROM commands WHERE ask IS NOT NULL"),
            ("configuration", "SELECT version, document, hash FROM configs"),
        )
        for key, raw, told in conn.execute(query, {"after": 0 if thorough else where.acked})
        if fact_hash(raw) != told
    ]
    (newest,) = conn.execute("SELECT coalesce(max(seq), 0) FROM outbox").fetchone()
    if newest >= where.next_seq:
        problems.append(f"fact {newest} exists, yet {where.next_seq} is to be given next")
    problems += stock.fold_problems(conn)
    problems += [f"{table} row {row} points nowhere" for table, row, *_ in conn.execute("PRAGMA foreign_key_check")]
    return problems


def newest_schema() -> int:
    """The schema version that this software writes."""
    return max(_migrations())


def _migrations() -> dict[int, Path]:
    return {int(file.name[:4]): file for file in sorted(_SCHEMA.glob("[0-9][0-9][0-9][0-9]_*.sql"))}


def _connect(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    # No statement waits for a lock: only this process may hold one.
    conn.execute("PRAGMA busy_timeout = 0")
    conn.execute("PRAGMA locking_mode = EXCLUSIVE")
    conn.execute("PRAGMA foreign_keys = ON")
    conn.execute("PRAGMA trusted_schema = OFF")
    conn.execute("PRAGMA cell_size_check = ON")
    return conn


def _open_sound(path: Path, machine: MachineId) -> sqlite3.Connection:
    """Open an existing ledger; raises `LedgerDamaged` unless every check passes."""
    if broken := wal.lost_commits(_beside(path, "-wal")):
        raise LedgerDamaged(str(path), broken)
    if path.stat().st_size == 0:  # SQLite would take it for a new one
        raise LedgerDamaged(str(path), "the file is empty")
    conn = _connect(path)
    try:
        # Every commit is on the disk before anything moves or is acknowledged.
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("PRAGMA synchronous = FULL")
        # SQLite's own checkpoint swallows a failing sync; ours does not (see database.py).
        conn.execute("PRAGMA wal_autocheckpoint = 0")
        findings = [line for (line,) in conn.execute(f"PRAGMA quick_check({_FINDINGS_MAX})") if line != "ok"]
        if not findings:
            _migrate(conn, path)
            findings = content_problems(conn, thorough=False)
        if findings:
            raise LedgerDamaged(str(path), "; ".join(findings[:_FINDINGS_MAX]))
        stream = outbox.identity(conn)
        assert stream is not None
        if stream.machine != machine:
            raise LedgerRefused(
                f"{path}: this is the ledger of machine {stream.machine!r}, the settings say {machine!r}:"
                " correct the settings, or give this machine a data folder of its own"
            )
    except sqlite3.Error as error:
        conn.close()
        raise in_our_words(error, path) or error from error
    except BaseException:
        conn.close()
        raise
    return conn


def _migrate(conn: sqlite3.Connection, path: Path) -> None:
    """Bring the schema up to date in one transaction, forward only, after a copy of the file."""
    (version,) = conn.execute("PRAGMA user_version").fetchone()
    newest = newest_schema()
    if version > newest:
        raise LedgerRefused(
            f"{path}: schema {version} was written by newer software, this one knows {newest}: install the newer agent"
        )
    if version == newest:
        return
    _copy(conn, _beside(path, f".schema-{version}"))
    _run_migrations(conn, above=version)


def _run_migrations(conn: sqlite3.Connection, *, above: int) -> None:
    steps = [file.read_text(encoding="utf-8") for number, file in _migrations().items() if number > above]
    try:
        conn.executescript(f"BEGIN IMMEDIATE; {''.join(steps)} PRAGMA user_version = {newest_schema()}; COMMIT;")
    except sqlite3.Error:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


def _copy(conn: sqlite3.Connection, to: Path) -> None:
    unfinished = _beside(to, ".unfinished")
    _make_private(unfinished)
    copy = sqlite3.connect(unfinished)
    try:
        conn.backup(copy)
    finally:
        copy.close()
    _put_in_place(unfinished, to)


def _give_birth(
    path: Path, machine: MachineId, clock: Clock, *, software: str, previous: Epoch | None, damage: str | None
) -> None:
    birth = _beside(path, ".birth")
    for leftover in (birth, _beside(birth, "-journal"), _beside(birth, "-wal")):
        leftover.unlink(missing_ok=True)
    _make_private(birth)
    conn = _connect(birth)
    try:
        _run_migrations(conn, above=0)
        conn.execute("BEGIN")
        outbox.begin_stream(
            conn,
            machine,
            mint_epoch(),
            clock,
            software=software,
            reason="new" if damage is None else "damaged",
            previous=previous,
            damage=damage,
        )
        conn.execute("COMMIT")
    except sqlite3.Error as error:
        raise in_our_words(error, birth) or error from error
    finally:
        conn.close()
    _put_in_place(birth, path)


def _unfinished_business(path: Path) -> str | None:
    """What a former start found and could not finish; None after an orderly one."""
    mark = _beside(path, ".condemned")
    if mark.exists():
        return mark.read_text(encoding="utf-8", errors="replace") or "condemned"
    if path.exists():
        return None
    if _beside(path, "-wal").exists():
        return "the log is there, its ledger is not"
    if any(path.parent.glob(f"{path.stem}-*.damaged")):
        return "the last ledger was set aside as damaged"
    return None


def _set_aside(path: Path, clock: Clock) -> Epoch | None:
    """Rename the damaged ledger, its log and its mark, in this order; returns its epoch if that can still be read."""
    epoch = _epoch_of(path)
    stem = f"{path.stem}-{epoch or clock.wall_ms()}"
    aside = path.with_name(f"{stem}.damaged")
    tries = 0
    while aside.exists():
        tries += 1
        aside = path.with_name(f"{stem}-{tries}.damaged")
    for suffix in ("", "-wal", ".condemned"):
        source = _beside(path, suffix)
        if source.exists():
            source.rename(_beside(aside, suffix))
            _sync(path.parent)
    return epoch


def _epoch_of(path: Path) -> Epoch | None:
    """The epoch of a damaged file, read without changing a byte of it."""
    if not path.exists():
        return None
    conn = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        stream = outbox.identity(conn)
    except sqlite3.Error:
        return None  # the file is damaged, that is why we are here
    finally:
        conn.close()
    return None if stream is None else stream.epoch


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _make_private(path: Path) -> None:
    """An empty file for the owner alone; SQLite gives its log the same rights."""
    os.close(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _put_in_place(unfinished: Path, path: Path) -> None:
    _sync(unfinished)
    unfinished.rename(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        raise LedgerUnsafe(f"{path}: {error.strerror}: check the disk, then start again") from error
    finally:
        os.close(handle)
