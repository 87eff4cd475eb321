"""May this machine sell now? One rule over what is known of it, and the temperature band with its hysteresis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Band = Literal["cold", "normal", "warm", "sensor_fault"]

# A reading must come back this far inside the limits before the band ends, or the band would flicker at its edge.
HYSTERESIS_TENTHS_C: Final = 10


def next_band(band: Band, tenths_c: int | None, low: int | None, high: int | None) -> Band:
    """The band after a reading; `tenths_c` None is a broken probe. `low` and `high` None mean no limit."""
    if low is None and high is None:
        return "normal"
    if tenths_c is None:
        return "sensor_fault"
    slack = HYSTERESIS_TENTHS_C
    if high is not None and tenths_c > (high - slack if band == "warm" else high):
        return "warm"
    if low is not None and tenths_c < (low + slack if band == "cold" else low):
        return "cold"
    return "normal"


@dataclass(frozen=True, slots=True)
class Condition:
    """What decides whether the machine may sell. `stopped_by` holds the operator's reason, None when not stopped.

    `boards_up` is None on a machine without driver boards; `water` is None on one without a purifier, otherwise why it
    gives no water, and empty when it does.
    """

    has_config: bool
    door_open: bool
    band: Band
    disk_problem: str | None
    ledger_damaged: bool
    stopped_by: str | None
    boards_up: int | None
    recovering: bool
    water: str | None = None


def not_selling_because(condition: Condition) -> str | None:
    """A sentence for people and for the cloud, or None when the machine may sell: goods, or water, or both."""
    if (reason := stopped_because(condition)) is not None:
        return reason
    parts = []
    if condition.boards_up is not None:
        parts.append("no aisle board answers" if condition.boards_up == 0 else "")
    if condition.water is not None:
        parts.append(condition.water)
    return "; ".join(parts) if parts and all(parts) else None


def stopped_because(condition: Condition) -> str | None:
    """What stops the machine as a whole, goods and water alike; None when nothing does."""
    if condition.ledger_damaged:
        return "the ledger was damaged: a person must count the stock and confirm"
    if condition.disk_problem is not None:
        return condition.disk_problem
    if not condition.has_config:
        return "no configuration yet"
    if condition.stopped_by is not None:
        return f"stopped: {condition.stopped_by}"
    if condition.door_open:
        return "the door is open"
    if condition.band != "normal":
        return f"temperature: {condition.band}"
    if condition.recovering:
        return "settling what the last run left open"
    return None
