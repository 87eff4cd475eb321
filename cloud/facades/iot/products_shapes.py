"""Shapes of products, as the documentation spells them, and the way between them and the domain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from cloud.facades.fields import FROM_TEXT, ONE_OR_MANY
from cloud.facades.iot.wire import Asked, Listed, Money, Single, Told, Window, Yuan, iso, yuan
from cloud.limits import EXTRA_CHARS_MAX, LINK_CHARS_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX
from cloud.products.model import (
    LEVELS,
    PERIODS_MAX,
    BillingMode,
    Cartridge,
    CommissionMode,
    Measure,
    OutletFlow,
    Period,
    Product,
    ProductKind,
    Rent,
    Specification,
    Terms,
)
from shared.quantities import ML_PER_LITRE
from shared.water import TimerMode, Warmth

_KINDS: dict[int, ProductKind] = {1: "purchase", 2: "reservation"}
_MODES: dict[int, BillingMode] = {0: "reserved", 1: "sale", 2: "timed", 4: "metered", 8: "vending"}
_TIMERS: dict[int, TimerMode] = {0: "both", 1: "powered", 2: "working"}
_MEASURES: dict[int, Measure] = {0: "device", 1: "timed", 2: "metered"}
_KIND_NUMBERS = {kind: number for number, kind in _KINDS.items()}
_MODE_NUMBERS = {mode: number for number, mode in _MODES.items()}
_TIMER_NUMBERS = {timer: number for number, timer in _TIMERS.items()}
_MEASURE_NUMBERS = {measure: number for number, measure in _MEASURES.items()}

LINKS_MAX = 50

_Text = Annotated[str, Field(max_length=TEXT_CHARS_MAX)]
_Link = Annotated[str, Field(max_length=LINK_CHARS_MAX)]
_Name = Annotated[str, Field(max_length=NAME_CHARS_MAX)]
# Forms send digits.
_DIGITS = BeforeValidator(lambda value: int(value) if isinstance(value, str) and value.isdecimal() else value)
_Count = Annotated[int, Field(ge=-1_000_000_000, le=1_000_000_000)]
_Hours = Annotated[int, Field(ge=0, le=200_000)]


def _scaled(factor: int, most: int) -> Any:
    """A number sent, held in whole parts of it (`factor` make one); finer ones are refused."""

    def part(value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("a number is expected")
        if not isinstance(value, int | float | str):
            return value
        try:
            whole = Decimal(str(value)) * factor
            if whole != whole.to_integral_value():
                raise ValueError(f"{value!r} has too many decimals")
        except ArithmeticError as error:
            raise ValueError(f"{value!r} is not a number") from error
        return int(whole)

    return Annotated[int, BeforeValidator(part, json_schema_input_type=float), Field(ge=0, le=most * factor)]


def _number(parts: int, factor: int) -> float:
    """The number that was sent."""
    return parts // factor if parts % factor == 0 else parts / factor


# Percent with two decimals, or yuan: both are held in hundredths.
_Share = _scaled(100, 1_000_000)
_Flow = _scaled(1_000, 1_000_000)
_Litres = _scaled(ML_PER_LITRE, 1_000)


class ResourceAsk(Asked):
    prev_res: _Link = ""
    intro_res: Annotated[tuple[_Link, ...], ONE_OR_MANY, Field(max_length=LINKS_MAX)] = ()
    detail_res: _Link = ""


class PeriodAsk(Asked):
    name: _Name = ""
    key: Annotated[str, Field(min_length=2, max_length=20)]
    value: Yuan


class RentAsk(Asked):
    deposit: Yuan = 0
    config: Annotated[tuple[PeriodAsk, ...], ONE_OR_MANY, Field(max_length=PERIODS_MAX)] = ()
    minimum: Annotated[_Litres, Field(description="Litres a day that a metered rental uses up in any case.")] = 0  # type: ignore[valid-type]

    def parsed(self) -> Rent:
        """As the domain has it."""
        periods = tuple(Period(period.key, period.name or period.key, period.value) for period in self.config)
        return Rent(self.deposit, periods, self.minimum)


class CommissionAsk(Asked):
    enabled: bool = False
    mode: Annotated[CommissionMode, Field(description="ratio: percent of the price; fixed: yuan for each piece.")] = (
        "ratio"
    )
    config: Annotated[tuple[_Share, ...], ONE_OR_MANY, Field(max_length=LEVELS)] = ()  # type: ignore[valid-type]

    def parsed(self) -> Terms:
        """As the domain has it."""
        return Terms(self.enabled, self.mode, self.config)


class FilterAsk(Asked):
    order: Annotated[int, Field(ge=1, le=20)]
    name: _Name = ""
    timer_mode: Annotated[Literal[0, 1, 2], _DIGITS] = 0
    lifetime: _Hours = 0
    worklife: _Hours = 0


class OutletAsk(Asked):
    name: _Name = ""
    key: Warmth
    value: _Flow = 0  # type: ignore[valid-type]


class FlowmeterAsk(Asked):
    measure_mode: Annotated[Literal[0, 1, 2], _DIGITS] = 0
    config: Annotated[tuple[OutletAsk, ...], ONE_OR_MANY, Field(max_length=4)] = ()


class SpecificationAsk(Asked):
    model_config = ConfigDict(extra="allow")

    mode: Annotated[Literal[0, 1, 2, 4, 8], _DIGITS] = 0
    filters: Annotated[tuple[FilterAsk, ...], ONE_OR_MANY, Field(max_length=20)] = ()
    flowmeter: Annotated[FlowmeterAsk, FROM_TEXT] = FlowmeterAsk()

    @model_validator(mode="after")
    def _little_extra(self) -> SpecificationAsk:
        if len(json.dumps(self.model_extra or {})) > EXTRA_CHARS_MAX:
            raise ValueError(f"what is not described has more than {EXTRA_CHARS_MAX} characters")
        return self

    def parsed(self) -> Specification:
        """As the domain has it."""
        return Specification(
            mode=_MODES[self.mode],
            cartridges=tuple(
                Cartridge(part.order, part.name, _TIMERS[part.timer_mode], part.lifetime, part.worklife)
                for part in self.filters
            ),
            measure=_MEASURES[self.flowmeter.measure_mode],
            outlets=tuple(OutletFlow(outlet.key, outlet.name, outlet.value) for outlet in self.flowmeter.config),
            extra=dict(self.model_extra or {}),
        )


class PropertiesAsk(Asked):
    """What is left out stays as it is."""

    rent: Annotated[RentAsk | None, FROM_TEXT] = None
    commis: Annotated[CommissionAsk | None, FROM_TEXT] = None
    specification: Annotated[SpecificationAsk | None, FROM_TEXT] = None

    def fields(self) -> dict[str, Any]:
        """The fields of a product that were sent."""
        sent = {"rent": self.rent, "commission": self.commis, "specification": self.specification}
        return {name: part.parsed() for name, part in sent.items() if part is not None}


# The documentation's keys that are one field of a product each.
_PLAIN = {
    "state": "shelf_state",
    "name": "name",
    "desc": "description",
    "tags": "tags",
    "sequence": "sequence",
    "bonus": "bonus",
    "price": "price_fen",
    "freight": "freight_fen",
    "install": "with_install",
    "maintain": "with_maintenance",
    "install_cost": "install_fen",
    "maintain_cost": "maintenance_fen",
    "orig_price": "list_price_fen",
    "notify_url": "notify_url",
}


class ProductAsk(PropertiesAsk):
    """What is left out stays as it is. `prod_id` may be repeated from the path."""

    prod_id: Annotated[str, Field(max_length=48)] = ""
    vid: Annotated[str, Field(max_length=48)] = ""
    state: _Count | None = None
    type: Annotated[Literal[1, 2] | None, _DIGITS] = None
    name: Annotated[str, Field(min_length=1, max_length=NAME_CHARS_MAX)] | None = None
    desc: _Text | None = None
    tags: _Text | None = None
    sequence: _Count | None = None
    bonus: bool | None = None
    price: Yuan | None = None
    freight: Yuan | None = None
    install: bool | None = None
    maintain: bool | None = None
    install_cost: Yuan | None = None
    maintain_cost: Yuan | None = None
    orig_price: Yuan | None = None
    resource: Annotated[ResourceAsk | None, FROM_TEXT] = None
    notify_url: _Link | None = None

    def fields(self) -> dict[str, Any]:
        """The fields of a product that were sent."""
        found = super().fields()
        found |= {ours: getattr(self, theirs) for theirs, ours in _PLAIN.items() if getattr(self, theirs) is not None}
        if self.type is not None:
            found["kind"] = _KINDS[self.type]
        if self.resource is not None:
            found["preview"] = self.resource.prev_res
            found["introduction"] = self.resource.intro_res
            found["detail"] = self.resource.detail_res
        return found


class NewProductAsk(ProductAsk):
    """`name` and `price` are needed; an empty `prod_id` lets the next number be given."""

    name: Annotated[str, Field(min_length=1, max_length=NAME_CHARS_MAX)]
    price: Yuan


class ProductWindow(Window):
    columns: ClassVar[Mapping[str, str]] = {
        "state": "shelf_state",
        "type": "kind",
        "prod_id": "product",
        "name": "name",
        "desc": "description",
        "tags": "tags",
        "sequence": "sequence",
        "bonus": "bonus",
        "price": "price_fen",
        "freight": "freight_fen",
        "install": "with_install",
        "maintain": "with_maintenance",
        "install_cost": "install_fen",
        "maintain_cost": "maintenance_fen",
        "orig_price": "list_price_fen",
        "notify_url": "notify_url",
        "create_tms": "created_ms",
    }
    vid: Annotated[str, Field(max_length=48, description="Of this brand.")] = ""
    state: _Count | None = None
    type: Annotated[
        ProductKind | None,
        BeforeValidator(lambda value: _KINDS.get(int(value), value) if str(value).isdecimal() else value),
    ] = None
    prod_id: str | None = None
    name: str | None = None
    desc: str | None = None
    tags: str | None = None
    sequence: _Count | None = None
    bonus: bool | None = None
    price: Yuan | None = None
    freight: Yuan | None = None
    install: bool | None = None
    maintain: bool | None = None
    install_cost: Yuan | None = None
    maintain_cost: Yuan | None = None
    orig_price: Yuan | None = None
    notify_url: str | None = None


class ResourceTold(Told):
    prev_res: str
    intro_res: list[str]
    detail_res: str


class PeriodTold(Told):
    name: str
    key: str
    value: Money


class RentTold(Told):
    deposit: Money
    config: list[PeriodTold]
    minimum: Money


class CommissionTold(Told):
    enabled: bool
    mode: CommissionMode
    config: list[Money]


class FilterTold(Told):
    order: int
    name: str
    timer_mode: int
    lifetime: int
    worklife: int


class OutletTold(Told):
    name: str
    key: Warmth
    value: Money


class FlowmeterTold(Told):
    measure_mode: int
    config: list[OutletTold]


class SpecificationTold(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    mode: int
    filters: list[FilterTold]
    flowmeter: FlowmeterTold


class PropertiesTold(Single):
    rent: RentTold
    commis: CommissionTold
    specification: SpecificationTold


class ProductTold(PropertiesTold):
    state: int
    type: int
    prod_id: str
    vid: str
    name: str
    desc: str
    tags: str
    sequence: int
    bonus: bool
    price: Money
    freight: Money
    install: bool
    maintain: bool
    install_cost: Money
    maintain_cost: Money
    orig_price: Money
    resource: ResourceTold
    notify_url: str
    create_tms: str


class Products(Listed):
    products: list[ProductTold]


class ProductAdded(Single):
    top: ClassVar[tuple[str, ...]] = ("prod_id",)
    prod_id: str


def properties_told(product: Product) -> PropertiesTold:
    """Rent, commission and specification of a product."""
    return PropertiesTold(**_properties(product))


def product_told(product: Product) -> ProductTold:
    """A product in the words of the documentation."""
    return ProductTold(
        state=product.shelf_state,
        type=_KIND_NUMBERS[product.kind],
        prod_id=product.product,
        vid=product.tenant,
        name=product.name,
        desc=product.description,
        tags=product.tags,
        sequence=product.sequence,
        bonus=product.bonus,
        price=yuan(product.price_fen),
        freight=yuan(product.freight_fen),
        install=product.with_install,
        maintain=product.with_maintenance,
        install_cost=yuan(product.install_fen),
        maintain_cost=yuan(product.maintenance_fen),
        orig_price=yuan(product.list_price_fen),
        resource=ResourceTold(
            prev_res=product.preview, intro_res=list(product.introduction), detail_res=product.detail
        ),
        notify_url=product.notify_url,
        create_tms=iso(product.created_ms),
        **_properties(product),
    )


def _properties(product: Product) -> dict[str, Any]:
    rent, terms, made_of = product.rent, product.commission, product.specification
    filters = [
        FilterTold(
            order=part.position,
            name=part.name,
            timer_mode=_TIMER_NUMBERS[part.timer_mode],
            lifetime=part.lifetime_hours,
            worklife=part.worklife_hours,
        )
        for part in made_of.cartridges
    ]
    outlets = [
        OutletTold(name=outlet.name, key=outlet.warmth, value=_number(outlet.flow_ul_per_s, 1_000))
        for outlet in made_of.outlets
    ]
    return {
        "rent": RentTold(
            deposit=yuan(rent.deposit_fen),
            config=[
                PeriodTold(name=period.name, key=period.key, value=yuan(period.price_fen)) for period in rent.periods
            ],
            minimum=_number(rent.minimum_ml_per_day, ML_PER_LITRE),
        ),
        "commis": CommissionTold(
            enabled=terms.enabled, mode=terms.mode, config=[_number(level, 100) for level in terms.levels]
        ),
        "specification": SpecificationTold(
            **{
                **made_of.extra,
                "mode": _MODE_NUMBERS[made_of.mode],
                "filters": filters,
                "flowmeter": FlowmeterTold(measure_mode=_MEASURE_NUMBERS[made_of.measure], config=outlets),
            }
        ),
    }
