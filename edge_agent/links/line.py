"""One open port as its worker thread sees it: ask a slave, hear its answer, keep the line unambiguous.

A request that cannot be sent now without risking a false answer raises `Later`; the bus then lets others go first and
runs the whole job again. `edge_agent.links.owed` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from edge_agent.errors import BoardSilent, BreakerOpen, DeadlinePassed, LinkDown, PortClosed
from edge_agent.links.breaker import Breaker, BreakerState
from edge_agent.links.owed import Debt, Owed
from edge_agent.links.pace import Pace
from edge_agent.links.port import LinkPort
from shared.clock import Clock

# A pause on the line after which a reply that stands behind noise is looked for. USB adapters deliver in lumps 16 ms
# apart, so a shorter pause would say nothing.
QUIET_MS = 25

# The weight of the newest latency in the running mean: one in eight follows a change within a second of polling.
_MEAN_WEIGHT = 8


class Heard(Protocol):
    """A reply: its `command` is the kind of debt that it pays."""

    @property
    def command(self) -> int: ...


R = TypeVar("R", bound=Heard)
R_co = TypeVar("R_co", bound=Heard, covariant=True)


class Reader(Protocol[R_co]):
    """Finds replies in bytes; see `edge_agent.wire.adh815.ReplyReader`."""

    @property
    def noise_bytes(self) -> int: ...

    def feed(self, data: bytes) -> Sequence[R_co]: ...

    def quiet(self) -> Sequence[R_co]: ...

    def clear(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: a name for messages, its bytes, and the commands that its reply may carry.

    `refusals`: what may come instead of a reply without saying which request it refuses.
    """

    name: str
    frame: bytes
    kinds: Set[int]
    refusals: Set[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Peer(Generic[R_co]):
    """A slave that can be asked. `fences` are harmless requests of different kinds, the preferred one first."""

    slave: int
    name: str
    reader: Reader[R_co]
    fences: tuple[Ask, ...]
    reply_wait_ms: int


@dataclass(slots=True)
class Span:
    """From when the first request of something left to when its last answer was here, in ms of this boot."""

    asked_ms: int = 0
    answered_ms: int = 0


class Later(Exception):
    """Nothing was sent: run the job again, from its beginning, at `at_mono_ms`."""

    def __init__(self, at_mono_ms: int) -> None:
        super().__init__(at_mono_ms)
        self.at_mono_ms = at_mono_ms


@dataclass(frozen=True, slots=True)
class SlaveStatistics:
    """How one slave has behaved since the bus was started. `late`: answers that came after nobody waited any more."""

    asked: int
    answered: int
    silent: int
    late: int
    latency_ms_last: int
    latency_ms_mean: int
    latency_ms_max: int
    breaker: BreakerState
    retry_in_ms: int
    gap_ms: int


@dataclass(slots=True)
class _Slave:
    """The line's notes on one slave."""

    pace: Pace
    breaker: Breaker = field(default_factory=Breaker)
    asked: int = 0
    answered: int = 0
    silent: int = 0
    late: int = 0
    latency_ms_last: int = 0
    latency_ms_max: int = 0
    latency_ms_mean: float = 0.0

    def note_answer(self, latency_ms: int) -> None:
        self.breaker.answered()
        self.pace.answered()
        weight = min(self.answered, _MEAN_WEIGHT - 1)
        self.latency_ms_mean = (self.latency_ms_mean * weight + latency_ms) / (weight + 1)
        self.latency_ms_last = latency_ms
        self.latency_ms_max = max(self.latency_ms_max, latency_ms)
        self.answered += 1

    def note_late_answer(self) -> None:
        self.breaker.answered()
        self.late += 1

    def note_silence(self, now_ms: int) -> None:
        self.breaker.silent(now_ms)
        self.pace.silent()
        self.silent += 1


@contextmanager
def _nothing_sent() -> Iterator[None]:
    """A port that goes away in here went away before the request could leave."""
    try:
        yield
    except LinkDown as down:
        raise PortClosed(down.port, down.reason) from down


class Line:
    """Belongs to the bus's thread; only `statistics` may be called from elsewhere."""

    def __init__(
        self, clock: Clock, *, gap_ms: int, late_ms_max: int, hurried: Callable[[], bool] = lambda: False
    ) -> None:
        """`hurried`: whether a job waits that must not wait for a slave which is probably dead."""
        self.opening = 0  # counts how often the port was opened: whoever trusts a board trusts it for one opening
        self.strays = 0  # replies that nobody owed: a board slower than believed, or a second host on the line
        self._clock = clock
        self._gap_ms = gap_ms
        self._hurried = hurried
        self._owed = Owed(late_ms_max)
        self._port: LinkPort | None = None
        self._idle_since_ms = 0
        self._slaves: dict[int, _Slave] = {}
        self._peers: dict[int, Peer[Heard]] = {}
        self._span = Span()

    def opened(self, port: LinkPort) -> None:
        """The port was opened. What is owed stays owed: boards do not notice that a cable was pulled."""
        self._port = port
        self.opening += 1

    @property
    def port(self) -> LinkPort:
        """The open port, for protocols that keep their own order."""
        assert self._port is not None, "a job runs on an open port only"
        return self._port

    def ask(self, peer: Peer[R], ask: Ask, *, not_after_mono_ms: int) -> R:
        """Send `ask` once and return its answer.

        Raises BreakerOpen, DeadlinePassed, PortClosed or Later before anything of it was sent, BoardSilent when no
        answer came, LinkDown when the port went away after that. A silent board is first asked something harmless.
        """
        self._peers[peer.slave] = peer
        with _nothing_sent():
            self._listen(peer, 0)  # a late answer shows that its board lives
            self._knock(peer, not_after_mono_ms)
            self._make_unambiguous(ask, not_after_mono_ms)
            self._settle_down(peer)
        return self._exchange(peer, ask, not_after_mono_ms)

    def timed(self) -> Span:
        """What is asked from now on, until the next call: when did it leave the port, and when was its answer here?

        Taken beside the bytes, so that neither a queue nor a busy event loop is in it.
        """
        self._span = Span()
        return self._span

    def statistics(self) -> dict[int, SlaveStatistics]:
        """A picture for diagnosis; taken from another thread it may be one exchange old."""
        now = self._clock.mono_ms()
        return {
            slave: SlaveStatistics(
                asked=notes.asked,
                answered=notes.answered,
                silent=notes.silent,
                late=notes.late,
                latency_ms_last=notes.latency_ms_last,
                latency_ms_mean=round(notes.latency_ms_mean),
                latency_ms_max=notes.latency_ms_max,
                breaker=notes.breaker.state(now),
                retry_in_ms=notes.breaker.retry_in_ms(now),
                gap_ms=notes.pace.gap_ms,
            )
            for slave, notes in sorted(self._slaves.copy().items())
        }

    @property
    def noise_bytes(self) -> int:
        """Bytes that belonged to no reply."""
        return sum(peer.reader.noise_bytes for peer in self._peers.copy().values())

    # --- order ---

    def _knock(self, peer: Peer[R], not_after_mono_ms: int) -> None:
        """Return if the slave may be asked: its breaker is closed, or it answers a probe."""
        breaker = self._slave(peer.slave).breaker
        now = self._clock.mono_ms()
        match breaker.state(now):
            case "open":
                raise BreakerOpen(peer.name, breaker.retry_in_ms(now))
            case "probing":
                try:
                    self._settle_down(peer)
                    self._exchange(peer, self._free_fence(peer), not_after_mono_ms, gives_way=True)
                except BoardSilent as silence:
                    raise BreakerOpen(peer.name, breaker.retry_in_ms(self._clock.mono_ms())) from silence

    def _make_unambiguous(self, ask: Ask, not_after_mono_ms: int) -> None:
        """Return once nobody owes an answer that could be taken for the one to `ask`."""
        while debt := self._owed.blocking(ask.kinds, self._clock.mono_ms()):
            debtor = self._peers[debt.slave]
            if self._slave(debt.slave).breaker.state(self._clock.mono_ms()) != "closed":
                # A fence to the dead is one more debt: two kinds would keep each other owed, and neighbours waiting.
                raise Later(debt.expires_mono_ms + 1)
            try:
                self._fence(debtor, self._free_fence(debtor, debt), not_after_mono_ms)
            except BoardSilent as silence:
                # A whole reply timeout has passed: whoever is more urgent goes first.
                raise Later(self._clock.mono_ms()) from silence

    def _free_fence(self, peer: Peer[Heard], *obstacles: Debt) -> Ask:
        """A harmless request whose answer nobody owes. While there is none: Later, when the first obstacle is gone."""
        in_the_way = list(obstacles)
        for fence in peer.fences:
            debt = self._owed.blocking(fence.kinds, self._clock.mono_ms())
            if debt is None:
                return fence
            in_the_way.append(debt)
        raise Later(min(debt.expires_mono_ms for debt in in_the_way) + 1)

    def _fence(self, peer: Peer[Heard], fence: Ask, not_after_mono_ms: int) -> None:
        self._settle_down(peer)
        self._exchange(peer, fence, not_after_mono_ms)

    # --- bytes ---

    def _exchange(self, peer: Peer[R], ask: Ask, not_after_mono_ms: int, *, gives_way: bool = False) -> R:
        """Send on a settled line, and read until the answer has come or the peer's time is over.

        `gives_way`: raises Later as soon as somebody is in a hurry; what has been asked stays owed.
        """
        slave = self._slave(peer.slave)
        asked_at = self._clock.mono_ms()
        if asked_at > not_after_mono_ms:
            raise DeadlinePassed(peer.name, ask.name)
        debt = self._owed.sent(peer.slave, ask.kinds, asked_at, ask.refusals)
        slave.asked += 1
        self._span.asked_ms = self._span.asked_ms or asked_at
        self.port.write(ask.frame)
        try:
            while (left_ms := asked_at + peer.reply_wait_ms - self._clock.mono_ms()) > 0:
                answer = self._listen(peer, min(left_ms, QUIET_MS), debt)
                if answer is not None:
                    self._span.answered_ms = self._clock.mono_ms()
                    slave.note_answer(self._span.answered_ms - asked_at)
                    return answer
                if gives_way and self._hurried():
                    raise Later(self._clock.mono_ms())
        finally:
            self._idle_since_ms = self._clock.mono_ms()
        slave.note_silence(self._clock.mono_ms())
        raise BoardSilent(peer.name, ask.name, peer.reply_wait_ms)

    def _settle_down(self, peer: Peer[Heard]) -> None:
        """Keep the gap between two requests, hear what comes meanwhile, and begin with an empty reader."""
        peer.reader.clear()
        free_at_ms = self._idle_since_ms + self._slave(peer.slave).pace.gap_ms
        while (left_ms := free_at_ms - self._clock.mono_ms()) > 0:
            self._listen(peer, left_ms)
        self._listen(peer, 0)
        self._settle(peer.reader.quiet())
        peer.reader.clear()

    def _listen(self, peer: Peer[R], wait_ms: int, awaited: Debt | None = None) -> R | None:
        """Hear what comes within `wait_ms`; returns the reply that pays the awaited debt."""
        data = self.port.read(wait_ms)
        return self._settle(peer.reader.feed(data) if data else peer.reader.quiet(), awaited)

    def _settle(self, replies: Sequence[R], awaited: Debt | None = None) -> R | None:
        answer = None
        for reply in replies:
            debt = self._owed.heard(reply.command)
            if debt is None:
                self.strays += 1
            elif debt is awaited:
                answer = reply
            else:
                self._slave(debt.slave).note_late_answer()
        return answer

    def _slave(self, slave: int) -> _Slave:
        return self._slaves.setdefault(slave, _Slave(Pace(self._gap_ms)))
