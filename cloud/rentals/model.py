"""A rental: one machine in a customer's kitchen, and what he has paid for.

A rental is `agreed` when its first period is paid; nothing runs yet, because nothing is there to give water. It is
`running` from the moment the machine is installed (or its owner switches it on): from here the period counts, and the
machine knows its end. What was agreed is a part of the machine's own signed configuration (a `ServicePlan` named after
the rental), so that it ends where it should without asking anybody.

A timed rental ends at a moment. A metered one ends when its litres are used up, a minimum a day included, and where its
period has days as well, at the latest then. Buying a further period moves the end: from the present one, or from today
when that has passed.

A rental whose end has passed is `overdue`; the machine gives no water, and buying a period wakes it up. After some days
of grace somebody is sent to fetch the machine: `dismantling`. The customer, or the company, comes to the same state by
quitting: the water runs until the end that was paid for, or until the machine is fetched. Who still buys a period
keeps the machine. With the machine back the rental has `ended` and the deposit goes back, less what is withheld for
damage. A rental whose order is given back ends without having been anything (`void`).

The deposit lies in an account of its own, whoever took it. It goes back through the provider that captured it. A rental
that was agreed on elsewhere, before it came here, has no such payment: its deposit goes into the customer's wallet, or
the company says that it has paid it out by other means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from cloud.errors import IllegalEvent
from shared.water import ServicePlan

DAY_MS = 24 * 3_600_000
# The condition under which somebody is sent to fetch a machine.
DISMANTLING = "dismantling"

RentalState = Literal["agreed", "running", "overdue", "dismantling", "ended"]
STATES: tuple[RentalState, ...] = get_args(RentalState)
RentalEvent = Literal[
    "begin",  # the machine is installed
    "renew",  # a further period is paid
    "lapse",  # the end has passed, or the litres are used up
    "dismantle",  # nobody bought a further period within the grace
    "quit",  # the customer or the company does not want to go on
    "fetch",  # the machine is back
    "void",  # the order was given back
]

TRANSITIONS: Mapping[tuple[RentalState, RentalEvent], RentalState] = {
    ("agreed", "begin"): "running",
    # Bought before anything ran: the first period is longer.
    ("agreed", "renew"): "agreed",
    ("agreed", "void"): "ended",
    ("running", "renew"): "running",
    ("running", "lapse"): "overdue",
    ("running", "quit"): "dismantling",
    ("running", "void"): "ended",
    ("overdue", "renew"): "running",
    ("overdue", "dismantle"): "dismantling",
    ("overdue", "quit"): "dismantling",
    ("overdue", "void"): "ended",
    ("dismantling", "renew"): "running",
    ("dismantling", "fetch"): "ended",
    ("dismantling", "void"): "ended",
}

# Rentals that have something to give back.
HELD: tuple[RentalState, ...] = ("agreed", "running", "overdue", "dismantling")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rental:
    """One rented machine. Times in ms, volumes in ml, amounts in fen. `payment` is the one that brought the deposit.

    `bought_days` and `prepaid_ml` are what was paid for in all; days count from `began_ms` (or from the purchase of a
    period, when the end had passed): `ends_ms` has them all.
    """

    tenant: str
    rental: str
    purchase: str
    product: str
    name: str
    member: str
    unit: str | None
    machine: str | None = None
    state: RentalState
    bought_days: int
    prepaid_ml: int
    minimum_ml_per_day: int
    deposit_fen: int
    payment: str | None
    created_ms: int
    began_ms: int | None = None
    ends_ms: int | None = None
    quit_ms: int | None = None
    quit_by: str = ""
    ended_ms: int | None = None
    withheld_fen: int = 0

    @property
    def is_metered(self) -> bool:
        """Whether litres end it."""
        return self.prepaid_ml > 0

    def plan(self) -> ServicePlan:
        """The terms as the machine keeps them; of a rental that has begun."""
        assert self.began_ms is not None, "a rental that has not begun is on no machine"
        return ServicePlan(
            plan=self.rental,
            mode="metered_rental" if self.is_metered else "timed_rental",
            began_wall_ms=self.began_ms,
            ends_wall_ms=self.ends_ms if self.ended_ms is None else self.ended_ms,
            prepaid_ml=self.prepaid_ml,
            minimum_ml_per_day=self.minimum_ml_per_day,
        )


def advance(rental: Rental, event: RentalEvent, now_ms: int) -> Rental:
    """The rental after `event`; raises `IllegalEvent` and changes nothing otherwise."""
    try:
        state = TRANSITIONS[rental.state, event]
    except KeyError:
        raise IllegalEvent(f"rental {rental.rental}", rental.state, event) from None
    return replace(rental, state=state, ended_ms=now_ms if state == "ended" else None)


def begun(rental: Rental, machine: str, now_ms: int) -> Rental:
    """The rental once its machine stands there."""
    ends_ms = now_ms + rental.bought_days * DAY_MS if rental.bought_days else None
    return replace(advance(rental, "begin", now_ms), machine=machine, began_ms=now_ms, ends_ms=ends_ms)


def renewed(rental: Rental, days: int, volume_ml: int, now_ms: int) -> Rental:
    """The rental with a further period."""
    after = replace(
        advance(rental, "renew", now_ms),
        bought_days=rental.bought_days + days,
        prepaid_ml=rental.prepaid_ml + volume_ml,
        quit_ms=None,
        quit_by="",
    )
    if rental.began_ms is None or not days:
        return after
    return replace(after, ends_ms=max(rental.ends_ms or now_ms, now_ms) + days * DAY_MS)


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> agreed: paid"]
    lines += [f"    {state} --> {after}: {event}" for (state, event), after in TRANSITIONS.items()]
    return "\n".join(lines)
