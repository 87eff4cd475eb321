"""What comes down has its effect once, or none and a line in the file of rejects."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.errors import Refused
from edge_agent.uplink import rejects as rejecting
from edge_agent.uplink.mailbox import Mailbox
from edge_agent.uplink.memory import MemoryInbox
from edge_agent.uplink.receiver import Receiver
from edge_agent.uplink.rejects import Rejects
from shared.clock import ManualClock
from shared.ids import CommandId, MachineId
from shared.messages import Command, Grant, Offer, Refusal, SetSelling, Watermark, encode
from shared.mqtt import Message
from shared.seal import derive_keys, seal_command

MACHINE = MachineId("m-1")
KEYS = derive_keys(bytes(32))
ASK = encode(SetSelling(selling=False, reason="stock-taking"))


class Stage:
    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.inbox = MemoryInbox()
        self.marks: list[Watermark] = []
        self.troubles: list[str] = []
        self.acked = 0
        self.path = folder / "rejects.jsonl"
        self.rejects = Rejects(self.path, self.clock)
        self.receiver = Receiver(
            machine=MACHINE,
            keys=KEYS,
            inbox=self.inbox,
            on_watermark=self._mark,
            rejects=self.rejects,
            trouble=self._trouble,
        )

    async def _mark(self, mark: Watermark) -> None:
        if mark.applied > 100:
            raise Refused("watermark_ahead", "beyond")
        self.marks.append(mark)

    async def _trouble(self, code: str, active: bool, detail: str) -> None:
        self.troubles.append(code)

    async def handle(self, channel: str, payload: bytes, *, retain: bool = False, machine: str = "m-1") -> None:
        def ack() -> None:
            self.acked += 1

        await self.receiver.handle(Message(f"dn/{machine}/{channel}", payload, retain, False, ack))

    def reasons(self) -> list[str]:
        return [json.loads(line)["reason"] for line in self.path.read_text().splitlines()]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def command(ask: bytes = ASK, *, key: bytes = KEYS.mac_key, machine: str = MACHINE, name: str = "c1") -> bytes:
    mac = seal_command(key, MachineId(machine), ask)
    return encode(Command(command=name, ask=msgspec.Raw(ask), mac=mac))


async def test_offers_keep_the_newest_of_each_order(stage: Stage) -> None:
    for price in (100, 200):
        await stage.handle("offer", encode(Offer(order="o1", aisle="A1", goods="cola", price_fen=price)))
    await stage.handle("offer", encode(Offer(order="o2", aisle="A1", goods="cola", price_fen=300)))
    assert [(await stage.receiver.offers.get()).price_fen for _ in range(2)] == [200, 300]
    assert len(stage.receiver.offers) == 0
    assert stage.acked == 3


async def test_verdicts_wait_for_whoever_claimed(stage: Stage) -> None:
    grant = Grant(order="o1", nonce="n1", boot_id="b", mac="00")
    refusal = Refusal(order="o1", nonce="n2", verdict="void")
    await stage.handle("grant", encode(grant))
    await stage.handle("grant", encode(refusal))
    assert [await stage.receiver.verdicts.get(), await stage.receiver.verdicts.get()] == [grant, refusal]


async def test_watermarks_reach_the_sender_and_an_impossible_one_is_a_fault(stage: Stage) -> None:
    mark = Watermark(epoch="e1", applied=7, incarnation="i1")
    await stage.handle("watermark", encode(mark))
    assert stage.marks == [mark]
    await stage.handle("watermark", encode(Watermark(epoch="e1", applied=101, incarnation="i1")))
    assert (stage.troubles, stage.reasons(), stage.acked) == (["watermark_ahead"], ["beyond"], 2)


async def test_a_sealed_command_is_stored_before_it_is_acknowledged(stage: Stage) -> None:
    await stage.handle("command", command())
    await stage.handle("command", command())
    assert stage.inbox.commands == {CommandId("c1"): ASK}
    assert stage.receiver.commands.is_set()
    assert stage.rejects.count == 0


def flip_ask(payload: bytes) -> bytes:
    return payload.replace(b"false", b"true ")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (command(key=bytes(32)), "the seal does not fit"),
        (command(machine="m-2"), "the seal does not fit"),
        (flip_ask(command()), "the seal does not fit"),
        (command(b'{"type":"open_the_door"}'), "Invalid value 'open_the_door'"),
        (command(b'{"type":"set_selling"}'), "missing required field `selling`"),
    ],
    ids=["other key", "other machine", "other ask", "unknown ask", "incomplete ask"],
)
async def test_a_command_that_is_not_genuine_or_not_whole_has_no_effect(
    stage: Stage, payload: bytes, reason: str
) -> None:
    await stage.handle("command", payload)
    assert stage.inbox.commands == {}
    assert not stage.receiver.commands.is_set()
    assert reason in stage.reasons()[0]


async def test_one_id_with_two_contents_is_a_fault(stage: Stage) -> None:
    await stage.handle("command", command())
    await stage.handle("command", command(encode(SetSelling(selling=True))))
    assert stage.inbox.commands == {CommandId("c1"): ASK}
    assert stage.troubles == ["command_differs"]


@pytest.mark.parametrize(
    ("channel", "payload"),
    [("command", command()), ("offer", encode(Offer(order="o", aisle="a", goods="g", price_fen=1)))],
)
async def test_retained_messages_have_no_effect(stage: Stage, channel: str, payload: bytes) -> None:
    await stage.handle(channel, payload, retain=True)
    assert stage.inbox.commands == {}
    assert len(stage.receiver.offers) == 0
    assert "retained" in stage.reasons()[0]


async def test_a_message_for_another_machine_has_no_effect(stage: Stage) -> None:
    await stage.handle("offer", encode(Offer(order="o", aisle="a", goods="g", price_fen=1)), machine="m-2")
    assert len(stage.receiver.offers) == 0
    assert "for machine 'm-2'" in stage.reasons()[0]


DEEP = b"[" * 100_000


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    channel=st.sampled_from(["offer", "grant", "watermark", "command", "unknown", "a/b", ""]),
    payload=st.binary(max_size=200) | st.just(DEEP) | st.just(b'{"command":"c","mac":"' + b"0" * 300 + b'","ask":1}'),
)
async def test_rubbish_never_leaves_the_call(tmp_path: Path, channel: str, payload: bytes) -> None:
    stage = Stage(tmp_path)
    await stage.handle(channel, payload)
    assert (stage.acked, stage.rejects.count) == (1, 1)
    assert stage.inbox.commands == {}


async def test_an_oversized_message_is_not_even_read(stage: Stage) -> None:
    await stage.handle("offer", bytes(300_000))
    assert "300000 bytes" in stage.reasons()[0]


def test_rejects_show_the_beginning_and_stay_private_and_small(tmp_path: Path) -> None:
    clock = ManualClock()
    path = tmp_path / "rejects.jsonl"
    rejects = Rejects(path, clock)
    for _ in range(20):
        clock.advance(60_000)
        for _ in range(rejecting.KEPT_PER_MINUTE + 10):
            rejects.keep("dn/m-1/offer", bytes(2_000), "x" * 10_000)
    assert rejects.count == 20 * (rejecting.KEPT_PER_MINUTE + 10)
    older = tmp_path / "rejects.jsonl.1"
    assert path.stat().st_size + older.stat().st_size <= 2 * rejecting.FILE_BYTES_MAX
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    line = json.loads(path.read_text().splitlines()[-1])
    assert (line["topic"], line["bytes"], len(line["reason"])) == ("dn/m-1/offer", 2_000, 500)


def test_a_flood_is_counted_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    rejects = Rejects(path, ManualClock())
    for _ in range(1_000):
        rejects.keep("dn/m-1/offer", b"x", "no")
    assert rejects.count == 1_000
    assert len(path.read_text().splitlines()) == rejecting.KEPT_PER_MINUTE


def test_rejects_survive_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    rejects = Rejects(tmp_path / "missing" / "rejects.jsonl", ManualClock())
    rejects.keep("dn/m-1/offer", b"x", "no")
    assert rejects.count == 1


async def test_a_full_mailbox_drops_the_oldest_and_counts_it() -> None:
    box: Mailbox[int] = Mailbox(keys_max=3)
    for n in range(5):
        box.put(f"k{n}", n)
    assert [await box.get() for _ in range(3)] == [2, 3, 4]
    assert box.dropped == 2
