"""Frames that are none."""

from __future__ import annotations

import random

from edge_agent.wire.crc import is_sealed, sealed


def flipped(frame: bytes, *bits: int) -> bytes:
    damaged = bytearray(frame)
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def malformed(rng: random.Random) -> bytes:
    """A frame that is none: damaged, cut, foreign or pure noise."""
    good = sealed(bytes((0, rng.choice([1, 3, 5, 6, 0x20, 0x21]))) + rng.randbytes(rng.choice([0, 1, 2, 9, 10, 16])))
    foreign = sealed(bytes((rng.randrange(5, 256),)) + good[1:-2])
    damaged = [
        rng.randbytes(rng.randrange(1, 40)),
        good[: rng.randrange(1, len(good))],
        good[:-2],
        flipped(good, *rng.sample(range(8 * len(good)), 2)),
    ]
    frame = rng.choice([foreign, *damaged])
    return frame if frame is foreign or not is_sealed(frame) else malformed(rng)
