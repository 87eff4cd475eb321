"""A person's session at the machine: who, how long, and what was done, told to the cloud as one sealed fact."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from edge_agent.errors import Refused
from edge_agent.ledger import outbox
from shared.clock import Clock
from shared.ids import BootId
from shared.messages import VisitRecorded, unsealed

# A visit's fact must fit into one envelope of 16 kB: the sweep of a large machine alone is one action.
ACTIONS_MAX = 80
ACTION_CHARS_MAX = 120

Seal = Callable[[bytes], str]


@dataclass(frozen=True, slots=True)
class Visit:
    """The visit that goes on."""

    visit: str
    person: str
    boot_id: BootId
    mono_ms: int
    wall_ms: int


def begin(conn: sqlite3.Connection, visit: str, person: str, clock: Clock) -> None:
    """`Refused("visit_open")` while another goes on."""
    going_on = current(conn)
    if going_on is not None:
        raise Refused("visit_open", f"the visit of {going_on.person} goes on: end it first")
    conn.execute(
        "INSERT INTO visits (id, person, boot_id, mono_ms, wall_ms) VALUES (?, ?, ?, ?, ?)",
        (visit, person, clock.boot_id, clock.mono_ms(), clock.wall_ms()),
    )


def current(conn: sqlite3.Connection) -> Visit | None:
    """The visit that goes on."""
    row = conn.execute("SELECT id, person, boot_id, mono_ms, wall_ms FROM visits WHERE end_seq IS NULL").fetchone()
    return None if row is None else Visit(row[0], row[1], BootId(row[2]), row[3], row[4])


def note(conn: sqlite3.Connection, action: str, clock: Clock) -> None:
    """Write down what was done, if a visit goes on."""
    visit = current(conn)
    if visit is not None:
        conn.execute(
            "INSERT INTO visit_actions (visit, action, wall_ms) VALUES (?, ?, ?)",
            (visit.visit, action[:ACTION_CHARS_MAX], clock.wall_ms()),
        )


def actions(conn: sqlite3.Connection, visit: str) -> tuple[str, ...]:
    """What was done, first to last; beyond `ACTIONS_MAX` only how many more there were."""
    rows = conn.execute("SELECT action FROM visit_actions WHERE visit = ? ORDER BY id", (visit,)).fetchall()
    told = tuple(action for (action,) in rows[:ACTIONS_MAX])
    return told if len(rows) <= ACTIONS_MAX else (*told, f"and {len(rows) - ACTIONS_MAX} more")


def end(conn: sqlite3.Connection, seal: Seal, clock: Clock) -> VisitRecorded:
    """End the visit and tell it; `seal` gives the MAC of its bytes. `Refused("no_visit")` when none goes on."""
    visit = current(conn)
    if visit is None:
        raise Refused("no_visit", "no visit goes on: begin one first")
    fact = VisitRecorded(
        visit=visit.visit,
        person=visit.person,
        began_wall_ms=visit.wall_ms,
        duration_ms=_lasted_ms(visit, clock),
        actions=actions(conn, visit.visit),
        mac="",
    )
    fact = msgspec.structs.replace(fact, mac=seal(unsealed(fact)))
    conn.execute("UPDATE visits SET end_seq = ? WHERE id = ?", (outbox.append(conn, fact, clock), visit.visit))
    return fact


def _lasted_ms(visit: Visit, clock: Clock) -> int:
    """Within one boot the difference; after another boot at least as long as that boot lasts: never too much."""
    return clock.mono_ms() - visit.mono_ms if visit.boot_id == clock.boot_id else clock.mono_ms()
