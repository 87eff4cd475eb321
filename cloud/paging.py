"""Lists are cut, sorted and counted by the database, in one way for all of them.

A list is a query; what it may be sorted by is named by its owner. `sort` is such a name, with a leading '-' for
descending. Ties are broken by the last columns given, so that no row is shown twice on neighbouring pages. Lists that
are filtered by equality with any of their columns name those in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Integer, Row, ScalarSelect, Select, bindparam, func, literal, select

from cloud.database import IN_ALL, Work
from cloud.errors import FleetError

T = TypeVar("T")

PAGE_SIZE = 50
# One page of a board; whoever wants all of it turns pages.
PAGE_SIZE_MAX = 200
# What a client gets that knows no pages: as much as it can show, and no more than can be told in time.
WHOLE_MAX = 1_000
# The database counts through everything before a page: beyond this a filter is what is needed.
PAGE_MAX = 5_000
OFFSET_MAX = PAGE_MAX * PAGE_SIZE_MAX
# Counting a million rows takes longer than everything else in a list together, and nobody reads the last digits.
COUNT_MAX = 100_000

NOTHING: Mapping[str, Any] = MappingProxyType({})

# Listings that a browse function keeps for the questions it is asked again; each has about 100 kB.
LISTINGS_KEPT = 100


@dataclass(frozen=True, slots=True)
class Ask:
    """Which part of a list: pages count from 1; where `offset` is given, it is the rows before the part instead.

    `equals` narrows the list to rows whose columns of these names have these values.
    """

    page: int = 1
    page_size: int = PAGE_SIZE
    sort: str | None = None
    offset: int | None = None
    equals: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert 1 <= self.page <= PAGE_MAX, f"page {self.page}: 1 to {PAGE_MAX}"
        assert 1 <= self.page_size <= WHOLE_MAX, f"page_size {self.page_size}: 1 to {WHOLE_MAX}"
        assert self.offset is None or 0 <= self.offset <= OFFSET_MAX, f"offset {self.offset}: 0 to {OFFSET_MAX}"

    @property
    def start(self) -> int:
        """How many rows stand before this part."""
        return (self.page - 1) * self.page_size if self.offset is None else self.offset


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One part of a list, and how long the whole list is; `COUNT_MAX` stands for that and everything above."""

    items: list[T]
    total: int
    page: int
    page_size: int

    @property
    def next(self) -> int | None:
        """The number of the next page, where there is one."""
        uncounted = self.total == COUNT_MAX and len(self.items) == self.page_size
        more = self.page * self.page_size < self.total or uncounted
        return self.page + 1 if more and self.page < PAGE_MAX else None


class Listing:
    """A list as a question: its rows, what they may be sorted by, and what breaks ties.

    Putting a statement together takes longer than asking it, so a listing keeps each one that it made. Lists that are
    asked for all day are made once (`functools.lru_cache`) of what narrows them. One that only `grows` (its rows are
    never taken out, nor changed in what narrows it) is counted no more once it was `COUNT_MAX` long.
    """

    def __init__(
        self,
        query: Select[Any],
        sorts: Mapping[str, ColumnElement[Any]],
        ties: tuple[ColumnElement[Any], ...],
        *,
        grows: bool = False,
    ) -> None:
        self._query = query
        self._sorts = sorts
        self._ties = ties
        self._grows = grows
        self._total: ColumnElement[int] | None = None
        self._made: dict[tuple[str | None, ...], tuple[Select[Any], Select[tuple[int]]]] = {}

    async def page(
        self, work: Work, ask: Ask, make: Callable[[Row[Any]], T], given: Mapping[str, Any] = NOTHING
    ) -> Page[T]:
        """Cut one page; FleetError invalid for a `sort` that is not one of `sorts`. Without one, ties order.

        `ask.equals` names columns of `sorts` too: a name that is not there is a bug of the dialect that asked. `given`
        are the values of what else the query binds.
        """
        key = (ask.sort, *sorted(ask.equals))
        if key not in self._made:
            self._made[key] = self._cut(ask.sort, key[1:])
        cut, counted = self._made[key]
        narrow = {**given, **{f"equal_{name}": value for name, value in ask.equals.items()}}
        rows = await work.rows(cut, {**narrow, "page_size": ask.page_size, "page_start": ask.start})
        # Nothing here, and something before it: then no row told how long the list is.
        alone = 0 if rows or not ask.start else await work.scalar(counted, narrow)
        total = rows[0]._mapping[IN_ALL] if rows else alone
        if self._grows and total == COUNT_MAX and not ask.equals and self._total is None:
            self._total = literal(COUNT_MAX)
            self._made.clear()
        return Page([make(row) for row in rows], total, ask.page, ask.page_size)

    def _cut(self, sort: str | None, equal: Iterable[Any]) -> tuple[Select[Any], Select[tuple[int]]]:
        sorts = self._sorts
        query = self._query.where(
            *(sorts[name] == bindparam(f"equal_{name}", type_=sorts[name].type) for name in equal)
        )
        counted = _count(query) if equal or self._total is None else self._total
        part = query.order_by(*_order(sort, sorts), *self._ties)
        part = part.limit(bindparam("page_size", type_=Integer)).offset(bindparam("page_start", type_=Integer))
        return part.add_columns(counted.label(IN_ALL)), select(counted)


async def page(
    work: Work,
    query: Select[Any],
    ask: Ask,
    *,
    sorts: Mapping[str, ColumnElement[Any]],
    ties: tuple[ColumnElement[Any], ...],
    make: Callable[[Row[Any]], T],
) -> Page[T]:
    """One page of a listing that is made for this once; see `Listing.page`."""
    return await Listing(query, sorts, ties).page(work, ask, make)


def _count(query: Select[Any]) -> ScalarSelect[int]:
    # Without columns, an index is enough to count by.
    each = query.with_only_columns(literal(1), maintain_column_froms=True)
    counted = each.order_by(None).limit(COUNT_MAX).subquery()
    return select(func.count()).select_from(counted).scalar_subquery()


def _order(sort: str | None, sorts: Mapping[str, ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    if sort is None:
        return []
    column = sorts.get(sort.removeprefix("-"))
    if column is None:
        expected = ", ".join(sorted(sorts))
        raise FleetError("invalid", f"{sort!r} is not one of {expected}, each also with a leading '-'", field="sort")
    return [column.desc() if sort.startswith("-") else column.asc()]
