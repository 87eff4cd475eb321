"""The machine's word on a vend, carried out: money, stock, tickets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from cloud.errors import FleetError, IllegalEvent
from cloud.machines.model import Origin
from cloud.orders.books import Books
from cloud.orders.model import BIRTHS, Effect, Order, advance
from cloud.stock.model import Balance
from cloud.tickets.model import Condition
from shared.messages import ReviewClosed, VendDelivered, VendFailed, VendUnknown

VendEnd = VendDelivered | VendFailed | VendUnknown
Word = Literal["delivered", "failed", "unknown"]

# Failures before motion that say nothing about the machine: the cloud was late, or the order was withdrawn.
_NOBODYS_FAULT = frozenset({"void", "late_grant"})


def settle(books: Books, origin: Origin, fact: VendEnd) -> None:
    """Apply the end of a vend to its order; the order and the aisle of the fact must be open in `books`.

    Raises before anything is changed: `IllegalEvent` when the order has ended otherwise, FleetError(not_found) for an
    order that the cloud should know, FleetError(forbidden) for another machine's order.
    """
    word = word_of(fact)
    known = books.order(origin.tenant, fact.order)
    order, effects = _birth(origin, fact, word) if known is None else _advance(books, origin, known, word)
    order = _with_outcome(order, fact)
    if known is None:
        books.bear(order)
    else:
        books.put(order)
        books.withdraw_offer(order)
    books.pay(order, effects, note=f"{origin.machine} {origin.key}")
    _move_stock(books, origin, fact)
    _open_tickets(books, origin, order, fact, effects)
    books.tell(order, f"order.{word}", reason=order.reason)


def word_of(fact: VendEnd) -> Word:
    """Which of the three ends it is."""
    match fact:
        case VendDelivered():
            return "delivered"
        case VendFailed():
            return "failed"
        case VendUnknown():
            return "unknown"


def close_review(books: Books, origin: Origin, fact: ReviewClosed) -> None:
    """A person decided a doubtful vend and the machine's stock followed; so does the money, unless it has already.

    No stock moves when a count since the vend has settled the aisle: that movement was the count's.
    """
    order = books.require(origin.tenant, fact.order)
    _check_owner(origin, order)
    if order.is_doubtful:
        order, effects = advance(order, "decide_delivered" if fact.delivered else "decide_refunded", books.work.now_ms)
        books.put(replace(order, decided_by=origin.machine))
        books.pay(order, effects, note=f"{origin.machine} {origin.key}")
        books.desk.clear(Condition(origin.tenant, origin.machine, "vend_unknown", order.order))
        books.tell(order, "order.decided", delivered=fact.delivered)
    if not fact.counted_before:
        _move_reviewed(books, origin, fact)


def _move_reviewed(books: Books, origin: Origin, fact: ReviewClosed) -> None:
    """The item that was held is gone, or lies there after all."""
    kind: Literal["review_delivered", "review_returned"] = "review_delivered" if fact.delivered else "review_returned"
    books.shelves.move(origin, fact.aisle, fact.goods, kind, on_hand=-1 if fact.delivered else 0, held=-1)


def _birth(origin: Origin, fact: VendEnd, word: Word) -> tuple[Order, tuple[Effect, ...]]:
    if fact.source == "order" or fact.means == "escrow":
        raise FleetError("not_found", f"order {fact.order!r} is paid from escrow, and nobody placed it", field="order")
    state, effects = BIRTHS[word, fact.paid_fen > 0]
    ended = None if state == "review" else origin.happened_ms
    born = Order(
        tenant=origin.tenant,
        order=fact.order,
        machine=origin.machine,
        aisle=fact.aisle,
        goods=fact.goods,
        price_fen=fact.price_fen,
        source=fact.source,
        means=fact.means,
        paid_fen=fact.paid_fen,
        state=state,
        placed_ms=origin.happened_ms,
        ended_ms=ended,
        shop=origin.shop,
    )
    return born, effects


def _advance(books: Books, origin: Origin, order: Order, word: Word) -> tuple[Order, tuple[Effect, ...]]:
    _check_owner(origin, order)
    if word == "delivered" and order.delivered_aisle is not None:  # also after a refund: never twice (I1)
        raise IllegalEvent(f"order {order.order}", "delivered", word)
    return advance(order, word, books.work.now_ms)


def _check_owner(origin: Origin, order: Order) -> None:
    if order.machine != origin.machine:
        raise FleetError("forbidden", f"order {order.order!r} belongs to another machine", field="order")


def _with_outcome(order: Order, fact: VendEnd) -> Order:
    if isinstance(fact, VendDelivered):
        return replace(order, delivered_aisle=fact.aisle, reason=None)
    return replace(order, reason=fact.reason)


def _move_stock(books: Books, origin: Origin, fact: VendEnd) -> None:
    match fact:
        case VendDelivered():
            after = books.shelves.move(origin, fact.aisle, fact.goods, "deliver", on_hand=-1)
            _ask_for_refill(books, after)
        case VendUnknown():
            after = books.shelves.move(origin, fact.aisle, fact.goods, "hold", held=1)
            _ask_for_refill(books, after)
        case VendFailed():
            pass


def _ask_for_refill(books: Books, balance: Balance) -> None:
    if balance.is_low:
        condition = Condition(balance.tenant, balance.machine, "low_stock", balance.aisle)
        books.desk.open(condition, f"aisle {balance.aisle}: {balance.sellable} of {balance.goods} left")


def _open_tickets(books: Books, origin: Origin, order: Order, fact: VendEnd, effects: Iterable[Effect]) -> None:
    def open_ticket(code: str, scope: str, detail: str) -> None:
        books.desk.open(Condition(origin.tenant, origin.machine, code, scope), detail, subject=order.order)

    match fact:
        case VendDelivered():
            books.desk.clear(Condition(origin.tenant, origin.machine, "vend_failed", fact.aisle))
        case VendUnknown():
            open_ticket("vend_unknown", order.order, f"aisle {fact.aisle}: {fact.reason}; look whether something fell")
        case VendFailed() if order.state == "review":
            open_ticket("money_kept", order.order, f"{order.paid_fen} fen taken, nothing delivered: {fact.reason}")
        case VendFailed() if fact.reason not in _NOBODYS_FAULT:
            open_ticket("vend_failed", fact.aisle, f"aisle {fact.aisle}: {fact.reason}")
    if "absorb_loss" in effects:
        open_ticket("late_delivery", order.order, f"delivered after it was refunded: {order.paid_fen} fen lost")
