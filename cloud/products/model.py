"""A product: what it costs to buy and to rent, what recommending it earns, and what a machine of it is made of.

Three parts beside the description. `Rent`: the deposit and the periods that can be bought; a period lasts some days, or
holds some litres, or both. `Terms`: what each of three levels of referrers earns, as a share of the price or as an
amount. `Specification`: the machine's mode, cartridges and outlets, which become part of the machine's own signed
configuration, so that it keeps to them without a network (`cloud.water.equip`).

An order copies what it needs on the day it is made: changing a product changes no order and no contract.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from shared.quantities import ML_PER_LITRE, split_fen
from shared.water import TimerMode, Warmth

# How a product is offered: bought, or reserved first.
ProductKind = Literal["purchase", "reservation"]
# What its machine asks money for. reserved: nothing is said.
BillingMode = Literal["reserved", "sale", "timed", "metered", "vending"]
# Where the litres come from: the meter, opening time and nominal flow, or a count of portions.
Measure = Literal["device", "timed", "metered"]
CommissionMode = Literal["ratio", "fixed"]

# Ten years, and a cubic metre a day for a month: beyond is a slip of the keyboard.
PERIOD_DAYS_MAX = 3_650
PERIOD_LITRES_MAX = 30_000
# What a shop's page shows; the documentation has five.
PERIODS_MAX = 20
# Whoever recommended the buyer, who recommended him, and who recommended that one.
LEVELS = 3
# The whole, in hundredths of a percent.
WHOLE = 10_000
# A million yuan.
PRICE_MAX_FEN = 100_000_000

_PERIOD = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,5})l)?")


@dataclass(frozen=True, slots=True)
class Period:
    """A time, a volume, or both that can be bought for a rented machine: "30d", "500l", "30d500l"."""

    key: str
    name: str
    price_fen: int

    @property
    def days(self) -> int:
        """How many days it lasts; 0: days do not end it."""
        return _extent(self.key)[0]

    @property
    def volume_ml(self) -> int:
        """How much water it holds; 0: litres do not end it."""
        return _extent(self.key)[1] * ML_PER_LITRE


@dataclass(frozen=True, slots=True)
class Rent:
    """What renting costs; without periods the product cannot be rented. `minimum_ml_per_day` is used up in any case."""

    deposit_fen: int = 0
    periods: tuple[Period, ...] = ()
    minimum_ml_per_day: int = 0

    def period(self, key: str) -> Period | None:
        """The period of this key."""
        return next((period for period in self.periods if period.key == key), None)


@dataclass(frozen=True, slots=True)
class Terms:
    """What recommending earns, from the nearest level on: hundredths of a percent (ratio) or fen a piece (fixed)."""

    enabled: bool = False
    mode: CommissionMode = "ratio"
    levels: tuple[int, ...] = ()

    def parts_of(self, base_fen: int, quantity: int) -> tuple[int, ...]:
        """What the levels earn of `base_fen` paid for `quantity` pieces; together with the rest exactly `base_fen`."""
        if not self.enabled:
            return ()
        if self.mode == "ratio":
            rest = WHOLE - sum(self.levels)
            return tuple(split_fen(base_fen, (*self.levels, rest))[: len(self.levels)])
        parts: list[int] = []
        for each_fen in self.levels:
            parts.append(min(each_fen * quantity, base_fen - sum(parts)))
        return tuple(parts)


@dataclass(frozen=True, slots=True)
class Cartridge:
    """One filter, and how many hours it lasts switched on and working."""

    position: int
    name: str
    timer_mode: TimerMode
    lifetime_hours: int
    worklife_hours: int


@dataclass(frozen=True, slots=True)
class OutletFlow:
    """How much one outlet gives, in thousandths of a millilitre a second."""

    warmth: Warmth
    name: str
    flow_ul_per_s: int


@dataclass(frozen=True, slots=True)
class Specification:
    """What a machine of this product is made of. `extra`: what nobody here knows, kept as it came."""

    mode: BillingMode = "reserved"
    cartridges: tuple[Cartridge, ...] = ()
    measure: Measure = "device"
    outlets: tuple[OutletFlow, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_rented(self) -> bool:
        """Whether an order that names no period rents it."""
        return self.mode in ("timed", "metered")


NO_RENT = Rent()
NO_TERMS = Terms()
UNSPECIFIED = Specification()


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One product. `shelf_state` is the brand's own number for it; deleted ones keep their row and their number."""

    tenant: str
    product: str
    shelf_state: int = 0
    kind: ProductKind = "purchase"
    name: str
    description: str = ""
    tags: str = ""
    sequence: int = 0
    bonus: bool = False
    price_fen: int
    freight_fen: int = 0
    with_install: bool = False
    with_maintenance: bool = False
    install_fen: int = 0
    maintenance_fen: int = 0
    list_price_fen: int = 0
    preview: str = ""
    introduction: tuple[str, ...] = ()
    detail: str = ""
    notify_url: str = ""
    rent: Rent = NO_RENT
    commission: Terms = NO_TERMS
    specification: Specification = UNSPECIFIED
    created_ms: int
    changed_ms: int
    deleted_ms: int | None = None


def problem_of(product: Product) -> tuple[str, str] | None:
    """The field at fault and what is wrong with it, beyond its shape; None when nothing is."""
    keys = [period.key for period in product.rent.periods]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        return "rent", f"the period {twice!r} appears twice"
    for key in keys:
        days, litres = _extent(key)
        if not (0 < days <= PERIOD_DAYS_MAX or days == 0) or litres > PERIOD_LITRES_MAX or not days + litres:
            return "rent", f"{key!r} is not a period such as 30d (days), 500l (litres) or 30d500l"
    terms = product.commission
    if terms.mode == "ratio" and sum(terms.levels) > WHOLE:
        return "commis", f"the levels earn {sum(terms.levels) / 100} % together, more than the whole"
    places = [part.position for part in product.specification.cartridges]
    if twice_place := next((place for place in places if places.count(place) > 1), None):
        return "specification", f"two filters have the number {twice_place}"
    warmths = [outlet.warmth for outlet in product.specification.outlets]
    if twice_warmth := next((warmth for warmth in warmths if warmths.count(warmth) > 1), None):
        return "specification", f"the outlet {twice_warmth!r} appears twice"
    return None


def _extent(key: str) -> tuple[int, int]:
    match = _PERIOD.fullmatch(key)
    return (int(match[1] or 0), int(match[2] or 0)) if match else (0, 0)
