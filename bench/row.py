"""What a measurement is: a row that can be run, and the lines that it prints."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Aim:
    """What a line should reach: `of` says whether the measured value or its ratio to the limit is meant."""

    of: Literal["measured", "ratio"]
    must: Literal["<=", ">="]
    bound: float

    def is_met(self, value: float) -> bool:
        """Whether a value reaches the aim."""
        return value <= self.bound if self.must == "<=" else value >= self.bound

    def __str__(self) -> str:
        return f"{'ratio ' if self.of == 'ratio' else ''}{self.must} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Line:
    """One printed line. `limit`: what the bare parts did in the same run, in `unit`; `limit_is` says what they were."""

    what: str
    measured: float
    unit: str
    limit: float
    limit_is: str
    aim: Aim | None = None
    note: str = ""

    @property
    def ratio(self) -> float:
        """Measured over limit."""
        return self.measured / self.limit

    @property
    def met(self) -> bool | None:
        """Whether the aim is reached; None without an aim."""
        if self.aim is None:
            return None
        return self.aim.is_met(self.ratio if self.aim.of == "ratio" else self.measured)


@dataclass(frozen=True, slots=True)
class Row(Generic[S]):
    """One measurement. `measure` takes how much of it to do; `full` is what counts, `tiny` only shows that it runs.

    `minutes`: about how long the full one takes, for whoever waits.
    """

    name: str
    measure: Callable[[S], Coroutine[Any, Any, list[Line]]]
    full: S
    tiny: S
    minutes: int


def percentile(values: list[float], share: float) -> float:
    """The value that `share` (0 to 1) of all values do not exceed; the highest of few values."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
