"""The smallest cloud that can sell: offers, grants once, and keeps the stream of one machine by the rules.

A fact is next in line when `prev <= applied < seq`; one at or below `applied` is a repeat and must be the same bytes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from shared import mqtt
from shared.clock import SystemClock
from shared.envelope import fact_hash, fact_of, unpack
from shared.ids import AisleId, BootId, MachineId, Nonce, OrderId
from shared.messages import (
    Claim,
    Grant,
    Offer,
    Refusal,
    VendDelivered,
    VendFailed,
    VendUnknown,
    Watermark,
    encode,
)
from shared.mqtt import Connection, Message, MqttAddress
from shared.seal import derive_keys, seal_grant
from shared.topics import ALL_UP, down, parse_up
from tests.integration.agent.rig import MACHINE, SECRET

VendEnd = VendDelivered | VendFailed | VendUnknown
REPEAT_OFFER_S = 0.2


class SmallCloud:
    """Sells for one machine. `ends`: every end that was applied, by order; I1 and I2 want exactly one each."""

    def __init__(self, link: Connection) -> None:
        self.ends: defaultdict[str, list[VendEnd]] = defaultdict(list)
        self.applied = 0
        self.repeats = 0
        self._epoch = ""
        self._hashes: dict[int, str] = {}
        self._offered: dict[str, Offer] = {}
        self._granted: dict[str, Claim] = {}
        self._news = asyncio.Event()
        self._link = link
        self._machine = MachineId(MACHINE)
        self._mac_key = derive_keys(bytes.fromhex(SECRET)).mac_key

    async def sell(self, offer: Offer, deadline_s: float) -> VendEnd:
        """Offer until somebody claims, then wait for the end of the order."""
        self._offered[offer.order] = offer
        async with asyncio.timeout(deadline_s):
            while offer.order not in self.ends:
                if offer.order not in self._granted:
                    await self._link.publish(down(self._machine, "offer"), encode(offer))
                self._news.clear()
                await asyncio.wait({asyncio.ensure_future(self._news.wait())}, timeout=REPEAT_OFFER_S)
        return self.ends[offer.order][0]

    async def run(self) -> None:
        """Hear the machine until the connection ends."""
        async for message in self._link.messages():
            await self._hear(message)
            message.ack()
            self._news.set()

    async def _hear(self, message: Message) -> None:
        _, channel = parse_up(message.topic)
        if channel == "claim":
            await self._grant(msgspec.json.decode(message.payload, type=Claim))
        elif channel == "hello":
            self._epoch = msgspec.json.decode(message.payload)["epoch"]
            await self._tell_watermark()
        elif channel == "fact":
            await self._apply(message.payload)

    async def _grant(self, claim: Claim) -> None:
        """One claim gets the order; the same claim again gets the same answer, any other is void."""
        offer = self._offered[claim.order]
        answer: Grant | Refusal = Refusal(order=claim.order, nonce=claim.nonce, verdict="void")
        if self._granted.setdefault(claim.order, claim) == claim:
            mac = seal_grant(
                self._mac_key,
                self._machine,
                OrderId(offer.order),
                AisleId(offer.aisle),
                Nonce(claim.nonce),
                BootId(claim.boot_id),
            )
            answer = Grant(order=claim.order, nonce=claim.nonce, boot_id=claim.boot_id, mac=mac)
        await self._link.publish(down(self._machine, "grant"), encode(answer))

    async def _apply(self, payload: bytes) -> None:
        envelope = unpack(payload)
        told = fact_hash(envelope.fact)
        if envelope.seq <= self.applied:
            self.repeats += 1
            assert self._hashes.get(envelope.seq) == told, f"fact {envelope.seq} came again with other content"
        elif envelope.prev <= self.applied:
            self.applied = envelope.seq
            self._hashes[envelope.seq] = told
            fact = fact_of(envelope)
            if isinstance(fact, VendEnd):
                self.ends[fact.order].append(fact)
        await self._tell_watermark(resend=envelope.prev > self.applied)

    async def _tell_watermark(self, *, resend: bool = False) -> None:
        word = Watermark(epoch=self._epoch, applied=self.applied, incarnation="small-1", resend=resend)
        await self._link.publish(down(self._machine, "watermark"), encode(word))


@asynccontextmanager
async def small_cloud(address: MqttAddress) -> AsyncIterator[SmallCloud]:
    """A cloud behind the broker at `address`; its mistakes, and its machine's, end the block."""
    async with mqtt.connect(address, client_id="small-cloud", clock=SystemClock()) as link:
        await link.subscribe(ALL_UP)
        cloud = SmallCloud(link)
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(cloud.run())
            try:
                yield cloud
            finally:
                hearing.cancel()
