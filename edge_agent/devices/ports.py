"""What the inside of the agent needs of the hardware: interfaces, and for each what it can prove.

A driver promises no more than its board can show. Recovery after a crash asks for proof and for nothing else, so a
board with a weak protocol costs more reviews and never a double delivery.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

MotorFault = Literal["over_current", "open", "no_stop_signal"]


@dataclass(frozen=True, slots=True)
class Proof:
    """What a board can prove about a motor run.

    result_latched: the last result stays readable until it is acknowledged, also over restarts of the host.
    remembers_last_motor: idle status names the last motor run, and the memory dies with a board reset.
    """

    result_latched: bool
    remembers_last_motor: bool


@dataclass(frozen=True, slots=True)
class BoardIdle:
    """No motor turns and no result waits. `last_motor` is the board's memory of its last run (0 after a reset).

    `sensor_blocked`: the drop sensor sees something although nothing falls; a sale must not start.
    """

    last_motor: int
    sensor_blocked: bool
    temperature_c: int | None


@dataclass(frozen=True, slots=True)
class BoardTurning:
    """`motor` is turning now."""

    motor: int


@dataclass(frozen=True, slots=True)
class BoardFinished:
    """The run of `motor` ended; its result waits for acknowledgement.

    drop_seen is None when drop detection is off, also when a board reset switched it off unasked: then it proves
    nothing. Currents in mA, run time in ms.
    """

    motor: int
    fault: MotorFault | None
    drop_seen: bool | None
    max_current_ma: int
    avg_current_ma: int
    run_time_ms: int
    temperature_c: int | None


BoardStatus = BoardIdle | BoardTurning | BoardFinished

StartAnswer = Literal["accepted", "invalid_motor", "busy", "result_waiting"]


class AisleMotors(Protocol):
    """One aisle driver board.

    Every call may raise LinkDown, BoardSilent, BoardMisbehaved or a NeverSent (BreakerOpen, DeadlinePassed, PortClosed,
    Withheld). NeverSent proves that the request never left; PortClosed is a LinkDown too, so look for NeverSent first.
    After LinkDown, BoardSilent and BoardMisbehaved nothing is known about the request; a late answer to it never
    answers another one, because the line is fenced before it is asked again.
    """

    @property
    def board(self) -> int:
        """The board's address on its bus, 1 to 4."""

    @property
    def proof(self) -> Proof:
        """What this board can prove."""

    async def identify(self) -> str:
        """The board's own name and version, e.g. 'ADH815V4.0.01'."""

    async def prepare(self, *, drop_sensor: bool) -> None:
        """Bring the board into the mode that the configuration asks for, and read it back."""

    async def status(self, *, confirmed: bool = False) -> BoardStatus:
        """What the board does now.

        `confirmed`: idle and finished are believed only when two consecutive readings agree. Money follows from a
        confirmed status only.
        """

    async def start(self, motor: int, *, not_after_mono_ms: int) -> StartAnswer:
        """Turn `motor` once. The start byte never leaves after `not_after_mono_ms`; then DeadlinePassed is raised.

        Sent at most once per call: no retry below this line.
        """

    async def acknowledge(self) -> None:
        """Take the result away, so that the board is idle again."""


class Door(Protocol):
    """The switch at the service door."""

    async def is_open(self) -> bool | None:
        """Whether the door stands open; None when the switch cannot be read."""


# --- water ---


@dataclass(frozen=True, slots=True)
class Totaliser:
    """What a flow meter has counted since it was made or cleared, in its own unit.

    It stood so at some moment of the `took_ms` before `mono_ms`, when the answer was here.
    `modulus`: the count that follows the highest one is 0 again after so many; None when it never wraps.
    """

    count: int
    modulus: int | None
    mono_ms: int
    took_ms: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """An order that a device has answered: it was heard after it had left, and before the answer was here.

    In ms of this boot. Of one that was sent several times `asked_ms` is when it left first.
    """

    asked_ms: int
    answered_ms: int


@dataclass(frozen=True, slots=True)
class WaterReading:
    """What the probes say now; None where there is no probe, or where it cannot be believed."""

    tds_in_ppm: int | None = None
    tds_out_ppm: int | None = None
    pressure_kpa: int | None = None
    level_mm: int | None = None
    temperature_tenths_c: int | None = None


class WaterValve(Protocol):
    """The relays that open the valves. Relays count from 1.

    Every call may raise LinkDown, BoardSilent, BoardMisbehaved or a NeverSent, as `AisleMotors` explains.
    """

    async def open_for(self, relay: int, limit_ms: int) -> Heard:
        """Open at once; the relay's own timer shuts the valve `limit_ms` later, whatever becomes of this computer.

        Asked again while open, the timer starts anew. The limit is rounded down to the relay's step of 100 ms.
        Sent at most once per call: no retry below this line. `ValueError` for a limit that the timer cannot hold.
        """

    async def shut(self, relay: int) -> Heard:
        """Shut one valve. Asked again on a bad line, shutting twice is harmless."""

    async def shut_all(self) -> None:
        """Shut every valve of this board."""

    async def is_open(self, relay: int) -> bool:
        """Whether the relay is switched on, as the relay board says. What the valve does is for the meter to show."""


class FlowMeter(Protocol):
    """A counter of volume."""

    @property
    def meter(self) -> str:
        """The meter's name in the settings."""

    @property
    def pulses_per_litre_milli(self) -> int:
        """Counts per litre times 1000, as its maker says: 450 pulses per litre are 450000. Calibration is not here."""

    async def totaliser(self) -> Totaliser:
        """The count now, from an answer that belongs to this question, and that the meter can have reached.

        Raises as `WaterValve` does; BoardMisbehaved when two readings contradict each other. Two that agree with each
        other and not with what was counted before are returned: the meter was cleared or exchanged.
        """


class WaterSensors(Protocol):
    """All probes of a purifier."""

    async def read(self) -> WaterReading:
        """What they say now. A silent probe is a None and delays the others by no more than its breaker allows."""


@dataclass(frozen=True, slots=True)
class Purifier:
    """What makes a machine pour."""

    valve: WaterValve
    meter: FlowMeter
    sensors: WaterSensors
