"""A pour: what a buyer of water asked for, what flowed, and the five states between asking and the end.

It is an order's life (`cloud.orders.model`) with one difference: what is owed is known only when the water has
stopped. So the price of all that was asked for is held, rounded up, and the end takes what was owed out of escrow
(`capture`) and gives the rest back (`release`). A certain end in which nothing flowed owes nothing: that pour is
`refunded`.

The machine says how much flowed and what it charged. The cloud charges by its own rule and its own price; a machine
that disagrees is no proof against the buyer, so that pour goes to `review` like one whose meter cannot be trusted. A
person then sets the volume that is charged, and the same rule makes money of it.

A pour begun at the machine is born in the cloud with its end. The panel gives back what was not poured, so only what
was owed is booked as cash taken; while a person has to decide, all that was paid lies in escrow.

Litres have a ledger of their own, `Flow`: every millilitre that passed the meter is one of sold, given or leaked, or in
doubt until a person has decided. Sold is what was charged and no more than was asked for; what ran over is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from cloud.errors import IllegalEvent
from cloud.members.model import ESCROW, REVENUE, SHRINKAGE, Posting, cash, wallet
from shared.messages import Means, Source
from shared.quantities import charged_fen, hold_fen
from shared.water import FilterSpec, PurifierConfig, ServicePlan, Warmth

PourState = Literal["held", "claimed", "poured", "refunded", "review"]
PourEvent = Literal[
    "claim",  # the machine is idle and would pour now
    "expire",  # the deadline came first
    "cancel",  # the buyer or an operator took it back in time
    "flowed",  # the machine's word: so much flowed
    "dry",  # the machine's word: nothing flowed, and nothing ever will
    "uncertain",  # the machine's word: nobody can say how much
    "write_off",  # too long without a word; the loss is accepted
    "decide_flowed",  # a person set the volume
    "decide_dry",  # a person set it to nothing
]
PourEffect = Literal["hold", "capture", "release", "sell", "absorb_loss"]

TRANSITIONS: Mapping[tuple[PourState, PourEvent], tuple[PourState, tuple[PourEffect, ...]]] = {
    ("held", "claim"): ("claimed", ()),
    ("held", "expire"): ("refunded", ("release",)),
    ("held", "cancel"): ("refunded", ("release",)),
    ("claimed", "flowed"): ("poured", ("capture", "release")),
    ("claimed", "dry"): ("refunded", ("release",)),
    ("claimed", "uncertain"): ("review", ()),
    ("claimed", "write_off"): ("refunded", ("release",)),
    ("review", "decide_flowed"): ("poured", ("capture", "release")),
    ("review", "decide_dry"): ("refunded", ("release",)),
    # The machine's word on a pour whose claim the cloud has lost, or had answered too late.
    ("held", "flowed"): ("poured", ("capture", "release")),
    ("held", "dry"): ("refunded", ("release",)),
    ("held", "uncertain"): ("review", ()),
    ("refunded", "flowed"): ("refunded", ("absorb_loss",)),
    ("refunded", "dry"): ("refunded", ()),
    ("refunded", "uncertain"): ("refunded", ()),
    ("refunded", "decide_flowed"): ("refunded", ("absorb_loss",)),
    ("refunded", "decide_dry"): ("refunded", ()),
}

# The first and last word on a pour begun at the machine.
BIRTHS: Mapping[Literal["flowed", "dry", "uncertain"], tuple[PourState, tuple[PourEffect, ...]]] = {
    "flowed": ("poured", ("sell",)),
    "dry": ("refunded", ()),
    "uncertain": ("review", ("hold",)),
}

# Pours whose money lies in escrow.
UNDECIDED: tuple[PourState, ...] = ("held", "claimed", "review")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pour:
    """One pour. Times in ms on the cloud's clock, volumes in ml, amounts in fen.

    `paid_fen` is what the buyer has put down: held in escrow for an app, taken by the panel at the machine.
    `poured_ml` is None until the machine has said, what the meter made of it in review, and then what was decided.
    """

    tenant: str
    order: str
    machine: str
    outlet: Warmth
    asked_ml: int
    price_fen_per_litre: int
    source: Source
    means: Means
    paid_fen: int
    state: PourState
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
    poured_ml: int | None = None
    charged_fen: int = 0
    refunded_fen: int = 0
    plan: str | None = None
    written_off: bool = False
    doubted: bool = False
    decided_by: str | None = None

    @property
    def payer(self) -> str:
        """The account that paid and is paid back."""
        return cash(self.machine) if self.member is None else wallet(self.member)

    @property
    def is_doubtful(self) -> bool:
        """Whether a person has to set the volume: the machine could not, and nobody has yet."""
        return self.doubted and self.decided_by is None

    def owed_fen(self, poured_ml: int) -> int:
        """What a volume costs under this pour's terms: never more than was paid, nor than what was asked for costs."""
        most = min(self.paid_fen, hold_fen(self.asked_ml, self.price_fen_per_litre))
        return charged_fen(poured_ml, self.price_fen_per_litre, most)


def advance(pour: Pour, event: PourEvent, now_ms: int) -> tuple[Pour, tuple[PourEffect, ...]]:
    """The pour after `event`, and what it does to the money; raises `IllegalEvent` and changes nothing otherwise."""
    try:
        state, effects = TRANSITIONS[pour.state, event]
    except KeyError:
        raise IllegalEvent(f"pour {pour.order}", pour.state, event) from None
    ended = now_ms if state in ("poured", "refunded") and pour.ended_ms is None else pour.ended_ms
    return replace(pour, state=state, ended_ms=ended), effects


def posting(pour: Pour, effect: PourEffect) -> Posting:
    """The move of money that an effect means for this pour; it may be of 0 fen, which moves nothing."""
    match effect:
        case "hold":
            return Posting(pour.payer, ESCROW, pour.paid_fen)
        case "capture":
            return Posting(ESCROW, REVENUE, pour.charged_fen)
        case "release":
            return Posting(ESCROW, pour.payer, pour.paid_fen - pour.charged_fen)
        case "sell":
            return Posting(pour.payer, REVENUE, pour.charged_fen)
        case "absorb_loss":
            return Posting(SHRINKAGE, REVENUE, pour.charged_fen)


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> held: placed"]
    lines += [f"    {state} --> {after}: {event}" for (state, event), (after, _) in TRANSITIONS.items()]
    return "\n".join(lines)


# --- litres ---

FlowKind = Literal["pour", "leak", "decision"]


@dataclass(frozen=True, slots=True)
class Flow:
    """One line of a machine's litres. `source` names the fact, or the decision, that it comes from; once for each.

    The four volumes add up to what passed the meter with this line; a decision moves water and meters none, so its
    volumes add up to 0.
    """

    tenant: str
    machine: str
    source: str
    kind: FlowKind
    order: str | None
    plan: str | None
    sold_ml: int
    given_ml: int
    leaked_ml: int
    doubtful_ml: int
    at_ms: int


def parted(pour: Pour, poured_ml: int) -> tuple[int, int]:
    """How much of a volume was sold and how much was given: what is paid for, up to what was asked for, is sold."""
    sold = min(poured_ml, pour.asked_ml) if pour.owed_fen(poured_ml) else 0
    return sold, poured_ml - sold


# --- the condition of a purifier ---

FilterCondition = Literal["good", "near_end", "past_end"]


@dataclass(frozen=True, slots=True)
class FilterState:
    """How much life a cartridge has left, as the machine told it last."""

    tenant: str
    machine: str
    position: int
    name: str
    condition: FilterCondition
    percent_left: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class WaterState:
    """Whether the water is fit to be given, and by which readings (ppm; None: the sensor is silent)."""

    tenant: str
    machine: str
    fit: bool
    tds_in_ppm: int | None
    tds_out_ppm: int | None
    reason: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class FilterChange:
    """A cartridge was replaced; the old one had served this long."""

    tenant: str
    machine: str
    source: str
    position: int
    name: str
    powered_hours: int
    worked_hours: int
    litres: int
    person: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """A meter's factor was measured and set, in thousandths of a pulse per litre."""

    tenant: str
    machine: str
    source: str
    meter: str
    pulses_per_litre_milli: int
    spread_ppm: int
    runs: int
    person: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Visit:
    """A person was at a machine. `genuine`: the machine's seal on the record is in order."""

    tenant: str
    machine: str
    visit: str
    person: str
    began_wall_ms: int
    duration_ms: int
    actions: tuple[str, ...]
    genuine: bool
    at_ms: int


NoSale = Literal["plan_ended", "plan_used_up", "filter_past_end", "unfit"]


def outlet_price(config: PurifierConfig, outlet: Warmth) -> int | None:
    """What a litre of this outlet costs under the plan, in fen; None when there is no such outlet."""
    found = next((one for one in config.outlets if one.warmth == outlet), None)
    if found is None:
        return None
    return found.price_fen_per_litre if config.plan.mode == "vending" else 0


def used_ml(plan: ServicePlan, poured_ml_by_day: Mapping[int, int], now_ms: int) -> int:
    """What a metered plan has used up: each whole day what flowed, or the minimum if that is more; today what flowed.

    `poured_ml_by_day`: by the number of the day since the plan began. The machine counts by its own clock, and what it
    counts is what holds; this is what an office can know of it.
    """
    today = max(0, now_ms - plan.began_wall_ms) // DAY_MS
    minimum = plan.minimum_ml_per_day
    above = sum(max(0, ml - minimum) for day, ml in poured_ml_by_day.items() if 0 <= day < today)
    return today * minimum + above + sum(ml for day, ml in poured_ml_by_day.items() if day >= today)


DAY_MS = 24 * 3_600_000


def why_no_sale(
    config: PurifierConfig,
    filters: Mapping[int, FilterState],
    water: WaterState | None,
    left_ml: int | None,
    now_ms: int,
) -> list[NoSale]:
    """Why this purifier gives no water now, by all that the cloud knows of it; empty: it does."""
    reasons: list[NoSale] = []
    plan = config.plan
    if (
        plan.mode in ("timed_rental", "metered_rental")
        and plan.ends_wall_ms is not None
        and plan.ends_wall_ms <= now_ms
    ):
        reasons.append("plan_ended")
    if left_ml is not None and left_ml <= 0:
        reasons.append("plan_used_up")
    if config.limits.stop_when_unfit:
        if any(_is_past_end(spec, filters) for spec in config.filters):
            reasons.append("filter_past_end")
        if water is not None and not water.fit:
            reasons.append("unfit")
    return reasons


def _is_past_end(spec: FilterSpec, filters: Mapping[int, FilterState]) -> bool:
    known = filters.get(spec.position)
    return known is not None and known.condition == "past_end"
