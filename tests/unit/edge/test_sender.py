"""The sender against a link and a cloud that the test plays by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from edge_agent.errors import Refused
from edge_agent.uplink import sender as sending
from edge_agent.uplink.memory import MemoryOutbox
from edge_agent.uplink.sender import Sender
from shared.backoff import spread_ms
from shared.clock import ManualClock
from shared.envelope import fact_of, unpack
from shared.ids import Epoch, MachineId
from shared.messages import DoorChanged, Watermark
from shared.mqtt import Disconnected, PublishRefused
from tests.unit.edge.waiting import pass_time, settle

MACHINE = MachineId("m-1")
EPOCH = Epoch("e1")


class FakeLink:
    """Collects what was published; acknowledges at once, unless told to hold back or to fail."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.held: list[asyncio.Future[None]] = []
        self.hold = False
        self.failure: Exception | None = None

    def publish_soon(self, topic: str, payload: bytes) -> asyncio.Future[None]:
        assert topic == "up/m-1/fact"
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent.append(unpack(payload).seq)
        if self.failure is not None:
            done.set_exception(self.failure)
        elif self.hold:
            self.held.append(done)
        else:
            done.set_result(None)
        return done


class Stage:
    """A sender that runs, with everything around it in the test's hands."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.outbox = MemoryOutbox(self.clock)
        self.link = FakeLink()
        self.notice = asyncio.Event()
        self.asked = 0
        self.troubles: list[tuple[str, bool]] = []
        self.standing: set[str] = set()
        self.running: asyncio.Task[None] | None = None
        self.sender = Sender(
            self.outbox,
            machine=MACHINE,
            epoch=EPOCH,
            clock=self.clock,
            notice=self.notice,
            ask_watermark=self._ask,
            trouble=self._trouble,
        )

    def _ask(self) -> None:
        self.asked += 1

    async def _trouble(self, code: str, active: bool, detail: str) -> None:
        """As the ledger takes it: what stands already is no news."""
        if active != (code in self.standing):
            (self.standing.add if active else self.standing.discard)(code)
            self.troubles.append((code, active))

    def facts(self, count: int) -> None:
        for n in range(count):
            self.outbox.append(DoorChanged(open=n % 2 == 0))
        self.notice.set()

    async def start(self) -> None:
        self.running = asyncio.create_task(self.sender.run(self.link))
        await settle()

    async def stop(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)

    async def mark(self, applied: int, *, resend: bool = False, incarnation: str = "i1", epoch: str = EPOCH) -> None:
        await self.sender.watermark(Watermark(epoch=epoch, applied=applied, incarnation=incarnation, resend=resend))
        await settle()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    await stage.stop()


async def test_facts_go_in_order_and_each_envelope_is_whole(stage: Stage) -> None:
    stage.facts(3)
    payloads: list[bytes] = []
    publish_soon = stage.link.publish_soon

    def recording(topic: str, payload: bytes) -> asyncio.Future[None]:
        payloads.append(payload)
        return publish_soon(topic, payload)

    stage.link.publish_soon = recording  # type: ignore[method-assign]
    await stage.start()
    envelopes = [unpack(payload) for payload in payloads]
    assert [(e.machine, e.epoch, e.seq, e.prev) for e in envelopes] == [("m-1", "e1", n, n - 1) for n in (1, 2, 3)]
    assert fact_of(envelopes[0]) == DoorChanged(open=True)
    assert envelopes[0].boot_id == "boot-1"


async def test_a_notice_wakes_the_sender_without_time_passing(stage: Stage) -> None:
    await stage.start()
    stage.facts(1)
    await settle()
    assert stage.link.sent == [1]


async def test_a_forgotten_notice_is_found_by_the_poll(stage: Stage) -> None:
    await stage.start()
    stage.outbox.append(DoorChanged(open=True))
    await settle()
    assert stage.link.sent == []
    await pass_time(stage.clock, sending.POLL_MS)
    assert stage.link.sent == [1]


async def test_nothing_is_sent_twice_without_a_reason(stage: Stage) -> None:
    stage.facts(3)
    await stage.start()
    await stage.mark(3)
    await stage.mark(3)
    await pass_time(stage.clock, 120_000)
    assert stage.link.sent == [1, 2, 3]
    assert stage.asked == 0


async def test_a_new_connection_starts_behind_the_watermark(stage: Stage) -> None:
    stage.facts(4)
    await stage.start()
    await stage.mark(2)
    await stage.stop()
    stage.link.sent.clear()
    await stage.start()
    assert stage.link.sent == [3, 4]


async def test_a_gap_is_filled_from_the_watermark_on(stage: Stage) -> None:
    stage.facts(5)
    await stage.start()
    await stage.mark(2, resend=True)
    assert stage.link.sent == [1, 2, 3, 4, 5, 3, 4, 5]


async def test_many_complaints_about_one_gap_are_answered_once(stage: Stage) -> None:
    stage.facts(5)
    await stage.start()
    for _ in range(10):
        await stage.mark(2, resend=True)
    assert stage.link.sent == [1, 2, 3, 4, 5, 3, 4, 5]
    await pass_time(stage.clock, sending.RESTART_PAUSE_MS)
    await stage.mark(2, resend=True)
    assert stage.link.sent[8:] == [3, 4, 5]


async def test_a_restored_cloud_gets_the_rest_again(stage: Stage) -> None:
    stage.facts(5)
    await stage.start()
    await stage.mark(5)
    await stage.mark(1, incarnation="i2")
    assert stage.link.sent == [1, 2, 3, 4, 5, 2, 3, 4, 5]


async def test_a_watermark_of_another_epoch_is_nothing_to_us(stage: Stage) -> None:
    stage.facts(5)
    await stage.start()
    await stage.mark(1, epoch="e0", resend=True)
    assert stage.link.sent == [1, 2, 3, 4, 5]
    assert (await stage.outbox.position()).acked == 0


async def test_a_watermark_beyond_the_ledger_is_refused(stage: Stage) -> None:
    stage.facts(2)
    await stage.start()
    with pytest.raises(Refused):
        await stage.mark(3)


async def test_a_cloud_that_knows_more_than_we_remember_moves_us_forward(stage: Stage) -> None:
    # The watermark for facts 1..3 was lost with the old connection.
    stage.facts(3)
    await stage.mark(3)
    await stage.start()
    assert stage.link.sent == []
    stage.facts(1)
    await settle()
    assert stage.link.sent == [4]


async def test_a_broker_without_a_cloud_gets_no_more_than_the_limit(stage: Stage) -> None:
    stage.facts(sending.UNAPPLIED_MAX + 300)
    await stage.start()
    await pass_time(stage.clock, sending.BACKLOG_SPREAD_MS + 60_000)
    assert len(stage.link.sent) == sending.UNAPPLIED_MAX
    await stage.mark(150)
    await pass_time(stage.clock, 10_000)
    assert len(stage.link.sent) == sending.UNAPPLIED_MAX + 150


async def test_no_more_than_the_window_waits_for_the_broker(stage: Stage) -> None:
    stage.link.hold = True
    stage.facts(60)
    await stage.start()
    await pass_time(stage.clock, 10_000)
    assert len(stage.link.sent) == sending.WINDOW
    stage.link.held[0].set_result(None)
    await settle()
    assert len(stage.link.sent) == sending.WINDOW + 1


async def test_a_backlog_waits_for_its_place_in_line_and_then_keeps_the_pace(stage: Stage) -> None:
    stage.facts(sending.BACKLOG + 1)
    await stage.start()
    place_ms = spread_ms(MACHINE, sending.BACKLOG_SPREAD_MS)
    assert place_ms > 1_000, "an id with a place in line that can be seen"
    await pass_time(stage.clock, place_ms - 1, step_ms=place_ms - 1)
    assert stage.link.sent == []
    await pass_time(stage.clock, 1, step_ms=1)
    assert len(stage.link.sent) == sending.BURST
    await pass_time(stage.clock, 1_000, step_ms=20)
    assert len(stage.link.sent) == sending.BURST + sending.FACTS_PER_S


async def test_a_few_facts_after_a_short_outage_do_not_wait(stage: Stage) -> None:
    stage.facts(10)
    await stage.start()
    assert len(stage.link.sent) == 10


async def test_silence_makes_the_sender_ask_less_and_less_often(stage: Stage) -> None:
    stage.facts(1)
    await stage.start()
    asked_at: list[int] = []
    for second in range(0, 1_200, 10):
        before = stage.asked
        await pass_time(stage.clock, 10_000, step_ms=10_000)
        if stage.asked > before:
            asked_at.append(second + 10)
    assert asked_at == [30, 90, 210, 450, 750, 1050]


async def test_what_the_broker_lost_is_sent_again_once_the_cloud_speaks(stage: Stage) -> None:
    stage.facts(3)
    await stage.start()
    await stage.mark(0)
    assert stage.link.sent == [1, 2, 3], "a watermark that overtakes its facts is no loss"
    await pass_time(stage.clock, sending.LOST_AFTER_MS)
    await stage.mark(0)
    assert stage.link.sent == [1, 2, 3, 1, 2, 3]


async def test_a_standing_watermark_is_a_fault_until_it_moves(stage: Stage) -> None:
    stage.facts(1)
    await stage.start()
    await pass_time(stage.clock, sending.STALLED_AFTER_MS - 10_000, step_ms=10_000)
    assert stage.troubles == []
    await pass_time(stage.clock, 60_000, step_ms=10_000)
    assert stage.troubles == [("uplink_stalled", True)]
    await stage.mark(1)
    assert stage.troubles == [("uplink_stalled", True), ("uplink_stalled", False)]


async def test_an_idle_machine_is_never_stalled(stage: Stage) -> None:
    stage.facts(1)
    await stage.start()
    await stage.mark(1)
    await pass_time(stage.clock, 2 * sending.STALLED_AFTER_MS, step_ms=30_000)
    stage.facts(1)
    await pass_time(stage.clock, 20_000)
    assert stage.troubles == []


async def test_a_refused_fact_is_a_fault_and_stays_in_the_outbox(stage: Stage) -> None:
    stage.link.failure = PublishRefused("up/m-1/fact", "Not authorized")
    stage.facts(1)
    await stage.start()
    assert stage.running is not None
    with pytest.raises(PublishRefused):
        await stage.running
    await stage.sender.denied("up/m-1/fact: publish refused")
    await stage.sender.denied("up/m-1/fact: publish refused again")
    assert stage.troubles == [("uplink_denied", True)]
    stage.link.failure = None
    await stage.start()
    await stage.mark(1)
    assert stage.link.sent == [1, 1]
    assert stage.troubles[-1] == ("uplink_denied", False)


async def test_a_fault_of_an_earlier_run_ends_as_well(stage: Stage) -> None:
    stage.standing |= {"uplink_denied", "uplink_stalled"}
    stage.facts(1)
    await stage.start()
    await stage.mark(1)
    assert stage.standing == set()


async def test_a_lost_connection_ends_the_run(stage: Stage) -> None:
    stage.link.hold = True
    stage.facts(1)
    await stage.start()
    stage.link.held[0].set_exception(Disconnected("gone"))
    await settle()
    assert stage.running is not None
    with pytest.raises(Disconnected):
        await stage.running
