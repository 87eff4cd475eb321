"""The EPTON ADH815 family of aisle driver boards: frames as frozen values, and a reader that finds them in a stream.

A frame is address, command, data, CRC-16/MODBUS low byte first. Numbers of two bytes are big-endian. There is no length
field: the length follows from the command. Requests carry the board's address, 1 to 4; replies carry 0, the host. Only
the replies about the mode may carry the board's own address (SET_MODE does, as the vendor's own host expects).
Source: the board's protocol document V1.0.1.2 and frames captured from a fielded board.

**Nothing in a reply says which board sent it, nor which request it answers, beyond the command.** The reader therefore
never decides whose reply it found; `edge_agent.links.owed` explains how the line is kept unambiguous.

**How frames are found.** At each byte that may be an address the reader looks for a frame of a known command and length
whose CRC fits; a byte that begins none is noise and is dropped. A beginning whose end has not come yet holds the reader
up, and noise may look like one: when the line has fallen silent (`quiet`) the reader looks behind it. It never drops
such a beginning because of a pause, since radio links, USB adapters and busy hosts all split frames anywhere.

**POLL has 13 or 14 bytes** (the longer form adds humidity), and a CRC cannot always tell: a valid frame followed by a
zero byte is again a valid frame. So an unknown board's first answer is judged once the line is quiet or one byte more
has come; if only one length fits, it is remembered, and from then on only that length counts. If both fit, the shorter
is taken and nothing is remembered: the two differ in the humidity alone, which nothing depends on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from enum import IntEnum
from struct import Struct
from typing import ClassVar, Literal

from edge_agent.wire.crc import CRC_BYTES, is_sealed, sealed

HOST_ADDRESS = 0
BOARD_ADDRESSES = range(1, 5)
MOTORS = range(100)  # a matrix of 10 x 10, index = row * 10 + column

# Temperatures that are no temperatures: sensor unplugged, sensor shorted.
_NO_TEMPERATURE = (-40, 120)

_DETECTION_BIT = 0x80  # of the mode byte; the other bits say how the motors are wired
_NOT_SEEN_BIT = 0x04  # of the result byte
_FAULT_BITS = 0x03


class Command(IntEnum):
    """The commands of the family that the agent uses, numbered as in the 815."""

    ID = 0x01
    POLL = 0x03
    RUN = 0x05
    ACK = 0x06
    READ_MODE = 0x20
    SET_MODE = 0x21


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the members of the family differ.

    offset: what is added to the commands below 20h. reads_mode: whether READ_MODE is known. mode_set_bytes: the length
    of the reply to SET_MODE, 6 with the mode in it or 5 with a status.
    """

    name: str
    offset: int
    reads_mode: bool
    mode_set_bytes: int

    def code(self, command: Command) -> int:
        """The command byte on the wire."""
        return command + self.offset if command < Command.READ_MODE else command

    def command(self, code: int) -> Command | None:
        """The command of a byte from the wire; None when it is not one of ours."""
        number = code if code in (Command.READ_MODE, Command.SET_MODE) else code - self.offset
        return _COMMANDS.get(number) if self.reads_mode or number != Command.READ_MODE else None


_COMMANDS = {command.value: command for command in Command}

ADH815 = Dialect(name="815", offset=0x00, reads_mode=True, mode_set_bytes=6)
# Of the 814E only the commands are known that fielded clients use: nobody reads its mode.
ADH814E = Dialect(name="814e", offset=0xA0, reads_mode=False, mode_set_bytes=5)
DIALECTS = {dialect.name: dialect for dialect in (ADH815, ADH814E)}


class MalformedFrame(ValueError):
    """The bytes are no frame of this protocol: length, checksum, address or command do not fit."""


class _Message:
    """A frame as a value: `form` packs the fields behind the command, `address` stands before it."""

    __slots__ = ()
    command: ClassVar[Command]
    form: ClassVar[Struct] = Struct("")

    @property
    def address(self) -> int:
        return HOST_ADDRESS

    def fields(self) -> tuple[int | bytes, ...]:
        """What `form` packs."""
        return ()

    def to_bytes(self, dialect: Dialect = ADH815) -> bytes:
        """The frame as it goes over the wire."""
        return sealed(bytes((self.address, dialect.code(self.command))) + self.form.pack(*self.fields()))


# --- requests --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Request(_Message):
    board: int

    @property
    def answered_by(self) -> frozenset[Command]:
        """The commands that a reply to this request may carry."""
        return frozenset({self.command})

    @property
    def address(self) -> int:
        return self.board

    def fields(self) -> tuple[int | bytes, ...]:
        return astuple(self)[1:]


@dataclass(frozen=True, slots=True)
class Identify(_Request):
    """Who are you? Answered by `Identity`."""

    command = Command.ID


@dataclass(frozen=True, slots=True)
class Poll(_Request):
    """What do you do? Answered by `Report`, or by `Acknowledged` when some firmware has nothing to say."""

    command = Command.POLL

    @property
    def answered_by(self) -> frozenset[Command]:
        return frozenset({Command.POLL, Command.ACK})


@dataclass(frozen=True, slots=True)
class Run(_Request):
    """Turn a motor once. Answered by `RunAnswer` at once, not at the end of the run."""

    motor: int
    command = Command.RUN
    form = Struct("B")


@dataclass(frozen=True, slots=True)
class Acknowledge(_Request):
    """The result was taken: finished becomes idle. Answered by `Acknowledged`."""

    command = Command.ACK


@dataclass(frozen=True, slots=True)
class ReadMode(_Request):
    """Which mode? Answered by `Mode`."""

    command = Command.READ_MODE


@dataclass(frozen=True, slots=True)
class SetMode(_Request):
    """Take this mode byte. Answered by `ModeSet`."""

    mode: int
    command = Command.SET_MODE
    form = Struct("Bx")


Request = Identify | Poll | Run | Acknowledge | ReadMode | SetMode


# --- replies ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identity(_Message):
    """The board's name and version, at most 16 ASCII characters."""

    name: str
    command = Command.ID
    form = Struct("16s")

    def fields(self) -> tuple[int | bytes, ...]:
        return (self.name.ljust(16).encode("ascii"),)


class State(IntEnum):
    """What a board does. FINISHED says that the run ended, not that it succeeded, and stays until ACK."""

    IDLE = 0
    DISPENSING = 1
    FINISHED = 2


@dataclass(frozen=True, slots=True)
class Report(_Message):
    """The answer to POLL. Currents in mA, run time in tenths of a second, temperature in degrees Celsius.

    `motor` is the motor of the last run, 0 after a reset (and 0 is a motor too). `humidity` in %RH, where it is sent.
    """

    state: State
    motor: int
    result: int
    max_current_ma: int
    avg_current_ma: int
    run_time_100ms: int
    celsius: int
    humidity: int | None = None
    command = Command.POLL
    form = Struct(">BBBHHBb")

    def fields(self) -> tuple[int | bytes, ...]:
        return (
            self.state,
            self.motor,
            self.result,
            self.max_current_ma,
            self.avg_current_ma,
            self.run_time_100ms,
            self.celsius,
        )

    def to_bytes(self, dialect: Dialect = ADH815) -> bytes:
        short = _Message.to_bytes(self, dialect)
        return short if self.humidity is None else sealed(short[:-CRC_BYTES] + bytes((self.humidity,)))

    @property
    def fault(self) -> Literal["over_current", "open", "no_stop_signal"] | None:
        """What was wrong with the motor."""
        return _FAULTS[self.result & _FAULT_BITS]

    @property
    def nothing_seen(self) -> bool:
        """Finished: detection is on and saw nothing. Idle: the drop sensor is blocked.

        The bits above are used by boards with a delivery box and by some with a second light-eye; nothing here reads
        them.
        """
        return bool(self.result & _NOT_SEEN_BIT)

    @property
    def temperature_c(self) -> int | None:
        """The temperature, or None without a working sensor."""
        return None if self.celsius in _NO_TEMPERATURE else self.celsius


_FAULTS: dict[int, Literal["over_current", "open", "no_stop_signal"] | None] = {
    0: None,
    1: "over_current",
    2: "open",
    3: "no_stop_signal",
}


class RunStatus(IntEnum):
    """What a board says to RUN."""

    ACCEPTED = 0
    INVALID_MOTOR = 1
    BUSY = 2
    RESULT_WAITING = 3


@dataclass(frozen=True, slots=True)
class RunAnswer(_Message):
    """The answer to RUN."""

    status: RunStatus
    command = Command.RUN
    form = Struct("B")

    def fields(self) -> tuple[int | bytes, ...]:
        return (self.status,)


@dataclass(frozen=True, slots=True)
class Acknowledged(_Message):
    """The answer to ACK, and of some firmware to POLL while it is idle."""

    command = Command.ACK


@dataclass(frozen=True, slots=True)
class Mode(_Message):
    """The answer to READ_MODE. `sender` is 0 or the board's own address."""

    sender: int
    mode: int
    command = Command.READ_MODE
    form = Struct("Bx")

    @property
    def address(self) -> int:
        return self.sender

    def fields(self) -> tuple[int | bytes, ...]:
        return (self.mode,)

    @property
    def detects_drops(self) -> bool:
        """Whether drop detection is on."""
        return bool(self.mode & _DETECTION_BIT)


@dataclass(frozen=True, slots=True)
class ModeSet(_Message):
    """The answer to SET_MODE: of an 815 the mode again, of an 814E a status byte, 0 for taken."""

    sender: int
    value: int
    command = Command.SET_MODE
    form = Struct("B")

    @property
    def address(self) -> int:
        return self.sender

    def fields(self) -> tuple[int | bytes, ...]:
        return (self.value,)

    def to_bytes(self, dialect: Dialect = ADH815) -> bytes:
        short = _Message.to_bytes(self, dialect)
        padding = bytes(dialect.mode_set_bytes - len(short))
        return sealed(short[:-CRC_BYTES] + padding)


@dataclass(frozen=True, slots=True)
class Illegal:
    """A whole frame with a fitting checksum whose content the protocol does not allow."""

    command: Command
    raw: bytes
    expected: str


Reply = Identity | Report | RunAnswer | Acknowledged | Mode | ModeSet


def with_detection(mode: int, *, on: bool) -> int:
    """A mode byte with drop detection switched, the wiring bits as they were."""
    return mode | _DETECTION_BIT if on else mode & ~_DETECTION_BIT


# --- parsing ---------------------------------------------------------------------------------------------------------

_REQUESTS: dict[Command, type[Request]] = {
    kind.command: kind for kind in (Identify, Poll, Run, Acknowledge, ReadMode, SetMode)
}


def parse_request(frame: bytes, dialect: Dialect = ADH815) -> Request:
    """Read one request as a board would; raises `MalformedFrame`."""
    command = _command_of(frame, dialect)
    kind = _REQUESTS[command]
    if len(frame) != 2 + kind.form.size + CRC_BYTES:
        raise MalformedFrame(f"{command.name} request: {len(frame)} bytes, expected {4 + kind.form.size}")
    if frame[0] not in BOARD_ADDRESSES:
        raise MalformedFrame(f"address: {frame[0]} is no board (expected 1 to 4)")
    return kind(frame[0], *kind.form.unpack(frame[2:-CRC_BYTES]))


def parse_reply(frame: bytes, dialect: Dialect = ADH815) -> Reply | Illegal:
    """Read one whole reply; raises `MalformedFrame` when it is none, returns `Illegal` when it says what none may."""
    command = _command_of(frame, dialect)
    if len(frame) not in reply_lengths(command, dialect):
        expected = " or ".join(map(str, reply_lengths(command, dialect)))
        raise MalformedFrame(f"{command.name} reply: {len(frame)} bytes, expected {expected}")
    if not _may_send(frame[0], command):
        raise MalformedFrame(f"{command.name} reply: address {frame[0]} is not the host's")
    data = frame[2:-CRC_BYTES]
    match command:
        case Command.ID:
            return Identity(data.decode("ascii").rstrip()) if _is_name(data) else _illegal(frame, command, "16 letters")
        case Command.POLL:
            if data[0] > State.FINISHED:
                return _illegal(frame, command, "state 0, 1 or 2")
            state, motor, result, most_ma, average_ma, run_time, celsius = Report.form.unpack_from(data)
            humidity = data[Report.form.size] if len(data) > Report.form.size else None
            return Report(State(state), motor, result, most_ma, average_ma, run_time, celsius, humidity)
        case Command.RUN:
            if data[0] > RunStatus.RESULT_WAITING:
                return _illegal(frame, command, "status 0 to 3")
            return RunAnswer(RunStatus(data[0]))
        case Command.ACK:
            return Acknowledged()
        case Command.READ_MODE:
            return Mode(frame[0], data[0])
        case Command.SET_MODE:
            return ModeSet(frame[0], data[0])


def reply_lengths(command: Command, dialect: Dialect) -> tuple[int, ...]:
    """The lengths that a reply to `command` may have, the longest first."""
    return (dialect.mode_set_bytes,) if command is Command.SET_MODE else _REPLY_LENGTHS[command]


_REPLY_LENGTHS = {
    Command.ID: (20,),
    Command.POLL: (14, 13),
    Command.RUN: (5,),
    Command.ACK: (4,),
    Command.READ_MODE: (6,),
}


def _command_of(frame: bytes, dialect: Dialect) -> Command:
    if len(frame) < 2 + CRC_BYTES or not is_sealed(frame):
        raise MalformedFrame(f"checksum: {frame[-CRC_BYTES:].hex(' ')} does not fit {frame[:-CRC_BYTES].hex(' ')}")
    command = dialect.command(frame[1])
    if command is None:
        raise MalformedFrame(f"command: {frame[1]:02X}h is not one of the {dialect.name}'s that we use")
    return command


def _may_send(address: int, command: Command) -> bool:
    if address == HOST_ADDRESS:
        return True
    return address in BOARD_ADDRESSES and command in (Command.READ_MODE, Command.SET_MODE)


def _is_name(data: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in data)


def _illegal(frame: bytes, command: Command, expected: str) -> Illegal:
    return Illegal(command, bytes(frame), expected)


# --- reading a stream ------------------------------------------------------------------------------------------------

_NO_FRAME = 0
_INCOMPLETE = -1


class ReplyReader:
    """Finds replies in whatever pieces the line delivers. Holds less than one frame between calls."""

    def __init__(self, dialect: Dialect = ADH815) -> None:
        self._dialect = dialect
        self._buffer = bytearray()
        self.poll_length: int | None = None  # learned; set to None to learn it again
        self.noise_bytes = 0  # dropped so far

    def feed(self, data: bytes) -> list[Reply | Illegal]:
        """Take bytes from the line; returns the replies that they complete."""
        self._buffer += data
        return list(self._take(quiet=False))

    def quiet(self) -> list[Reply | Illegal]:
        """The line has fallen silent: returns whole replies that stand behind an incomplete beginning."""
        return list(self._take(quiet=True))

    def clear(self) -> None:
        """Forget what has come and led to nothing."""
        self.noise_bytes += len(self._buffer)
        self._buffer.clear()

    def _take(self, *, quiet: bool) -> Iterable[Reply | Illegal]:
        at = done = 0
        held: int | None = None  # the first beginning whose end may still come
        while at < len(self._buffer):
            length = self._frame_at(at, quiet=quiet)
            if length > 0:
                self.noise_bytes += at - done
                yield parse_reply(bytes(self._buffer[at : at + length]), self._dialect)
                at = done = at + length
                held = None
                continue
            if length == _INCOMPLETE and held is None:
                held = at
                if not quiet:
                    break
            at += 1
        kept = at if held is None else held
        self.noise_bytes += kept - done
        del self._buffer[:kept]

    def _frame_at(self, at: int, *, quiet: bool) -> int:
        """The length of the frame that begins at `at`, or why there is none."""
        there = len(self._buffer) - at
        address = self._buffer[at]
        if address != HOST_ADDRESS and address not in BOARD_ADDRESSES:
            return _NO_FRAME
        if there == 1:
            return _INCOMPLETE
        command = self._dialect.command(self._buffer[at + 1])
        if command is None or not _may_send(address, command):
            return _NO_FRAME
        if command is Command.POLL:
            return self._poll_at(at, there, quiet=quiet)
        (length,) = reply_lengths(command, self._dialect)
        if there < length:
            return _INCOMPLETE
        return length if self._fits(at, length) else _NO_FRAME

    def _poll_at(self, at: int, there: int, *, quiet: bool) -> int:
        longest, shortest = reply_lengths(Command.POLL, self._dialect)
        if self.poll_length is not None:
            if there < self.poll_length:
                return _INCOMPLETE
            return self.poll_length if self._fits(at, self.poll_length) else _NO_FRAME
        if there < shortest or (there < longest and not quiet):
            return _INCOMPLETE
        fitting = [length for length in (shortest, longest) if there >= length and self._fits(at, length)]
        if len(fitting) == 1:
            self.poll_length = fitting[0]
        if fitting:
            return fitting[0]
        return _INCOMPLETE if there < longest else _NO_FRAME

    def _fits(self, at: int, length: int) -> bool:
        return is_sealed(self._buffer[at : at + length])
