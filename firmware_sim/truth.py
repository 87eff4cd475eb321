"""What really happened, as plain values for JSON: counts per motor, sums, and the run log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from firmware_sim.machine import Machine
from firmware_sim.physics import Spiral

COUNTS = ("opening", "loaded", "removed", "fell", "remaining", "runs_accepted")


def counts(spiral: Spiral) -> dict[str, int]:
    """One aisle: `opening + loaded - removed - fell == remaining`."""
    return {name: getattr(spiral, name) for name in COUNTS}


def total(many: Iterable[dict[str, int]]) -> dict[str, int]:
    """The sum of several counts."""
    listed = list(many)
    return {name: sum(one[name] for one in listed) for name in COUNTS}


def truth(machine: Machine) -> dict[str, Any]:
    """Counts per board and motor (keys are numbers as text, for JSON), their sum, and how often each fault struck.

    A purifier tells under `water` where its water is, see `Purifier.truth`.
    """
    boards = {
        str(address): {"motors": {str(motor): counts(spiral) for motor, spiral in aisles.spirals.items()}}
        for address, aisles in machine.aisles.items()
    }
    totals = total(motor for board in boards.values() for motor in board["motors"].values())
    told = {"boards": boards, "totals": totals, "struck": dict(machine.faults.struck)}
    return told if machine.purifier is None else {**told, "water": machine.purifier.truth()}


def runs(machine: Machine) -> list[dict[str, Any]]:
    """The run log, oldest first; see `machine.Run` for the fields."""
    return [asdict(run) for run in machine.runs]
