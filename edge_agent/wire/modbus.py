"""Modbus RTU answers: found in a stream, and named by what they can answer.

A frame is slave, function, data, CRC-16 low byte first. Source: MODBUS over Serial Line V1.02 and MODBUS Application
Protocol V1.1b3. Only the functions that the agent uses are known: reads 1 to 4, writes 5, 6, 15 and 16, and the
exceptions to them. Requests are built and answers are unpacked by minimalmodbus; here stands what it leaves out.

**What an answer tells.** Its slave and its function; of a read also how many bytes, of a write also address and value
(of several registers: how many). It never tells which address was read: two reads of the same length are told apart by
nothing. `kind` puts all that an answer tells into one number, so that `edge_agent.links.owed` can keep a line
unambiguous on which one question at a time may wait for one kind of answer.

**An exception** names slave and function alone, so any request of that function may have caused it. It carries no value
that could be mistaken for another's: it is no kind of its own, but a refusal (`refusal`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_agent.wire.crc import CRC_BYTES, is_sealed, sealed

READ_BITS = (1, 2)
READ_REGISTERS = (3, 4)
WRITES = (5, 6, 15, 16)

# 1 to 247 by the specification; the rest is reserved, and 0 is said to all and answered by none.
SLAVES = range(1, 248)

EXCEPTION_BIT = 0x80
_EXCEPTION_BYTES = 5
_WRITE_BYTES = 8
_READ_EXTRA_BYTES = 3 + CRC_BYTES  # slave, function and length before the data, the checksum behind it
_DATA_BYTES_MAX = 250

_NO_FRAME = 0
_INCOMPLETE = -1

EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target did not respond",
}


@dataclass(frozen=True, slots=True)
class Read:
    """Read `count` registers (functions 3, 4) or bits (functions 1, 2) from `address`, as it stands on the wire."""

    function: int
    address: int
    count: int

    @property
    def name(self) -> str:
        """For messages."""
        return f"read {self.function} at {self.address}, {self.count}"

    @property
    def answer_bytes(self) -> int:
        """How many bytes of data the answer has; with the function it is all that tells answers of a slave apart."""
        return (self.count + 7) // 8 if self.function in READ_BITS else 2 * self.count

    def to_bytes(self, slave: int) -> bytes:
        """The whole request."""
        head = bytes((slave, self.function))
        return sealed(head + self.address.to_bytes(2, "big") + self.count.to_bytes(2, "big"))


@dataclass(frozen=True, slots=True)
class Answer:
    """A frame whose checksum fits. `command` is the kind of debt that it pays (a kind, or a refusal)."""

    raw: bytes

    @property
    def slave(self) -> int:
        return self.raw[0]

    @property
    def exception(self) -> int | None:
        """The exception code; None for an answer that is none."""
        return self.raw[2] if self.raw[1] & EXCEPTION_BIT else None

    @property
    def command(self) -> int:
        if self.exception is not None:
            return refusal(self.slave, self.raw[1] & ~EXCEPTION_BIT)
        told = self.raw[2:3] if self.raw[1] in READ_BITS + READ_REGISTERS else self.raw[2:6]
        return _number(self.slave, self.raw[1], told)


def kind(request: bytes) -> int:
    """The kind of the answer to a request, a whole frame; `ValueError` for a function that is not known."""
    slave, function = request[0], request[1]
    if function in READ_BITS + READ_REGISTERS:
        read = Read(function, int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big"))
        return _number(slave, function, bytes((read.answer_bytes,)))
    if function in WRITES:
        return _number(slave, function, request[2:6])
    raise ValueError(f"function {function} is not used here (expected one of 1-6, 15, 16)")


def refusal(slave: int, function: int) -> int:
    """What an exception to `function` tells. No kind equals it: a kind says more."""
    return _number(slave, function | EXCEPTION_BIT, b"")


def _number(slave: int, function: int, told: bytes) -> int:
    # Above everything that board protocols use: a command of theirs is one byte.
    return int.from_bytes(bytes((1, slave, function)) + told.rjust(4, b"\0"), "big")


class AnswerReader:
    """Finds answers of any slave in whatever pieces the line delivers. Holds less than one frame between calls.

    A byte that begins no frame is noise. A beginning whose end has not come holds the reader up, and noise may look
    like one: when the line has fallen silent (`quiet`), the reader looks behind it and keeps it.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.noise_bytes = 0  # dropped so far

    def feed(self, data: bytes) -> list[Answer]:
        """Take bytes from the line; returns the answers that they complete."""
        self._buffer += data
        return list(self._take(quiet=False))

    def quiet(self) -> list[Answer]:
        """The line has fallen silent: returns whole answers that stand behind an incomplete beginning."""
        return list(self._take(quiet=True))

    def clear(self) -> None:
        """Forget what has come and led to nothing."""
        self.noise_bytes += len(self._buffer)
        self._buffer.clear()

    def _take(self, *, quiet: bool) -> Iterable[Answer]:
        at = done = 0
        held: int | None = None  # the first beginning whose end may still come
        while at < len(self._buffer):
            length = self._frame_at(at)
            if length > 0:
                self.noise_bytes += at - done
                yield Answer(bytes(self._buffer[at : at + length]))
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

    def _frame_at(self, at: int) -> int:
        """The length of the frame that begins at `at`, or why there is none."""
        there = len(self._buffer) - at
        if self._buffer[at] not in SLAVES:
            return _NO_FRAME
        if there < 3:
            return _INCOMPLETE if there == 1 or _known(self._buffer[at + 1]) else _NO_FRAME
        length = _length(self._buffer[at + 1], self._buffer[at + 2])
        if there < length:
            return _INCOMPLETE
        return length if length and is_sealed(self._buffer[at : at + length]) else _NO_FRAME


def _known(function: int) -> bool:
    return function & ~EXCEPTION_BIT in READ_BITS + READ_REGISTERS + WRITES


def _length(function: int, third: int) -> int:
    """The length of an answer by its first bytes; `_NO_FRAME` when no answer begins so."""
    if not _known(function):
        return _NO_FRAME
    if function & EXCEPTION_BIT:
        return _EXCEPTION_BYTES
    if function in WRITES:
        return _WRITE_BYTES
    return third + _READ_EXTRA_BYTES if 0 < third <= _DATA_BYTES_MAX else _NO_FRAME
