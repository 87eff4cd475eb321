"""Stock as movements: what may happen to an aisle, and what it does to its balance.

on_hand: items that lie in the aisle. held: those of them whose fate is open, because a vend ended in doubt; they are
not sold again until a person has looked. The machine's own ledger decides; the cloud follows its facts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

MovementKind = Literal["load", "count", "deliver", "hold", "review_delivered", "review_returned"]

# At or below this many sellable items an aisle wants a refill: the next visit may be a day away.
LOW_STOCK = 2


@dataclass(frozen=True, slots=True)
class Balance:
    """What lies in one aisle."""

    tenant: str
    machine: str
    aisle: str
    goods: str
    on_hand: int = 0
    held: int = 0

    @property
    def sellable(self) -> int:
        return self.on_hand - self.held

    @property
    def is_low(self) -> bool:
        return self.sellable <= LOW_STOCK

    def moved(self, on_hand_delta: int, held_delta: int, goods: str) -> Balance:
        """The balance after a movement; no floor, because the machine saw it happen."""
        return replace(self, goods=goods, on_hand=self.on_hand + on_hand_delta, held=self.held + held_delta)


@dataclass(frozen=True, slots=True)
class Movement:
    """One line of an aisle's history. `source` names the fact it comes from; one fact moves one aisle once."""

    tenant: str
    machine: str
    source: str
    aisle: str
    goods: str
    kind: MovementKind
    on_hand_delta: int
    held_delta: int
    person: str
    at_ms: int
