"""The wrapper of one fact on its way to the cloud: which stream, which number, which clocks.

A stream is one ledger file: (machine, epoch). Numbers start at 1 and are dense, except where an older value of a state
key was compacted away before it was sent; `prev` names the number before this one that still exists, so a reader can
tell a compaction from a loss: a fact is next in line exactly when `prev <= applied < seq`.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec

from shared.clock import ClockState
from shared.messages import Fact, Id, Number, decode_fact

VERSION = 1

# A vend fact has about 500 bytes; nothing legitimate that goes up comes near this.
ENVELOPE_BYTES_MAX = 16_384

# Milliseconds on a wall clock that may be far off, yet fits every database's 64-bit integer.
Moment = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]


class Envelope(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "version": "v",
        "machine": "m",
        "epoch": "e",
        "seq": "n",
        "prev": "p",
        "boot_id": "b",
        "mono_ms": "t",
        "wall_ms": "w",
        "clock_state": "c",
        "fact": "f",
    },
):
    """One numbered fact. `fact` holds the exact bytes that the ledger stored: their hash is the fact's identity."""

    machine: Id
    epoch: Id
    seq: Number
    prev: Number
    boot_id: Id
    mono_ms: Number
    wall_ms: Moment
    clock_state: ClockState
    fact: msgspec.Raw
    version: int = VERSION


class EnvelopeRefused(ValueError):
    """The bytes are not an envelope; the message says which field is wrong and what was expected."""


_decoder = msgspec.json.Decoder(Envelope)


def pack(envelope: Envelope) -> bytes:
    """Write an envelope."""
    return msgspec.json.encode(envelope)


def unpack(raw: bytes) -> Envelope:
    """Read an envelope without reading its fact; raises `EnvelopeRefused`."""
    if len(raw) > ENVELOPE_BYTES_MAX:
        raise EnvelopeRefused(f"envelope: {len(raw)} bytes, at most {ENVELOPE_BYTES_MAX} are taken")
    try:
        envelope = _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EnvelopeRefused(f"envelope: {error}") from error
    if envelope.version != VERSION:
        raise EnvelopeRefused(f"envelope: version {envelope.version} is not {VERSION}")
    if not envelope.prev < envelope.seq:
        raise EnvelopeRefused(f"envelope: prev {envelope.prev} is not below seq {envelope.seq}")
    return envelope


def fact_of(envelope: Envelope) -> Fact:
    """Read the fact inside; raises `EnvelopeRefused` with the field and what was expected."""
    try:
        return decode_fact(bytes(envelope.fact))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EnvelopeRefused(f"fact: {error}") from error


def fact_hash(fact: bytes | msgspec.Raw) -> str:
    """SHA-256 of the fact's exact bytes, in hex: one key with two hashes is a forgery or a fault, never a repeat."""
    return hashlib.sha256(bytes(fact)).hexdigest()
