"""What time and water do to a purifier: the service clock goes on, plans are used up, filters wear.

Each function here runs inside one transaction of the ledger, so that what it reads and what it writes belong together.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from edge_agent.errors import Refused
from edge_agent.ledger import locks, water
from edge_agent.ledger.water import ClockMark
from edge_agent.pour import filters
from edge_agent.pour.filters import Condition, Moment, Wear
from edge_agent.pour.plan import ServiceTime, Standing, Usage, standing
from shared.clock import Clock
from shared.messages import FilterConditionChanged
from shared.water import FilterSpec, PurifierConfig, ServicePlan


@dataclass(frozen=True, slots=True)
class FilterLife:
    """One filter as it stands: for the display, the technician and the decision to sell."""

    spec: FilterSpec
    wear: Wear
    percent_left: int
    condition: Condition


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What the ledger says of a purifier now."""

    standing: Standing
    filters: tuple[FilterLife, ...]

    @property
    def past_end(self) -> tuple[str, ...]:
        """Names of the filters that are used up."""
        return tuple(life.spec.name for life in self.filters if life.condition == "past_end")

    @property
    def near_end(self) -> tuple[str, ...]:
        """Names of the filters that will soon be."""
        return tuple(life.spec.name for life in self.filters if life.condition == "near_end")


def tick(conn: sqlite3.Connection, config: PurifierConfig, clock: Clock, *, passed_wall_ms: int = 0) -> Upkeep:
    """Let the time since the last tick count: service clock, powered hours, days of the plan; tell what changed.

    `passed_wall_ms`: so late it is at least.
    """
    now, powered_ms = _go_on(conn, max(config.plan.began_wall_ms, passed_wall_ms), clock)
    _keep_usage(conn, _usage(conn, config.plan).at(config.plan, now))
    known = water.cartridges(conn)
    water.wear(conn, powered_ms=powered_ms)
    for spec in config.filters:
        if spec.position not in known:
            water.install(conn, spec.position, spec.name, clock)
    found = look(conn, config)
    for life in found.filters:
        locks.set_state(
            conn,
            FilterConditionChanged(
                position=life.spec.position,
                name=life.spec.name,
                condition=life.condition,
                percent_left=life.percent_left,
            ),
            clock,
        )
    return found


def look(conn: sqlite3.Connection, config: PurifierConfig) -> Upkeep:
    """Where plan and filters stand, as of the last tick."""
    mark = water.clock_mark(conn)
    now = ServiceTime(mark.wall_ms if mark else config.plan.began_wall_ms)
    serving = water.cartridges(conn)
    lives = []
    for spec in config.filters:
        cartridge = serving.get(spec.position)
        wear = Wear(cartridge.powered_ms, cartridge.worked_ms, cartridge.poured_ml) if cartridge else Wear()
        lives.append(FilterLife(spec, wear, filters.percent_left(spec, wear), filters.condition(spec, wear)))
    return Upkeep(standing(config.plan, _usage(conn, config.plan), now), tuple(lives))


def served(conn: sqlite3.Connection, plan: str | None, poured_ml: int, worked_ms: int) -> None:
    """A pour has passed the filters and counts in its plan; `plan` None: in nobody's."""
    water.wear(conn, worked_ms=worked_ms, poured_ml=poured_ml)
    if plan is not None:
        _keep_usage(conn, Usage(plan, *water.usage(conn, plan)).poured(poured_ml))


def change_filter(conn: sqlite3.Connection, config: PurifierConfig, position: int, person: str, clock: Clock) -> None:
    """A person put a new cartridge in; the old one is told with what it has served. `Refused("no_such_filter")`."""
    tick(conn, config, clock)
    spec = next((spec for spec in config.filters if spec.position == position), None)
    if spec is None:
        known = ", ".join(str(spec.position) for spec in config.filters) or "none"
        raise Refused("no_such_filter", f"position: {position} has no filter in the configuration, expected {known}")
    water.change_filter(conn, water.cartridges(conn)[position], spec.name, person, clock)
    tick(conn, config, clock)


def _go_on(conn: sqlite3.Connection, passed_wall_ms: int, clock: Clock) -> tuple[ServiceTime, int]:
    """Move the service clock to now; the time, and for how long the machine has had power since the last tick."""
    mark = water.clock_mark(conn)
    here = Moment(clock.boot_id, clock.mono_ms())
    powered_ms = filters.powered_since(Moment(mark.boot_id, mark.mono_ms) if mark else None, here)
    time = ServiceTime(mark.wall_ms if mark else 0)
    now = time.go_on(powered_ms, clock.wall_ms(), clock.clock_state(), passed_wall_ms)
    water.set_clock(conn, ClockMark(now.wall_ms, here.boot_id, here.mono_ms))
    return now, powered_ms


def _usage(conn: sqlite3.Connection, plan: ServicePlan) -> Usage:
    return Usage(plan.plan, *water.usage(conn, plan.plan))


def _keep_usage(conn: sqlite3.Connection, usage: Usage) -> None:
    water.set_usage(conn, usage.plan, usage.settled_ml, usage.day, usage.today_ml)
