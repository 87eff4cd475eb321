"""A purchase: products that a customer orders, and the ten states between asking and the end.

A purchase begins as an `obligation`: prices are copied from the products on that day, nobody has promised anything, and
a deadline closes it. Money makes it `paid`, in the very unit of work in which a payment is captured. The brand sends it
(`delivered`), the customer has it (`received`, by his word or by time), and when he has kept it long enough it is
`done`: only now is the money earned. Until then it lies in `advances:<order>`, and deposits in accounts of their own.

Whoever does not want it asks for its `return`; the brand agrees (`consent`), and when the goods are back the money goes
back (`refund`), as far as it was captured and never further. A brand that cannot deliver closes a paid purchase and
gives everything back. Money that arrives for a purchase which is no longer waiting for it goes back at once.

Whoever buys together with others pays as he joins, and then his purchase is `gathering`: the money is there, nothing
else happens yet. When the group is full it is `paid` like any other; when the group does not come together, all of the
money goes back. The group decides that (`cloud.promotions`), and nobody takes a single purchase out of it.

What has no parcel (a further period of a rental) is done the moment it is paid.

Recommending earns in the same steps: noted when the purchase is paid, earned when it is done, taken back when the money
goes back. Effects are what these steps do beside the purchase itself; `cloud.purchases.advance` carries them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from cloud.errors import IllegalEvent
from cloud.products.model import NO_TERMS, Period, Product, Terms
from cloud.providers.payment import Channel

# In the words of the trade and in its order; a purchase's number on the wire is the place here, so what came later
# stands at the end.
PurchaseState = Literal[
    "obligation", "paid", "delivered", "received", "return", "consent", "refund", "close", "done", "gathering"
]
STATES: tuple[PurchaseState, ...] = get_args(PurchaseState)
PurchaseEvent = Literal[
    "pay",  # the money is there
    "pay_at_once",  # the money is there, and there is nothing to send
    "pay_in_group",  # the money is there, and the group is not full yet
    "fill",  # the group is full
    "disband",  # the group did not come together
    "expire",  # nobody paid in time
    "cancel",  # the customer or the brand took it back before it was paid
    "give_up",  # paid, and the brand cannot deliver
    "deliver",  # it is on its way
    "confirm",  # it has arrived, says the customer, or time
    "ask_return",  # the customer does not want it
    "consent",  # the brand agrees
    "give_back",  # the goods are back
    "finish",  # kept long enough
]
# accrue, earn, forfeit: what recommending earns. agree, renew, void: what is rented. settle: the advance is revenue.
# repay: the money goes back. install: somebody has to come and put it up.
Effect = Literal["accrue", "earn", "forfeit", "agree", "renew", "void", "settle", "repay", "install"]

TRANSITIONS: Mapping[tuple[PurchaseState, PurchaseEvent], tuple[PurchaseState, tuple[Effect, ...]]] = {
    ("obligation", "pay"): ("paid", ("agree", "accrue", "install")),
    ("obligation", "pay_at_once"): ("done", ("renew", "accrue", "settle", "earn")),
    ("obligation", "pay_in_group"): ("gathering", ()),
    ("gathering", "fill"): ("paid", ("agree", "accrue", "install")),
    ("gathering", "disband"): ("close", ("repay",)),
    ("obligation", "expire"): ("close", ()),
    ("obligation", "cancel"): ("close", ()),
    ("paid", "give_up"): ("close", ("void", "forfeit", "repay")),
    ("paid", "deliver"): ("delivered", ()),
    ("delivered", "confirm"): ("received", ()),
    ("delivered", "ask_return"): ("return", ()),
    ("received", "ask_return"): ("return", ()),
    ("received", "finish"): ("done", ("settle", "earn")),
    ("return", "consent"): ("consent", ()),
    ("consent", "give_back"): ("refund", ("void", "forfeit", "repay")),
}

# Money arrives.
PAYS: tuple[PurchaseEvent, ...] = ("pay", "pay_at_once", "pay_in_group")
# Purchases whose money lies in advances.
ADVANCED: tuple[PurchaseState, ...] = ("gathering", "paid", "delivered", "received", "return", "consent")
ENDED: tuple[PurchaseState, ...] = ("refund", "close", "done")

# goods: bought. rental: at least one line is rented. reservation: to be bought later. renewal: a further period.
PurchaseKind = Literal["goods", "rental", "reservation", "renewal"]

# One purchase: a household orders a handful, an office some dozens.
LINES_MAX = 50
QUANTITY_MAX = 999


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One product in a purchase, with everything that was agreed on that day. Amounts in fen.

    Freight is paid once a line and `discount_fen` taken off once; price, installation and deposit are for one piece.
    `period` is set on what is rented; `price_fen` is then the period's price.
    """

    product: str
    name: str
    quantity: int
    price_fen: int
    freight_fen: int = 0
    install_fen: int = 0
    with_install: bool = False
    deposit_fen: int = 0
    period: Period | None = None
    minimum_ml_per_day: int = 0
    commission: Terms = NO_TERMS
    discount_fen: int = 0

    @property
    def goods_fen(self) -> int:
        """What the pieces cost, without freight, installation and deposit: what recommending earns a share of."""
        return self.price_fen * self.quantity - self.discount_fen

    @property
    def amount_fen(self) -> int:
        """What is to be paid for it in all."""
        return self.goods_fen + self.freight_fen + (self.install_fen + self.deposit_fen) * self.quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """To whom it is sent."""

    name: str = ""
    phone: str = ""
    area: str = ""
    address: str = ""
    zipcode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How it is sent; `sent_ms` None: not yet."""

    company: str = ""
    tracking: str = ""
    clerk: str = ""
    sent_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """One purchase. Amounts in fen, times in ms. `unit`: the shop, dealer or agent that serves the customer.

    `rental` is set on what renews one, `group` on what is bought together with others.
    `due_ms` is when time does the next thing to it (`BY_TIME`); None: time does nothing.
    """

    tenant: str
    purchase: str
    kind: PurchaseKind
    state: PurchaseState
    member: str
    unit: str | None
    lines: tuple[Line, ...]
    goods_fen: int
    freight_fen: int
    install_fen: int
    deposit_fen: int
    receiver: Receiver
    delivery: Delivery = Delivery()
    memo: str = ""
    rental: str | None = None
    group: str | None = None
    due_ms: int | None = None
    created_ms: int
    paid_ms: int | None = None
    received_ms: int | None = None
    return_ms: int | None = None
    ended_ms: int | None = None
    payment: str | None = None
    pay_channel: Channel | Literal[""] = ""
    transaction: str = ""
    repaid_fen: int = 0
    deleted_ms: int | None = None

    @property
    def discount_fen(self) -> int:
        """What was taken off what the pieces cost."""
        return sum(line.discount_fen for line in self.lines)

    @property
    def amount_fen(self) -> int:
        """What is to be paid."""
        return self.advance_fen + self.deposit_fen

    @property
    def advance_fen(self) -> int:
        """What is earned once it is done: everything but the deposit."""
        return self.goods_fen + self.freight_fen + self.install_fen

    @property
    def is_undone(self) -> bool:
        """Whether it is over and nothing of it was paid for good: never paid, or everything went back."""
        over = self.state in ("close", "refund")
        return over and (self.paid_ms is None or self.repaid_fen == self.amount_fen)

    @property
    def when_paid(self) -> PurchaseEvent:
        """What happens to it when its money is there."""
        return "pay_at_once" if self.kind == "renewal" else "pay"

    @property
    def wants_installation(self) -> bool:
        """Whether somebody has to come and put it up."""
        return any(line.with_install or line.period is not None for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long a state may last before time ends it, in ms."""

    pay_ms: int = 24 * 3_600_000
    confirm_ms: int = 15 * 24 * 3_600_000
    finish_ms: int = 7 * 24 * 3_600_000

    def of(self, state: PurchaseState) -> int | None:
        """How long this state may last; None: for ever."""
        return {"obligation": self.pay_ms, "delivered": self.confirm_ms, "received": self.finish_ms}.get(state)


# What time alone does.
BY_TIME: Mapping[PurchaseState, PurchaseEvent] = {
    "obligation": "expire",
    "delivered": "confirm",
    "received": "finish",
}


def advance(
    purchase: Purchase, event: PurchaseEvent, now_ms: int, deadlines: Deadlines
) -> tuple[Purchase, tuple[Effect, ...]]:
    """The purchase after `event`, and what else it does; raises `IllegalEvent` and changes nothing otherwise."""
    try:
        state, effects = TRANSITIONS[purchase.state, event]
    except KeyError:
        raise IllegalEvent(f"order {purchase.purchase}", purchase.state, event) from None
    lasts_ms = deadlines.of(state)
    return (
        replace(
            purchase,
            state=state,
            due_ms=None if lasts_ms is None else now_ms + lasts_ms,
            paid_ms=now_ms if event in PAYS else purchase.paid_ms,
            received_ms=now_ms if event == "confirm" else purchase.received_ms,
            return_ms=now_ms if event == "ask_return" else purchase.return_ms,
            ended_ms=now_ms if state in ENDED else None,
        ),
        effects,
    )


def bought(product: Product, quantity: int) -> Line:
    """A line that buys `quantity` of a product at today's price."""
    return Line(
        product=product.product,
        name=product.name,
        quantity=quantity,
        price_fen=product.price_fen,
        freight_fen=product.freight_fen,
        install_fen=product.install_fen if product.with_install else 0,
        with_install=product.with_install,
        commission=product.commission,
    )


def rented(product: Product, quantity: int, period: Period) -> Line:
    """A line that rents `quantity` machines of a product for a first period, against a deposit."""
    return replace(
        bought(product, quantity),
        price_fen=period.price_fen,
        deposit_fen=product.rent.deposit_fen,
        period=period,
        minimum_ml_per_day=product.rent.minimum_ml_per_day,
    )


def commission_parts(lines: tuple[Line, ...]) -> tuple[int, ...]:
    """What each level of referrers earns of a purchase, nearest first; exact to the fen."""
    per_line = [line.commission.parts_of(line.goods_fen, line.quantity) for line in lines]
    depth = max((len(parts) for parts in per_line), default=0)
    return tuple(sum(parts[level] for parts in per_line if level < len(parts)) for level in range(depth))


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> obligation: ordered"]
    lines += [f"    {state} --> {after}: {event}" for (state, event), (after, _) in TRANSITIONS.items()]
    return "\n".join(lines)
