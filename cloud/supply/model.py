"""Suppliers and what they bring. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplier:
    """A firm that brings goods. Before it is certified, and when it is disabled, nobody signs in for it."""

    tenant: str
    supplier: str
    name: str
    contact: str
    mobile: str
    certified: bool
    disabled: bool
    password_hash: str | None
    created_ms: int
    changed_ms: int


@dataclass(frozen=True, slots=True)
class SuppliedGoods:
    """Goods that a supplier brings, as he packs them (`spec`), at his price in fen."""

    tenant: str
    supplier: str
    goods: str
    spec: str
    price_fen: int
