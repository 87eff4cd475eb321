"""Goods: what can lie in an aisle and what it costs by default; and the tree of categories that people browse by.

The tree has two levels. Goods are put into categories of either level, into several if they like; what is in a
category of the second level is in the one above it, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Goods:
    """One kind of goods. An archived one cannot be put into a planogram any more; its past sales keep their name.

    `spec` is what tells sizes and flavours apart ("330 ml"), `pictures` are names of files.
    """

    tenant: str
    goods: str
    name: str
    barcode: str
    price_fen: int
    archived: bool
    created_ms: int
    changed_ms: int
    spec: str | None = None
    pictures: tuple[str, ...] = ()


class GoodsShown(NamedTuple):
    """What a list of all goods shows of one kind: made by the hundred, so it is a tuple."""

    goods: str
    name: str
    spec: str | None
    pictures: tuple[str, ...]
    archived: bool


@dataclass(frozen=True, slots=True)
class Category:
    """One category; `parent` is the one above it, None for one of the first level."""

    tenant: str
    category: str
    name: str
    parent: str | None
    changed_ms: int


def paths(assigned: Iterable[str], categories: Mapping[str, Category]) -> list[str]:
    """The categories that goods are in, each one below the one above it: ["VGC9", "VGC19"]; each of them once."""
    found: dict[str, None] = {}
    for which in sorted(assigned, key=in_order):
        category = categories[which]
        if category.parent is not None:
            found.setdefault(category.parent)
        found.setdefault(which)
    return list(found)


_NUMBERED = re.compile(r"(\D*)(\d{1,15})")


def in_order(which: str) -> tuple[str, int, str]:
    """Sorts ids by their number: VGC9 before VGC10."""
    match = _NUMBERED.fullmatch(which)
    return (match[1], int(match[2]), "") if match else (which, -1, which)
