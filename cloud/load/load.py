"""Loading a book: compare every line with what is there, and write what is new or different.

The whole run is one transaction. So a refused book leaves nothing behind, a line may name what an earlier sheet of the
same book brings, and a dry run is the same run, rolled back at its end: what it shows is what would happen, down to
the constraints of the database. A hundred thousand lines are well within what both engines do in one transaction.
The nouns' order is the lock order of `cloud.database`, and events come last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy.exc import IntegrityError

from cloud.accounts.audit import record
from cloud.accounts.model import Subject
from cloud.accounts.passwords import Passwords
from cloud.accounts.vault import Vault
from cloud.database import Database, Work
from cloud.errors import FleetError
from cloud.events import Event, tell
from cloud.load.book import Book, Line, Problem, Sheet
from cloud.load.columns import Lasting, Refused, Row
from cloud.load.noun import Draft, Key, Noun, Run
from cloud.load.nouns import NOUNS
from cloud.load.nouns.brands import all_brands
from cloud.machines.credentials import Credentials

# Below so many written lines the database plans well enough by what it knows.
ANALYZE_FROM = 1_000

# Lines between two words to whoever shows the progress.
PROGRESS_EVERY = 2_000

Progress = Callable[[int, int], None]
AnyNoun = Noun[Any]


@dataclass(slots=True)
class Counts:
    """What became of the lines of one noun."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """A line that is new (`changes` None) or differs: {column: (before, after)}."""

    noun: str
    brand: str
    key: Key
    changes: dict[str, tuple[Any, Any]] | None


@dataclass(slots=True)
class Outcome:
    """What a run did, or would do."""

    counts: dict[str, Counts] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # Whether it was kept.
    written: bool = False


class _NotKept(Exception):
    """Ends a transaction that is not to be kept."""


async def load(
    database: Database,
    credentials: Credentials,
    passwords: Passwords,
    vault: Vault,
    book: Book,
    *,
    keep_good: bool = False,
    dry_run: bool = False,
    brand: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Outcome:
    """Load `book`; with a problem nothing is written, unless `keep_good`, which leaves out the bad lines only.

    `brand` is whose the lines are that name none. FleetError conflict when somebody changed the same things meanwhile.
    """
    outcome = Outcome()

    async def all_of_it(work: Work) -> None:
        nonlocal outcome
        outcome = Outcome()
        await _Loading(Run(work, credentials, passwords, vault), book, outcome, brand, progress).run()
        if dry_run or (outcome.problems and not keep_good):
            raise _NotKept

    try:
        await database.transact(all_of_it)
        outcome.written = True
    except _NotKept:
        pass
    except IntegrityError as error:
        raise FleetError(
            "conflict", f"somebody changed the same things meanwhile: load it again ({error.orig})"
        ) from error
    if outcome.written and len(outcome.differences) >= ANALYZE_FROM:
        await database.analyze()
    return outcome


class _Loading:
    """One run over the book."""

    def __init__(self, run: Run, book: Book, outcome: Outcome, brand: str | None, progress: Progress) -> None:
        self._run = run
        self._book = book
        self._outcome = outcome
        self._progress = progress
        self._total = sum(len(sheet.lines) for sheet in book.sheets)
        self._done = 0
        self._brand = brand
        self._brands: set[str] = set()
        self._refused: defaultdict[tuple[str, str], set[Key]] = defaultdict(set)
        self._by_name = {noun.name: noun for noun in NOUNS}

    async def run(self) -> None:
        sheets = defaultdict(list)
        known = {name: noun for noun in NOUNS for name in (noun.name, noun.title)}
        for sheet in self._book.sheets:
            noun = known.get(sheet.name.strip()) or known.get(sheet.name.strip().lower())
            if noun is not None:
                sheets[noun.name].append(sheet)
            else:
                names = ", ".join(one.name for one in NOUNS)
                self._problem(sheet, None, None, sheet.name, f"is no sheet we know: expected one of {names}")
        there = await all_brands(self._run.work)
        if self._brand is None and "brands" not in sheets and len(there) == 1:
            self._brand = there[0]
        for noun in NOUNS:
            if noun.name in sheets:
                await self._noun(noun, sheets[noun.name])
            await noun.close(self._run)
        await self._tell()
        self._progress(self._total, self._total)

    async def _noun(self, noun: AnyNoun, sheets: Sequence[Sheet]) -> None:
        counts = self._outcome.counts.setdefault(noun.name, Counts())
        before = len(self._outcome.problems)
        by_brand: defaultdict[str, dict[Key, _Typed]] = defaultdict(dict)
        refused = 0
        for sheet in sheets:
            for typed in self._typed(noun, sheet):
                if typed is None:
                    refused += 1
                    continue
                same = by_brand[typed.brand].setdefault(typed.key, typed)
                if same is not typed:
                    refused += 1
                    said = f"is the key of row {same.line.number} as well"
                    self._problem(
                        sheet, typed.line, ", ".join(noun.key) or "brand", "/".join(typed.key) or typed.brand, said
                    )
        if noun.name == "brands" and len(by_brand) == 1 and self._brand is None:
            self._brand = next(iter(by_brand))
        for brand, lines in sorted(by_brand.items()):
            refused += await self._of_brand(noun, brand, lines)
        counts.refused = refused
        assert refused or len(self._outcome.problems) == before

    def _typed(self, noun: AnyNoun, sheet: Sheet) -> Iterator[_Typed | None]:
        """The lines with their values typed; None for one that is refused."""
        names = _Names(noun, sheet.header)
        for column in names.unknown:
            expected = ", ".join(one.name for one in noun.columns.all)
            self._problem(sheet, None, column, column, f"is no column of {noun.name}: expected one of {expected}")
        for line in sheet.lines:
            self._advance()
            yield None if names.unknown else self._typed_line(noun, sheet, line, names)

    def _typed_line(self, noun: AnyNoun, sheet: Sheet, line: Line, names: _Names) -> _Typed | None:
        try:
            values = noun.columns.values(names.of(line))
        except Refused as refused:
            for column, value, reason in refused.objections:
                self._problem(sheet, line, column, value, reason)
            self._remember_refused(noun, line, names)
            return None
        if values.get("brand") is None:
            if self._brand is None:
                self._problem(
                    sheet, line, "brand", None, "is missing: name it here, or with --brand for the whole book"
                )
                return None
            values["brand"] = self._brand
        missing = [name for name in noun.key if values.get(name) is None]
        for name in missing:
            self._problem(sheet, line, name, None, "is missing")
        if missing:
            return None
        return _Typed(sheet, line, values["brand"], tuple(values[name] for name in noun.key), values)

    def _remember_refused(self, noun: AnyNoun, line: Line, names: _Names) -> None:
        """So that whoever names this line is told why it is not there, as far as its key can be read."""
        try:
            cells = names.of(line)
            known = noun.columns.values({name: cells[name] for name in ("brand", *noun.key) if name in cells})
        except Refused:
            return
        brand = known.get("brand") or self._brand
        if brand is not None and all(known.get(name) is not None for name in noun.key):
            self._refused[noun.name, brand].add(tuple(known[name] for name in noun.key))

    async def _of_brand(self, noun: AnyNoun, brand: str, lines: dict[Key, _Typed]) -> int:
        """Compare and write the lines of one brand; answers how many were refused."""
        if noun.name != "brands" and not await self._is_brand(brand):
            for typed in lines.values():
                self._problem(typed.sheet, typed.line, "brand", brand, "is no brand we know, or its line was refused")
            return len(lines)
        there = {noun.key_of(row): row for row in await noun.present(self._run, brand, list(lines))}
        drafts: dict[Key, Draft[Any]] = {}
        for key, typed in lines.items():
            if draft := self._draft(noun, typed, there.get(key)):
                drafts[key] = draft
        await self._check_references(noun, brand, drafts)
        await noun.settle(self._run, brand, [draft for draft in drafts.values() if not draft.objections])
        await self._check_references(noun, brand, drafts, own_only=True)
        good = []
        for key, draft in drafts.items():
            for column, value, reason in draft.objections:
                shown = None if column and noun.columns.by_name[column].is_secret else value
                self._problem(lines[key].sheet, lines[key].line, column, shown, reason)
            if draft.objections:
                self._refused[noun.name, brand].add(key)
            else:
                good.append(draft)
        wanted = [draft for draft in good if draft.before != draft.after]
        self._count(noun, brand, wanted, len(good) - len(wanted))
        if wanted:
            await noun.write(self._run, brand, wanted)
        self._refused[noun.name, brand] |= lines.keys() - drafts.keys()
        return len(lines) - len(good)

    def _draft(self, noun: AnyNoun, typed: _Typed, before: Row | None) -> Draft[Any] | None:
        if _has_ended(before):
            after = before
        elif before is not None:
            given = {name: value for name, value in typed.values.items() if not noun.columns.by_name[name].is_first}
            after = msgspec.structs.replace(before, **given)
        else:
            missing = noun.columns.missing(typed.values)
            for name in missing:
                self._problem(typed.sheet, typed.line, name, None, "is missing: a new line needs it")
            if missing:
                return None
            after = noun.shape(**typed.values)
        return Draft(typed.line.number, before, after, typed.values)

    async def _check_references(
        self, noun: AnyNoun, brand: str, drafts: dict[Key, Draft[Any]], *, own_only: bool = False
    ) -> None:
        """Object to lines that name something that is not there. Lines of one sheet may name each other."""
        for column, target in noun.references.items():
            own = target == noun.name
            if own_only and not own:
                continue
            named = {(value,) for draft in drafts.values() for value in _ids(getattr(draft.after, column))}
            there = self._by_name[target]
            rows = list(await there.present(self._run, brand, sorted(named))) if named else []
            known = {there.key_of(row) for row in rows}
            if column in noun.living:
                _object_to_ended(drafts.values(), column, {there.key_of(row) for row in rows if _has_ended(row)})
            while True:
                offered = known | {key for key, d in drafts.items() if not d.objections} if own else known
                bad = [
                    (draft, value)
                    for draft in drafts.values()
                    if not draft.objections
                    for value in _ids(getattr(draft.after, column))
                    if (value,) not in offered
                ]
                for draft, value in bad:
                    refused = (value,) in self._refused[target, brand] or (own and (value,) in drafts)
                    why = ", its line was refused" if refused else ""
                    draft.object(column, f"there is no {value!r} in {target}{why}")
                # A line that was refused just now may have been named by another one.
                if not (own and bad):
                    break

    async def _is_brand(self, brand: str) -> bool:
        if brand not in self._brands and list(await self._by_name["brands"].present(self._run, brand, [()])):
            self._brands.add(brand)
        return brand in self._brands

    def _count(self, noun: AnyNoun, brand: str, wanted: Iterable[Draft[Any]], unchanged: int) -> None:
        counts = self._outcome.counts[noun.name]
        counts.unchanged += unchanged
        for draft in wanted:
            changes = None
            if draft.before is None:
                counts.created += 1
            else:
                counts.changed += 1
                changes = _changes(noun, draft.before, draft.after)
            self._outcome.differences.append(Difference(noun.name, brand, noun.key_of(draft.after), changes))

    async def _tell(self) -> None:
        """Audit log and events, brand by brand: who loaded what, and that screens should look again."""
        told: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for difference in self._outcome.differences:
            told[difference.brand][difference.noun] = told[difference.brand].get(difference.noun, 0) + 1
        actor = self._run.actor
        for brand, nouns in sorted(told.items()):
            subject = Subject(brand, actor, actor, "platform")
            await record(self._run.work, subject, "book.load", {"file": self._book.file, "written": nouns}, "")
        await tell(
            self._run.work,
            [Event(brand, "book.loaded", self._book.file, dict(nouns)) for brand, nouns in sorted(told.items())],
        )
        self._outcome.notes = self._run.notes

    def _problem(self, sheet: Sheet, line: Line | None, column: str | None, value: Any, reason: str) -> None:
        number = None if line is None else line.number
        self._outcome.problems.append(Problem(sheet.file, sheet.name, number, column, value, reason))

    def _advance(self) -> None:
        self._done += 1
        if self._done % PROGRESS_EVERY == 0:
            self._progress(self._done, self._total)


@dataclass(frozen=True, slots=True)
class _Typed:
    """A line whose values fit their columns."""

    sheet: Sheet
    line: Line
    brand: str
    key: Key
    values: dict[str, Any]


class _Names:
    """Which column each name in a sheet means, by its name or its Chinese title; '#' begins a remark."""

    def __init__(self, noun: AnyNoun, header: Sequence[str] | None) -> None:
        self._noun = noun
        self._found: dict[str, str | None] = {}
        self.unknown = [name for name in header or () if not name.startswith("#") and self._column(name) is None]

    def of(self, line: Line) -> dict[str, Any]:
        """The line's cells by column; raises Refused for a name that is no column."""
        cells = {}
        for name, value in line.cells.items():
            column = self._column(name)
            if column is not None:
                cells[column] = value
            elif not name.startswith("#"):
                raise Refused([(name, value, f"is no column of {self._noun.name}")])
        return cells

    def _column(self, name: str) -> str | None:
        if name not in self._found:
            self._found[name] = self._noun.columns.named(name)
        return self._found[name]


def _has_ended(row: Row | None) -> bool:
    return isinstance(row, Lasting) and row.until is not None


def _object_to_ended(drafts: Iterable[Draft[Any]], column: str, ended: set[Key]) -> None:
    for draft in drafts:
        if not draft.objections and any((value,) in ended for value in _ids(getattr(draft.after, column))):
            draft.object(column, "is not there any more: it has ended")


def _ids(value: str | tuple[str, ...] | None) -> Iterable[str]:
    if not value:
        return ()
    return (value,) if isinstance(value, str) else value


def _changes(noun: AnyNoun, before: Row, after: Row) -> dict[str, tuple[Any, Any]]:
    """What differs, column by column; a secret's value is not told."""
    changes = {}
    for column in noun.columns.all:
        was, now = getattr(before, column.name), getattr(after, column.name)
        if was != now:
            changes[column.name] = ("...", "...") if column.is_secret else (was, now)
    return changes
