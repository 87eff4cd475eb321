"""Stock as movements: what may happen to an aisle or to a shop's warehouse, and what it does to its balance.

on_hand: items that lie in the aisle. held: those of them whose fate is open, because a vend ended in doubt; they are
not sold again until a person has looked. The machine's own ledger decides; the cloud follows its facts.

The warehouse of a shop is what lies on its shelves outside the machines; there the cloud decides, and nothing is taken
that is not there. Who restocks a machine takes goods out of the warehouse when he says so, and asks the machine to book
them in. Until it has answered, an aisle is *expected* to hold what it holds plus what was asked; if it refuses, the
goods go back. Goods that are taken out of an aisle reach the warehouse when the machine has confirmed it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from cloud.errors import IllegalEvent

MovementKind = Literal["load", "count", "deliver", "hold", "review_delivered", "review_returned"]

# At or below this many sellable items an aisle wants a refill: the next visit may be a day away.
LOW_STOCK = 2


@dataclass(frozen=True, slots=True)
class Balance:
    """What lies in one aisle; `for_sale` is what its planogram says, and false for an aisle that none knows."""

    tenant: str
    machine: str
    aisle: str
    goods: str
    on_hand: int = 0
    held: int = 0
    for_sale: bool = False

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


WarehouseKind = Literal[
    "received",  # bought, or brought from elsewhere
    "restocked",  # on its way into a machine
    "refused",  # the machine would not have it: back
    "taken_out",  # came out of a machine
    "returned",  # a return was completed
    "corrected",  # somebody counted
]


@dataclass(frozen=True, slots=True)
class WarehouseMovement:
    """One line of a warehouse's history. `source` is what it comes from; one source moves one kind of goods once."""

    tenant: str
    source: str
    goods: str
    shop: str
    kind: WarehouseKind
    quantity: int
    person: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class AisleAsk:
    """`quantity` items that a machine was asked to book into an aisle, or (negative) out of it.

    `restock` is the record that it belongs to, None for what was taken out or put in by itself.
    """

    tenant: str
    command: str
    machine: str
    aisle: str
    goods: str
    quantity: int
    # Whose warehouse the goods come from and go to; None: the machine stands in no shop.
    shop: str | None
    restock: str | None


@dataclass(frozen=True, slots=True)
class Restock:
    """A visit on which a machine was restocked. `person` is who says that he did it, `user` whose session it was."""

    tenant: str
    restock: str
    machine: str
    shop: str
    user: str
    person: str
    digest: str
    made_ms: int


# A finger taps twice within a second, and whoever sees no answer presses again before half a minute is over.
REPEAT_MS = 30_000


def digest_of(user: str, machine: str, person: str, quantities: Mapping[str, int], levels: Mapping[str, int]) -> str:
    """Names what one person did at one machine: by aisle, how many items he added and how many then lay there.

    So a request that comes again is told from a second round with the same goods: that one finds that something was
    sold in between, and fills the aisles to other levels.
    """
    lines = [f"{aisle}+{quantity}={levels[aisle]}" for aisle, quantity in sorted(quantities.items())]
    return hashlib.sha256("\n".join([user, machine, person, *lines]).encode()).hexdigest()


ReturnState = Literal["waiting", "done"]
ReturnEvent = Literal["finish"]

RETURNS: Mapping[tuple[ReturnState, ReturnEvent], ReturnState] = {("waiting", "finish"): "done"}


@dataclass(frozen=True, slots=True)
class Return:
    """Goods that were scanned because they go back; when that is done they lie in the shop's warehouse again.

    `person` is who finished it. `at_ms` is the scan, and the end once it is done.
    """

    tenant: str
    number: str
    shop: str
    goods: str
    quantity: int
    state: ReturnState
    address: str
    person: str | None
    scanned_by: str
    scanned_ms: int
    at_ms: int


def finish(found: Return, person: str, now_ms: int) -> Return:
    """The return after it is done; raises `IllegalEvent` when it was before."""
    try:
        state = RETURNS[found.state, "finish"]
    except KeyError:
        raise IllegalEvent(f"return {found.number}", found.state, "finish") from None
    return replace(found, state=state, person=person, at_ms=now_ms)


def by_aisle(rows: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Quantities added up by aisle; aisles with nothing are left out."""
    total: dict[str, int] = {}
    for aisle, quantity in rows:
        total[aisle] = total.get(aisle, 0) + quantity
    return {aisle: quantity for aisle, quantity in total.items() if quantity}
