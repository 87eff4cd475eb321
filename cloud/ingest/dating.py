"""When did it happen? On the cloud's time line, from clocks that may stand in 1970 (I18). Pure.

Within one boot the monotonic clock is right about distances, so one anchor dates the whole boot:

* a fact with a clock set by a time server gives the boot's beginning exactly (`synced`);
* otherwise a fact cannot have happened after it arrived, so the earliest `received - mono` seen is the best bound.

Nothing is dated into the future. Order never comes from here: it comes from the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.envelope import Envelope

# A synced clock may be a little ahead of ours; more than this is no clock to trust.
AHEAD_MAX_MS = 5 * 60_000


@dataclass(frozen=True, slots=True)
class BootClock:
    """Where a boot's monotonic clock began, in ms since 1970 on the cloud's time line."""

    began_ms: int
    synced: bool


def date(envelope: Envelope, received_ms: int, known: BootClock | None) -> tuple[int, BootClock]:
    """When the fact happened, and what is now known of its boot."""
    clock = _anchor(envelope, received_ms, known)
    return min(clock.began_ms + envelope.mono_ms, received_ms), clock


def _anchor(envelope: Envelope, received_ms: int, known: BootClock | None) -> BootClock:
    if envelope.clock_state == "synced" and envelope.wall_ms <= received_ms + AHEAD_MAX_MS:
        return BootClock(envelope.wall_ms - envelope.mono_ms, synced=True)
    if known is not None and known.synced:
        return known
    bound = received_ms - envelope.mono_ms
    return BootClock(bound if known is None else min(known.began_ms, bound), synced=False)
