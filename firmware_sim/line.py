"""The RS485 line between one host and its boards and devices: bytes take time, answers take turns, and some get hurt.

Half duplex and shared: every board hears every byte of the host, and one answer is on the line at a time. A board gives
its answers in the order of its questions, however late; boards do not wait for each other.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Protocol

from firmware_sim.faults import Faults
from firmware_sim.timeline import Timeline

# Start bit, eight data bits, stop bit.
BITS_PER_BYTE = 10
# A host that writes faster than the line carries loses bytes, as with any UART; this is two seconds at 9600 baud.
BACKLOG_MAX_BYTES = 2048
# What a slow device takes on top, for as long as it is slow [est].
SLOW_MS = (300, 900)
# A split reply: how many cuts, and how long the pauses are. Shorter than a host's patience, longer than its read loop.
CUTS = (1, 3)
PAUSE_MS = (1, 60)
SPOILT_BYTES_MAX = 3


@dataclass(frozen=True, slots=True)
class LineSettings:
    """`baud` is 9600 or 38400 in the field; `late_ms` is how late a late reply may be."""

    baud: int = 38400
    late_ms: int = 2500


class Station(Protocol):
    """A board or a device on the line. `number` names it for faults; `boots` counts its starts.

    `baud` is the speed it is set to, None for the line's.
    """

    number: int
    boots: int
    latency_ms: tuple[int, int]

    @property
    def baud(self) -> int | None:
        """See above."""

    def receive(self, began_ms: int, data: bytes) -> list[bytes]:
        """Hear bytes whose first one began at `began_ms`; the answers, in order."""


class Line:
    """Bytes in by `receive`, bytes out by the callback `send`. A line that is not `connected` carries nothing."""

    def __init__(
        self,
        stations: Sequence[Station],
        timeline: Timeline,
        faults: Faults,
        rng: random.Random,
        settings: LineSettings,
    ) -> None:
        self.connected = True
        self.send: Callable[[bytes], None] = lambda data: None
        self.host_spoke_ms = 0
        self._stations = stations
        self._timeline = timeline
        self._faults = faults
        self._rng = rng
        self._settings = settings
        self._heard_until_ms = 0
        self._backlog = 0
        self._answered_until_ms = dict.fromkeys((station.number for station in stations), 0)
        self._ready: deque[tuple[int, bytes]] = deque()
        self._sending = False

    def wire_ms(self, length: int) -> int:
        """How long `length` bytes take on this line, rounded up."""
        return -(-length * BITS_PER_BYTE * 1000 // self._settings.baud)

    # --- host to boards ----------------------------------------------------------------------------------------------

    def receive(self, data: bytes, baud: int | None = None) -> None:
        """The host wrote these bytes now; the boards have heard them when the last one has passed.

        `baud` is the host's speed, where it matters: who is set to another one understands nothing.
        """
        self.host_spoke_ms = self._timeline.now_ms
        data = self._spoil(data[: BACKLOG_MAX_BYTES - self._backlog])
        if not data or not self.connected:
            return
        self._backlog += len(data)
        began_ms = max(self._timeline.now_ms, self._heard_until_ms)
        self._heard_until_ms = began_ms + self.wire_ms(len(data))
        self._timeline.at(self._heard_until_ms, partial(self._deliver, began_ms, data, baud))

    def _deliver(self, began_ms: int, data: bytes, baud: int | None) -> None:
        self._backlog -= len(data)
        for station in self._stations:
            if self._faults.is_on("dead", station.number):
                continue
            if baud not in (None, station.baud or self._settings.baud):
                continue
            for answer in station.receive(began_ms, data):
                self._answer(station, answer)

    # --- boards to host ----------------------------------------------------------------------------------------------

    def _answer(self, station: Station, answer: bytes) -> None:
        delay_ms = self._rng.randint(*station.latency_ms)
        if self._faults.is_on("slow", station.number):
            delay_ms += self._rng.randint(*SLOW_MS)
        if self._faults.strikes("late", station.number):
            delay_ms += self._rng.randint(self._settings.late_ms // 5, self._settings.late_ms)
        when_ms = max(self._timeline.now_ms + delay_ms, self._answered_until_ms[station.number])
        self._answered_until_ms[station.number] = when_ms
        self._timeline.at(when_ms, partial(self._take_line, station, station.boots, answer))

    def _take_line(self, station: Station, boots: int, answer: bytes) -> None:
        if station.boots == boots:  # a board that has restarted since does not remember the question
            self._ready.append((station.number, answer))
        if not self._sending:
            self._send_next()

    def _send_next(self) -> None:
        self._sending = bool(self._ready)
        if not self._ready:
            return
        address, answer = self._ready.popleft()
        passed_ms = 0
        for piece in self._cut(address, answer):
            passed_ms += self.wire_ms(len(piece))
            self._timeline.after(passed_ms, partial(self._emit, self._spoil(piece)))
            passed_ms += self._rng.randint(*PAUSE_MS) if len(piece) < len(answer) else 0
        self._timeline.after(passed_ms, self._send_next)

    def _cut(self, address: int, answer: bytes) -> list[bytes]:
        if not self._faults.strikes("split", address):
            return [answer]
        places = self._rng.sample(range(1, len(answer)), self._rng.randint(*CUTS))
        edges = [0, *sorted(places), len(answer)]
        return [answer[start:end] for start, end in pairwise(edges)]

    def _emit(self, data: bytes) -> None:
        if data and self.connected:
            self.send(data)

    # --- a bad cable -------------------------------------------------------------------------------------------------

    def _spoil(self, data: bytes) -> bytes:
        spoilt = bytearray(data)
        if data and self._faults.strikes("noise"):
            for _ in range(self._rng.randint(1, SPOILT_BYTES_MAX)):
                place = self._rng.randrange(len(spoilt))
                stray = self._rng.randrange(256)
                if self._rng.random() < 0.5:
                    spoilt[place] = stray
                else:
                    spoilt.insert(place, stray)
        if data and self._faults.strikes("loss"):
            for _ in range(self._rng.randint(1, min(SPOILT_BYTES_MAX, len(spoilt)))):
                del spoilt[self._rng.randrange(len(spoilt))]
        return bytes(spoilt)
