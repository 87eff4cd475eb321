"""The one connection to the ledger's file, and the one thread that uses it.

A transaction is a function of the connection. It runs as a whole on aiosqlite's thread, so it costs one hop instead of
one per statement (measured: 0.2 ms each), and nothing can come between its statements.

Three answers to a failing disk:

* full: what is new is refused (`DiskShort`); an outcome gets the reserve file's space and is tried once more.
* cannot make a write durable (EIO, read-only): `LedgerUnsafe`, for ever. After a failed fsync the kernel forgets which
  pages are lost, so a later success proves nothing: the process must end, and the next one reads what the disk has.
* damaged: `LedgerDamaged`; the file is condemned, and the next start sets it aside.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import aiosqlite

from edge_agent.errors import AgentError, DiskShort, LedgerDamaged, LedgerRefused, LedgerUnsafe
from edge_agent.ledger import inbox, outbox
from edge_agent.ledger.disk import RESERVE_BYTES, Reserve, Room, free_bytes
from edge_agent.ledger.failures import in_our_words, is_full
from edge_agent.ledger.opening import condemn, content_problems, open_ledger
from shared.clock import Clock
from shared.ids import Epoch, MachineId

T = TypeVar("T")

# After so many commits the log, then of about 4 MB, is copied into the file, on the thread of the vend; `tidy` does it
# earlier, when the machine is idle. More saves wear, fewer save space and time at the start after a power cut.
COMMITS_PER_CHECKPOINT = 100


class LedgerDatabase:
    """The machine's ledger: `write` and `read` run functions of the other modules here as one transaction each.

    `written` is set after every write; who waits for news clears it.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        reserve: Reserve,
        lock: int,
        thread: aiosqlite.Connection,
        conn: sqlite3.Connection,
    ) -> None:
        """Use `open`."""
        self._path = path
        self._clock = clock
        self._reserve = reserve
        self._lock = lock
        self._thread = thread
        self._conn = conn
        self._stream: outbox.StreamIdentity
        self._failure: AgentError | None = None
        self._commits = 0  # since the last checkpoint
        self.written = asyncio.Event()

    @property
    def folder(self) -> Path:
        """Where the file lies; what belongs to it lies beside it."""
        return self._path.parent

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        machine: MachineId,
        clock: Clock,
        software: str,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> Self:
        """Open the ledger at `path`, or begin it. See `opening.open_ledger` for what becomes of a damaged file.

        Raises `LedgerRefused` when another process has it, or it belongs to newer software or another machine,
        `LedgerUnsafe` when the folder cannot be written.
        """
        try:
            return await cls._open(path, machine, clock, software, reserve_bytes)
        except OSError as error:
            told = f"{error.filename or path}: {error.strerror}"
            raise LedgerUnsafe(f"{told}: check the data folder and its disk, then start again") from error

    @classmethod
    async def _open(cls, path: Path, machine: MachineId, clock: Clock, software: str, reserve_bytes: int) -> Self:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _take_lock(path)
        # aiosqlite lends its thread. Opening is a job on it like any other, because a thread whose own connection fails
        # to open cannot be waited for.
        thread = await aiosqlite.connect(":memory:")
        try:
            reserve = Reserve(path.with_name(path.name + ".reserve"), reserve_bytes)
            reserve.hold()
            conn = await _on_thread(thread, lambda: open_ledger(path, machine=machine, clock=clock, software=software))
        except BaseException:
            await thread.close()
            os.close(lock)
            raise
        database = cls(path, clock, reserve, lock, thread, conn)
        stream = await database.read(outbox.identity)
        assert stream is not None, "opening checks it"
        database._stream = stream
        return database

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def machine(self) -> MachineId:
        return self._stream.machine

    @property
    def epoch(self) -> Epoch:
        return self._stream.epoch

    @property
    def damaged_findings(self) -> str | None:
        """Why the file before this one was set aside; the machine must not sell until a person confirms."""
        return self._stream.damage

    async def confirm_damage(self) -> None:
        """A person has counted the stock and looked at the disk: forget the damage (the file aside stays)."""
        await self.write(outbox.confirm_damage)
        self._stream = outbox.StreamIdentity(self.machine, self.epoch, None)

    async def write(self, change: Callable[[sqlite3.Connection], T], *, outcome: bool = False) -> T:
        """Run `change` as one transaction; when this returns, it is on the disk.

        An exception out of `change` rolls everything back and comes out here. A cancelled caller is held until the
        transaction has ended, and is cancelled then. With `outcome`, `change` may use the reserve, and is run a second
        time when the first found the disk full. Raises `DiskShort`, `LedgerUnsafe` or `LedgerDamaged`.

        An outcome that does not fit even so raises `LedgerUnsafe`: what has happened stays open in the file, and the
        proof of it in the board or the meter. The process must end, so that nothing takes that proof away before the
        next start settles it.
        """
        try:
            return await _on_thread(self._thread, lambda: self._transact(change, outcome))
        except asyncio.CancelledError:
            # The thread works in order: when it comes to nothing, the transaction before has ended.
            await _on_thread(self._thread, lambda: None)
            raise
        finally:
            self.written.set()

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run `query` between transactions; one that writes is a mistake and raises `AssertionError`."""
        return await _on_thread(self._thread, lambda: self._look(query))

    async def room(self) -> Room:
        """Whether disk and outbox have room for another sale."""
        where = await self.read(outbox.position)
        unacked = where.next_seq - 1 - where.acked
        free = free_bytes(self._path.parent)
        why = None
        if not self._reserve.held() or free < self._reserve.margin_bytes:
            why = str(DiskShort(str(self._path.parent), free, self._reserve.size_bytes))
        elif unacked >= outbox.UNACKED_ROWS_MAX:
            why = f"{unacked} facts wait for the cloud, {outbox.UNACKED_ROWS_MAX} are the limit: restore the connection"
        return Room(free_bytes=free, unacked_rows=unacked, why=why)

    async def tidy(self) -> None:
        """Housekeeping for an idle minute: forget what is old enough, copy the log, make the reserve again."""
        await self.write(lambda conn: (outbox.prune(conn, self._clock), inbox.prune(conn, self._clock)))
        await _on_thread(self._thread, lambda: self._guarded(self._checkpoint))
        self._reserve.hold()

    async def integrity_check(self) -> list[str]:
        """Every check there is, for a quiet hour: it holds up writes while it reads the whole file.

        Findings condemn the file: stop selling and restart, the next start sets it aside.
        """

        def check(conn: sqlite3.Connection) -> list[str]:
            findings = [line for (line,) in conn.execute("PRAGMA integrity_check(10)") if line != "ok"]
            return findings or content_problems(conn, thorough=True)

        try:
            findings = await self.read(check)
        except LedgerDamaged as damaged:
            return [damaged.findings]
        if findings:
            self._condemn("; ".join(findings))
        return findings

    async def close(self) -> None:
        """Finish what is queued, let go of the file."""
        try:
            await _on_thread(self._thread, self._conn.close)
        finally:
            await self._thread.close()
            os.close(self._lock)

    # --- below: on aiosqlite's thread ---

    def _look(self, query: Callable[[sqlite3.Connection], T]) -> T:
        before = self._conn.total_changes
        result = self._guarded(lambda: query(self._conn))
        assert self._conn.total_changes == before, f"{query} writes; use write()"
        return result

    def _transact(self, change: Callable[[sqlite3.Connection], T], outcome: bool) -> T:
        if self._failure is not None:
            raise self._failure

        def run() -> T:
            try:
                return _in_transaction(self._conn, change)
            except sqlite3.Error as error:
                if outcome and is_full(error) and self._reserve.give_up():
                    return _in_transaction(self._conn, change)
                raise

        try:
            result = self._guarded(run)
        except DiskShort as short:
            if not outcome:
                raise
            self._failure = LedgerUnsafe(f"what has happened cannot be written down: {short}")
            raise self._failure from short
        self._commits += 1
        if self._commits >= COMMITS_PER_CHECKPOINT:
            self._guarded(self._checkpoint)
        return result

    def _checkpoint(self) -> None:
        """Copy the log into the file. A full disk leaves the log as it is: nothing is lost by that.

        The log keeps its size and is written from its beginning again: syncing a file that does not grow costs half.
        """
        self._commits = 0
        try:
            self._conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            if not is_full(error):
                raise

    def _guarded(self, job: Callable[[], T]) -> T:
        """Run `job`, with SQLite's errors in our words; those after which the file cannot be trusted are remembered."""
        try:
            return job()
        except sqlite3.Error as error:
            if is_full(error):
                free = free_bytes(self._path.parent)
                raise DiskShort(str(self._path.parent), free, self._reserve.size_bytes) from error
            ours = in_our_words(error, self._path)
            if ours is None:
                raise
            if isinstance(ours, LedgerDamaged):
                self._condemn(ours.findings)
            self._failure = ours
            raise ours from error

    def _condemn(self, findings: str) -> None:
        self._failure = LedgerDamaged(str(self._path), findings)
        try:
            condemn(self._path, findings)
        except OSError as error:
            raise LedgerUnsafe(f"{self._path}: damaged ({findings}), and the disk will not note it: {error}") from error


async def _on_thread(thread: aiosqlite.Connection, job: Callable[[], T]) -> T:
    # aiosqlite has no public way to run a function on its thread; its version is pinned, and a test fails if this one
    # goes away.
    result: T = await thread._execute(job)  # type: ignore[no-untyped-call]
    return result


def _in_transaction(conn: sqlite3.Connection, change: Callable[[sqlite3.Connection], T]) -> T:
    conn.execute("BEGIN IMMEDIATE")
    try:
        result = change(conn)
        conn.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors.
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise
    return result


def _take_lock(path: Path) -> int:
    """Hold the ledger for this process alone: by a lock that also holds while the file itself is replaced."""
    handle = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise LedgerRefused(
            f"{path}: another agent uses this ledger: a machine has one agent; stop the other one first"
        ) from None
    return handle
