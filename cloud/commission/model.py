"""A commission: a member's share of what somebody bought because of him.

    pending -> available        pending -> void

It is noted in the unit of work in which the purchase is paid, and counts for nothing yet (`pending`): the buyer may
still send the goods back, and then it is `void`. When the purchase is done it is `available`: only now money moves,
`revenue -> commission:<member>`, so what a member can withdraw is the balance of that account and nothing else.

Who earns: the one who recommended the buyer, the one who recommended him, and the one above. Where nobody is, the share
stays with the company. How much: `cloud.products.model.Terms`, exact to the fen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from cloud.errors import IllegalEvent

CommissionState = Literal["pending", "available", "void"]
STATES: tuple[CommissionState, ...] = get_args(CommissionState)
CommissionEvent = Literal["earn", "forfeit"]

TRANSITIONS: Mapping[tuple[CommissionState, CommissionEvent], CommissionState] = {
    ("pending", "earn"): "available",
    ("pending", "forfeit"): "void",
}

# Withdrawals of one member are at least so far apart, so that whoever compares the books can tell them apart.
WITHDRAW_EVERY_MS = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Commission:
    """What one member earns of one purchase. Amounts in fen, times in ms; level 1 is nearest to the buyer."""

    tenant: str
    purchase: str
    level: int
    member: str
    unit: str | None
    amount_fen: int
    state: CommissionState
    created_ms: int
    settled_ms: int | None = None

    @property
    def number(self) -> str:
        """How it is called outside."""
        return f"{self.purchase}-{self.level}"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Commission on its way to a member: the payout that carries it."""

    tenant: str
    payout: str
    member: str
    amount_fen: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What can be withdrawn, and what will be if nothing is sent back; in fen."""

    available_fen: int
    pending_fen: int


def advance(commission: Commission, event: CommissionEvent, now_ms: int) -> Commission:
    """The commission after `event`; raises `IllegalEvent` and changes nothing otherwise."""
    try:
        state = TRANSITIONS[commission.state, event]
    except KeyError:
        raise IllegalEvent(f"commission {commission.number}", commission.state, event) from None
    return replace(commission, state=state, settled_ms=now_ms)


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> pending: purchase paid"]
    lines += [f"    {state} --> {after}: {event}" for (state, event), after in TRANSITIONS.items()]
    return "\n".join(lines)
