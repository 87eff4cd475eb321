"""Modbus on a line that others may share: minimalmodbus builds and unpacks the frames, the line keeps the order.

minimalmodbus believes that it talks to a serial port. What it gets is `_LinePort`: a request that it writes is asked on
the line like any board's request, with its gap, its breaker, its deadline and its statistics, and what it reads is the
one answer that belongs to it (`edge_agent.links.owed`). So flushing, timing and retries of the library never matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import minimalmodbus

from edge_agent.errors import BoardMisbehaved
from edge_agent.links.line import Ask, Line, Peer
from edge_agent.wire import modbus
from edge_agent.wire.modbus import Answer, AnswerReader, Read

# minimalmodbus sleeps 3.5 characters at this rate before a request. The line has kept the gap already: make it short.
_BELIEVED_BAUD = 115_200

WRITE_ONE_BIT = 5
WRITE_ONE_REGISTER = 6
WRITE_REGISTERS = 16


class ModbusSlave:
    """One slave on a line, used on the bus's thread by jobs; keeps no value.

    `fences`: harmless reads whose answers differ in kind from each other and from whatever else is read.
    Every call raises what `Line.ask` raises; BoardMisbehaved also for an exception, whose meaning it names.
    """

    def __init__(self, slave: int, name: str, fences: Sequence[Read], reply_wait_ms: int) -> None:
        asks = tuple(_ask(fence.name, fence.to_bytes(slave)) for fence in fences)
        self.peer = Peer(slave, name, AnswerReader(), asks, reply_wait_ms)

    def read(self, line: Line, read: Read, not_after_mono_ms: int) -> list[int]:
        """The registers (0 to 65535 each) or bits (0 or 1 each)."""
        port = _LinePort(line, self.peer, read.name, not_after_mono_ms)
        with_library = self._instrument(port)
        try:
            if read.function in modbus.READ_BITS:
                values = with_library.read_bits(read.address, read.count, read.function)
            else:
                values = with_library.read_registers(read.address, read.count, read.function)
        except minimalmodbus.ModbusException as error:
            raise port.misbehaved(error) from error
        return [int(value) for value in values]

    def write_registers(
        self, line: Line, address: int, values: Sequence[int], function: int, not_after_mono_ms: int
    ) -> None:
        """Write one register (function 6) or several (function 16), 0 to 65535 each."""
        port = _LinePort(line, self.peer, f"write {function} at {address}", not_after_mono_ms)
        with_library = self._instrument(port)
        try:
            if function == WRITE_ONE_REGISTER:
                (value,) = values
                with_library.write_register(address, value, functioncode=function)
            else:
                with_library.write_registers(address, list(values))
        except minimalmodbus.ModbusException as error:
            raise port.misbehaved(error) from error

    def write_coil(self, line: Line, address: int, value: int, not_after_mono_ms: int) -> None:
        """Function 5 with any value, 0 to 65535: 0xFF00 and 0 are on and off, and makers give others a meaning.

        The answer repeats the request, or it is BoardMisbehaved.
        """
        port = _LinePort(line, self.peer, f"write {WRITE_ONE_BIT} at {address}", not_after_mono_ms)
        payload = address.to_bytes(2, "big") + value.to_bytes(2, "big")
        try:
            # The library's way for what its named methods do not cover: write_bit knows on and off alone.
            echo = self._instrument(port)._perform_command(WRITE_ONE_BIT, payload)
        except minimalmodbus.ModbusException as error:
            raise port.misbehaved(error) from error
        assert echo == payload, "an answer of another kind belongs to no debt"

    def _instrument(self, port: _LinePort) -> minimalmodbus.Instrument:
        return minimalmodbus.Instrument(port, self.peer.slave)


def _ask(name: str, frame: bytes) -> Ask:
    refusals = frozenset({modbus.refusal(frame[0], frame[1])})
    return Ask(name, frame, frozenset({modbus.kind(frame)}), refusals)


class _LinePort:
    """As much of a serial port as minimalmodbus uses, for one exchange."""

    is_open = True
    baudrate = _BELIEVED_BAUD
    timeout = None  # waiting is the line's business

    def __init__(self, line: Line, peer: Peer[Answer], name: str, not_after_mono_ms: int) -> None:
        self.port = peer.name
        self._line = line
        self._peer = peer
        self._name = name
        self._not_after_mono_ms = not_after_mono_ms
        self._raw = b""

    def write(self, frame: bytes) -> None:
        """Ask it on the line, and keep the answer."""
        ask = _ask(self._name, frame)
        self._raw = self._line.ask(self._peer, ask, not_after_mono_ms=self._not_after_mono_ms).raw

    def read(self, size: int) -> bytes:
        """The answer; an exception is shorter than what the library expects."""
        return self._raw

    def misbehaved(self, error: minimalmodbus.ModbusException) -> BoardMisbehaved:
        """The library's complaint about the answer, in our words."""
        answer = Answer(self._raw)
        if answer.exception is None:
            return BoardMisbehaved(self._peer.name, self._name, f"an answer without fault ({error})", self._raw)
        meaning = modbus.EXCEPTIONS.get(answer.exception, "of the maker's own")
        return BoardMisbehaved(self._peer.name, self._name, f"no exception {answer.exception} ({meaning})", self._raw)

    def open(self) -> None: ...

    def close(self) -> None: ...

    def reset_input_buffer(self) -> None: ...

    def reset_output_buffer(self) -> None: ...
