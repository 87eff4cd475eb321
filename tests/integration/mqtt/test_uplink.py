"""The whole uplink against real brokers, with a cloud of twenty lines at the other end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from edge_agent.ledger import inbox, outbox
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.supervise import supervise
from edge_agent.uplink import sender, session
from edge_agent.uplink.memory import MemoryInbox, MemoryOutbox, MemoryReadings
from edge_agent.uplink.ports import Inbox, LedgerInbox, LedgerOutbox, Outbox
from edge_agent.uplink.rejects import Rejects
from edge_agent.uplink.session import Account, Presence, Uplink
from shared import mqtt, topics
from shared.backoff import Backoff
from shared.clock import SystemClock
from shared.envelope import fact_hash, unpack
from shared.ids import Epoch, MachineId
from shared.messages import (
    Claim,
    Command,
    DoorChanged,
    Gone,
    Hello,
    Offer,
    Reading,
    Readings,
    SetSelling,
    Watermark,
    encode,
)
from shared.mqtt import Connection, Disconnected, MqttAddress, MqttVersion
from shared.seal import derive_keys, seal_command
from tests.brokers import Broker, amqtt_broker, mosquitto
from tests.unit.edge.waiting import until

MACHINE = MachineId("m-1")
EPOCH = Epoch("e1")
KEYS = derive_keys(bytes(range(32)))
DEADLINE_S = 60.0


@pytest.fixture(params=[mosquitto, amqtt_broker], ids=["mosquitto", "amqtt"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    start: Callable[[Path], AbstractContextManager[Broker]] = request.param
    with start(tmp_path) as running:
        yield running


class Machine:
    """A machine's uplink with the ledger in memory; it outlives every connection."""

    def __init__(self, address: MqttAddress, folder: Path, version: MqttVersion | None = 4) -> None:
        self.clock = SystemClock()
        self.outbox = MemoryOutbox(self.clock)
        self.inbox = MemoryInbox()
        self.readings = MemoryReadings()
        self.troubles: list[tuple[str, bool]] = []
        self.selling = True
        self.rejects = Rejects(folder / "rejects.jsonl", self.clock)
        # amqtt waits for the rest of an MQTT 5 CONNECT: most tests spare themselves the fallback.
        self.uplink = self.build(Account(address, MACHINE, EPOCH, KEYS, version=version), self.outbox, self.inbox)

    def build(self, account: Account, outbox: Outbox, inbox: Inbox) -> Uplink:
        return Uplink(
            account,
            outbox=outbox,
            inbox=inbox,
            readings=self.readings,
            presence=lambda: Presence(config_version=3, selling=self.selling, software="test"),
            rejects=self.rejects,
            trouble=self._trouble,
            clock=self.clock,
        )

    async def _trouble(self, code: str, active: bool, detail: str) -> None:
        self.troubles.append((code, active))

    def sell(self) -> None:
        self.outbox.append(DoorChanged(open=True))
        self.uplink.facts_appended()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        backoff = Backoff(MACHINE, first_ms=50, longest_ms=200)
        task = asyncio.create_task(supervise("uplink", self.uplink.talk, clock=self.clock, backoff=backoff))
        try:
            yield
            assert not task.done(), "the uplink ended by itself"
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class Cloud:
    """Takes each number once and in order, commits in memory, answers with the watermark."""

    def __init__(self, address: MqttAddress) -> None:
        self.address = address
        self.epoch = EPOCH
        self.applied = 0
        self.hashes: dict[int, str] = {}
        self.heard: list[tuple[str, bytes]] = []
        self.news = asyncio.Event()
        self.link: Connection | None = None
        self.duplicates = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._serve())
        try:
            yield
            assert not task.done(), f"the cloud ended by itself: {task}"
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _serve(self) -> None:
        while True:
            try:
                async with mqtt.connect(self.address, client_id="cloud", version=4) as self.link:
                    await self.link.subscribe(topics.ALL_UP)
                    self.news.set()
                    async for message in self.link.messages():
                        self._take(message.topic, message.payload)
                        message.ack()
            except Disconnected:
                await asyncio.sleep(0.05)
            finally:
                self.link = None

    def _take(self, topic: str, payload: bytes) -> None:
        _, channel = topics.parse_up(topic)
        self.heard.append((channel, payload))
        self.news.set()
        if channel == "hello":
            self._mark(resend=False)
        if channel == "fact":
            fact = unpack(payload)
            if fact.seq <= self.applied:
                self.duplicates += 1
                assert self.hashes[fact.seq] == fact_hash(fact.fact)
            elif fact.prev <= self.applied:
                self.applied, self.hashes[fact.seq] = fact.seq, fact_hash(fact.fact)
            self._mark(resend=fact.prev > self.applied)

    def _mark(self, *, resend: bool) -> None:
        mark = Watermark(epoch=self.epoch, applied=self.applied, incarnation="i1", resend=resend)
        self.tell("watermark", encode(mark))

    def tell(self, channel: topics.DownChannel, payload: bytes) -> None:
        if self.link is not None:
            with contextlib.suppress(Disconnected):
                self.link.publish_soon(topics.down(MACHINE, channel), payload)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self.news.clear()
                await self.news.wait()

    async def connected(self) -> None:
        await self.until(lambda: self.link is not None)

    def of(self, channel: str) -> list[bytes]:
        return [payload for kind, payload in self.heard if kind == channel]


async def test_facts_reach_the_cloud_and_the_watermark_comes_back(broker: Broker, tmp_path: Path) -> None:
    machine, cloud = Machine(broker.address, tmp_path), Cloud(broker.address)
    for _ in range(30):
        machine.sell()
    async with cloud.running():
        await cloud.connected()
        async with machine.running():
            await cloud.until(lambda: cloud.applied == 30)
            machine.sell()
            await cloud.until(lambda: cloud.applied == 31)
    hello = msgspec.json.decode(cloud.of("hello")[0], type=Hello)
    assert (hello.machine, hello.next_seq, hello.config_version) == (MACHINE, 31, 3)
    assert cloud.duplicates == 0


async def test_offers_commands_and_claims_pass_both_ways(broker: Broker, tmp_path: Path) -> None:
    machine, cloud = Machine(broker.address, tmp_path), Cloud(broker.address)
    claim = Claim(order="o1", nonce="n1", boot_id="b1", epoch=EPOCH)
    assert machine.uplink.claim(claim) is False, "without a connection a claim is refused, not stored"
    ask = encode(SetSelling(selling=False))
    async with cloud.running():
        await cloud.connected()
        async with machine.running():
            await cloud.until(lambda: bool(cloud.of("hello")))
            cloud.tell("offer", encode(Offer(order="o1", aisle="A1", goods="cola", price_fen=350)))
            async with asyncio.timeout(DEADLINE_S):
                assert (await machine.uplink.offers.get()).order == "o1"
            mac = seal_command(KEYS.mac_key, MACHINE, ask)
            cloud.tell("command", encode(Command(command="c1", ask=msgspec.Raw(ask), mac=mac)))
            async with asyncio.timeout(DEADLINE_S):
                await machine.uplink.commands.wait()
            assert list(machine.inbox.commands.values()) == [ask]
            assert machine.uplink.claim(claim) is True
            await cloud.until(lambda: cloud.of("claim") == [encode(claim)])


async def test_an_old_broker_is_found_out_once_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "VERSION_TIMEOUT_S", 0.5)
    with amqtt_broker(tmp_path) as broker:
        machine, cloud = Machine(broker.address, tmp_path, version=None), Cloud(broker.address)
        async with cloud.running():
            await cloud.connected()
            async with machine.running():
                await cloud.until(lambda: len(cloud.of("hello")) == 1)
                assert machine.uplink._version == 4
                broker.kill()
                await until(lambda: not machine.uplink.connected)
                # A broker that is down may come back as another one.
                await until(lambda: machine.uplink._version is None)


async def test_the_real_ledger_stands_behind_the_uplink(broker: Broker, tmp_path: Path) -> None:
    clock, cloud = SystemClock(), Cloud(broker.address)
    async with await LedgerDatabase.open(
        tmp_path / "data" / "ledger.sqlite", machine=MACHINE, clock=clock, software="test"
    ) as ledger:
        cloud.epoch = ledger.epoch
        machine = Machine(broker.address, tmp_path)
        machine.uplink = machine.build(
            Account(broker.address, MACHINE, ledger.epoch, KEYS, version=4),
            LedgerOutbox(ledger),
            LedgerInbox(ledger, clock),
        )
        await ledger.write(lambda conn: outbox.append(conn, DoorChanged(open=True), clock))
        async with cloud.running():
            await cloud.connected()
            async with machine.running():
                await cloud.until(lambda: cloud.applied == 2)  # EpochBegan and the door
                ask = encode(SetSelling(selling=False))
                mac = seal_command(KEYS.mac_key, MACHINE, ask)
                cloud.tell("command", encode(Command(command="c1", ask=msgspec.Raw(ask), mac=mac)))
                async with asyncio.timeout(DEADLINE_S):
                    await machine.uplink.commands.wait()
                await until(lambda: machine.uplink._sender._acked == 2)
        assert (await ledger.read(outbox.position)).acked == 2
        assert [stored.ask for stored in await ledger.read(inbox.unanswered)] == [ask]


async def test_presence_is_told_again_when_it_changes(broker: Broker, tmp_path: Path) -> None:
    machine, cloud = Machine(broker.address, tmp_path), Cloud(broker.address)
    async with cloud.running():
        await cloud.connected()
        async with machine.running():
            await cloud.until(lambda: len(cloud.of("hello")) == 1)
            machine.selling = False
            machine.uplink.presence_changed()
            await cloud.until(lambda: len(cloud.of("hello")) == 2)
    assert [msgspec.json.decode(raw, type=Hello).selling for raw in cloud.of("hello")] == [True, False]


async def test_a_stopped_machine_says_so_and_a_killed_one_has_it_said(broker: Broker, tmp_path: Path) -> None:
    machine, cloud = Machine(broker.address, tmp_path), Cloud(broker.address)
    async with cloud.running():
        await cloud.connected()
        async with machine.running():
            await cloud.until(lambda: bool(cloud.of("hello")))
        await cloud.until(lambda: cloud.of("gone") == [encode(Gone(machine=MACHINE))])
        async with machine.running():
            await cloud.until(lambda: len(cloud.of("hello")) == 2)
            assert machine.uplink._link is not None
            machine.uplink._link._client.stream.abort()
            await cloud.until(lambda: len(cloud.of("gone")) == 2)
            await cloud.until(lambda: len(cloud.of("hello")) == 3)


async def test_readings_leave_with_the_brokers_acknowledgement(broker: Broker, tmp_path: Path) -> None:
    machine, cloud = Machine(broker.address, tmp_path), Cloud(broker.address)
    batch = Readings(boot_id="b1", readings=(Reading(sensor="t1", unit="C", value=4_200, wall_ms=1),))
    machine.readings.add(batch)
    async with cloud.running():
        await cloud.connected()
        async with machine.running():
            await cloud.until(lambda: cloud.of("reading") == [encode(batch)])
            await until(lambda: not machine.readings.batches)


async def test_a_retained_command_from_long_ago_has_no_effect(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        ask = encode(SetSelling(selling=False))
        mac = seal_command(KEYS.mac_key, MACHINE, ask)
        raw = encode(Command(command="c1", ask=msgspec.Raw(ask), mac=mac))
        topic = topics.down(MACHINE, "command")
        subprocess.run(["mosquitto_pub", "-p", str(broker.port), "-r", "-t", topic, "-s"], input=raw, check=True)
        machine, cloud = Machine(broker.address, tmp_path), Cloud(broker.address)
        machine.sell()
        async with cloud.running():
            await cloud.connected()
            async with machine.running():
                # The retained message comes with the subscription, before any watermark.
                await cloud.until(lambda: cloud.applied == 1)
                await until(lambda: machine.uplink._sender._acked == 1)
        assert machine.inbox.commands == {}
        assert "retained" in (tmp_path / "rejects.jsonl").read_text()


# What a broker remembers over a kill: nothing, what it saved now and then, or every change.
EVERY_CHANGE = "persistence true\npersistence_location {folder}/\nautosave_on_changes true\nautosave_interval 1"
NOW_AND_THEN = "persistence true\npersistence_location {folder}/\nautosave_interval 1"


@pytest.mark.parametrize("memory", ["amqtt", "", NOW_AND_THEN, EVERY_CHANGE], ids=["amqtt", "none", "some", "all"])
async def test_a_broker_killed_again_and_again_loses_and_doubles_nothing(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a broker acknowledged may be gone after a kill, and may come twice; only the watermark tells.
    monkeypatch.setattr(sender, "FACTS_PER_S", 500)
    monkeypatch.setattr(sender, "BACKLOG_SPREAD_MS", 100)
    forgetful = (
        amqtt_broker(tmp_path) if memory == "amqtt" else mosquitto(tmp_path, config=memory.format(folder=tmp_path))
    )
    chance = random.Random(7)
    with forgetful as broker:
        machine, cloud = Machine(broker.address, tmp_path), Cloud(broker.address)
        async with cloud.running(), machine.running():
            for _ in range(4):
                for _fact in range(60):
                    machine.sell()
                enough = cloud.applied + chance.randint(1, 40)
                await cloud.until(lambda enough=enough: cloud.applied >= enough)  # type: ignore[misc]
                broker.kill()
                for _fact in range(20):
                    machine.sell()
                broker.start()
            await cloud.until(lambda: cloud.applied == 4 * 80)
    assert sorted(cloud.hashes) == list(range(1, 4 * 80 + 1))


async def test_facts_that_only_the_broker_had_are_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The cloud was away without a session: the broker acknowledged what nobody received.
    monkeypatch.setattr(sender, "ASK_AFTER_MS", 200)
    monkeypatch.setattr(sender, "LOST_AFTER_MS", 100)
    monkeypatch.setattr(sender, "POLL_MS", 50)
    with mosquitto(tmp_path) as broker:
        machine, cloud = Machine(broker.address, tmp_path), Cloud(broker.address)
        async with machine.running():
            for _ in range(10):
                machine.sell()
            await until(lambda: machine.uplink._sender._sent == 10)
            async with cloud.running():
                await cloud.until(lambda: cloud.applied == 10)


@pytest.mark.parametrize("rules", ["topic write up/m-1/hello", "topic write up/m-2/#"], ids=["facts", "everything"])
async def test_a_broker_that_denies_what_we_publish_is_a_fault(tmp_path: Path, rules: str) -> None:
    (tmp_path / "acl").write_text(f"user {MACHINE}\n{rules}\ntopic read #\n")
    with mosquitto(tmp_path, config=f"acl_file {tmp_path}/acl") as broker:
        machine = Machine(broker.address, tmp_path, version=5)
        machine.sell()
        async with machine.running():
            await until(lambda: machine.troubles == [("uplink_denied", True)])
        assert (await machine.outbox.position()).acked == 0


async def test_a_broker_that_lets_nobody_in_is_a_fault_once_it_is_sure(tmp_path: Path) -> None:
    (tmp_path / "passwords").touch()
    with mosquitto(tmp_path, config=f"allow_anonymous false\npassword_file {tmp_path}/passwords") as broker:
        machine = Machine(broker.address, tmp_path, version=5)
        assert machine.uplink.why_not_connected == ""
        async with machine.running():
            await until(lambda: "Not authorized" in (machine.uplink.why_not_connected or ""))
            await until(lambda: machine.troubles == [("uplink_denied", True)])
        assert machine.uplink._logins_refused >= session.LOGINS_REFUSED_MAX, "a password may take a while to arrive"
