"""Under which terms water is given: sale, timed rental, metered rental, vending, test. Enforced without a network.

Time is the service clock's: it goes on with the boot clock, is moved forward by a wall clock that a time server has
set and by the time at which the cloud decided the configuration, and never runs backwards, so setting the machine's
clock back prolongs no rental. While the machine is off and has heard neither since, it stands still: that error is the
renter's gain and ends with the next word of either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from shared.clock import ClockState
from shared.quantities import charged_fen as charged_fen
from shared.quantities import hold_fen as hold_fen
from shared.water import ServicePlan

DAY_MS: Final = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """The service clock: milliseconds since 1970, as far as this machine can know."""

    wall_ms: int

    def go_on(self, powered_ms: int, wall_ms: int, clock_state: ClockState, passed_wall_ms: int) -> ServiceTime:
        """The time after `powered_ms` more under power; `passed_wall_ms` has passed for certain, as the cloud said."""
        known = max(self.wall_ms + max(0, powered_ms), passed_wall_ms)
        return ServiceTime(max(known, wall_ms) if clock_state == "synced" else known)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a plan has used up: whole days settled, and the day that runs (counted from the plan's beginning)."""

    plan: str
    settled_ml: int = 0
    day: int = 0
    today_ml: int = 0

    def at(self, plan: ServicePlan, now: ServiceTime) -> Usage:
        """The usage once the days until `now` are settled. A plan with another id starts from zero."""
        usage = self if self.plan == plan.plan else Usage(plan.plan)
        day = max(0, now.wall_ms - plan.began_wall_ms) // DAY_MS
        passed = day - usage.day
        if passed <= 0:
            return usage
        first = max(usage.today_ml, plan.minimum_ml_per_day)
        rest = (passed - 1) * plan.minimum_ml_per_day
        return replace(usage, settled_ml=usage.settled_ml + first + rest, day=day, today_ml=0)

    def poured(self, millilitres: int) -> Usage:
        """The usage after one more pour."""
        return replace(self, today_ml=self.today_ml + millilitres)

    @property
    def used_ml(self) -> int:
        return self.settled_ml + self.today_ml


PlanEnd = Literal["expired", "used_up"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What the plan allows now. `left_ml` and `left_ms` are None where nothing limits them."""

    plan: ServicePlan
    left_ml: int | None = None
    left_ms: int | None = None

    @property
    def ended(self) -> PlanEnd | None:
        """Why no water is given under this plan any more; None while it is."""
        if self.left_ms is not None and self.left_ms <= 0:
            return "expired"
        if self.left_ml is not None and self.left_ml <= 0:
            return "used_up"
        return None

    @property
    def is_paid_by_pour(self) -> bool:
        """Whether a pour on the machine costs what the outlet says; every other plan was paid for before."""
        return self.plan.mode == "vending"


def standing(plan: ServicePlan, usage: Usage, now: ServiceTime) -> Standing:
    """Where a plan stands; `usage` is brought up to `now` first."""
    left_ms = None
    if plan.mode in ("timed_rental", "metered_rental") and plan.ends_wall_ms is not None:
        left_ms = plan.ends_wall_ms - now.wall_ms
    left_ml = plan.prepaid_ml - usage.at(plan, now).used_ml if plan.mode == "metered_rental" else None
    return Standing(plan, left_ml, left_ms)
