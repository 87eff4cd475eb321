"""Time behind one small interface.

Three kinds of time, never mixed:

* `mono_ms`: milliseconds since boot, suspend included (CLOCK_BOOTTIME). The only input to a money or motion decision.
* `wall_ms`: milliseconds since 1970 as the machine believes. A label for people. It may stand at 1970, jump and repeat.
* `clock_state`: how far to trust the label: `unset` (never set), `restored` (plausible), `synced` (by a time server).
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from shared.ids import BootId

T = TypeVar("T")

ClockState = Literal["unset", "restored", "synced"]

# 2026-01-01 UTC, before the first release: a wall clock below it was never set.
WALL_FLOOR_MS = 1_767_225_600_000

_BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
_SYNCED_FILE = Path("/run/systemd/timesync/synchronized")


class Clock(Protocol):
    """What the code may ask of time."""

    @property
    def boot_id(self) -> BootId:
        """Changes with every boot; `mono_ms` of two boots cannot be compared."""

    def mono_ms(self) -> int:
        """Milliseconds since boot, never stepping back, counting suspend."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC as the machine believes."""

    def clock_state(self) -> ClockState:
        """How far `wall_ms` can be trusted."""

    async def sleep_ms(self, duration_ms: int) -> None:
        """Return once `mono_ms` has grown by `duration_ms`."""


async def within(clock: Clock, awaitable: Awaitable[T], limit_ms: int) -> T | None:
    """The result of `awaitable`, or None (and it is cancelled) once `clock` has grown by `limit_ms` without it."""
    work = asyncio.ensure_future(awaitable)
    timer = asyncio.ensure_future(clock.sleep_ms(limit_ms))
    try:
        await asyncio.wait({work, timer}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        work.cancel()
        timer.cancel()


class SystemClock:
    """The clocks of this computer."""

    def __init__(self) -> None:
        # The file holds 36 characters with dashes; 32 hex digits are the same id, shorter in every message.
        self._boot_id = BootId(_BOOT_ID_FILE.read_text(encoding="ascii").strip().replace("-", ""))

    @property
    def boot_id(self) -> BootId:
        return self._boot_id

    def mono_ms(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def clock_state(self) -> ClockState:
        if self.wall_ms() < WALL_FLOOR_MS:
            return "unset"
        return "synced" if _SYNCED_FILE.exists() else "restored"

    async def sleep_ms(self, duration_ms: int) -> None:
        await asyncio.sleep(duration_ms / 1000)


class ManualClock:
    """A clock that moves only when told to. Shipped beside the real one so that tests and simulations turn it."""

    def __init__(
        self,
        *,
        mono_ms: int = 1_000_000,
        wall_ms: int = WALL_FLOOR_MS,
        boot_id: str = "boot-1",
        state: ClockState = "synced",
    ) -> None:
        self._mono_ms = mono_ms
        self._wall_ms = wall_ms
        self._boot_id = BootId(boot_id)
        self._state: ClockState = state
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tie_break = 0

    @property
    def boot_id(self) -> BootId:
        return self._boot_id

    def mono_ms(self) -> int:
        return self._mono_ms

    def wall_ms(self) -> int:
        return self._wall_ms

    def clock_state(self) -> ClockState:
        return self._state

    async def sleep_ms(self, duration_ms: int) -> None:
        if duration_ms <= 0:
            await asyncio.sleep(0)
            return
        wake = asyncio.get_running_loop().create_future()
        self._tie_break += 1
        heapq.heappush(self._sleepers, (self._mono_ms + duration_ms, self._tie_break, wake))
        await wake

    def advance(self, duration_ms: int) -> None:
        """Let `duration_ms` pass on both clocks and wake who is due."""
        self._mono_ms += duration_ms
        self._wall_ms += duration_ms
        while self._sleepers and self._sleepers[0][0] <= self._mono_ms:
            _, _, wake = heapq.heappop(self._sleepers)
            if not wake.done():
                wake.set_result(None)

    def step_wall(self, by_ms: int, state: ClockState | None = None) -> None:
        """Move the wall clock alone, as a time server or an operator would."""
        self._wall_ms += by_ms
        if state is not None:
            self._state = state

    def reboot(self, boot_id: str, mono_ms: int = 1_000) -> None:
        """Begin a new boot: a new id, the monotonic clock near zero, the wall clock as it was."""
        self._boot_id = BootId(boot_id)
        self._mono_ms = mono_ms
