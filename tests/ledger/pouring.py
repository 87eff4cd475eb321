"""Short words for pours in the ledger's tests: terms, an intent and an end."""

from __future__ import annotations

from typing import Any

from edge_agent.ledger.pours import PourIntent, PourTerms
from shared.ids import Nonce, OrderId
from shared.messages import PourEnded

POUR_INTENT = PourIntent(
    relay=1, meter="flow", modulus=2**32, pulses_per_litre_milli=450_000, totaliser_before=100, at_most_ml=2_000
)


def pour_terms(order: str = "w1", *, nonce: str | None = None) -> PourTerms:
    """A litre of cold water, by coin or (with a nonce) for an order of the cloud."""
    return PourTerms(
        order=OrderId(order),
        outlet="cold",
        source="order" if nonce else "button",
        means="escrow" if nonce else "coin",
        asked_ml=1_000,
        price_fen_per_litre=50,
        hold_fen=50,
        paid_fen=50,
        config_version=3,
        plan="shop",
        nonce=Nonce(nonce) if nonce else None,
    )


def poured(txn: int, order: str = "w1", **changes: Any) -> PourEnded:
    """The end of that pour; `changes` sets fields."""
    fields: dict[str, Any] = {
        "order": order,
        "outlet": "cold",
        "source": "button",
        "means": "coin",
        "asked_ml": 1_000,
        "poured_ml": 998,
        "price_fen_per_litre": 50,
        "charged_fen": 50,
        "paid_fen": 50,
        "reason": "target",
        "txn": txn,
        "plan": "shop",
        "totaliser_before": 100,
        "totaliser_after": 549,
        "overrun_ml": 9,
        "config_version": 3,
    }
    return PourEnded(**{**fields, **changes})
