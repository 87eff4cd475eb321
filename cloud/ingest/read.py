"""Bytes from a topic become something that was said, or an item for quarantine. Pure.

What a machine says counts only under its own name: the topic, which the broker has bound to the credential, and the
payload must agree (I12).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from shared.envelope import Envelope, EnvelopeRefused, fact_hash, fact_of, unpack
from shared.ids import MachineId
from shared.messages import Claim, Fact, Hello, Readings
from shared.topics import UpChannel, parse_up

# Everything but facts has its own limits inside; this one keeps a flood of large ones out of memory and quarantine.
PAYLOAD_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message as it came from the broker."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class FactSaid:
    """A numbered fact. `fact` is None when only the envelope could be read; `problem` then says why."""

    machine: MachineId
    incoming: Incoming
    envelope: Envelope
    hash: str
    fact: Fact | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ClaimSaid:
    """A bid for an order."""

    machine: MachineId
    incoming: Incoming
    claim: Claim


@dataclass(frozen=True, slots=True)
class HelloSaid:
    """A machine introduced itself."""

    machine: MachineId
    incoming: Incoming
    hello: Hello


@dataclass(frozen=True, slots=True)
class GoneSaid:
    """The broker lost a machine. The payload is the machine's own and adds nothing."""

    machine: MachineId
    incoming: Incoming


@dataclass(frozen=True, slots=True)
class ReadingsSaid:
    """Measurements."""

    machine: MachineId
    incoming: Incoming
    readings: Readings


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Nothing that can be numbered; `machine` is whose topic it came on, '' when not even that is known."""

    machine: str
    incoming: Incoming
    problem: str


Said = FactSaid | ClaimSaid | HelloSaid | GoneSaid | ReadingsSaid | Unreadable

_claims = msgspec.json.Decoder(Claim)
_hellos = msgspec.json.Decoder(Hello)
_readings = msgspec.json.Decoder(Readings)


def read(incoming: Incoming) -> Said:
    """What was said; never raises, whatever the bytes are."""
    try:
        machine, channel = parse_up(incoming.topic)
    except ValueError as error:
        return Unreadable("", incoming, str(error))
    if len(incoming.payload) > PAYLOAD_BYTES_MAX:
        problem = f"payload: {len(incoming.payload)} bytes, at most {PAYLOAD_BYTES_MAX} are taken"
        return Unreadable(machine, incoming, problem)
    try:
        return _read_channel(machine, channel, incoming)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, EnvelopeRefused) as error:
        return Unreadable(machine, incoming, str(error))


def _read_channel(machine: MachineId, channel: UpChannel, incoming: Incoming) -> Said:
    match channel:
        case "fact":
            return _read_fact(machine, incoming)
        case "claim":
            return ClaimSaid(machine, incoming, _claims.decode(incoming.payload))
        case "hello":
            hello = _hellos.decode(incoming.payload)
            if hello.machine != machine:
                return _stranger(machine, incoming, hello.machine)
            return HelloSaid(machine, incoming, hello)
        case "gone":
            return GoneSaid(machine, incoming)
        case "reading":
            return ReadingsSaid(machine, incoming, _readings.decode(incoming.payload))


def _read_fact(machine: MachineId, incoming: Incoming) -> Said:
    envelope = unpack(incoming.payload)
    if envelope.machine != machine:
        return _stranger(machine, incoming, envelope.machine)
    digest = fact_hash(envelope.fact)
    try:
        return FactSaid(machine, incoming, envelope, digest, fact_of(envelope))
    except EnvelopeRefused as error:
        return FactSaid(machine, incoming, envelope, digest, None, str(error))


def _stranger(machine: MachineId, incoming: Incoming, claimed: str) -> Unreadable:
    return Unreadable(machine, incoming, f"machine: the payload says {claimed!r}, the topic {str(machine)!r}")
