"""What the cloud decides for a purifier: outlets and prices, the service it runs under, its filters and its limits.

Volumes are millilitres, money is fen, times are milliseconds unless the name says hours.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from shared.fields import Amount, Id, Number, Text, Volume

Warmth = Literal["normal", "cold", "warm", "hot"]

# sale: the device was sold, water is free. timed_rental: free until the plan ends. metered_rental: prepaid litres, with
# a minimum that is used up by time. vending: paid by the pour. test: free, for the workshop. Numbers of the IoT
# platform's device types, in this order: 1, 2, 3, 4, 8.
ServiceMode = Literal["sale", "timed_rental", "metered_rental", "vending", "test"]

# How the two clocks of a filter count: both (whichever ends first), powered hours only, working hours only.
TimerMode = Literal["both", "powered", "working"]

Hours = Annotated[int, msgspec.Meta(ge=0, le=200_000)]
Tenths = Annotated[int, msgspec.Meta(ge=-400, le=1_200)]


class Outlet(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One temperature choice: the relay that opens its valve, and what a litre costs."""

    warmth: Warmth
    relay: Annotated[int, msgspec.Meta(ge=1, le=32)]
    price_fen_per_litre: Amount = 0
    # What flows when all is well; a first guess for the overrun, and what "stalled" is measured against.
    nominal_ml_per_s: Annotated[int, msgspec.Meta(ge=1, le=2_000)] = 30


class FilterSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One filter cartridge and how long it serves. `litres_max` None: litres do not end it."""

    position: Annotated[int, msgspec.Meta(ge=1, le=20)]
    name: Text
    timer_mode: TimerMode = "both"
    lifetime_hours: Hours
    worklife_hours: Hours
    litres_max: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] | None = None
    # Ask for a new one when this share of its life is left.
    warn_percent: Annotated[int, msgspec.Meta(ge=0, le=50)] = 10


class ServicePlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Under which terms water is given, enforced on the machine without a network.

    `ends_wall_ms`: when a rental ends (milliseconds since 1970, by the service clock, which never runs backwards).
    `prepaid_ml`: what was paid for since the plan began, of a metered rental. `minimum_ml_per_day`: what is used up
    each day whether it flows or not. A plan with another id starts counting from zero.
    """

    plan: Id
    mode: ServiceMode
    began_wall_ms: int = 0
    ends_wall_ms: int | None = None
    prepaid_ml: Number = 0
    minimum_ml_per_day: Volume = 0


class WaterLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What ends a pour or forbids the next one."""

    pour_ml_max: Volume = 20_000
    pour_ms_max: Annotated[int, msgspec.Meta(ge=1_000, le=1_800_000)] = 300_000
    # No growth of the totaliser for so long while the valve is open: stalled.
    stall_ms: Annotated[int, msgspec.Meta(ge=500, le=60_000)] = 3_000
    # Growth by so much while every valve is shut: a leak.
    leak_ml: Volume = 50
    tds_ppm_max: Annotated[int, msgspec.Meta(ge=1, le=5_000)] = 100
    # True: filters past their end, or TDS out of range, stop the sale; false: they are only told.
    stop_when_unfit: bool = True


class PurifierConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that makes a machine a purifier."""

    outlets: Annotated[tuple[Outlet, ...], msgspec.Meta(min_length=1, max_length=8)]
    plan: ServicePlan
    filters: Annotated[tuple[FilterSpec, ...], msgspec.Meta(max_length=20)] = ()
    limits: WaterLimits = WaterLimits()


def purifier_problems(config: PurifierConfig) -> list[str]:
    """What is wrong beyond the shape, one sentence each."""
    problems = []
    warmths = [outlet.warmth for outlet in config.outlets]
    problems += [f"outlets: {warmth!r} appears twice" for warmth in sorted(set(warmths)) if warmths.count(warmth) > 1]
    positions = [spec.position for spec in config.filters]
    problems += [
        f"filters: position {place} appears twice" for place in sorted(set(positions)) if positions.count(place) > 1
    ]
    if config.plan.mode == "timed_rental" and config.plan.ends_wall_ms is None:
        problems.append("plan: a timed rental needs ends_wall_ms")
    return problems
