"""What the machine knows of itself: boards, door, temperature, disk. From it follows whether it may sell.

Each watch is a loop of its own, so that one silent board hides neither the door nor its neighbours. Changes become
state facts in the ledger; only changes do, so an idle machine says nothing.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from edge_agent.devices.ports import AisleMotors, BoardFinished, BoardIdle, BoardStatus, Door
from edge_agent.errors import BoardMisbehaved, DiskShort
from edge_agent.ledger import locks, outbox
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.selling import Band, Condition, next_band, not_selling_because, stopped_because
from edge_agent.vend.attempt import LINE_TROUBLE
from shared.clock import Clock
from shared.messages import (
    DoorChanged,
    FaultChanged,
    MachineConfig,
    Reading,
    SellingChanged,
    StateFact,
    TemperatureBandChanged,
    state_key,
)

log = logging.getLogger(__name__)

# One lost answer is noise; three polls without one (0.6 s at five a second) is a board that does not answer.
MISSES_MAX: Final = 3

# A cabinet warms by a few degrees an hour: one reading a minute shows everything.
READING_EVERY_MS: Final = 60_000

# Disk space changes slowly, and the reserve is kept in any case.
DISK_EVERY_MS: Final = 10_000

STOPPED = "stopped"  # the fault that holds while the operator has stopped the machine
OLD_COPY = "watermark_ahead"  # the cloud has facts that this ledger never numbered: it is an old copy of itself
HELD_BACK = (STOPPED, OLD_COPY)
SILENT = "board_silent"
WRONG_BOARD = "board_wrong"
SENSOR_BLOCKED = "sensor_blocked"


class MachineWatch:
    """Keeps the machine's condition and tells its changes.

    `busy` says that a vend is asking the boards itself; the watch then leaves them alone. `take_reading` keeps a
    measurement. `boards_down` is read by the vend: address -> reason.
    """

    def __init__(
        self,
        *,
        boards: Mapping[int, AisleMotors],
        door: Door | None,
        ledger: LedgerDatabase,
        clock: Clock,
        busy: Callable[[], bool],
        take_reading: Callable[[Reading], Awaitable[None]],
    ) -> None:
        self._boards = boards
        self._door = door
        self._ledger = ledger
        self._clock = clock
        self._busy = busy
        self._take_reading = take_reading
        self._config: MachineConfig | None = None
        self._sensors_blocked: set[int] = set()
        self._last_reading_ms: dict[int, int] = {}
        self._down: dict[int, str] = dict.fromkeys(boards, "not asked yet")
        # Parts of the machine that act on the configuration too, and are told of it before anything is sold by it.
        self.parts: list[Callable[[MachineConfig | None], Awaitable[None]]] = []
        self.condition = Condition(
            has_config=False,
            door_open=False,
            band="normal",
            disk_problem=None,
            ledger_damaged=ledger.damaged_findings is not None,
            stopped_by=None,
            boards_up=0 if boards else None,
            recovering=True,
        )

    def boards_down(self) -> Mapping[int, str]:
        """Boards that must not be used now: address -> reason."""
        return self._down | dict.fromkeys(self._sensors_blocked, "drop sensor blocked")

    @property
    def config(self) -> MachineConfig | None:
        """The configuration that the machine acts on."""
        return self._config

    def why_not_selling(self) -> str | None:
        """A sentence, or None when the machine may sell."""
        return not_selling_because(self.condition)

    def why_stopped(self) -> str | None:
        """What stops goods and water alike; None when nothing does."""
        return stopped_because(self.condition)

    async def configure(self, config: MachineConfig | None) -> None:
        """Act on another configuration from now on."""
        self._config = config
        for part in self.parts:
            await part(config)
        stopped, damage = await self._ledger.read(_held_back)
        await self.change(has_config=config is not None, stopped_by=stopped, ledger_damaged=damage is not None)

    async def change(self, **changes: Any) -> None:
        """Note a change of condition and tell whether the machine sells when that follows from it."""
        self.condition = replace(self.condition, **changes)
        reason = self.why_not_selling()
        fact = SellingChanged(selling=reason is None, reason=reason or "")
        await self.tell(fact)

    async def tell(self, fact: StateFact) -> None:
        """Write a state fact down unless it is what was told last; most looks change nothing and cost no write.

        On a full disk it is not told: the reserve is for money. It is in memory, and told at the next change.
        """
        known = await self._ledger.read(lambda conn: locks.current(conn, state_key(fact)))
        if known != fact:
            try:
                await self._ledger.write(lambda conn: locks.set_state(conn, fact, self._clock))
            except DiskShort as short:
                log.warning("%s is not told: %s", fact, short)

    async def watch_board(self, board: int, poll_ms: int) -> None:
        """Poll one board for ever: is it there, is it the right one, is its sensor clear, how warm is it."""
        misses = 0
        while True:
            if not self._busy():
                try:
                    await self._look(self._boards[board])
                    misses = 0
                except BoardMisbehaved as wrong:
                    await self._lose(board, WRONG_BOARD, str(wrong))
                except LINE_TROUBLE as trouble:
                    misses += 1
                    if misses >= MISSES_MAX or board in self._down:
                        await self._lose(board, SILENT, str(trouble))
            await self._clock.sleep_ms(poll_ms)

    async def _look(self, motors: AisleMotors) -> None:
        if motors.board in self._down:
            name = await motors.identify()
            await motors.prepare(drop_sensor=self._config.drop_sensor if self._config else True)
            await self._regain(motors.board, name)
        status = await motors.status()
        if isinstance(status, BoardIdle):
            await self._note_sensor(motors.board, blocked=status.sensor_blocked)
        await self._note_temperature(motors.board, status)

    async def _lose(self, board: int, code: str, detail: str) -> None:
        if self._down.get(board) == detail:
            return
        self._down[board] = detail
        await self.tell(FaultChanged(code=code, scope=f"board-{board}", active=True, detail=detail[:400]))
        await self.change(boards_up=len(self._boards.keys() - self._down.keys()))

    async def _regain(self, board: int, name: str) -> None:
        log.info("board %d answers: %s", board, name)
        self._down.pop(board, None)

        for code in (SILENT, WRONG_BOARD):
            await self.tell(FaultChanged(code=code, scope=f"board-{board}", active=False, detail=f"{name} answers"))
        await self.change(boards_up=len(self._boards.keys() - self._down.keys()))

    async def _note_sensor(self, board: int, *, blocked: bool) -> None:
        blocked = blocked and (self._config is None or self._config.drop_sensor)
        if blocked == (board in self._sensors_blocked):
            return
        if blocked:
            self._sensors_blocked.add(board)
            detail = "the drop sensor sees something although nothing falls: remove what blocks it, clean it"
        else:
            self._sensors_blocked.discard(board)
            detail = "clear again"
        await self.tell(FaultChanged(code=SENSOR_BLOCKED, scope=f"board-{board}", active=blocked, detail=detail))

    async def _note_temperature(self, board: int, status: BoardStatus) -> None:
        """The lowest board address carries the cabinet's probe."""
        if board != min(self._boards) or not isinstance(status, BoardIdle | BoardFinished):
            return
        tenths = None if status.temperature_c is None else status.temperature_c * 10
        limits = self._config
        low = limits.temperature_low_tenths_c if limits else None
        high = limits.temperature_high_tenths_c if limits else None
        band = next_band(self.condition.band, tenths, low, high)
        if band != self.condition.band:
            await self._enter(band, tenths)
        now = self._clock.mono_ms()
        if tenths is not None and now - self._last_reading_ms.get(board, -READING_EVERY_MS) >= READING_EVERY_MS:
            self._last_reading_ms[board] = now
            wall_ms = self._clock.wall_ms()
            await self._take_reading(Reading(sensor=f"board-{board}", unit="C", value=tenths * 100, wall_ms=wall_ms))

    async def _enter(self, band: Band, tenths: int | None) -> None:
        await self.tell(TemperatureBandChanged(band=band, tenths_c=tenths))
        await self.change(band=band)

    async def watch_door(self, poll_ms: int) -> None:
        """Poll the door switch for ever; one that cannot be read counts as it last was."""
        assert self._door is not None
        while True:
            is_open = await self._door.is_open()
            if is_open is not None:
                await self.tell(DoorChanged(open=is_open))
                if is_open != self.condition.door_open:
                    await self.change(door_open=is_open)
            await self._clock.sleep_ms(poll_ms)

    async def watch_disk(self) -> None:
        """Look at the free space for ever; selling stops before the reserve is touched."""
        while True:
            room = await self._ledger.room()
            if (room.why is None) != (self.condition.disk_problem is None):
                await self.change(disk_problem=room.why)
            await self._clock.sleep_ms(DISK_EVERY_MS)


def _held_back(conn: sqlite3.Connection) -> tuple[str | None, str | None]:
    """Why the machine was stopped, and why its former ledger was set aside; None for each that is not so."""
    stops = [fault for fault in locks.active_faults(conn) if fault.code in HELD_BACK]
    stream = outbox.identity(conn)
    return (stops[0].detail if stops else None), (stream.damage if stream else None)
