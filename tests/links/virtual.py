"""A line in simulated time: ports that turn a ManualClock while they are read, and a bus without a thread."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from edge_agent.devices.adh815_board import Adh815Board, open_board
from edge_agent.errors import DeadlinePassed
from edge_agent.links.backlog import Priority
from edge_agent.links.bus import GAP_MS_DEFAULT, LATE_MS_MAX_DEFAULT, Bus
from edge_agent.links.line import Ask, Later, Line, Peer
from firmware_sim.machine import Machine
from firmware_sim.scenario import scenario_from
from shared.clock import ManualClock

T = TypeVar("T")


# --- boards that answer with the number of the question --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Token:
    """A reply that says, for the test's eyes only, which request it answers."""

    command: int
    number: int


class TokenReader:
    """Frames of three bytes: a mark, the command, the request's number modulo 251."""

    MARK = 0xAA

    def __init__(self) -> None:
        self.noise_bytes = 0
        self._buffer = b""

    def feed(self, data: bytes) -> list[Token]:
        self._buffer += data
        found = []
        while len(self._buffer) >= 3:
            mark, command, number = self._buffer[:3]
            assert mark == self.MARK
            found.append(Token(command, number))
            self._buffer = self._buffer[3:]
        return found

    def quiet(self) -> list[Token]:
        return []

    def clear(self) -> None:
        self._buffer = b""


KINDS = {
    "POLL": frozenset({3, 6}),
    "RUN": frozenset({5}),
    "ACK": frozenset({6}),
    "ID": frozenset({1}),
    "MODE": frozenset({2}),
}
Fate = int | None  # how late an answer is in ms; None: lost


class TokenBoards:
    """Slaves that answer in the order of the questions, as late as `fate` says. They do not know of each other."""

    def __init__(self, clock: ManualClock, fate: Callable[[int], Fate]) -> None:
        self.sent: list[tuple[int, int, int]] = []  # when, slave, command
        self.asked = 0
        self._clock = clock
        self._fate = fate
        self._due: list[tuple[int, int, bytes]] = []
        self._not_before: dict[int, int] = {}

    def write(self, data: bytes) -> None:
        slave, command, number = data
        self.asked += 1
        self.sent.append((self._clock.mono_ms(), slave, command))
        late_ms = self._fate(slave)
        if late_ms is None:
            return
        when = max(self._clock.mono_ms() + late_ms, self._not_before.get(slave, 0))
        self._not_before[slave] = when
        # Some firmware answers POLL with the form of ACK.
        kind = 6 if command == 3 and number % 5 == 0 else command
        heapq.heappush(self._due, (when, self.asked, bytes((TokenReader.MARK, kind, number))))

    def read(self, wait_ms: int) -> bytes:
        until = self._clock.mono_ms() + wait_ms
        if self._due and self._due[0][0] <= until:
            self._clock.advance(max(0, self._due[0][0] - self._clock.mono_ms()))
            now, data = self._clock.mono_ms(), b""
            while self._due and self._due[0][0] <= now:
                data += heapq.heappop(self._due)[2]
            return data
        self._clock.advance(wait_ms)
        return b""

    def close(self) -> None:
        pass


def token_peer(slave: int, reply_wait_ms: int = 300) -> Peer[Token]:
    fences = (token_ask(slave, "ID", 250), token_ask(slave, "MODE", 250))
    return Peer(slave, f"slave {slave}", TokenReader(), fences, reply_wait_ms)


def token_ask(slave: int, name: str, number: int) -> Ask:
    command = 3 if name == "POLL" else min(KINDS[name])
    return Ask(name, bytes((slave, command, number)), KINDS[name])


def seeded_fates(rng: random.Random, *, lost: float, late: float, late_ms_max: int) -> Callable[[int], Fate]:
    def fate(slave: int) -> Fate:
        if rng.random() < lost:
            return None
        return rng.randrange(late_ms_max) if rng.random() < late else rng.randrange(5, 50)

    return fate


# --- a simulated machine on a virtual cable --------------------------------------------------------------------------


class SimulatedPort:
    """The firmware simulator's line as a port: waiting for bytes lets simulated time pass, and nothing else does."""

    def __init__(self, machine: Machine, clock: ManualClock) -> None:
        self.machine = machine
        self.written: list[tuple[int, bytes]] = []
        self._clock = clock
        self._heard = bytearray()
        machine.line.send = self._heard.extend

    def write(self, data: bytes) -> None:
        self.written.append((self._clock.mono_ms(), data))
        self.machine.line.receive(data)

    def read(self, wait_ms: int) -> bytes:
        timeline = self.machine.timeline
        until = timeline.now_ms + wait_ms
        while not self._heard and timeline.now_ms < until:
            due = timeline.next_ms()
            self._pass(min(until, until if due is None else due) - timeline.now_ms)
        data = bytes(self._heard)
        self._heard.clear()
        return data

    def close(self) -> None:
        pass

    def _pass(self, ms: int) -> None:
        timeline = self.machine.timeline
        before = timeline.now_ms
        timeline.run_until(before + ms)
        self._clock.advance(timeline.now_ms - before)

    def commands(self, code: int) -> int:
        """How many frames with this command byte were written."""
        return sum(data[1] == code for _, data in self.written)


def machine(
    boards: Iterable[dict[str, Any]], *, seed: int = 1, rates: dict[str, float] | None = None, **more: Any
) -> Machine:
    table = {
        "seed": seed,
        "rates": rates or {},
        "machine": [{"name": "m", "port": "pty:p", "board": list(boards), **more}],
    }
    return scenario_from(table, source="test", folder=Path()).build()[0]


class InlineBus:
    """What a board needs of a `Bus`, carried out at once in the test's own thread."""

    def __init__(self, clock: ManualClock, port: SimulatedPort) -> None:
        self.url = "virtual"
        self.line = Line(clock, gap_ms=GAP_MS_DEFAULT, late_ms_max=LATE_MS_MAX_DEFAULT)
        self.line.opened(port)
        self._clock = clock
        self._port = port

    async def run(self, work: Callable[[Line], T], *, name: str, priority: Priority, not_after_mono_ms: int) -> T:
        while self._clock.mono_ms() <= not_after_mono_ms:
            try:
                return work(self.line)
            except Later as later:
                self._port._pass(max(1, min(later.at_mono_ms, not_after_mono_ms + 1) - self._clock.mono_ms()))
        raise DeadlinePassed(self.url, name)


class Rig:
    """One simulated machine, its virtual cable, and drivers on it."""

    def __init__(
        self, *boards: dict[str, Any], seed: int = 1, rates: dict[str, float] | None = None, **more: Any
    ) -> None:
        self.clock = ManualClock()
        self.machine = machine(boards or [{"motors": 20, "stock": 10}], seed=seed, rates=rates, **more)
        self.port = SimulatedPort(self.machine, self.clock)
        self.bus = InlineBus(self.clock, self.port)
        self.faults = self.machine.faults

    def board(self, address: int = 1, **options: Any) -> Adh815Board:
        return open_board(cast(Bus, self.bus), address, self.clock, **options)

    def pass_ms(self, ms: int) -> None:
        self.port._pass(ms)

    def soon(self) -> int:
        return self.clock.mono_ms() + 10_000
