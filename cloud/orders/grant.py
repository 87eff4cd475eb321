"""A machine bids for an order: yes, once, in time; void when it must not happen any more; no when there is nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Protocol

from cloud.machines.credentials import Credentials
from cloud.machines.model import Machine
from cloud.orders.books import Books
from cloud.orders.model import Order, advance
from shared.ids import AisleId, BootId, Nonce, OrderId
from shared.messages import Claim, Grant, Refusal
from shared.seal import seal_grant

# A machine uses a grant within 10 s of its own claim. Later the same claim cannot be served, and the machine had better
# hear that it is void: then it says so, and the money goes back.
GRANT_MS = 10_000


# What a claim is answered with: a first grant, the same grant again, a refund and void, void, or no.
Verdict = Literal["grant", "again", "expire", "void", "no"]


class Offered(Protocol):
    """What can be claimed: an order, or a pour."""

    @property
    def machine(self) -> str:
        """The machine that it is offered to."""

    @property
    def state(self) -> str:
        """held, claimed, refunded, or something that is over."""

    @property
    def deadline_ms(self) -> int | None:
        """When it goes back unless it is claimed."""

    @property
    def claimed_ms(self) -> int | None:
        """When it was claimed."""

    @property
    def nonce(self) -> str | None:
        """Of the claim."""

    @property
    def boot_id(self) -> str | None:
        """Of the claim."""


def judge(offered: Offered | None, machine: Machine, claim: Claim, now_ms: int) -> Verdict:
    """What a claim is answered with. One that is repeated with the same nonce is answered with the same grant.

    What is void can never start at the machine again: it writes that down and reports it, which refunds a claimed one.
    """
    if offered is None or offered.machine != machine.machine:
        return "no"
    match offered.state:
        case "held" if offered.deadline_ms is not None and now_ms < offered.deadline_ms:
            return "grant"
        case "held":
            return "expire"
        case "claimed" if _is_same(offered, claim) and _is_fresh(offered, now_ms):
            return "again"
        case "claimed" | "refunded":
            return "void"
        case _:
            return "no"


def seal(credentials: Credentials, machine: Machine, claim: Claim, what: str) -> Grant:
    """The grant of a claim, sealed for one aisle or outlet (`what`) of one machine."""
    key = credentials.keys(machine.machine, machine.credential_version).mac_key
    mac = seal_grant(
        key, machine.machine, OrderId(claim.order), AisleId(what), Nonce(claim.nonce), BootId(claim.boot_id)
    )
    return Grant(order=claim.order, nonce=claim.nonce, boot_id=claim.boot_id, mac=mac)


def refuse(claim: Claim, verdict: Verdict) -> Refusal:
    """The answer to a claim that is not granted."""
    return Refusal(order=claim.order, nonce=claim.nonce, verdict="no" if verdict == "no" else "void")


def answer_claim(books: Books, credentials: Credentials, machine: Machine, claim: Claim) -> Grant | Refusal:
    """The answer to a claim, and the order's step from held to claimed; the order must be open in `books`."""
    order = books.order(machine.tenant, claim.order)
    verdict = judge(order, machine, claim, books.work.now_ms)
    if order is None or verdict in ("void", "no"):
        return refuse(claim, verdict)
    if verdict == "expire":
        expire(books, order)
        return refuse(claim, verdict)
    if verdict == "grant":
        _claim(books, order, claim)
    return seal(credentials, machine, claim, order.aisle)


def expire(books: Books, order: Order) -> None:
    """Nobody claimed it in time: the money goes back at once."""
    expired, effects = advance(order, "expire", books.work.now_ms)
    expired = replace(expired, reason="expired")
    books.put(expired)
    books.pay(expired, effects)
    books.withdraw_offer(expired)
    books.tell(expired, "order.expired")


def _claim(books: Books, order: Order, claim: Claim) -> None:
    claimed, _ = advance(order, "claim", books.work.now_ms)
    claimed = replace(claimed, claimed_ms=books.work.now_ms, nonce=claim.nonce, boot_id=claim.boot_id)
    books.put(claimed)
    books.withdraw_offer(claimed)
    books.tell(claimed, "order.claimed")


def _is_same(offered: Offered, claim: Claim) -> bool:
    return (offered.nonce, offered.boot_id) == (claim.nonce, claim.boot_id)


def _is_fresh(offered: Offered, now_ms: int) -> bool:
    return offered.claimed_ms is not None and now_ms - offered.claimed_ms <= GRANT_MS
