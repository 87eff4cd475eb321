"""Shapes that several nouns of the native API share: ids, money, pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from cloud import paging
from cloud.facades.dialect import Filter
from cloud.limits import NAME_CHARS_MAX

T = TypeVar("T")

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$")]
Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARS_MAX)]
Note = Annotated[str, Field(max_length=500)]
# One million yuan: more than any single sale, refund or top-up; a slip of the keyboard ends here.
FEN_ONCE_MAX = 100_000_000
Amount = Annotated[int, Field(ge=1, le=FEN_ONCE_MAX)]
Price = Annotated[int, Field(ge=0, le=FEN_ONCE_MAX)]
# Milliseconds since 1970-01-01 UTC, up to the year 2286.
Moment = Annotated[int, Field(ge=0, le=10**13)]


class Told(BaseModel):
    """Base of all shapes told: built from the domain's frozen types, holding only what is declared."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class PageFilter(Filter):
    """Which page; `sort` is a column's name, with a leading '-' for descending."""

    page: Annotated[int, Field(ge=1, le=paging.PAGE_MAX)] = 1
    page_size: Annotated[int, Field(ge=1, le=paging.PAGE_SIZE_MAX)] = paging.PAGE_SIZE
    sort: Annotated[str, Field(pattern=r"^-?[a-z_]{1,40}$")] | None = None

    @property
    def ask(self) -> paging.Ask:
        return paging.Ask(self.page, self.page_size, self.sort)


class PageOf(BaseModel, Generic[T]):
    """One page of a list. `total` counts the whole list, up to 100,000; `next` is the next page, null on the last."""

    items: list[T]
    total: int
    next: int | None


class All(BaseModel, Generic[T]):
    """A list that is short by its nature, whole."""

    items: list[T]


def page_of(shape: Callable[[Any], T], found: paging.Page[Any]) -> PageOf[T]:
    """A page of domain values as a page of wire shapes."""
    return PageOf(items=[shape(item) for item in found.items], total=found.total, next=found.next)


def all_of(shape: Callable[[Any], T], found: Iterable[Any]) -> All[T]:
    """A whole list of domain values as wire shapes."""
    return All(items=[shape(item) for item in found])
