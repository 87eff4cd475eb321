"""One conversation with the broker after another: connect, subscribe, say Hello, send and receive until it ends.

`talk` is one conversation. It ends by an exception, and the supervisor starts the next one after a pause; nothing of
value lives here, so nothing is lost between two of them. A hung broker delays this file and never a motor.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.uplink.mailbox import Mailbox
from edge_agent.uplink.ports import Inbox, Outbox, ReadingsBuffer, Trouble
from edge_agent.uplink.receiver import Receiver
from edge_agent.uplink.rejects import Rejects
from edge_agent.uplink.sender import FACTS_PER_S, Sender
from shared import mqtt, topics
from shared.clock import Clock, within
from shared.ids import Epoch, MachineId
from shared.messages import Claim, Gone, Grant, Hello, Offer, PourOffer, Refusal, encode
from shared.mqtt import (
    AccessRefused,
    Connection,
    Disconnected,
    MqttAddress,
    MqttVersion,
    PublishRefused,
    SubscribeRefused,
)
from shared.seal import MachineKeys

log = logging.getLogger(__name__)

# Presence costs bytes: 150 of them every five minutes are 43 kB a day.
HELLO_EVERY_MS = 300_000
# Readings are not urgent; a batch a minute is one packet instead of many.
READINGS_EVERY_MS = 60_000
# A claim that the broker could not pass on within the life of a grant is of no use to anybody.
CLAIM_EXPIRES_S = 10
# A broker knows a password some seconds after the cloud has written it. Refused so often in a row, by growing pauses,
# is a minute: then it is not that.
LOGINS_REFUSED_MAX = 3

Ended = Disconnected | PublishRefused | SubscribeRefused


@dataclass(frozen=True, slots=True)
class Presence:
    """What Hello says beyond the stream's position."""

    config_version: int
    selling: bool
    software: str


@dataclass(frozen=True, slots=True)
class Account:
    """Where and as whom the machine connects."""

    address: MqttAddress
    machine: MachineId
    epoch: Epoch
    keys: MachineKeys
    keepalive_s: int = 60
    version: MqttVersion | None = None
    facts_per_s: int = FACTS_PER_S


class Uplink:
    """The machine's side of the conversation. What comes down is in `offers`, `verdicts` and `commands`."""

    def __init__(
        self,
        account: Account,
        *,
        outbox: Outbox,
        inbox: Inbox,
        readings: ReadingsBuffer,
        presence: Callable[[], Presence],
        rejects: Rejects,
        trouble: Trouble,
        clock: Clock,
    ) -> None:
        self.notice = asyncio.Event()
        self._account = account
        self._outbox = outbox
        self._readings = readings
        self._presence = presence
        self._clock = clock
        self._version = account.version
        self._link: Connection | None = None
        self._ended_because = ""
        self._logins_refused = 0
        self._hello_due = asyncio.Event()
        self._sender = Sender(
            outbox,
            machine=account.machine,
            epoch=account.epoch,
            facts_per_s=account.facts_per_s,
            clock=clock,
            notice=self.notice,
            ask_watermark=self._hello_due.set,
            trouble=trouble,
        )
        self._receiver = Receiver(
            machine=account.machine,
            keys=account.keys,
            inbox=inbox,
            on_watermark=self._sender.watermark,
            rejects=rejects,
            trouble=trouble,
        )

    # --- for the rest of the agent ---

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted this machine and its subscription."""
        return self._link is not None

    @property
    def why_not_connected(self) -> str | None:
        """Why the last conversation ended or did not begin; empty before the first, None while there is one."""
        return None if self.connected else self._ended_because

    @property
    def offers(self) -> Mailbox[Offer | PourOffer]:
        """Orders that look for this machine."""
        return self._receiver.offers

    @property
    def verdicts(self) -> Mailbox[Grant | Refusal]:
        """What the cloud answered to claims; nonce, boot and seal are for the vend session to judge."""
        return self._receiver.verdicts

    @property
    def commands(self) -> asyncio.Event:
        """Set when the inbox may hold a command without an answer; whoever carries them out clears it."""
        return self._receiver.commands

    def facts_appended(self) -> None:
        """The outbox holds something new."""
        self.notice.set()

    def presence_changed(self) -> None:
        """Say Hello soon: selling or the configuration changed."""
        self._hello_due.set()

    def claim(self, claim: Claim) -> bool:
        """Bid for an order now; False when there is no connection. A claim is never stored: late, it is worthless."""
        if self._link is None:
            return False
        try:
            self._link.publish_soon(topics.up(self._account.machine, "claim"), encode(claim), expires_s=CLAIM_EXPIRES_S)
        except (Disconnected, PublishRefused) as error:
            log.warning("claim of %s: %s", claim.order, error)
            return False
        return True

    # --- for the supervisor ---

    async def talk(self) -> None:
        """Connect and talk until the connection ends; raises `Disconnected`, `PublishRefused` or `SubscribeRefused`."""
        machine = self._account.machine
        gone = (topics.up(machine, "gone"), encode(Gone(machine=machine)))
        version, self._version = self._version, self._account.version
        try:
            async with mqtt.connect(
                self._account.address,
                client_id=machine,
                username=machine,
                password=self._account.keys.mqtt_password,
                will=gone,
                keepalive_s=self._account.keepalive_s,
                version=version,
                clock=self._clock,
            ) as link:
                # Remembered until the next failure: a broker that was upgraded is asked for MQTT 5 again.
                self._version = link.version
                try:
                    await self._converse(link)
                except asyncio.CancelledError:
                    # The will speaks only for connections that die; one that is closed on purpose says it itself.
                    with contextlib.suppress(Disconnected, PublishRefused):
                        link.publish_soon(*gone, qos=0)
                    raise
        except* (Disconnected, PublishRefused, SubscribeRefused) as ended:
            reason = _first(ended.subgroup((AccessRefused, PublishRefused, SubscribeRefused)) or ended)
            self._ended_because = str(reason)
            if self._is_denied(reason):
                await self._sender.denied(str(reason))
            raise reason from None

    def _is_denied(self, reason: Ended) -> bool:
        """Wrong access rules heal only by a person; MQTT 3.1.1 would not even show a denied publish."""
        if isinstance(reason, AccessRefused):
            self._logins_refused += 1
            return self._logins_refused >= LOGINS_REFUSED_MAX
        return isinstance(reason, PublishRefused | SubscribeRefused)

    async def _converse(self, link: Connection) -> None:
        self._logins_refused = 0
        await link.subscribe(topics.all_down(self._account.machine))
        log.info("connected: %r", link)
        self._link = link
        try:
            async with asyncio.TaskGroup() as parts:
                parts.create_task(self._receiver.run(link), name="uplink-receiver")
                parts.create_task(self._say_hello(link), name="uplink-hello")
                parts.create_task(self._sender.run(link), name="uplink-sender")
                parts.create_task(self._send_readings(link), name="uplink-readings")
        finally:
            self._link = None

    async def _say_hello(self, link: Connection) -> None:
        account = self._account
        while True:
            self._hello_due.clear()
            position = await self._outbox.position()
            presence = self._presence()
            hello = Hello(
                machine=account.machine,
                epoch=account.epoch,
                boot_id=self._clock.boot_id,
                next_seq=position.next_seq,
                oldest_seq=position.oldest_seq,
                config_version=presence.config_version,
                software=presence.software,
                selling=presence.selling,
                wall_ms=self._clock.wall_ms(),
            )
            await link.publish(topics.up(account.machine, "hello"), encode(hello))
            await within(self._clock, self._hello_due.wait(), HELLO_EVERY_MS)

    async def _send_readings(self, link: Connection) -> None:
        while True:
            while (batch := await self._readings.oldest()) is not None:
                await link.publish(topics.up(self._account.machine, "reading"), batch.message)
                await self._readings.forget(batch)
            await self._clock.sleep_ms(READINGS_EVERY_MS)


def _first(group: BaseExceptionGroup[Ended]) -> Ended:
    """The first error inside, however deep: what several tasks of one dead connection raise is one event."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
