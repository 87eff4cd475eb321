"""Which aisle delivers, and which is closed: rules on frozen data.

Aisles with the same goods are twins. The asked aisle goes first; when it jams, it is tried once more (a second turn
often frees a product that caught on the spiral), then its twins, fullest first. Every closed aisle has a reason, and
only a person opens it again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.messages import AisleConfig, BoardResult, FailReason, MachineConfig, UnknownReason

# A customer waits at most three turns (about ten seconds); more attempts only wear out a jammed spiral.
ATTEMPTS_MAX: Final = 3
ATTEMPTS_PER_AISLE_MAX: Final = 2

# The shortest time in which a spiral motor can vend at all (Coinco LF80 manual).
MINIMUM_VEND_MS: Final = 900

# Two drops missed in a row by one board's sensor are no accident: the sensor is taken to be blind.
MISSED_DROPS_MAX: Final = 2

# Not every end closes its aisle: a late grant or a board reset says nothing about the spiral.
_CLOSING_FAILURES: Final[frozenset[FailReason]] = frozenset({"jam", "open_motor", "refused"})
_CLOSING_RIDDLES: Final[frozenset[UnknownReason]] = frozenset({"nothing_seen", "motor_fault"})


@dataclass(frozen=True, slots=True)
class Shelf:
    """What choosing needs to know of the machine now.

    available: items per aisle that are neither sold nor held. closed: aisles locked for sale. boards_down: addresses
    that must not be used (silent, sensor blocked or blind).
    """

    config: MachineConfig
    available: Mapping[str, int]
    closed: Collection[str]
    boards_down: Collection[int]


@dataclass(frozen=True, slots=True)
class NoAisle:
    """No aisle can deliver; `detail` names the first reason for people."""

    detail: str


def find(config: MachineConfig, aisle: str) -> AisleConfig | None:
    """The configuration of one aisle."""
    return next((candidate for candidate in config.aisles if candidate.aisle == aisle), None)


def obstacle(shelf: Shelf, aisle: AisleConfig) -> str | None:
    """Why this aisle cannot deliver now; None when it can."""
    if not aisle.for_sale:
        return f"aisle {aisle.aisle} is not for sale"
    if aisle.aisle in shelf.closed:
        return f"aisle {aisle.aisle} is locked"
    if aisle.board in shelf.boards_down:
        return f"board {aisle.board} of aisle {aisle.aisle} is out of service"
    if shelf.available.get(aisle.aisle, 0) <= 0:
        return f"aisle {aisle.aisle} is empty"
    return None


def choose(shelf: Shelf, asked: str, goods: str) -> AisleConfig | NoAisle:
    """The asked aisle if it can deliver `goods`, otherwise its fullest twin that can."""
    aisle = find(shelf.config, asked)
    if aisle is None or aisle.goods != goods:
        return NoAisle(f"aisle {asked} does not hold goods {goods}")
    problem = obstacle(shelf, aisle)
    if problem is None:
        return aisle
    return _fullest_twin(shelf, aisle, excluded=(asked,)) or NoAisle(problem)


def choose_again(shelf: Shelf, failed: AisleConfig, reason: FailReason, tried: Collection[str]) -> AisleConfig | None:
    """Where to try next after a proven failure; `tried` lists the aisle of every attempt so far. None: give up.

    Only failures of one spiral are worth another try; a board that refuses to start would refuse the twin as well.
    """
    if reason not in ("jam", "open_motor") or len(tried) >= ATTEMPTS_MAX:
        return None
    same_again = reason == "jam" and list(tried).count(failed.aisle) < ATTEMPTS_PER_AISLE_MAX
    if same_again and failed.board not in shelf.boards_down:
        return failed
    return _fullest_twin(shelf, failed, excluded=tried)


def closing_reason(fail: FailReason | None, unknown: UnknownReason | None) -> str | None:
    """The reason for which an aisle is closed after such an attempt, or None when it stays open."""
    if fail in _CLOSING_FAILURES:
        return fail
    if unknown in _CLOSING_RIDDLES:
        return unknown
    return None


def stall_proof_ms(newest_first: Sequence[tuple[BoardResult | None, int]]) -> int | None:
    """Before which run time an over-current of this motor proves that it let nothing go; None when none proves it.

    `newest_first`: result and run time of the motor's earlier runs. A spiral gives its product in the second half of
    its turn, so a stall in the first half proves it, counted from home: what earlier runs that did not end at home
    have wound already is taken off. How long a turn takes is the motor's own history; without one, no vend is shorter
    than `MINIMUM_VEND_MS`. After a run without a result nobody knows where the spiral stands.
    """
    wound_ms = 0
    for result, run_time_ms in newest_first:
        if result is None:
            return None
        if result == "ok":
            break
        wound_ms += run_time_ms
    turns = sorted(run_time_ms for result, run_time_ms in newest_first if result == "ok")
    proof_ms = max(turns[len(turns) // 2] // 2, MINIMUM_VEND_MS) if turns else MINIMUM_VEND_MS
    return max(0, proof_ms - wound_ms)


def _fullest_twin(shelf: Shelf, aisle: AisleConfig, excluded: Collection[str]) -> AisleConfig | None:
    twins = [
        twin
        for twin in shelf.config.aisles
        if twin.goods == aisle.goods and twin.aisle not in excluded and obstacle(shelf, twin) is None
    ]
    return max(twins, key=lambda twin: shelf.available.get(twin.aisle, 0), default=None)
