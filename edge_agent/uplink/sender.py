"""Facts from the outbox to the cloud, in order, until the cloud says that it has committed them.

    outbox rows above `sent` --pace--> publish --window--> PUBACK (means nothing but "the broker heard it")
    watermark(applied)       -> outbox.acknowledge; the outbox forgets what the cloud has                          [I8]
    watermark(resend)        -> the cloud misses a number: start again behind `applied`
    no progress              -> say Hello, the cloud answers with its watermark; if what was sent long ago is still
                                missing, the broker lost it: start again. No progress for long -> `uplink_stalled`

A repeat is harmless, because the cloud counts (machine, epoch, seq) once. A fact that is lost is found, because
numbers without a forerunner are not taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from edge_agent.ledger.outbox import OutboxRow
from edge_agent.uplink.ports import Outbox, Trouble
from shared import topics
from shared.backoff import spread_ms
from shared.clock import Clock, within
from shared.envelope import Envelope, pack
from shared.ids import Epoch, MachineId
from shared.messages import Watermark

# Published and not yet acknowledged by the broker: enough for 100 facts/s over a round trip of 200 ms.
WINDOW = 20
# Sent and not yet covered by the watermark. While the cloud is down no more than this lies in the broker.
UNAPPLIED_MAX = 200
# After an outage 1,000 machines at this pace are 50,000 facts/s offered; the cloud's own limit then slows them all.
FACTS_PER_S = 50
# A handful of facts, as one vend makes, never waits.
BURST = 20
# A backlog above this is an outage's, and waits for its machine's place in line.
BACKLOG = 100
BACKLOG_SPREAD_MS = 30_000
# Facts announce themselves; this poll only guards against a notice that was never given.
POLL_MS = 10_000
# Silence of the watermark before the cloud is asked for it, doubled each time up to the usual Hello's interval.
ASK_AFTER_MS = 30_000
ASK_AT_MOST_EVERY_MS = 300_000
# What was published this long ago and is not in a fresh watermark was lost on the way.
LOST_AFTER_MS = 10_000
# Every fact behind a gap makes the cloud ask again; one restart answers all that were on their way.
RESTART_PAUSE_MS = 1_000
# From here on a person should know: access rules, a wrong epoch, a broker without a cloud behind it.
STALLED_AFTER_MS = 600_000

DENIED = "uplink_denied"  # the fault while the broker does not let this machine in, or does not take what it says
STALLED = "uplink_stalled"  # the fault while the cloud confirms nothing


class Link(Protocol):
    """The part of `shared.mqtt.Connection` that sends."""

    def publish_soon(self, topic: str, payload: bytes) -> asyncio.Future[None]:
        """Queue a QoS 1 publish; the future ends with the broker's acknowledgement."""


class Pace:
    """A token bucket on the monotonic clock: `burst` at once, then `per_s`."""

    def __init__(self, clock: Clock, per_s: int, burst: int) -> None:
        self._clock = clock
        self._interval_ms = 1000 // per_s
        self._slack_ms = self._interval_ms * burst
        self._due_ms = 0

    async def take(self) -> None:
        """Wait for one token."""
        now_ms = self._clock.mono_ms()
        self._due_ms = max(self._due_ms, now_ms - self._slack_ms) + self._interval_ms
        if self._due_ms > now_ms:
            await self._clock.sleep_ms(self._due_ms - now_ms)


class Sender:
    """Owns how far the stream was sent. `notice` is set by whoever appends a fact."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        machine: MachineId,
        epoch: Epoch,
        clock: Clock,
        notice: asyncio.Event,
        ask_watermark: Callable[[], None],
        trouble: Trouble,
        facts_per_s: int = FACTS_PER_S,
    ) -> None:
        self._outbox = outbox
        self._machine = machine
        self._epoch = epoch
        self._clock = clock
        self._notice = notice
        self._ask_watermark = ask_watermark
        self._trouble = trouble
        self._topic = topics.up(machine, "fact")
        self._pace = Pace(clock, facts_per_s, BURST)
        self._sent = 0
        self._acked = 0
        self._restart_behind: int | None = None
        self._restarted_ms = -RESTART_PAUSE_MS
        self._sent_ms = 0
        self._waiting_since_ms = 0
        self._ask_pause_ms = ASK_AFTER_MS
        self._ask_at_ms = 0
        self._raised: set[str] = set()
        # What an earlier run raised stands in the ledger, and this one ends it.
        self._may_be_raised = True

    async def run(self, link: Link) -> None:
        """Send over one connection until it is lost; `PublishRefused` when the broker will not take a fact."""
        position = await self._outbox.position()
        self._acked = self._sent = position.acked
        self._restart_behind = None
        self._progress()
        if position.next_seq - 1 - position.acked > BACKLOG:
            await self._clock.sleep_ms(spread_ms(self._machine, BACKLOG_SPREAD_MS))
        await self._send_all(link)

    async def denied(self, detail: str) -> None:
        """The broker refuses this machine, or what it publishes: a fault until the watermark moves."""
        await self._raise(DENIED, detail)

    async def watermark(self, mark: Watermark) -> None:
        """The cloud says what it has; `Refused` when that is more than this ledger ever numbered."""
        if mark.epoch != self._epoch:
            return  # of a ledger file that this machine no longer writes
        position = await self._outbox.acknowledge(mark.applied, mark.incarnation)
        moved = position.acked != self._acked
        went_back = position.acked < self._acked
        self._acked = position.acked
        if moved:
            self._progress()
            await self._clear_troubles()
        now_ms = self._clock.mono_ms()
        lost = not moved and self._sent > self._acked and now_ms - self._sent_ms >= LOST_AFTER_MS
        gap = mark.resend and now_ms - self._restarted_ms >= RESTART_PAUSE_MS
        if gap or went_back or lost or self._acked > self._sent:
            self._restart_behind, self._restarted_ms = self._acked, now_ms
        self._notice.set()

    async def _send_all(self, link: Link) -> None:
        in_flight: deque[asyncio.Future[None]] = deque()
        while True:
            # Cleared before the look: a fact that arrives after the look sets it again.
            self._notice.clear()
            sent_some = await self._send_batch(link, in_flight)
            while in_flight and in_flight[0].done():
                in_flight.popleft().result()
            await self._look_for_stall()
            if not sent_some:
                await within(self._clock, self._notice.wait(), POLL_MS)

    async def _send_batch(self, link: Link, in_flight: deque[asyncio.Future[None]]) -> bool:
        self._sent, self._restart_behind = self._start_behind(), None
        room = min(WINDOW, self._acked + UNAPPLIED_MAX - self._sent)
        rows = await self._outbox.pending(self._sent, room) if room > 0 else ()
        for row in rows:
            await self._pace.take()
            while len(in_flight) >= WINDOW:
                await in_flight.popleft()
            if self._start_behind() != self._sent:
                break  # a watermark came while this waited, and the rows in hand are not the next ones
            if self._sent == self._acked:
                self._progress()  # the wait for a watermark begins with the first fact that is without one
            acknowledged = link.publish_soon(self._topic, self._envelope(row))
            acknowledged.add_done_callback(self._wake_on_failure)
            in_flight.append(acknowledged)
            self._sent = row.seq
            self._sent_ms = self._clock.mono_ms()
        return bool(rows)

    def _start_behind(self) -> int:
        return self._sent if self._restart_behind is None else self._restart_behind

    def _envelope(self, row: OutboxRow) -> bytes:
        return pack(
            Envelope(
                machine=self._machine,
                epoch=self._epoch,
                seq=row.seq,
                prev=row.prev,
                boot_id=row.boot_id,
                mono_ms=row.mono_ms,
                wall_ms=row.wall_ms,
                clock_state=row.clock_state,
                fact=msgspec.Raw(row.fact),
            )
        )

    def _wake_on_failure(self, acknowledged: asyncio.Future[None]) -> None:
        if not acknowledged.cancelled() and acknowledged.exception() is not None:
            self._notice.set()

    def _progress(self) -> None:
        self._waiting_since_ms = self._clock.mono_ms()
        self._ask_pause_ms = ASK_AFTER_MS
        self._ask_at_ms = self._waiting_since_ms + ASK_AFTER_MS

    async def _look_for_stall(self) -> None:
        if self._sent == self._acked:
            return
        now_ms = self._clock.mono_ms()
        if now_ms >= self._ask_at_ms:
            self._ask_pause_ms = min(2 * self._ask_pause_ms, ASK_AT_MOST_EVERY_MS)
            self._ask_at_ms = now_ms + self._ask_pause_ms
            self._ask_watermark()
        waited_ms = now_ms - self._waiting_since_ms
        if waited_ms >= STALLED_AFTER_MS:
            sent = f"facts {self._acked + 1} to {self._sent} are sent"
            await self._raise(STALLED, f"{sent}, the cloud confirmed none in {waited_ms // 60_000} min")

    async def _raise(self, code: str, detail: str) -> None:
        if code not in self._raised:
            self._raised.add(code)
            self._may_be_raised = True
            await self._trouble(code, True, detail)

    async def _clear_troubles(self) -> None:
        if self._may_be_raised:
            self._raised.clear()
            self._may_be_raised = False
            for code in (DENIED, STALLED):
                await self._trouble(code, False, "")
