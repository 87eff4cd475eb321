"""The ADH815 board as `AisleMotors`.

What makes this board good: it keeps its last result until ACK, also while the host restarts. What makes it dangerous:
its replies do not say what they answer (`edge_agent.links.owed`), its memory dies with its power, and its drop
detection may then be off, where "seen" and "not looked for" are the same bit. So a board is trusted for one opening of
the port, and as long as it neither falls silent nor forgets its last motor; otherwise its name and its mode are read
again before the next motor turns. And "seen" passes for proof only when the mode, read after the run, says that
somebody looked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from edge_agent.devices.ports import BoardFinished, BoardIdle, BoardStatus, BoardTurning, Proof, StartAnswer
from edge_agent.errors import (
    BoardMisbehaved,
    BoardSilent,
    LinkDown,
    PortClosed,
    Refused,
    SettingsWrong,
    Withheld,
)
from edge_agent.links.backlog import Priority
from edge_agent.links.bus import Bus
from edge_agent.links.line import Ask, Line, Peer
from edge_agent.wire import adh815
from edge_agent.wire.adh815 import Illegal, Reply, Report, RunStatus, State
from shared.clock import Clock

# A board answers within 5 to 50 ms; 14 bytes take 15 ms at 9600 baud, a USB adapter holds them back 16 ms at most. What
# is later than this is caught by the fence: a short wait costs no safety and keeps the line free for the neighbours.
REPLY_WAIT_MS_DEFAULT = 300

# How long anything but a start may wait for its turn. Longer than the bus believes in late answers, so that a board
# whose neighbour has just died gets its turn after that.
TURN_WAIT_MS_MAX = 6_000

# Requests that change nothing when heard twice are asked again on a noisy line; RUN never is.
ASKED_MAX = 3

# Readings for a confirmed status. A run ends between two of them at most once; more changes are no board's doing.
READINGS_MAX = 5

_PROOF = Proof(result_latched=True, remembers_last_motor=True)

_START_ANSWERS: dict[RunStatus, StartAnswer] = {
    RunStatus.ACCEPTED: "accepted",
    RunStatus.INVALID_MOTOR: "invalid_motor",
    RunStatus.BUSY: "busy",
    RunStatus.RESULT_WAITING: "result_waiting",
}

T = TypeVar("T")
M = TypeVar("M", bound=Reply)


def open_board(
    bus: Bus,
    address: int,
    clock: Clock,
    *,
    dialect: str = adh815.ADH815.name,
    expect: str | None = None,
    reply_wait_ms: int = REPLY_WAIT_MS_DEFAULT,
) -> Adh815Board:
    """The entry point `aisleflow.boards: adh815`. `expect`: how the board's name must begin, else ADH and dialect.

    Raises SettingsWrong for a value that no board of the family has. Nothing is sent yet.
    """
    if address not in adh815.BOARD_ADDRESSES:
        raise SettingsWrong(f"boards: {address} is no address of an ADH815 board (expected 1 to 4)")
    if dialect not in adh815.DIALECTS:
        raise SettingsWrong(f"dialect: {dialect!r} is not known (expected {' or '.join(adh815.DIALECTS)})")
    begins = f"ADH{dialect.upper()}" if expect is None else expect
    return Adh815Board(bus, address, clock, adh815.DIALECTS[dialect], expect=begins, reply_wait_ms=reply_wait_ms)


class Adh815Board:
    """One board on a bus. Boards on one bus must share the dialect. Its memory is touched on the bus's thread only."""

    def __init__(
        self,
        bus: Bus,
        address: int,
        clock: Clock,
        dialect: adh815.Dialect,
        *,
        expect: str,
        reply_wait_ms: int,
    ) -> None:
        self._bus = bus
        self._address = address
        self._clock = clock
        self._dialect = dialect
        self._expect = expect
        self._name = f"board {address} on {bus.url}"
        self._reader = adh815.ReplyReader(dialect)
        fences: tuple[adh815.Request, ...] = (adh815.Identify(address),)
        if dialect.reads_mode:
            fences += (adh815.ReadMode(address),)
        self._peer = Peer(address, self._name, self._reader, tuple(map(self._ask_of, fences)), reply_wait_ms)
        self._drop_sensor: bool | None = None  # what `prepare` asked for; None: leave the board as it is
        self._trusted_opening: int | None = None
        self._last_motor = 0

    @property
    def board(self) -> int:
        return self._address

    @property
    def proof(self) -> Proof:
        return _PROOF

    async def identify(self) -> str:
        """The board's name, e.g. 'ADH815V4.0.01'. Raises BoardMisbehaved when another kind of board answers."""
        return await self._run("ID", Priority.SAFETY, self._identify)

    async def prepare(self, *, drop_sensor: bool) -> None:
        """Check the name, switch drop detection and read it back. The wiring bits of the mode are left as they are.

        Raises Refused when the dialect has no drop detection that can be read back, BoardMisbehaved when the board does
        not take the mode.
        """
        if drop_sensor and not self._dialect.reads_mode:
            raise Refused(
                "not_selling",
                f"{self._name}: an ADH{self._dialect.name.upper()} has no known drop detection: set it off",
            )

        def prepare(line: Line, not_after: int) -> None:
            self._drop_sensor = drop_sensor
            self._trusted_opening = None
            self._make_ready(line, not_after)

        await self._run("prepare", Priority.SAFETY, prepare)

    async def status(self, *, confirmed: bool = False) -> BoardStatus:
        """What the board does now. An ACK form instead of a report means idle with nothing remembered."""
        status = await self._run("POLL", Priority.SAFETY, self._poll)
        if not confirmed or isinstance(status, BoardTurning):
            return status
        for _ in range(READINGS_MAX - 1):
            before, status = status, await self._run("POLL", Priority.SAFETY, self._poll)
            if isinstance(status, BoardTurning):
                return status
            if replace(status, temperature_c=None) == replace(before, temperature_c=None):
                return await self._run("READ_MODE", Priority.SAFETY, partial(self._proven, status))
        raise BoardMisbehaved(self._name, "POLL", f"two equal answers among {READINGS_MAX}", repr(status).encode())

    async def start(self, motor: int, *, not_after_mono_ms: int) -> StartAnswer:
        """Send RUN once. Withheld when the board cannot be shown to be the right one and in the right mode."""

        def run(line: Line, not_after: int) -> StartAnswer:
            try:
                self._make_ready(line, not_after)
            except LinkDown as down:
                raise PortClosed(down.port, down.reason) from down
            except (BoardSilent, BoardMisbehaved) as error:
                raise Withheld(self._name, "RUN", str(error)) from error
            answer = self._ask(line, adh815.Run(self._address, motor), adh815.RunAnswer, not_after)
            return _START_ANSWERS[answer.status]

        return await self._run("RUN", Priority.ACTUATION, run, not_after_mono_ms)

    async def acknowledge(self) -> None:
        """Take the result away. A second ACK finds an idle board and changes nothing."""

        def acknowledge(line: Line, not_after: int) -> None:
            self._ask_again(line, adh815.Acknowledge(self._address), adh815.Acknowledged, not_after)

        await self._run("ACK", Priority.ACTUATION, acknowledge)

    # --- on the bus's thread: one reading ---

    def _poll(self, line: Line, not_after: int) -> BoardStatus:
        try:
            reply = self._answer(line, adh815.Poll(self._address), not_after)
        except BoardSilent:
            self._reader.poll_length = None  # perhaps its answers were dropped for having another length than before
            raise
        assert isinstance(reply, Report | adh815.Acknowledged), f"the reader gave {reply} for POLL"
        status = self._status_of(reply)
        if isinstance(status, BoardIdle) and status.last_motor == 0 != self._last_motor:
            self._trusted_opening = None  # it has forgotten its last motor: it was reset
        self._last_motor = status.last_motor if isinstance(status, BoardIdle) else status.motor
        return status

    def _status_of(self, reply: Report | adh815.Acknowledged) -> BoardStatus:
        if isinstance(reply, adh815.Acknowledged):
            return BoardIdle(last_motor=0, sensor_blocked=False, temperature_c=None)
        match reply.state:
            case State.IDLE:
                return BoardIdle(reply.motor, bool(self._drop_sensor) and reply.nothing_seen, reply.temperature_c)
            case State.DISPENSING:
                return BoardTurning(reply.motor)
            case State.FINISHED:
                return BoardFinished(
                    motor=reply.motor,
                    fault=reply.fault,
                    drop_seen=not reply.nothing_seen if self._drop_sensor else None,
                    max_current_ma=reply.max_current_ma,
                    avg_current_ma=reply.avg_current_ma,
                    run_time_ms=reply.run_time_100ms * 100,
                    temperature_c=reply.temperature_c,
                )

    # --- on the bus's thread: the right board, in the right mode ---

    def _make_ready(self, line: Line, not_after: int) -> None:
        """Nothing to do for a trusted board; otherwise check its name and bring it into the mode that was asked for."""
        if self._trusted_opening == line.opening:
            return
        self._identify(line, not_after)
        if self._drop_sensor is not None and self._dialect.reads_mode:
            mode = self._read_mode(line, not_after)
            if mode.detects_drops != self._drop_sensor:
                wanted = adh815.with_detection(mode.mode, on=self._drop_sensor)
                self._ask_again(line, adh815.SetMode(self._address, wanted), adh815.ModeSet, not_after)
                mode = self._read_mode(line, not_after)
                if mode.mode != wanted:
                    expected = f"the mode {wanted:02X}h that was set"
                    raise BoardMisbehaved(self._name, "READ_MODE", expected, mode.to_bytes(self._dialect))
        self._trusted_opening = line.opening

    def _identify(self, line: Line, not_after: int) -> str:
        identity = self._ask_again(line, adh815.Identify(self._address), adh815.Identity, not_after)
        if not identity.name.startswith(self._expect):
            expected = (
                f"a name that begins with {self._expect!r}, not {identity.name!r}"
                " (is this the right port? check url and expect of the bus)"
            )
            raise BoardMisbehaved(self._name, "ID", expected, identity.to_bytes(self._dialect))
        return identity.name

    def _read_mode(self, line: Line, not_after: int) -> adh815.Mode:
        return self._ask_again(line, adh815.ReadMode(self._address), adh815.Mode, not_after)

    def _proven(self, status: BoardIdle | BoardFinished, line: Line, not_after: int) -> BoardStatus:
        """`drop_seen` is a proof only if the detection is still on after the run."""
        if not isinstance(status, BoardFinished) or not status.drop_seen:
            return status
        if self._read_mode(line, not_after).detects_drops:
            return status
        self._trusted_opening = None
        return replace(status, drop_seen=None)

    # --- on the bus's thread: asking ---

    def _ask_again(self, line: Line, request: adh815.Request, kind: type[M], not_after: int) -> M:
        for _ in range(ASKED_MAX - 1):
            try:
                return self._ask(line, request, kind, not_after)
            except BoardSilent:
                continue
        return self._ask(line, request, kind, not_after)

    def _ask(self, line: Line, request: adh815.Request, kind: type[M], not_after: int) -> M:
        reply = self._answer(line, request, not_after)
        assert isinstance(reply, kind), f"the reader gave {reply} for {request}"
        return reply

    def _answer(self, line: Line, request: adh815.Request, not_after: int) -> Reply:
        ask = self._ask_of(request)
        try:
            reply = line.ask(self._peer, ask, not_after_mono_ms=not_after)
        except BoardSilent:
            self._trusted_opening = None
            raise
        if isinstance(reply, Illegal):
            raise BoardMisbehaved(self._name, ask.name, reply.expected, reply.raw)
        return reply

    def _ask_of(self, request: adh815.Request) -> Ask:
        return Ask(request.command.name, request.to_bytes(self._dialect), request.answered_by)

    async def _run(
        self, name: str, priority: Priority, work: Callable[[Line, int], T], not_after: int | None = None
    ) -> T:
        by = self._clock.mono_ms() + TURN_WAIT_MS_MAX if not_after is None else not_after
        return await self._bus.run(lambda line: work(line, by), name=name, priority=priority, not_after_mono_ms=by)
