"""What the cloud says, to whoever acts on it.

    offer      -> `offers`, newest per order            watermark -> the sender
    grant, no  -> `verdicts`, newest per nonce          command   -> seal verified, inbox (once), `commands` set

Nothing that comes down can stop the agent: what cannot be read, is not genuine or was retained by the broker is kept
for a person and forgotten. A message is acknowledged only after what it says is stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import msgspec

from edge_agent.errors import Refused
from edge_agent.uplink.mailbox import Mailbox
from edge_agent.uplink.ports import Inbox, Trouble
from edge_agent.uplink.rejects import Rejects
from shared import topics
from shared.ids import CommandId, MachineId
from shared.messages import Command, Grant, Offer, PourOffer, Refusal, Watermark, decode_ask, decode_grant
from shared.mqtt import Message
from shared.seal import MachineKeys, seal_command, seals_match

log = logging.getLogger(__name__)

# The largest command is a configuration of 200 kB of text inside JSON.
PAYLOAD_BYTES_MAX = 262_144

_offer = msgspec.json.Decoder(Offer)
_pour_offer = msgspec.json.Decoder(PourOffer)
_watermark = msgspec.json.Decoder(Watermark)
_command = msgspec.json.Decoder(Command)


class _Place(msgspec.Struct, frozen=True):
    """What tells an offer of water from an offer of goods: it names an outlet and no aisle."""

    outlet: str | None = None


_place = msgspec.json.Decoder(_Place)


class Link(Protocol):
    """The part of `shared.mqtt.Connection` that receives."""

    def messages(self) -> AsyncIterator[Message]:
        """Messages in order of arrival, until the connection is lost."""


class NotAccepted(Exception):
    """A message that has no effect, and why."""


class Receiver:
    """Reads one machine's downward topics."""

    def __init__(
        self,
        *,
        machine: MachineId,
        keys: MachineKeys,
        inbox: Inbox,
        on_watermark: Callable[[Watermark], Awaitable[None]],
        rejects: Rejects,
        trouble: Trouble,
    ) -> None:
        self.offers: Mailbox[Offer | PourOffer] = Mailbox()
        self.verdicts: Mailbox[Grant | Refusal] = Mailbox()
        self.commands = asyncio.Event()
        self._machine = machine
        self._keys = keys
        self._inbox = inbox
        self._on_watermark = on_watermark
        self._rejects = rejects
        self._trouble = trouble

    async def run(self, link: Link) -> None:
        """Handle messages until the connection is lost."""
        async for message in link.messages():
            await self.handle(message)

    async def handle(self, message: Message) -> None:
        """Handle and acknowledge one message; what is wrong with it never leaves this call."""
        try:
            await self._route(message)
        except (NotAccepted, msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
            self._rejects.keep(message.topic, message.payload, str(error))
        except Refused as refused:
            self._rejects.keep(message.topic, message.payload, str(refused))
            await self._trouble(refused.reason, True, refused.detail)
        message.ack()

    async def _route(self, message: Message) -> None:
        if message.retain:
            raise NotAccepted("retained: the broker kept it from a time that may be long gone")
        if len(message.payload) > PAYLOAD_BYTES_MAX:
            raise NotAccepted(f"{len(message.payload)} bytes, at most {PAYLOAD_BYTES_MAX} are taken")
        machine, channel = topics.parse_down(message.topic)
        if machine != self._machine:
            raise NotAccepted(f"for machine {machine!r}, this is {self._machine!r}")
        match channel:
            case "offer":
                offer = read_offer(message.payload)
                self.offers.put(offer.order, offer)
            case "grant":
                verdict = decode_grant(message.payload)
                self.verdicts.put(verdict.nonce, verdict)
            case "watermark":
                await self._on_watermark(_watermark.decode(message.payload))
            case "command":
                await self._take_command(_command.decode(message.payload))

    async def _take_command(self, command: Command) -> None:
        ask = bytes(command.ask)
        if not seals_match(seal_command(self._keys.mac_key, self._machine, ask), command.mac):
            raise NotAccepted(
                f"command {command.command}: the seal does not fit: forged, or sealed for another machine"
            )
        decode_ask(ask)
        if await self._inbox.accept(CommandId(command.command), ask):
            log.info("command %s accepted", command.command)
        self.commands.set()


def read_offer(raw: bytes) -> Offer | PourOffer:
    """Read an offer of goods or of water; `msgspec.ValidationError` names the field that is wrong."""
    return _offer.decode(raw) if _place.decode(raw).outlet is None else _pour_offer.decode(raw)
