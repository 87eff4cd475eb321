"""Goods: what can lie in an aisle and what it costs by default."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goods:
    """One kind of goods. An archived one cannot be put into a planogram any more; its past sales keep their name."""

    tenant: str
    goods: str
    name: str
    barcode: str
    price_fen: int
    archived: bool
    created_ms: int
    changed_ms: int
