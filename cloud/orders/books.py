"""Everything about sales that one unit of work may change, read with a few statements and written with a few.

Between `open` and `write` the rules run in memory, one order after another, so a batch of five hundred facts costs the
database about as many statements as one. A rule that refuses does so before it has changed anything here; the caller
may then go on with the next order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cloud import downlink
from cloud.database import Work
from cloud.errors import FleetError
from cloud.events import Event, tell
from cloud.members.ledger import Ledger
from cloud.orders import store
from cloud.orders.model import Effect, Order, posting
from cloud.stock.shelves import Aisle, Shelves
from cloud.tickets.desk import TicketDesk

Key = tuple[str, str]


class Books:
    """Orders, money, stock, tickets and events of one unit of work."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.ledger = Ledger(work)
        self.shelves = Shelves(work)
        self.desk = TicketDesk(work)
        self._orders: dict[Key, Order] = {}
        self._born: set[Key] = set()
        self._changed: set[Key] = set()
        self._withdrawn: dict[str, set[str]] = {}
        self._events: list[Event] = []

    @classmethod
    async def open(cls, work: Work, *, orders: Iterable[Key] = (), aisles: Iterable[Aisle] = ()) -> Books:
        """Read and lock what the rules will need; orders and aisles that do not exist yet are fine."""
        books = cls(work)
        books._orders = await store.find_orders(work, set(orders))
        await books.shelves.load(aisles)
        return books

    def order(self, tenant: str, order: str) -> Order | None:
        """An opened order as it is by now."""
        return self._orders.get((tenant, order))

    def require(self, tenant: str, order: str) -> Order:
        """An opened order, or FleetError(not_found)."""
        found = self.order(tenant, order)
        if found is None:
            raise FleetError("not_found", f"no order {order!r}", field="order")
        return found

    def bear(self, order: Order) -> None:
        """A new order."""
        self._orders[order.tenant, order.order] = order
        self._born.add((order.tenant, order.order))

    def put(self, order: Order) -> None:
        """An opened order has changed."""
        self._orders[order.tenant, order.order] = order
        self._changed.add((order.tenant, order.order))

    def pay(self, order: Order, effects: Iterable[Effect], *, note: str = "") -> None:
        """Book what the effects mean for the order's money."""
        for effect in effects:
            self.ledger.book(order.tenant, effect, order.order, [posting(order, effect, order.paid_fen)], note=note)

    def withdraw_offer(self, order: Order) -> None:
        """The machine need not hear of this order any more."""
        self.withdraw(order.tenant, order.order)

    def withdraw(self, tenant: str, reference: str) -> None:
        """A machine need not hear any more of what was enqueued under `reference`."""
        self._withdrawn.setdefault(tenant, set()).add(reference)

    def tell(self, order: Order, kind: str, **more: Any) -> None:
        """Let those who watch know."""
        data = {
            "machine": order.machine,
            "aisle": order.aisle,
            "goods": order.goods,
            "state": order.state,
            "paid_fen": order.paid_fen,
            **more,
        }
        self.announce(Event(order.tenant, kind, order.order, data))

    def announce(self, event: Event) -> None:
        """Let those who watch know of something else."""
        self._events.append(event)

    async def write(self) -> None:
        """Write everything, in the house's lock order; the last statement is the events'."""
        await store.add_orders(self.work, [self._orders[key] for key in sorted(self._born)])
        await store.put_orders(self.work, [self._orders[key] for key in sorted(self._changed - self._born)])
        await self.shelves.write()
        await self.desk.write()
        await self.ledger.write()
        for tenant, orders in sorted(self._withdrawn.items()):
            await downlink.withdraw(self.work, tenant, sorted(orders))
        await tell(self.work, self._events)
