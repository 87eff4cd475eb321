"""What a noun is to load and dump: one sheet, its columns and key, and the two ways to its tables.

Most nouns are one table and are declared with `TableNoun`, in ten lines. The others say in a class of their own how to
read and write. A noun sees one brand at a time, and every statement names it (I13).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Table, and_, select, true

from cloud.accounts.passwords import Passwords
from cloud.accounts.vault import Vault
from cloud.database import Work, one_of
from cloud.load.columns import Columns, Dated, Row
from cloud.machines.credentials import Credentials
from cloud.serials import skip_to

R = TypeVar("R", bound=Row)
Key = tuple[str, ...]


@dataclass(slots=True)
class Run:
    """One load or dump: its transaction, and what nouns need beside it."""

    work: Work
    credentials: Credentials
    passwords: Passwords
    vault: Vault
    # Who stands behind it, in machines' configurations and the audit log.
    actor: str = "console"
    # What one noun leaves for another of the same run.
    kept: dict[type[Any], Any] = field(default_factory=dict)
    # Things that people should know when it is over.
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Draft(Generic[R]):
    """One line on its way: what is there (None: nothing), what is to be, and what a noun has against it."""

    line: int
    before: R | None
    after: R
    # The columns that the line gives; the others have kept their value, or their default.
    given: Mapping[str, Any]
    objections: list[tuple[str | None, Any, str]] = field(default_factory=list)

    def object(self, column: str | None, reason: str) -> None:
        """Refuse the line because of `column`."""
        self.objections.append((column, getattr(self.after, column) if column else None, reason))

    def becomes(self, **changes: Any) -> None:
        """Fill in what the line leaves open."""
        self.after = msgspec.structs.replace(self.after, **changes)


class Noun(ABC, Generic[R]):
    """One sheet. `name` and `title` are what it may be called; `key` tells lines of one brand apart."""

    def __init__(
        self,
        name: str,
        title: str,
        shape: type[R],
        key: tuple[str, ...],
        *,
        references: Mapping[str, str] | None = None,
        living: Collection[str] = (),
    ) -> None:
        """`references`: {column: name of the noun whose key it holds}; in `living` ones nothing that has ended."""
        self.name = name
        self.title = title
        self.shape = shape
        self.key = key
        self.references = references or {}
        self.living = frozenset(living)
        self.columns: Columns[R] = Columns(shape)

    def key_of(self, row: R) -> Key:
        """The line's key within its brand."""
        return tuple(getattr(row, name) for name in self.key)

    def order_of(self, row: R) -> tuple[Any, ...]:
        """What dumped lines of a brand are sorted by; equal ones stand as they are read."""
        return self.key_of(row)

    @abstractmethod
    async def present(self, run: Run, brand: str, keys: Sequence[Key] | None) -> Iterable[R]:
        """What is there of a brand: lines with these keys (and maybe others), or with None all of them."""

    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[R]]) -> None:
        """Fill in what depends on other things, and object to lines that cannot be."""

    @abstractmethod
    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[R]]) -> None:
        """Write what is new or different. Every reference has been checked."""

    async def close(self, run: Run) -> None:
        """Called once, after all lines of this noun and of those before it."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Ids that we mint ourselves: the digits in `form` are a number of the serials of `kind`."""

    kind: str
    form: re.Pattern[str]
    base: int = 10

    def highest(self, ids: Iterable[str]) -> int:
        """The highest number among ids that have the form; 0 when none has."""
        numbers = [int(found[1], self.base) for one in ids if (found := self.form.fullmatch(one))]
        return max((number for number in numbers if number <= COUNTED_MAX), default=0)


# Beyond it an id looks like one of ours and is none: we shall not come so far.
COUNTED_MAX = 10**15


class TableNoun(Noun[R]):
    """A noun whose lines are the rows of one table, column by column.

    Lists and nested values are JSON in a text column; a moment's column is called like the table's without `_ms`, and
    `since`, `until` and `lies` name the table's columns of those that are called otherwise. `born` gives the columns
    that only a new row is written with, `touched` those that are written anew with every change; each is made by a
    function of the work. `beside` names columns of the sheet that lie elsewhere: a class of its own reads and writes
    them. `counted`: how its ids are minted, so that none is minted that was loaded.
    """

    def __init__(
        self,
        name: str,
        title: str,
        shape: type[R],
        table: Table,
        key: tuple[str, ...],
        *,
        references: Mapping[str, str] | None = None,
        living: Collection[str] = (),
        since: str | None = None,
        until: str | None = None,
        born: Mapping[str, Callable[[Work], Any]] | None = None,
        touched: Mapping[str, Callable[[Work], Any]] | None = None,
        beside: Collection[str] = (),
        lies: Mapping[str, str] | None = None,
        counted: Counted | None = None,
    ) -> None:
        super().__init__(name, title, shape, key, references=references, living=living)
        self.table = table
        self._counted = counted
        self._born = dict(born or {})
        self._touched = dict(touched or {})
        self._names = [column.name for column in self.columns.all if column.name not in {"brand", *beside}]
        ours = [column for column in self.columns.all if column.name in self._names]
        of = {column.name: f"{column.name}_ms" if column.is_moment else column.name for column in ours}
        # Where each column of the sheet lies in the table.
        self._lies = {**of, **(lies or {}), **{name: it for name, it in (("since", since), ("until", until)) if it}}
        self._first = {self._lies[column.name] for column in ours if column.is_first}
        self._json = {column.name for column in ours if column.is_nested or column.is_ids}

    async def present(self, run: Run, brand: str, keys: Sequence[Key] | None) -> Iterable[R]:
        query = select(*(self.table.c[self._lies[name]] for name in self._names)).where(self.table.c.tenant == brand)
        # The first column alone: of a longer key this finds a little more than was asked for, through the same index.
        first = self.table.c[self.key[0] if self.key else "tenant"]
        wanted = None if keys is None or not self.key else {key[0] for key in keys}
        found = []
        for here in chosen(run.work, first, wanted):
            found += [self._row(brand, row) for row in await run.work.rows(query.where(here))]
        return found

    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[R]]) -> None:
        touched = {name: make(run.work) for name, make in self._touched.items()}
        born = {name: make(run.work) for name, make in self._born.items()}
        fresh = [draft.after for draft in drafts if draft.before is None]
        new = [self.stored(brand, self.began(run.work, row)) | born | touched for row in fresh]
        await run.work.insert(self.table, new)
        if self._counted and (highest := self._counted.highest(self.key_of(row)[0] for row in fresh)):
            await skip_to(run.work, brand, self._counted.kind, highest)
        await run.work.change(
            self.table,
            ("tenant", *self.key),
            [self.changed(brand, draft.after) | touched for draft in drafts if draft.before is not None],
        )

    def _row(self, brand: str, stored: Sequence[Any]) -> R:
        values = dict(zip(self._names, stored, strict=True))
        for name in self._json:
            values[name] = msgspec.json.decode(values[name])
        row = {"brand": brand} | values
        return msgspec.convert(row, self.shape) if self._json else self.shape(**row)

    def stored(self, brand: str, row: R) -> dict[str, Any]:
        """The line as the table has it."""
        values = {self._lies[name]: getattr(row, name) for name in self._names}
        for name in self._json:
            values[name] = msgspec.json.encode(values[name]).decode()
        return {"tenant": brand} | values

    def changed(self, brand: str, row: R) -> dict[str, Any]:
        """What of a line that is there is written anew: not what only a new line brings, which moves on meanwhile."""
        return {column: value for column, value in self.stored(brand, row).items() if column not in self._first}

    def began(self, work: Work, row: R) -> R:
        """A new line, which is there from now on unless it says since when."""
        if isinstance(row, Dated) and row.since is None:
            return msgspec.structs.replace(row, since=work.now_ms)
        return row


async def values_of(
    work: Work, table: Table, brand: str, key: str, wanted: Iterable[str], column: str
) -> dict[str, Any]:
    """One column of those rows of a brand whose `key` is wanted, by that key."""
    found: dict[str, Any] = {}
    query = select(table.c[key].label("key"), table.c[column].label("value")).where(table.c.tenant == brand)
    for here in one_of(work, table.c[key], sorted(set(wanted))):
        found |= {row.key: row.value for row in await work.rows(query.where(here))}
    return found


async def remove_rows(work: Work, table: Table, brand: str, column: str, values: Sequence[str]) -> None:
    """Remove those rows of a brand whose `column` is one of `values`."""
    for here in one_of(work, table.c[column], values):
        await work.execute(table.delete().where(and_(table.c.tenant == brand, here)))


def chosen(work: Work, column: ColumnElement[Any], values: Collection[str] | None) -> Iterable[ColumnElement[bool]]:
    """Conditions that together find the rows with one of `values`, a bounded number at a time; with None all rows."""
    return [true()] if values is None else one_of(work, column, sorted(values))
