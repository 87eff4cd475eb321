"""A Modbus RTU slave, sans I/O: bytes in, answers out, from a device's spec.

Frames are delimited by their length, which follows from the function code, and a pause starts a new one, so that a
slave shares its line with boards that speak something else. A frame for another slave, or with a bad check sum, gets no
answer; broadcasts are obeyed in silence, except by devices that answer them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from firmware_sim.boards.crc16 import crc16
from firmware_sim.modbus.instruments import Instrument
from firmware_sim.modbus.relays import Relays
from firmware_sim.modbus.spec import (
    READ_COILS,
    READ_DISCRETE,
    READ_HOLDING,
    READ_INPUT,
    WORDS,
    WRITE_COIL,
    WRITE_COILS,
    WRITE_REGISTER,
    WRITE_REGISTERS,
    Coil,
    DeviceSpec,
    Register,
    WordOrder,
)
from firmware_sim.timeline import Timeline

BROADCAST = 0
# The longest frame of Modbus RTU; a longer burst without a pause cannot be one.
FRAME_MAX = 256
REGISTERS_MAX, COILS_MAX = 125, 2000
WRITTEN_REGISTERS_MAX, WRITTEN_COILS_MAX = 123, 1968
COIL_ON, COIL_OFF, COIL_TOGGLE = 0xFF00, 0x0000, 0x5500
FLASH_STEPS_MAX = 0x7FFF
# A restarted device is deaf for so long [est].
BOOT_MS = 500

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, BUSY = 1, 2, 3, 6


class Refusal(Exception):
    """An exception response with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


class Slave:
    """One device on the line. `number` names it for faults, whatever its slave address becomes."""

    def __init__(
        self,
        name: str,
        spec: DeviceSpec,
        *,
        number: int,
        baud: int,
        timeline: Timeline,
        gap_ms: int,
        word_order: WordOrder | None = None,
        settings: dict[str, int] | None = None,
    ) -> None:
        self.name, self.spec, self.number = name, spec, number
        self.boots = 1
        self.latency_ms = (spec.latency_ms[0], spec.latency_ms[1])
        self.settings = {row.setting: row.opening for row in spec.register if row.setting is not None}
        self.settings |= {"slave": number, "baud": baud} | (settings or {})
        self.instrument: Instrument | None = None
        self.relays = Relays(spec.relays, timeline)
        self.requests = 0
        self.busy: Callable[[], bool] = lambda: False
        self._order = word_order or spec.word_order
        self._timeline = timeline
        self._gap_ms = gap_ms
        self._buffer = bytearray()
        self._last_byte_ms = 0
        self._deaf_until_ms = 0

    @property
    def baud(self) -> int:
        """The speed at which it listens."""
        return self.settings["baud"]

    # --- the line ----------------------------------------------------------------------------------------------------

    def receive(self, began_ms: int, data: bytes) -> list[bytes]:
        """Hear bytes whose first one began at `began_ms`; the answers, in order (mostly none or one)."""
        now_ms = self._timeline.now_ms
        if began_ms - self._last_byte_ms > self._gap_ms:
            self._buffer.clear()
        self._last_byte_ms = now_ms
        if now_ms < self._deaf_until_ms:
            return []
        answers = []
        for byte in data:
            self._buffer.append(byte)
            if _complete(self._buffer):
                frame = bytes(self._buffer)
                self._buffer.clear()
                if (answer := self._answer(frame)) is not None:
                    answers.append(answer)
        return answers

    def _answer(self, frame: bytes) -> bytes | None:
        body, check = frame[:-2], frame[-2:]
        asked = self.settings["slave"]  # an answer still carries the address that was asked
        if crc16(body) != check or body[0] not in (asked, BROADCAST):
            return None
        self.requests += 1
        try:
            if self.busy():
                raise Refusal(BUSY)
            reply = body[1:2] + self._do(body[1], body[2:])
        except Refusal as refusal:
            reply = bytes([body[1] | 0x80, refusal.code])
        if body[0] == BROADCAST and not self.spec.answers_broadcast:
            return None
        reply = body[:1] + reply
        return reply + crc16(reply)

    def _do(self, function: int, data: bytes) -> bytes:
        if function not in FUNCTIONS or not self._has(function):
            raise Refusal(ILLEGAL_FUNCTION)
        return FUNCTIONS[function](self, function, int.from_bytes(data[:2], "big"), data[2:])

    def _has(self, function: int) -> bool:
        rows: Sequence[Register | Coil] = [*self.spec.register, *self.spec.coil]
        return any(function in row.functions for row in rows)

    def restart(self) -> None:
        """Its supply dipped: relays fall, timers are forgotten, settings stay."""
        self.relays.set_all(False)
        self._buffer.clear()
        self.boots += 1
        self._deaf_until_ms = self._timeline.now_ms + BOOT_MS

    def set_counter(self, count: int = 0) -> None:
        """Its counter goes on from `count`; a device without one has nothing to set."""
        if self.instrument is not None:
            self.instrument.go_on_from(count)

    # --- registers ---------------------------------------------------------------------------------------------------

    def _read_registers(self, function: int, first: int, data: bytes) -> bytes:
        count = _count(data, REGISTERS_MAX)
        if self.instrument is not None:
            self.instrument.look()
        words: dict[int, int] = {}
        for row in self.spec.register:
            at = row.address - self.spec.first
            if function in row.functions and first < at + WORDS[row.type] and at < first + count:
                for offset, word in enumerate(row.words(self._value(row), self._order)):
                    words[at + offset] = word
        wanted = range(first, first + count)
        last = max(row.address - self.spec.first + WORDS[row.type] for row in self.spec.register)
        if not all(place in words or (self.spec.filler and place < last) for place in wanted):
            raise Refusal(ILLEGAL_ADDRESS)
        values = b"".join(words.get(place, 0).to_bytes(2, "big") for place in wanted)
        return bytes([len(values)]) + values

    def _value(self, row: Register) -> float:
        if row.setting is not None:
            return self.settings[row.setting]
        assert self.instrument is not None, "a device with points has an instrument"
        assert row.point is not None, "a row shows a point or a setting"
        return self.instrument.points[row.point]()

    def _write_register(self, function: int, address: int, data: bytes) -> bytes:
        self._set(function, address, int.from_bytes(data[:2], "big"))
        return address.to_bytes(2, "big") + data[:2]

    def _write_registers(self, function: int, first: int, data: bytes) -> bytes:
        count = _count(data, WRITTEN_REGISTERS_MAX)
        if data[2] != 2 * count:
            raise Refusal(ILLEGAL_VALUE)
        for offset in range(count):
            self._set(function, first + offset, int.from_bytes(data[3 + 2 * offset : 5 + 2 * offset], "big"))
        return first.to_bytes(2, "big") + data[:2]

    def _set(self, function: int, address: int, word: int) -> None:
        row = next(
            (
                row
                for row in self.spec.register
                if row.address - self.spec.first == address and function in row.functions
            ),
            None,
        )
        if row is None or row.setting is None:
            raise Refusal(ILLEGAL_ADDRESS)
        value = row.setting_from(word)
        if value is None:
            raise Refusal(ILLEGAL_VALUE)
        if row.setting == "clear":
            self.set_counter()
        elif row.setting == "factory":
            self.settings |= {"slave": self.spec.slave, "baud": self.spec.baud}
        else:
            self.settings[row.setting] = value

    # --- coils -------------------------------------------------------------------------------------------------------

    def _read_coils(self, function: int, first: int, data: bytes) -> bytes:
        count = _count(data, COILS_MAX)
        states = 0
        for offset in range(count):
            _, place = self._coil(function, first + offset)
            states |= self.relays.closed[place + 1] << offset
        values = states.to_bytes(-(-count // 8), "little")
        return bytes([len(values)]) + values

    def _coil(self, function: int, address: int) -> tuple[Coil, int]:
        """The row of a coil address, and the place in it."""
        for row in self.spec.coil:
            if function in row.functions and row.address <= address < row.address + row.count:
                return row, address - row.address
        raise Refusal(ILLEGAL_ADDRESS)

    def _write_coil(self, function: int, address: int, data: bytes) -> bytes:
        row, place = self._coil(function, address)
        value = int.from_bytes(data[:2], "big")
        if row.act in ("flash_on", "flash_off"):
            if not 1 <= value <= FLASH_STEPS_MAX:
                raise Refusal(ILLEGAL_VALUE)
            self.relays.flash(place + 1, row.act == "flash_on", value)
        elif value not in (COIL_ON, COIL_OFF, COIL_TOGGLE):
            raise Refusal(ILLEGAL_VALUE)
        else:
            numbers = [place + 1] if row.act == "relay" else list(self.relays.closed)
            for number in numbers:
                if value == COIL_TOGGLE or row.act == "toggle_all":
                    self.relays.toggle(number)
                else:
                    self.relays.set(number, value == COIL_ON)
        return address.to_bytes(2, "big") + data[:2]

    def _write_coils(self, function: int, first: int, data: bytes) -> bytes:
        count = _count(data, WRITTEN_COILS_MAX)
        if data[2] != -(-count // 8):
            raise Refusal(ILLEGAL_VALUE)
        places = [self._coil(function, first + offset)[1] for offset in range(count)]
        states = int.from_bytes(data[3 : 3 + data[2]], "little")
        for offset, place in enumerate(places):
            self.relays.set(place + 1, bool(states >> offset & 1))
        return first.to_bytes(2, "big") + data[:2]


FUNCTIONS: dict[int, Callable[[Slave, int, int, bytes], bytes]] = {
    READ_COILS: Slave._read_coils,
    READ_DISCRETE: Slave._read_coils,
    READ_HOLDING: Slave._read_registers,
    READ_INPUT: Slave._read_registers,
    WRITE_COIL: Slave._write_coil,
    WRITE_REGISTER: Slave._write_register,
    WRITE_COILS: Slave._write_coils,
    WRITE_REGISTERS: Slave._write_registers,
}


def _count(data: bytes, most: int) -> int:
    count = int.from_bytes(data[:2], "big")
    if not 1 <= count <= most:
        raise Refusal(ILLEGAL_VALUE)
    return count


def _complete(buffer: bytearray) -> bool:
    """Is this one whole request? One of an unknown function ends where its check sum fits."""
    if len(buffer) < 4:
        return False
    function = buffer[1]
    if function in (WRITE_COILS, WRITE_REGISTERS):
        return len(buffer) >= 9 and len(buffer) >= 9 + buffer[6]
    if function in FUNCTIONS:
        return len(buffer) >= 8
    return len(buffer) >= FRAME_MAX or crc16(bytes(buffer[:-2])) == bytes(buffer[-2:])
