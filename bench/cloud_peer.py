"""The smallest cloud that an agent can work with: it hears facts, answers with watermarks, grants and commands.

It keeps nothing and decides nothing, so what is measured beside it is the agent's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from shared import mqtt, topics
from shared.envelope import fact_of, unpack
from shared.ids import AisleId, BootId, MachineId, Nonce, OrderId, mint_command_id, mint_order_id
from shared.messages import (
    AisleConfig,
    ApplyConfig,
    Ask,
    Claim,
    Command,
    CommandAnswered,
    Fact,
    Grant,
    Hello,
    LoadStock,
    MachineConfig,
    Offer,
    PourEnded,
    PourOffer,
    VendDelivered,
    VendFailed,
    VendUnknown,
    Watermark,
    encode,
)
from shared.seal import MachineKeys, seal_command, seal_config, seal_grant

# Everything asked of an agent is done within a second or two; a busy computer gets more.
ANSWER_S = 60.0
# An offer that found the agent busy is said again, as the cloud does.
REPEAT_S = 5.0
BATCH_MAX = 500

VendEnd = VendDelivered | VendFailed | VendUnknown
End = VendEnd | PourEnded


class CloudPeer:
    """The cloud's side of one machine. Made by `cloud_peer`. A claim is granted after `grant_after_s`."""

    def __init__(self, link: mqtt.Connection, machine: MachineId, keys: MachineKeys) -> None:
        self._link = link
        self._machine = machine
        self._keys = keys
        self._aisles: tuple[AisleConfig, ...] = ()
        self._places: dict[str, str] = {}  # the aisle or outlet of what was offered, which its grant is for
        self._waiting: dict[str, asyncio.Future[Fact]] = {}
        self._selling = asyncio.Event()
        self.applied = 0
        self.grant_after_s = 0.0

    async def equip(self, config: MachineConfig, stock: int) -> None:
        """Give the machine its planogram, put `stock` items into every aisle, and wait until it sells."""
        self._aisles = config.aisles
        document = encode(config)
        mac = seal_config(self._keys.mac_key, self._machine, config.version, document)
        await self.ask(ApplyConfig(version=config.version, document=document.decode(), mac=mac))
        for aisle in config.aisles:
            await self.ask(LoadStock(aisle=aisle.aisle, quantity=stock))
        async with asyncio.timeout(ANSWER_S):
            await self._selling.wait()

    async def ask(self, ask: Ask) -> None:
        """Send a sealed command and wait until it was carried out."""
        body = encode(ask)
        command = Command(
            command=mint_command_id(), ask=msgspec.Raw(body), mac=seal_command(self._keys.mac_key, self._machine, body)
        )
        answer = await self._until_told(command.command, "command", encode(command))
        assert isinstance(answer, CommandAnswered)
        if not answer.done:
            raise RuntimeError(f"the agent refused {type(ask).__name__}: {answer.detail}")

    async def sell(self, number: int) -> VendEnd:
        """Offer an order for the aisle of this number (they take turns), grant it, and wait for how it ended."""
        aisle = self._aisles[number % len(self._aisles)]
        offer = Offer(order=mint_order_id(), aisle=aisle.aisle, goods=aisle.goods, price_fen=aisle.price_fen)
        self._places[offer.order] = aisle.aisle
        end = await self._until_told(offer.order, "offer", encode(offer))
        assert isinstance(end, VendEnd)
        return end

    async def pour(self, ml: int) -> PourEnded:
        """Offer an order for `ml` of water, grant it, and wait for how it ended."""
        offer = PourOffer(order=mint_order_id(), outlet="normal", asked_ml=ml, price_fen_per_litre=0, hold_fen=0)
        self._places[offer.order] = offer.outlet
        end = await self._until_told(offer.order, "offer", encode(offer))
        assert isinstance(end, PourEnded)
        return end

    async def _until_told(self, subject: str, channel: topics.DownChannel, payload: bytes) -> Fact:
        """Say something, again after a while, until a fact about `subject` has come."""
        told = self._waiting[subject] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(ANSWER_S):
            while not told.done():
                await self._link.publish(topics.down(self._machine, channel), payload)
                await asyncio.wait({told}, timeout=REPEAT_S)
        return self._waiting.pop(subject).result()

    async def hear(self) -> None:
        """Answer what the machine says, until cancelled."""
        while True:
            messages = await self._link.next_batch(BATCH_MAX)
            epochs = {epoch for message in messages if (epoch := self._take(message))}
            for epoch in epochs:
                self._say("watermark", encode(Watermark(epoch=epoch, applied=self.applied, incarnation="bench")))
            for message in messages:
                message.ack()

    def _take(self, message: mqtt.Message) -> str | None:
        """Hear one message; the epoch that is owed a watermark."""
        _, channel = topics.parse_up(message.topic)
        match channel:
            case "fact":
                envelope = unpack(message.payload)
                self._settle(fact_of(envelope))
                self.applied = max(self.applied, envelope.seq)
                return envelope.epoch
            case "hello":
                hello = msgspec.json.decode(message.payload, type=Hello)
                if hello.selling and hello.config_version:
                    self._selling.set()
                return hello.epoch
            case "claim":
                self._grant(msgspec.json.decode(message.payload, type=Claim))
        return None

    def _settle(self, fact: Fact) -> None:
        subject = fact.order if isinstance(fact, End) else getattr(fact, "command", None)
        waiting = self._waiting.get(subject or "")
        if waiting is not None and not waiting.done() and isinstance(fact, End | CommandAnswered):
            waiting.set_result(fact)

    def _grant(self, claim: Claim) -> None:
        mac = seal_grant(
            self._keys.mac_key,
            self._machine,
            OrderId(claim.order),
            AisleId(self._places[claim.order]),
            Nonce(claim.nonce),
            BootId(claim.boot_id),
        )
        grant = Grant(order=claim.order, nonce=claim.nonce, boot_id=claim.boot_id, mac=mac)
        if self.grant_after_s:
            asyncio.get_running_loop().call_later(self.grant_after_s, self._say, "grant", encode(grant))
        else:
            self._say("grant", encode(grant))

    def _say(self, channel: topics.DownChannel, payload: bytes) -> None:
        self._link.publish_soon(topics.down(self._machine, channel), payload)


@asynccontextmanager
async def cloud_peer(broker_port: int, machine: MachineId, keys: MachineKeys) -> AsyncIterator[CloudPeer]:
    """The cloud of one machine, at a broker that lets everybody in."""
    address = mqtt.MqttAddress("127.0.0.1", broker_port)
    async with mqtt.connect(address, client_id="bench-cloud") as link:
        await link.subscribe(topics.ALL_UP)
        peer = CloudPeer(link, machine, keys)
        hearing = asyncio.ensure_future(peer.hear())
        try:
            yield peer
        finally:
            hearing.cancel()
            await asyncio.wait({hearing})
            if not hearing.cancelled():
                hearing.result()  # what ended it is the bench's own fault, or the broker's
