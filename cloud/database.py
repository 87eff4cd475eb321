"""One database, one unit of work.

A `Work` is one transaction. What it wrote becomes visible all at once or not at all, and what must happen outside
(waking a worker) is said with `after_commit`, so that nothing is announced that was not kept.

SQLite and PostgreSQL behave alike where it matters: one Work sees its own writes and committed rows only; two Works
that change one row follow each other. SQLite gets there with one connection per process and BEGIN IMMEDIATE,
PostgreSQL with row locks taken in one order everywhere:

    stream -> machine -> order -> stock -> ticket numbers -> account -> event counter

Where two Works collide in spite of it, PostgreSQL rolls one back and `Database.transact` runs that one again.

Every row of a tenant carries the tenant in its key, and every query names it. PostgreSQL enforces it once more with
row-level security: a Work tells the server its tenant, and rows of others do not exist for it (I13).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    Executable,
    MetaData,
    Row,
    Table,
    TableValuedAlias,
    Text,
    and_,
    any_,
    bindparam,
    event,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.engine.result import ResultMetaData
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from shared.clock import Clock, SystemClock

T = TypeVar("T")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

# The database's own identity. A restore from a backup gives it a new one, and machines resend what was lost (I17).
installation = Table(
    "installation",
    metadata,
    Column("one", BigInteger, primary_key=True, autoincrement=False),
    Column("incarnation", Text, nullable=False),
)

# What the tenant setting holds for work of the platform itself (ingest, downlink), which serves all tenants.
EVERY_TENANT = "*"

# A statement that waits longer than this for SQLite's file lock has met another process: only one may be there.
SQLITE_BUSY_MS = 5_000

# Connections of one process to PostgreSQL: an API worker is busy with a handful of requests, and PostgreSQL's default
# of 100 must serve several processes.
POOL_SIZE = 10
POOL_OVERFLOW = 10

# What a planner should know of computers of today: a page in the middle of a file costs about as much as the next one,
# so an index that holds all that is asked is worth its while; and compiling a plan pays for reports, not for pages.
POSTGRES_SETTINGS = {"random_page_cost": "1.1", "jit": "off"}

# A Work that lost against another one is run again: the second run meets a committed winner, a fourth has never been
# needed by the race tests, eight leaves room for a busy day.
ATTEMPTS_MAX = 8

# Values of one question: far below the parameters that either engine takes in one statement.
VALUES_AT_ONCE = 5_000

# From here on the arrays of `_insert_as_arrays` are worth their longer statement.
MANY_ROWS = 8

# The column in which a page of a list tells how long the whole list is; part of no record.
IN_ALL = "rows_in_all"

# PostgreSQL: serialization_failure and deadlock_detected. Nothing was written, so running again is safe.
_COLLISIONS = frozenset({"40001", "40P01"})

_SET_TENANT = text("SELECT set_config('aisleflow.tenant', :tenant, true)")

# A connection to PostgreSQL that answered within this time is believed to be there still. Asking it before every Work
# costs three messages; where it died all the same, the Work fails, and the pool gives up all that are older.
BELIEVED_MS = 5_000


class Work:
    """One transaction: statements go in, rows come out, and it ends with the block that opened it."""

    def __init__(self, connection: AsyncConnection, tenant: str | None, now_ms: int) -> None:
        self._connection = connection
        self._after_commit: list[Callable[[], None]] = []
        self.tenant = tenant
        self.now_ms = now_ms
        self.dialect = connection.dialect.name

    async def span_tenants(self) -> None:
        """From here on rows of every tenant are within reach: for the platform's own people, once recognised."""
        self.tenant = None
        if self.dialect == "postgresql":
            await self._connection.execute(_SET_TENANT, {"tenant": EVERY_TENANT})

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        """Run one statement; a list of parameter sets runs it once for each."""
        return await self._connection.execute(statement, parameters)

    async def rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """All rows that the statement answers."""
        return (await self._connection.execute(statement, parameters)).all()

    async def row(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Row[Any] | None:
        """The only row that the statement answers, or None; more than one is a bug and raises."""
        return (await self._connection.execute(statement, parameters)).one_or_none()

    async def scalar(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row, or None."""
        return (await self._connection.execute(statement, parameters)).scalar()

    async def changed(self, statement: Executable) -> int:
        """How many rows the statement changed."""
        return (await self._connection.execute(statement)).rowcount

    async def insert(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert `rows`; one that is already there raises `IntegrityError`."""
        listed = list(rows)
        if len(listed) >= MANY_ROWS and self.dialect == "postgresql":
            await self._connection.execute(*_insert_as_arrays(table, listed))
        elif listed:
            await self._connection.execute(insert(table), listed)

    async def insert_new(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert those `rows` whose key is not there yet, and leave the others alone."""
        listed = list(rows)
        if len(listed) >= MANY_ROWS and self.dialect == "postgresql":
            statement, arrays = _insert_as_arrays(table, listed)
            await self._connection.execute(statement.on_conflict_do_nothing(), arrays)
        elif listed:
            await self._connection.execute(self.upsert(table).on_conflict_do_nothing(), listed)

    async def put(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert `rows`, or replace those whose key is there already."""
        if listed := list(rows):
            new = self.upsert(table)
            keys = [column.name for column in table.primary_key]
            changed = {column.name: new.excluded[column.name] for column in table.c if column.name not in keys}
            await self._connection.execute(new.on_conflict_do_update(index_elements=keys, set_=changed), listed)

    async def change(self, table: Table, keys: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """Change rows, each by those of its columns that are `keys`; all rows name the same columns."""
        listed = list(rows)
        if len(listed) >= MANY_ROWS and self.dialect == "postgresql":
            given, arrays = as_arrays(table, listed)
            same = and_(*(table.c[name] == given.c[name] for name in keys))
            changed = {name: given.c[name] for name in listed[0] if name not in keys}
            await self._connection.execute(table.update().where(same).values(changed), arrays)
        elif listed:
            here = and_(*(table.c[name] == bindparam(f"of_{name}") for name in keys))
            values: dict[str, Any] = {name: bindparam(f"now_{name}") for name in listed[0] if name not in keys}
            await self._connection.execute(
                table.update().where(here).values(values),
                [{f"{'of' if name in keys else 'now'}_{name}": value for name, value in row.items()} for row in listed],
            )

    async def run_sync(self, ask: Callable[[Connection], T]) -> T:
        """Let code that knows only SQLAlchemy's plain connection (Alembic) ask in this transaction."""
        return await self._connection.run_sync(ask)

    def upsert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        """An insert of this engine's own kind, which knows `on_conflict_do_update` (the same on both)."""
        return postgresql.insert(table) if self.dialect == "postgresql" else sqlite.insert(table)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` once the work is committed, and never when it is not."""
        self._after_commit.append(callback)

    def committed(self) -> None:
        """Tell those who wait; called by the database."""
        for callback in self._after_commit:
            callback()


class Database:
    """The engine and its rules. Works must not be nested: on SQLite the second would wait for the first for ever."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self.engine = engine
        self.clock = clock

    @classmethod
    def open(cls, url: str, *, clock: Clock | None = None) -> Database:
        """Make ready to connect to `url` (`sqlite+aiosqlite:///FILE` or `postgresql+asyncpg://...`)."""
        return cls(_engine(url), clock or SystemClock())

    async def close(self) -> None:
        """Give all connections back."""
        await self.engine.dispose()

    @asynccontextmanager
    async def work(self, *, tenant: str | None = None) -> AsyncIterator[Work]:
        """One transaction for `tenant`, or with None for the platform itself; committed unless the block raises."""
        async with self.engine.connect() as fresh:
            connection = await fresh.execution_options(tenant=EVERY_TENANT if tenant is None else tenant)
            async with connection.begin():
                work = Work(connection, tenant, self.clock.wall_ms())
                yield work
        work.committed()

    @asynccontextmanager
    async def look(self, *, tenant: str | None = None) -> AsyncIterator[Work]:
        """One read-only transaction: all its answers are of one moment, and nothing can be written."""
        async with self.engine.connect() as fresh:
            connection = await fresh.execution_options(
                **({"looking": True} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}),
                tenant=EVERY_TENANT if tenant is None else tenant,
                postgresql_readonly=True,
            )
            async with connection.begin():
                yield Work(connection, tenant, self.clock.wall_ms())

    async def transact(self, use_case: Callable[[Work], Awaitable[T]], *, tenant: str | None = None) -> T:
        """Run `use_case` in a Work, again when another Work got in its way; the last collision is raised."""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                async with self.work(tenant=tenant) as work:
                    return await use_case(work)
            except DBAPIError as error:
                if attempt == ATTEMPTS_MAX or not is_collision(error):
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def analyze(self) -> None:
        """Let PostgreSQL look at its tables again, after so much was written that it would plan by what it knew before.

        It looks by itself, but a minute later; until then it may compare thousands of keys with every row.
        """
        if not self.is_sqlite:
            async with self.work() as work:
                await work.execute(text("ANALYZE"))

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"


def is_collision(error: DBAPIError) -> bool:
    """Whether the database undid a transaction only because of another one."""
    return getattr(error.orig, "sqlstate", None) in _COLLISIONS


async def incarnation(work: Work) -> str:
    """The id of this database's life; another one after a restore (`cloud/restored.py`)."""
    found = await work.scalar(select(installation.c.incarnation))
    assert isinstance(found, str), "the migrations write this row"
    return found


async def renew_incarnation(work: Work, name: str) -> None:
    """Say that this database was restored: machines then resend what it has forgotten."""
    await work.execute(installation.update().values(incarnation=name))


def tenant_column() -> Column[str]:
    """The first column of every tenant's table and of its key."""
    return Column("tenant", Text, primary_key=True)


def row_of(record: Any) -> dict[str, Any]:
    """A record (a dataclass of plain values) as a row; `dataclasses.asdict` would copy every value deeply."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def record_of(kind: Callable[..., T], row: Row[Any], **decoded: Any) -> T:
    """A row as a record with the same names; `decoded` are columns that are stored in another form.

    A row's own mapping takes four times as long, which long lists feel.
    """
    values = dict(zip(_names(row._parent), row, strict=True))
    values.pop(IN_ALL, None)
    values.update(decoded)
    return kind(**values)


# All rows of an answer share their names, which each of them would put together anew.
@lru_cache(maxsize=100)
def _names(answer: ResultMetaData) -> tuple[str, ...]:
    return tuple(answer.keys)


def one_of(work: Work, column: ColumnElement[Any], values: Iterable[Any]) -> Iterator[ColumnElement[bool]]:
    """Conditions that together choose the rows whose `column` is one of `values`, a bounded number at a time.

    PostgreSQL gets them as one array, which it looks up in an index or hashes; it compares a long IN list one by one.
    """
    asked = list(values)
    for start in range(0, len(asked), VALUES_AT_ONCE):
        some = asked[start : start + VALUES_AT_ONCE]
        if work.dialect == "postgresql":
            yield column == any_(bindparam(None, some, type_=postgresql.ARRAY(column.type), unique=True))
        else:
            yield column.in_(some)


def as_arrays(table: Table, rows: Sequence[Mapping[str, Any]]) -> tuple[TableValuedAlias, dict[str, Any]]:
    """Rows for PostgreSQL as unnest(column arrays), to insert or to join with, and the arrays as parameters.

    `ordinal` counts them from 1. One statement for all of them, three times as fast as one per row.
    """
    names = list(rows[0])
    arrays = [bindparam(f"all_{name}", type_=postgresql.ARRAY(table.c[name].type)) for name in names]
    given = func.unnest(*arrays).table_valued(*names, with_ordinality="ordinal").render_derived(name="given")
    return given, {f"all_{name}": [row[name] for row in rows] for name in names}


def _insert_as_arrays(table: Table, rows: Sequence[Mapping[str, Any]]) -> tuple[postgresql.Insert, dict[str, Any]]:
    given, arrays = as_arrays(table, rows)
    names = list(rows[0])
    return postgresql.insert(table).from_select(names, select(*[given.c[name] for name in names])), arrays


class _PostgresConnection(asyncpg.Connection):  # type: ignore[misc]
    """Begins a transaction and names its tenant in one message instead of two."""

    tenant: str | None = None

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        """What begins a transaction names the tenant too; in hex, so that a name can never be more than one."""
        if query.startswith("BEGIN") and self.tenant is not None:
            name = f"convert_from('\\x{self.tenant.encode().hex()}', 'UTF8')"
            query = f"{query} SELECT set_config('aisleflow.tenant', {name}, true)"
        return str(await super().execute(query, *args, **options))


def _postgres_engine(url: str) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        connect_args={"server_settings": POSTGRES_SETTINGS, "connection_class": _PostgresConnection},
    )
    clock = SystemClock()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # None where no Work begins: migrations are bound by no tenant.
        tenant = connection.get_execution_options().get("tenant")
        connection.connection.driver_connection.tenant = tenant  # type: ignore[union-attr]

    @event.listens_for(engine.sync_engine, "checkin")
    def answered(_: Any, record: ConnectionPoolEntry) -> None:
        record.info["answered_ms"] = clock.mono_ms()

    @event.listens_for(engine.sync_engine, "checkout")
    def believe(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
        now_ms = clock.mono_ms()
        if now_ms - record.info.get("answered_ms", now_ms) > BELIEVED_MS:
            try:
                connection.ping()
            except engine.dialect.loaded_dbapi.Error as error:
                raise DisconnectionError from error  # the pool puts a new one in its place

    return engine


def _engine(url: str) -> AsyncEngine:
    if make_url(url).get_backend_name() != "sqlite":
        return _postgres_engine(url)
    # One connection: SQLite has one writer anyhow, and before 3.51.3 a WAL that two connections share can be lost.
    engine = create_async_engine(url, pool_size=1, max_overflow=0)

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={SQLITE_BUSY_MS}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        looking = connection.get_execution_options().get("looking", False)
        connection.exec_driver_sql("BEGIN" if looking else "BEGIN IMMEDIATE")

    return engine
