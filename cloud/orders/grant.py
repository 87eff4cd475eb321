"""A machine bids for an order: yes, once, in time; void when it must not happen any more; no when there is nothing."""

from __future__ import annotations

from dataclasses import replace

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


def answer_claim(books: Books, credentials: Credentials, machine: Machine, claim: Claim) -> Grant | Refusal:
    """The answer to a claim, and the order's step from held to claimed; the order must be open in `books`.

    A claim that is repeated with the same nonce is answered with the same grant. A void order can never start at the
    machine again: it writes that down and reports the order failed, which refunds a claimed one.
    """
    order = books.order(machine.tenant, claim.order)
    if order is None or order.machine != machine.machine:
        return Refusal(order=claim.order, nonce=claim.nonce, verdict="no")
    match order.state:
        case "held" if _in_time(order, books.work.now_ms):
            return _grant(credentials, machine, _claim(books, order, claim))
        case "held":
            expire(books, order)
            return Refusal(order=claim.order, nonce=claim.nonce, verdict="void")
        case "claimed" if _is_same(order, claim) and _is_fresh(order, books.work.now_ms):
            return _grant(credentials, machine, order)
        case "claimed" | "refunded":
            return Refusal(order=claim.order, nonce=claim.nonce, verdict="void")
        case _:
            return Refusal(order=claim.order, nonce=claim.nonce, verdict="no")


def expire(books: Books, order: Order) -> None:
    """Nobody claimed it in time: the money goes back at once."""
    expired, effects = advance(order, "expire", books.work.now_ms)
    expired = replace(expired, reason="expired")
    books.put(expired)
    books.pay(expired, effects)
    books.withdraw_offer(expired)
    books.tell(expired, "order.expired")


def _claim(books: Books, order: Order, claim: Claim) -> Order:
    claimed, _ = advance(order, "claim", books.work.now_ms)
    claimed = replace(claimed, claimed_ms=books.work.now_ms, nonce=claim.nonce, boot_id=claim.boot_id)
    books.put(claimed)
    books.withdraw_offer(claimed)
    books.tell(claimed, "order.claimed")
    return claimed


def _grant(credentials: Credentials, machine: Machine, order: Order) -> Grant:
    assert order.nonce is not None
    assert order.boot_id is not None
    key = credentials.keys(machine.machine, machine.credential_version).mac_key
    mac = seal_grant(
        key, machine.machine, OrderId(order.order), AisleId(order.aisle), Nonce(order.nonce), BootId(order.boot_id)
    )
    return Grant(order=order.order, nonce=order.nonce, boot_id=order.boot_id, mac=mac)


def _in_time(order: Order, now_ms: int) -> bool:
    return order.deadline_ms is not None and now_ms < order.deadline_ms


def _is_same(order: Order, claim: Claim) -> bool:
    return (order.nonce, order.boot_id) == (claim.nonce, claim.boot_id)


def _is_fresh(order: Order, now_ms: int) -> bool:
    return order.claimed_ms is not None and now_ms - order.claimed_ms <= GRANT_MS
