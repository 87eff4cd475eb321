"""An order: what a buyer asked for, and the five states between asking and the end.

An order placed in the cloud begins `held`: the money lies in escrow and the machine is offered the job. Nobody has
promised anything yet, so until the machine claims it the cloud may take it back alone, and at the deadline it does.

With the claim the order is `claimed`, and the cloud has given that right away (I7): from here only the machine's own
word ends it. It says delivered, failed, or that nobody can say, and it says so for certain one day, since it wrote the
intent down before the motor moved. `review` is where the third answer waits for a person, money and item held.

`delivered` means one delivery and the money earned; `refunded` means no delivery and the money back. Two things soften
that on purpose. An operator may accept a loss and write a claimed order off; and the truth, when it arrives after a
refund, is booked as a loss of the company (`absorb_loss`) and never charged to the buyer again. That also serves after
a restore from a backup, when the cloud has forgotten a claim that the machine remembers.

A sale begun at the machine itself has no hold and no claim. Its order is born in the cloud with its end (`BIRTHS`).
Money that was taken for nothing is deposited in escrow and goes to review: only a person can hand coins back.

Effects are moves of money, listed in `MONEY`; what happens to stock, tickets and offers is the business of the verbs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from cloud.errors import IllegalEvent
from cloud.members.model import ESCROW, REVENUE, SHRINKAGE, Posting, cash, wallet
from shared.messages import Means, Source, UnknownReason

OrderState = Literal["held", "claimed", "delivered", "refunded", "review"]
OrderEvent = Literal[
    "claim",  # the machine is idle and would carry it out
    "expire",  # the deadline came first
    "cancel",  # the buyer or an operator took it back in time
    "delivered",  # the machine's word
    "failed",  # the machine's word: nothing fell, and nothing ever will
    "unknown",  # the machine's word: nobody can say
    "write_off",  # too long without a word; the loss is accepted
    "decide_delivered",  # a person looked
    "decide_refunded",  # a person looked
]
Effect = Literal["hold", "capture", "release", "sell", "absorb_loss", "refund"]

TRANSITIONS: Mapping[tuple[OrderState, OrderEvent], tuple[OrderState, tuple[Effect, ...]]] = {
    ("held", "claim"): ("claimed", ()),
    ("held", "expire"): ("refunded", ("release",)),
    ("held", "cancel"): ("refunded", ("release",)),
    ("claimed", "delivered"): ("delivered", ("capture",)),
    ("claimed", "failed"): ("refunded", ("release",)),
    ("claimed", "unknown"): ("review", ()),
    ("claimed", "write_off"): ("refunded", ("release",)),
    ("review", "decide_delivered"): ("delivered", ("capture",)),
    ("review", "decide_refunded"): ("refunded", ("release",)),
    # The machine's word on an order whose claim the cloud has lost, or had answered too late.
    ("held", "delivered"): ("delivered", ("capture",)),
    ("held", "failed"): ("refunded", ("release",)),
    ("held", "unknown"): ("review", ()),
    ("refunded", "failed"): ("refunded", ()),
    ("refunded", "unknown"): ("refunded", ()),
    ("refunded", "delivered"): ("refunded", ("absorb_loss",)),
    ("refunded", "decide_delivered"): ("refunded", ("absorb_loss",)),
    ("refunded", "decide_refunded"): ("refunded", ()),
}

# The first and last word on a sale begun at the machine: what it says, and whether money was taken.
BIRTHS: Mapping[tuple[Literal["delivered", "failed", "unknown"], bool], tuple[OrderState, tuple[Effect, ...]]] = {
    ("delivered", True): ("delivered", ("sell",)),
    ("delivered", False): ("delivered", ()),
    ("failed", True): ("review", ("hold",)),
    ("failed", False): ("refunded", ()),
    ("unknown", True): ("review", ("hold",)),
    ("unknown", False): ("review", ()),
}

# Where each effect takes the money from and to; `payer` is the member's wallet or the machine's cash.
MONEY: Mapping[Effect, tuple[str, str]] = {
    "hold": ("payer", ESCROW),
    "capture": (ESCROW, REVENUE),
    "release": (ESCROW, "payer"),
    "sell": ("payer", REVENUE),
    "absorb_loss": (SHRINKAGE, REVENUE),
    "refund": (REVENUE, "payer"),
}

_DOUBTS = frozenset(get_args(UnknownReason))

# Orders whose money lies in escrow.
UNDECIDED: tuple[OrderState, ...] = ("held", "claimed", "review")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order. Times in ms on the cloud's clock, amounts in fen."""

    tenant: str
    order: str
    machine: str
    aisle: str
    goods: str
    price_fen: int
    source: Source
    means: Means
    paid_fen: int
    state: OrderState
    placed_ms: int
    member: str | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None
    deadline_ms: int | None = None
    claimed_ms: int | None = None
    nonce: str | None = None
    boot_id: str | None = None
    ended_ms: int | None = None
    reason: str | None = None
    delivered_aisle: str | None = None
    written_off: bool = False
    decided_by: str | None = None
    refunded_fen: int = 0
    # Where the machine stood then; a machine that moves takes no past sales along.
    shop: str | None = None

    @property
    def payer(self) -> str:
        """The account that paid and is paid back."""
        return cash(self.machine) if self.member is None else wallet(self.member)

    @property
    def is_doubtful(self) -> bool:
        """Whether a person has to say what became of it: the machine could not, and nobody has yet."""
        in_doubt = self.state == "review" or (self.state == "refunded" and self.reason in _DOUBTS)
        return in_doubt and self.decided_by is None


def advance(order: Order, event: OrderEvent, now_ms: int) -> tuple[Order, tuple[Effect, ...]]:
    """The order after `event`, and what it does to the money; raises `IllegalEvent` and changes nothing otherwise."""
    try:
        state, effects = TRANSITIONS[order.state, event]
    except KeyError:
        raise IllegalEvent(f"order {order.order}", order.state, event) from None
    ended = now_ms if state in ("delivered", "refunded") and order.ended_ms is None else order.ended_ms
    return replace(order, state=state, ended_ms=ended), effects


def posting(order: Order, effect: Effect, amount_fen: int) -> Posting:
    """The move of money that an effect means for this order."""
    source, target = (order.payer if end == "payer" else end for end in MONEY[effect])
    return Posting(source, target, amount_fen)


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> held: placed"]
    lines += [f"    {state} --> {after}: {event}" for (state, event), (after, _) in TRANSITIONS.items()]
    return "\n".join(lines)
