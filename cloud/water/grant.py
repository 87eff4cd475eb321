"""A machine bids for a pour: the same answers as for an order, sealed for the outlet in the aisle's place."""

from __future__ import annotations

from dataclasses import replace

from cloud.machines.credentials import Credentials
from cloud.machines.model import Machine
from cloud.orders.grant import judge, refuse, seal
from cloud.water.model import Pour, advance
from cloud.water.pours import Pours
from shared.messages import Claim, Grant, Refusal


def answer_claim(pours: Pours, credentials: Credentials, machine: Machine, claim: Claim) -> Grant | Refusal:
    """The answer to a claim, and the pour's step from held to claimed; the pour must be open in `pours`."""
    pour = pours.pour(machine.tenant, claim.order)
    verdict = judge(pour, machine, claim, pours.now_ms)
    if pour is None or verdict in ("void", "no"):
        return refuse(claim, verdict)
    if verdict == "expire":
        expire(pours, pour)
        return refuse(claim, verdict)
    if verdict == "grant":
        claimed, _ = advance(pour, "claim", pours.now_ms)
        claimed = replace(claimed, claimed_ms=pours.now_ms, nonce=claim.nonce, boot_id=claim.boot_id)
        pours.put(claimed)
        pours.withdraw_offer(claimed)
        pours.tell(claimed, "pour.claimed")
    return seal(credentials, machine, claim, pour.outlet)


def expire(pours: Pours, pour: Pour) -> None:
    """Nobody claimed it in time: the money goes back at once."""
    expired, effects = advance(pour, "expire", pours.now_ms)
    expired = replace(expired, reason="expired")
    pours.put(expired)
    pours.pay(expired, effects)
    pours.withdraw_offer(expired)
    pours.tell(expired, "pour.expired")
