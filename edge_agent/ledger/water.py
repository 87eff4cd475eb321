"""What a purifier keeps besides its pours: filter hours, service clock, plan usage, calibrations, the meter's count.

Everything here only grows, and the schema refuses what would shrink it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from edge_agent.ledger import outbox
from shared.clock import Clock
from shared.ids import BootId
from shared.messages import FilterChanged, MeterCalibrated

MS_PER_HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class Cartridge:
    """The cartridge that serves in one position, and what it has served. `number` counts the cartridges there."""

    position: int
    number: int
    name: str
    powered_ms: int
    worked_ms: int
    poured_ml: int


@dataclass(frozen=True, slots=True)
class ClockMark:
    """The service clock, and the point of the boot clock at which it stood so."""

    wall_ms: int
    boot_id: BootId
    mono_ms: int


# --- filters ---


def cartridges(conn: sqlite3.Connection) -> dict[int, Cartridge]:
    """The cartridge in service, by position."""
    rows = conn.execute(
        "SELECT position, number, name, powered_ms, worked_ms, poured_ml FROM filters ORDER BY position, number"
    )
    return {row[0]: Cartridge(*row) for row in rows}


def install(conn: sqlite3.Connection, position: int, name: str, clock: Clock, *, person: str = "") -> None:
    """A cartridge is found in a position, or put there: it begins to serve from zero."""
    conn.execute(
        "INSERT INTO filters (position, number, name, installed_wall_ms, person)"
        " VALUES (:at, 1 + (SELECT coalesce(max(number), 0) FROM filters WHERE position = :at), :name, :wall, :person)",
        {"at": position, "name": name, "wall": clock.wall_ms(), "person": person},
    )


def change_filter(conn: sqlite3.Connection, old: Cartridge, name: str, person: str, clock: Clock) -> int:
    """A person put a new cartridge in place of `old`; returns the number of the fact."""
    install(conn, old.position, name, clock, person=person)
    fact = FilterChanged(
        position=old.position,
        name=name,
        powered_hours=old.powered_ms // MS_PER_HOUR,
        worked_hours=old.worked_ms // MS_PER_HOUR,
        litres=old.poured_ml // 1000,
        person=person,
    )
    return outbox.append(conn, fact, clock)


def wear(conn: sqlite3.Connection, *, powered_ms: int = 0, worked_ms: int = 0, poured_ml: int = 0) -> None:
    """Let every cartridge in service have served so much more."""
    conn.execute(
        "UPDATE filters SET powered_ms = powered_ms + ?, worked_ms = worked_ms + ?, poured_ml = poured_ml + ?"
        " WHERE number = (SELECT max(number) FROM filters AS other WHERE other.position = filters.position)",
        (powered_ms, worked_ms, poured_ml),
    )


# --- the service clock and the plan's usage ---


def clock_mark(conn: sqlite3.Connection) -> ClockMark | None:
    """Where the service clock stood last; None on a machine that never had one."""
    row = conn.execute("SELECT wall_ms, boot_id, mono_ms FROM service_clock").fetchone()
    return None if row is None else ClockMark(*row)


def set_clock(conn: sqlite3.Connection, mark: ClockMark) -> None:
    """Move the service clock; a step backwards is an error of the caller and is refused by the schema."""
    conn.execute(
        "INSERT INTO service_clock (only_row, wall_ms, boot_id, mono_ms) VALUES (1, :wall, :boot, :mono)"
        " ON CONFLICT (only_row) DO UPDATE SET wall_ms = :wall, boot_id = :boot, mono_ms = :mono",
        {"wall": mark.wall_ms, "boot": mark.boot_id, "mono": mark.mono_ms},
    )


def usage(conn: sqlite3.Connection, plan: str) -> tuple[int, int, int]:
    """Settled ml, the day that runs, and the ml of that day; zeros for a plan that was never used."""
    row = conn.execute("SELECT settled_ml, day, today_ml FROM plan_usage WHERE plan = ?", (plan,)).fetchone()
    return (0, 0, 0) if row is None else (int(row[0]), int(row[1]), int(row[2]))


def set_usage(conn: sqlite3.Connection, plan: str, settled_ml: int, day: int, today_ml: int) -> None:
    """Keep what a plan has used; less than before is refused by the schema."""
    conn.execute(
        "INSERT INTO plan_usage (plan, settled_ml, day, today_ml) VALUES (:plan, :settled, :day, :today)"
        " ON CONFLICT (plan) DO UPDATE SET settled_ml = :settled, day = :day, today_ml = :today",
        {"plan": plan, "settled": settled_ml, "day": day, "today": today_ml},
    )


# --- the meter ---


def calibrate(conn: sqlite3.Connection, fact: MeterCalibrated, clock: Clock) -> int:
    """Set a meter's factor from now on, with who measured it and how well; returns the number of the fact."""
    conn.execute(
        "INSERT INTO calibrations (meter, pulses_per_litre_milli, spread_ppm, runs, person, wall_ms)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (fact.meter, fact.pulses_per_litre_milli, fact.spread_ppm, fact.runs, fact.person, clock.wall_ms()),
    )
    return outbox.append(conn, fact, clock)


def calibrated(conn: sqlite3.Connection, meter: str) -> MeterCalibrated | None:
    """The factor that a person set last; None when the maker's still holds."""
    row = conn.execute(
        "SELECT pulses_per_litre_milli, spread_ppm, runs, person FROM calibrations WHERE meter = ?"
        " ORDER BY id DESC LIMIT 1",
        (meter,),
    ).fetchone()
    if row is None:
        return None
    return MeterCalibrated(meter=meter, pulses_per_litre_milli=row[0], spread_ppm=row[1], runs=row[2], person=row[3])


def settled_count(conn: sqlite3.Connection, meter: str) -> int | None:
    """What the meter showed when water last had a right to flow; None when that was never noted."""
    row = conn.execute("SELECT count FROM meters WHERE meter = ?", (meter,)).fetchone()
    return None if row is None else int(row[0])


def set_settled_count(conn: sqlite3.Connection, meter: str, count: int) -> None:
    """Growth beyond `count` is a leak from now on."""
    conn.execute(
        "INSERT INTO meters (meter, count) VALUES (?, ?) ON CONFLICT (meter) DO UPDATE SET count = excluded.count",
        (meter, count),
    )
