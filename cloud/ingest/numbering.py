"""Which facts are next, which came before, and where one is missing. Pure.

A fact is next in line exactly when `prev <= applied < seq`: `prev` is the number before it that still exists on the
machine, so numbers that were compacted away are no gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cloud.ingest.read import FactSaid

Stream = tuple[str, str, str]


@dataclass(slots=True)
class LinedUp:
    """A batch of facts in their streams. `applied` is where the streams stand once all `due` ones are in effect."""

    applied: dict[Stream, int]
    due: list[tuple[Stream, FactSaid]] = field(default_factory=list)
    again: list[tuple[Stream, FactSaid]] = field(default_factory=list)
    early: list[tuple[Stream, FactSaid]] = field(default_factory=list)

    @property
    def gaps(self) -> set[Stream]:
        """Streams in which a number is missing."""
        return {stream for stream, _ in self.early}


def line_up(applied: Mapping[Stream, int], facts: Iterable[tuple[Stream, FactSaid]]) -> LinedUp:
    """Sort facts into their streams' order and say what each one is."""
    lined = LinedUp(dict(applied))
    for stream, fact in sorted(facts, key=lambda pair: (pair[0], pair[1].envelope.seq)):
        reached = lined.applied[stream]
        if fact.envelope.seq <= reached:
            lined.again.append((stream, fact))
        elif fact.envelope.prev > reached:
            lined.early.append((stream, fact))
        else:
            lined.due.append((stream, fact))
            lined.applied[stream] = fact.envelope.seq
    return lined
