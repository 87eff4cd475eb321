"""The EPTON ADH815 aisle driver board, firmware side, and its sister 814E.

Theory of operation. The board is a small machine of three states. RUN starts a motor; when the run has ended the board
is `finished`, which says that the run is over and not that it succeeded; ACK takes the result away. The result waits as
long as it must, over any number of restarts of the host. Only a restart of the board itself loses it: then the board is
idle, result 0, last motor 0. That last motor, kept over ACK, is all the memory that an idle board has.

    idle --RUN/0--> dispensing --motor stopped, drop window over--> finished --ACK--> idle
    RUN while dispensing answers 2; RUN while finished answers 3; a motor index beyond the matrix answers 1.

Frames have no length field: the length of a request follows from its command. A pause between two bytes starts a new
frame. A frame with a bad check sum, for another address, or with a command that this firmware does not know gets no
answer.

What the public sources leave open is decided here and marked [ours]: the layouts of SCAN_DOOR and of the two
current-limit commands, the content (not the length) of the SET_TEMP and READ_MODE replies, and 814E's READ_MODE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Literal, Protocol

from firmware_sim.boards.crc16 import crc16
from firmware_sim.physics import ClimateMode, CurrentLimits, MotorFault
from firmware_sim.timeline import Event, Timeline

HOST = 0x00
MATRIX_815 = 100  # 10 x 10
MATRIX_814E = 61  # 00h-3Ch
# The longest request has 8 bytes; a longer burst without a pause cannot be one frame.
BURST_MAX = 64
# How long a board takes to answer [est].
LATENCY_MS = (5, 50)

DROP_DETECTION = 0x80
RESULT_NOTHING_SEEN = 0x04
RESULT_OF_FAULT: Mapping[MotorFault | None, int] = {None: 0, "over_current": 1, "open": 2, "no_stop_signal": 3}
CLIMATE_MODES: Mapping[int, ClimateMode] = {0: "ambient", 1: "cool", 2: "heat"}

Dialect = Literal["815", "814e"]
PollForm = Literal["13", "14", "ack"]


class State(IntEnum):
    """As reported by POLL."""

    IDLE = 0
    DISPENSING = 1
    FINISHED = 2


class Happening(Enum):
    """What can happen to the state machine."""

    RUN = "run"
    RUN_ENDED = "run ended"
    ACK = "ack"
    RESTART = "restart"


# The whole machine. A pair that is missing changes nothing: the board answers, and stays as it is.
NEXT_STATE: Mapping[tuple[State, Happening], State] = {
    (State.IDLE, Happening.RUN): State.DISPENSING,
    (State.DISPENSING, Happening.RUN_ENDED): State.FINISHED,
    (State.FINISHED, Happening.ACK): State.IDLE,
    (State.IDLE, Happening.RESTART): State.IDLE,
    (State.DISPENSING, Happening.RESTART): State.IDLE,
    (State.FINISHED, Happening.RESTART): State.IDLE,
}

RUN_ACCEPTED = 0
RUN_INVALID_MOTOR = 1
RUN_ANSWER: Mapping[State, int] = {State.IDLE: RUN_ACCEPTED, State.DISPENSING: 2, State.FINISHED: 3}


@dataclass(frozen=True, slots=True)
class RunReport:
    """What the motor driver measured in one run: currents in mA, time in ms."""

    fault: MotorFault | None
    max_ma: int
    avg_ma: int
    run_ms: int


NOTHING_MEASURED = RunReport(fault=None, max_ma=0, avg_ma=0, run_ms=0)


class Wiring(Protocol):
    """What is behind the board's connectors."""

    def turn(self, motors: tuple[int, ...], limits: CurrentLimits, stopped: Callable[[RunReport], None]) -> None:
        """Switch these motors on; `stopped` is called when the run is over, unless the power is cut first."""

    def cut_power(self) -> None:
        """Every motor stops where it is."""

    def eye_blocked(self) -> bool:
        """Is the light of the drop sensor interrupted now, with nothing falling?"""

    def probe_c(self) -> int:
        """The temperature sensor, whole degrees; -40 without a sensor, 120 with a shorted one."""

    def humidity(self) -> int:
        """Relative humidity in percent."""

    def door_open(self) -> bool:
        """The feedback of the locker doors."""

    def regulate(self, mode: ClimateMode, setpoint_c: int) -> None:
        """Drive the compressor or the heater."""


@dataclass(frozen=True, slots=True)
class Switches:
    """In what boards of this family differ.

    `poll`: replies of 13 bytes, of 14 with humidity, or 13 bytes with the form of ACK while idle.
    `forgets_mode`: the mode byte does not survive a restart of the board.
    `boot_ms`: how long the board is deaf after a restart. `window_ms`: how long the drop sensor is watched after the
    motor has stopped. `gap_ms`: a pause longer than this between two bytes starts a new frame.
    """

    dialect: Dialect = "815"
    poll: PollForm = "13"
    mode: int = 0x00
    forgets_mode: bool = False
    boot_ms: int = 800
    window_ms: int = 1000
    gap_ms: int = 15


@dataclass(slots=True)
class LastRun:
    """What the board knows of its last run. After ACK only the motor is left, after a restart not even that.

    `window` is the end of watching the drop sensor; it is open from the motor's stop on.
    """

    motor: int = 0
    detecting: bool = False
    seen: bool = False
    stopped: bool = False
    report: RunReport = field(default=NOTHING_MEASURED)
    window: Event | None = None
    result: int = 0


class Adh815:
    """One board. Feed it bytes with `receive`; it acts through its wiring, and by itself on its timeline."""

    def __init__(self, address: int, wiring: Wiring, timeline: Timeline, switches: Switches) -> None:
        self.address = self.number = address
        self.latency_ms = LATENCY_MS
        self.baud: int | None = None  # its switches are set to the line's speed
        self.boots = 1
        self.runs_accepted = 0
        self._wiring = wiring
        self._timeline = timeline
        self._switches = switches
        self._commands = COMMANDS[switches.dialect]
        self._matrix = MATRIX_814E if switches.dialect == "814e" else MATRIX_815
        self._limits = CurrentLimits()
        self._buffer = bytearray()
        self._last_byte_ms = 0
        self._deaf_until_ms = 0
        self.mode = switches.mode
        self.state = State.IDLE
        self.last = LastRun()

    # --- the line ----------------------------------------------------------------------------------------------------

    def receive(self, began_ms: int, data: bytes) -> list[bytes]:
        """Hear bytes whose first one began at `began_ms`; the answers, in order (mostly none or one)."""
        now_ms = self._timeline.now_ms
        if began_ms - self._last_byte_ms > self._switches.gap_ms:
            self._buffer.clear()
        self._last_byte_ms = now_ms
        if now_ms < self._deaf_until_ms:
            return []
        answers = []
        for byte in data:
            self._buffer.append(byte)
            if self._frame_complete():
                frame = bytes(self._buffer)
                self._buffer.clear()
                if (answer := self._answer(frame)) is not None:
                    answers.append(answer)
        return answers

    def _frame_complete(self) -> bool:
        if len(self._buffer) < 2:
            return False
        command = self._commands.get(self._buffer[1])
        # A command of another kind of board on the same line: its end is the next pause.
        return len(self._buffer) >= (BURST_MAX if command is None else command.request_length)

    def _answer(self, frame: bytes) -> bytes | None:
        body, check = frame[:-2], frame[-2:]
        command = self._commands.get(body[1])
        if body[0] != self.address or command is None or crc16(body) != check:
            return None
        data = command.answer(self, body[2:])
        if data is None:
            reply = bytes([HOST, self._ack_code])
        else:
            reply = bytes([self.address if command.own_address else HOST, body[1]]) + data
        return reply + crc16(reply)

    @property
    def _ack_code(self) -> int:
        return 0xA6 if self._switches.dialect == "814e" else 0x06

    # --- the state machine -------------------------------------------------------------------------------------------

    def _happen(self, happening: Happening) -> bool:
        following = NEXT_STATE.get((self.state, happening))
        if following is None:
            return False
        self.state = following
        return True

    def restart(self) -> None:
        """The supply dipped, or the watchdog bit: motors stop, the result and the last motor are forgotten."""
        self._wiring.cut_power()
        self._close_window()
        self._happen(Happening.RESTART)
        self.last = LastRun()
        self._buffer.clear()
        self.boots += 1
        self._deaf_until_ms = self._timeline.now_ms + self._switches.boot_ms
        if self._switches.forgets_mode:
            self.mode = self._switches.mode

    def drop_seen(self) -> None:
        """The light of the drop sensor was interrupted for a moment."""
        if self.state is State.DISPENSING and self.last.detecting:
            self.last.seen = True
            if self.last.stopped:
                self._end_run()

    def _motor_stopped(self, report: RunReport) -> None:
        self.last.report = report
        self.last.stopped = True
        if self.last.seen or not self.last.detecting:
            self._end_run()
        else:
            self.last.window = self._timeline.after(self._switches.window_ms, self._end_run)

    def _end_run(self) -> None:
        self._close_window()
        self._happen(Happening.RUN_ENDED)
        self.last.result = RESULT_OF_FAULT[self.last.report.fault]
        if self.last.detecting and not self.last.seen:
            self.last.result |= RESULT_NOTHING_SEEN

    def _close_window(self) -> None:
        if self.last.window is not None:
            self.last.window.cancel()

    # --- the commands ------------------------------------------------------------------------------------------------

    def answer_id(self, _data: bytes) -> bytes:
        name = "ADH814EV2.0.0" if self._switches.dialect == "814e" else "ADH815V4.0.01"
        return name.ljust(16).encode("ascii")

    def answer_scan_door(self, _data: bytes) -> bytes:
        """[ours] One byte: 0 shut, 1 open."""
        return bytes([self._wiring.door_open()])

    def answer_poll(self, _data: bytes) -> bytes | None:
        """State, motor, result, max and average current, run time, temperature, perhaps humidity."""
        if self._switches.poll == "ack" and self.state is State.IDLE:
            return None
        result, report = self.last.result, self.last.report
        if self.state is State.IDLE and self.mode & DROP_DETECTION and self._wiring.eye_blocked():
            result |= RESULT_NOTHING_SEEN
        data = bytes([self.state, self.last.motor, result])
        data += report.max_ma.to_bytes(2, "big") + report.avg_ma.to_bytes(2, "big")
        data += bytes([min(report.run_ms // 100, 0xFF)])
        data += self._wiring.probe_c().to_bytes(1, "big", signed=True)
        return data + bytes([self._wiring.humidity()]) if self._switches.poll == "14" else data

    def answer_set_temp(self, data: bytes) -> bytes:
        """815: mode and degrees again. 814E: one status byte, 1 for a mode that does not exist."""
        mode = CLIMATE_MODES.get(data[0])
        if mode is not None:
            self._wiring.regulate(mode, int.from_bytes(data[1:3], "big", signed=True))
        if self._switches.dialect == "814e":
            return bytes([mode is None])
        return data

    def answer_run(self, data: bytes) -> bytes:
        return bytes([self._run(tuple(data))])

    def _run(self, motors: tuple[int, ...]) -> int:
        if any(motor >= self._matrix for motor in motors) or len(set(motors)) != len(motors):
            return RUN_INVALID_MOTOR
        answer = RUN_ANSWER[self.state]
        if answer == RUN_ACCEPTED:
            self._happen(Happening.RUN)
            self.last = LastRun(motor=motors[0], detecting=bool(self.mode & DROP_DETECTION))
            self.runs_accepted += 1
            self._wiring.turn(motors, self._limits, self._motor_stopped)
        return answer

    def answer_ack(self, _data: bytes) -> bytes | None:
        if self._happen(Happening.ACK):
            self.last = LastRun(motor=self.last.motor)
        return None

    def answer_read_mode(self, _data: bytes) -> bytes:
        return bytes([self.mode, 0])

    def answer_set_mode(self, data: bytes) -> bytes:
        """815: the request again. 814E: status 0."""
        self.mode = data[0]
        return bytes([0]) if self._switches.dialect == "814e" else data

    def answer_read_limits(self, _data: bytes) -> bytes:
        """[ours] Over-current and open-circuit threshold in mA, two bytes each."""
        return self._limits.over_ma.to_bytes(2, "big") + self._limits.open_ma.to_bytes(2, "big")

    def answer_write_limits(self, data: bytes) -> bytes:
        """[ours] The same layout, answered with itself."""
        self._limits = CurrentLimits(int.from_bytes(data[0:2], "big"), int.from_bytes(data[2:4], "big"))
        return data

    def answer_swap(self, data: bytes) -> bytes:
        """814E: swap rows and columns of the matrix; only 1 is known. Taken, and without effect here."""
        return bytes([data[0] != 1])


@dataclass(frozen=True, slots=True)
class Command:
    """One line of the command table: bytes of data in the request, and who makes the answer's data.

    None is the answer "nothing to report", four bytes with the code of ACK. `own_address`: the reply carries the
    board's address.
    """

    data_length: int
    answer: Callable[[Adh815, bytes], bytes | None]
    own_address: bool = False

    @property
    def request_length(self) -> int:
        return 2 + self.data_length + 2


COMMANDS: Mapping[Dialect, Mapping[int, Command]] = {
    "815": {
        0x01: Command(0, Adh815.answer_id),
        0x02: Command(0, Adh815.answer_scan_door),
        0x03: Command(0, Adh815.answer_poll),
        0x04: Command(3, Adh815.answer_set_temp),
        0x05: Command(1, Adh815.answer_run),
        0x06: Command(0, Adh815.answer_ack),
        0x07: Command(2, Adh815.answer_run),  # two motors; the sources number this command 07 and 15
        0x15: Command(2, Adh815.answer_run),
        0x20: Command(0, Adh815.answer_read_mode),
        0x21: Command(2, Adh815.answer_set_mode, own_address=True),
        0x30: Command(0, Adh815.answer_read_limits),
        0x31: Command(4, Adh815.answer_write_limits),
    },
    # The same commands, A0h higher; SET_MODE and SWAP keep their codes, and READ_MODE is offered as in the 815 [ours].
    "814e": {
        0xA1: Command(0, Adh815.answer_id),
        0xA2: Command(0, Adh815.answer_scan_door),
        0xA3: Command(0, Adh815.answer_poll),
        0xA4: Command(3, Adh815.answer_set_temp),
        0xA5: Command(1, Adh815.answer_run),
        0xA6: Command(0, Adh815.answer_ack),
        0xB5: Command(2, Adh815.answer_run),
        0x20: Command(0, Adh815.answer_read_mode),
        0x21: Command(2, Adh815.answer_set_mode, own_address=True),
        0x35: Command(1, Adh815.answer_swap),
    },
}
