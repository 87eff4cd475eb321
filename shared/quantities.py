"""Integer units and the only rounding in the house.

Money is whole fen (1/100 yuan), volume whole millilitres. A float never holds either: 0.1 + 0.2 is not 0.3, and a
ledger that is off by one fen is broken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NewType

Fen = NewType("Fen", int)
Millilitres = NewType("Millilitres", int)
Pulses = NewType("Pulses", int)

# One trillion yuan: far above any real amount, far below what a 64-bit column overflows at.
FEN_MAX = 10**14

_YUAN = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,2}))?")


def fen_from_yuan(text: str) -> Fen:
    """Read a decimal amount in yuan ("3", "3.5", "-0.05") exactly; `ValueError` for more than two decimals."""
    match = _YUAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:40]!r} is not an amount in yuan (expected digits with at most two decimals)")
    sign, whole, decimals = match.groups()
    fen = int(whole) * 100 + int((decimals or "").ljust(2, "0"))
    return Fen(-fen if sign else fen)


def format_yuan(fen: int) -> str:
    """Write fen as yuan with two decimals: 350 -> '3.50', -5 -> '-0.05'."""
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def split_fen(base: int, weights: Sequence[int]) -> list[Fen]:
    """Split `base` fen by integer `weights` so that the parts sum exactly to `base` (largest remainder; first wins).

    Raises `ValueError` for a negative base or weight, or when all weights are zero.
    """
    total = sum(weights)
    if base < 0 or total <= 0 or any(weight < 0 for weight in weights):
        raise ValueError(f"cannot split {base} fen by weights {list(weights)}")
    parts = [base * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(base * weights[i] % total), i))
    for index in by_remainder[: base - sum(parts)]:
        parts[index] += 1
    return [Fen(part) for part in parts]


ML_PER_LITRE = 1000


def hold_fen(asked_ml: int, price_fen_per_litre: int) -> Fen:
    """What must be paid before a pour begins: the price of all that was asked for, rounded up."""
    return Fen(-(-asked_ml * price_fen_per_litre // ML_PER_LITRE))


def charged_fen(poured_ml: int, price_fen_per_litre: int, hold: int) -> Fen:
    """What is owed for what flowed: rounded half up, never more than was held, nothing for nothing."""
    return Fen(min(hold, (poured_ml * price_fen_per_litre + ML_PER_LITRE // 2) // ML_PER_LITRE))
