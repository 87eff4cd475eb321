"""When did it happen, by clocks that may be wrong (I18)."""

from __future__ import annotations

import msgspec

from cloud.ingest.dating import BootClock, date
from shared.clock import ClockState
from shared.envelope import Envelope

RECEIVED = 1_800_000_000_000


def envelope(mono_ms: int, wall_ms: int, state: ClockState) -> Envelope:
    return Envelope(
        machine="m1",
        epoch="e1",
        seq=1,
        prev=0,
        boot_id="b1",
        mono_ms=mono_ms,
        wall_ms=wall_ms,
        clock_state=state,
        fact=msgspec.Raw(b"{}"),
    )


def test_a_synced_clock_is_believed_and_dates_the_rest_of_its_boot() -> None:
    happened, boot = date(envelope(10_000, RECEIVED - 60_000, "synced"), RECEIVED, None)
    assert (happened, boot) == (RECEIVED - 60_000, BootClock(RECEIVED - 70_000, synced=True))
    stepped, same = date(envelope(20_000, 0, "unset"), RECEIVED, boot)
    assert (stepped, same) == (RECEIVED - 50_000, boot)


def test_a_clock_in_1970_is_dated_by_distance_within_the_boot() -> None:
    last, boot = date(envelope(3_600_000, 5, "unset"), RECEIVED, None)
    first, _ = date(envelope(600_000, 1, "unset"), RECEIVED + 10, boot)
    assert last == RECEIVED
    assert last - first == 3_000_000


def test_an_earlier_arrival_is_a_better_bound() -> None:
    _, boot = date(envelope(1_000, 0, "unset"), RECEIVED, None)
    _, better = date(envelope(9_000, 0, "unset"), RECEIVED + 2_000, boot)
    assert better == BootClock(RECEIVED - 7_000, synced=False)


def test_nothing_is_dated_into_the_future() -> None:
    happened, boot = date(envelope(1_000, RECEIVED + 86_400_000, "synced"), RECEIVED, None)
    assert happened == RECEIVED
    assert not boot.synced
    slightly, _ = date(envelope(1_000, RECEIVED + 60_000, "synced"), RECEIVED, None)
    assert slightly == RECEIVED
