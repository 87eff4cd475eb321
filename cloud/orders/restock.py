"""What people put into the aisles, as the machine reports it."""

from __future__ import annotations

from cloud.machines.model import Origin
from cloud.orders.books import Books
from cloud.stock.model import Balance
from cloud.tickets.create import OUT_OF_STOCK
from cloud.tickets.model import Condition
from shared.messages import StockCounted, StockLoaded


def load(books: Books, origin: Origin, fact: StockLoaded) -> None:
    """Items were put in, or taken out; the machine's balance after it must be ours."""
    after = books.shelves.move(origin, fact.aisle, fact.goods, "load", on_hand=fact.quantity, person=fact.person)
    _compare(books, after, fact.on_hand)
    _follow_refill(books, after)
    if fact.quantity > 0:
        books.desk.clear(Condition(origin.tenant, origin.machine, OUT_OF_STOCK, "machine"))


def count(books: Books, origin: Origin, fact: StockCounted) -> None:
    """Somebody counted: what lies there is what was counted, whatever the books said, and none of it is in doubt."""
    before = books.shelves.balance(origin.tenant, origin.machine, fact.aisle)
    _compare(books, before, fact.expected)
    change = fact.counted - before.on_hand
    after = books.shelves.move(
        origin, fact.aisle, fact.goods, "count", on_hand=change, held=-before.held, person=fact.person
    )
    _follow_refill(books, after)


def _compare(books: Books, ours: Balance, theirs: int) -> None:
    if ours.on_hand != theirs:
        condition = Condition(ours.tenant, ours.machine, "stock_mismatch", ours.aisle)
        books.desk.open(condition, f"aisle {ours.aisle}: the machine has {theirs}, the cloud {ours.on_hand}; count it")


def _follow_refill(books: Books, balance: Balance) -> None:
    condition = Condition(balance.tenant, balance.machine, "low_stock", balance.aisle)
    if balance.is_low:
        books.desk.open(condition, f"aisle {balance.aisle}: {balance.sellable} of {balance.goods} left")
    else:
        books.desk.clear(condition)
