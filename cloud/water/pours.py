"""The pours that one unit of work may change, beside its books: read with one statement, written with a few."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cloud.errors import FleetError
from cloud.events import Event
from cloud.orders.books import Books
from cloud.water import store
from cloud.water.model import Flow, Pour, PourEffect, posting

Key = tuple[str, str]


class Pours:
    """Pours and litres of one unit of work. Money, tickets and events go into its books."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self._pours: dict[Key, Pour] = {}
        self._born: set[Key] = set()
        self._changed: set[Key] = set()
        self._flows: list[Flow] = []

    @classmethod
    async def open(cls, books: Books, wanted: Iterable[Key] = ()) -> Pours:
        """Read and lock what the rules will need; pours that do not exist yet are fine."""
        pours = cls(books)
        pours._pours = await store.find_pours(books.work, set(wanted))
        return pours

    @property
    def now_ms(self) -> int:
        """When this work began."""
        return self.books.work.now_ms

    def pour(self, tenant: str, order: str) -> Pour | None:
        """An opened pour as it is by now."""
        return self._pours.get((tenant, order))

    def require(self, tenant: str, order: str) -> Pour:
        """An opened pour, or FleetError(not_found)."""
        found = self.pour(tenant, order)
        if found is None:
            raise FleetError("not_found", f"no pour {order!r}", field="order")
        return found

    def bear(self, pour: Pour) -> None:
        """A new pour."""
        self._pours[pour.tenant, pour.order] = pour
        self._born.add((pour.tenant, pour.order))

    def put(self, pour: Pour) -> None:
        """An opened pour has changed."""
        self._pours[pour.tenant, pour.order] = pour
        self._changed.add((pour.tenant, pour.order))

    def pay(self, pour: Pour, effects: Iterable[PourEffect], *, note: str = "") -> None:
        """Book what the effects mean for the pour's money."""
        for effect in effects:
            self.books.ledger.book(pour.tenant, effect, pour.order, [posting(pour, effect)], note=note)

    def flow(self, line: Flow) -> None:
        """Write one line of litres."""
        self._flows.append(line)

    def withdraw_offer(self, pour: Pour) -> None:
        """The machine need not hear of this pour any more."""
        self.books.withdraw(pour.tenant, pour.order)

    def tell(self, pour: Pour, kind: str, **more: Any) -> None:
        """Let those who watch know."""
        data = {
            "machine": pour.machine,
            "outlet": pour.outlet,
            "state": pour.state,
            "asked_ml": pour.asked_ml,
            "poured_ml": pour.poured_ml,
            "charged_fen": pour.charged_fen,
            **more,
        }
        self.books.announce(Event(pour.tenant, kind, pour.order, data))

    async def write(self) -> None:
        """Write the pours and their litres; their place in the lock order is before the books, which follow."""
        await store.add_pours(self.books.work, [self._pours[key] for key in sorted(self._born)])
        await store.put_pours(self.books.work, [self._pours[key] for key in sorted(self._changed - self._born)])
        await store.add_flows(self.books.work, self._flows)
