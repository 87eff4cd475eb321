"""Answers to the front panel and the technician: sales, stock, and how the machine is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_agent.ledger import journal, locks, outbox, stock
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.links.bus import Bus
from edge_agent.local_socket import Ask, Caller, Vocabulary
from edge_agent.operations import Operations
from edge_agent.vocabulary.asks import Clear, Count, Load, Lock, Nothing, OrderQuestion, Sell
from edge_agent.watch import MachineWatch
from shared.ids import OrderId


class LocalWords:
    """Answers the words by asking the operations and the ledger."""

    def __init__(
        self,
        *,
        operations: Operations,
        watch: MachineWatch,
        ledger: LedgerDatabase,
        buses: tuple[Bus, ...],
        why_not_connected: Callable[[], str | None],
    ) -> None:
        self._operations = operations
        self._watch = watch
        self._ledger = ledger
        self._buses = buses
        self._why_not_connected = why_not_connected

    def table(self) -> Vocabulary:
        """Every word, its parameters and who answers it."""
        return {
            "sell": Ask(Sell, self._sell),
            "order": Ask(OrderQuestion, self._order),
            "status": Ask(Nothing, self._status),
            "aisles": Ask(Nothing, self._aisles),
            "faults": Ask(Nothing, self._faults),
            "bus": Ask(Nothing, self._bus),
            "load": Ask(Load, self._load),
            "count": Ask(Count, self._count),
            "lock": Ask(Lock, self._lock),
            "clear": Ask(Clear, self._clear),
            "confirm_ledger": Ask(Nothing, self._confirm_ledger),
        }

    async def _sell(self, sell: Sell, caller: Caller) -> object:
        settled = await self._operations.sell(sell.press, sell.aisle, sell.means, sell.paid_fen)
        return {
            "order": settled.order,
            "state": settled.state,
            "reason": settled.reason,
            # What the panel gives back: everything when nothing fell, else what was put in beyond the price.
            "change_fen": max(0, sell.paid_fen - settled.kept_fen),
        }

    async def _order(self, question: OrderQuestion, caller: Caller) -> object:
        def look(conn: Any) -> object:
            row = journal.order(conn, OrderId(question.order))
            if row is None:
                return None
            attempts = journal.attempts_of(conn, OrderId(question.order))
            return {
                "order": question.order,
                "state": row.state,
                "reason": row.reason,
                "aisle": row.sale.aisle,
                "price_fen": row.sale.price_fen,
                "attempts": [
                    {"txn": each.txn, "aisle": each.aisle, "outcome": each.outcome, "result": each.result}
                    for each in attempts
                ],
            }

        return await self._ledger.read(look)

    async def _status(self, _: Nothing, caller: Caller) -> object:
        waiting = await self._ledger.read(outbox.waiting)
        room = await self._ledger.room()
        reason = self._operations.why_not_selling()
        config = self._operations.config
        unconnected = self._why_not_connected()
        return {
            "machine": self._ledger.machine,
            "epoch": self._ledger.epoch,
            "selling": reason is None,
            "reason": reason,
            "busy": self._operations.busy(),
            "config_version": config.version if config else 0,
            "connected": unconnected is None,
            "not_connected_because": unconnected,
            "boards_down": dict(self._watch.boards_down()),
            "door_open": self._watch.condition.door_open,
            "temperature": self._watch.condition.band,
            "facts_waiting": waiting,
            "disk_free_bytes": room.free_bytes,
        }

    async def _aisles(self, _: Nothing, caller: Caller) -> object:
        balances = await self._ledger.read(stock.balances)
        locked = await self._ledger.read(locks.locked_aisles)
        config = self._operations.config
        rows = []
        for aisle in config.aisles if config else ():
            balance = balances.get(aisle.aisle)  # type: ignore[call-overload]
            rows.append(
                {
                    "aisle": aisle.aisle,
                    "board": aisle.board,
                    "motor": aisle.motor,
                    "goods": aisle.goods,
                    "price_fen": aisle.price_fen,
                    "on_hand": balance.on_hand if balance else 0,
                    "held": balance.held if balance else 0,
                    "locked": locked.get(aisle.aisle),  # type: ignore[call-overload]
                }
            )
        return rows

    async def _faults(self, _: Nothing, caller: Caller) -> object:
        return await self._ledger.read(locks.active_faults)

    async def _bus(self, _: Nothing, caller: Caller) -> object:
        return [bus.statistics() for bus in self._buses]

    async def _load(self, load: Load, caller: Caller) -> object:
        return {"on_hand": await self._operations.load(load.aisle, load.quantity, caller.name)}

    async def _count(self, count: Count, caller: Caller) -> object:
        return {"difference": await self._operations.count(count.aisle, count.counted, caller.name)}

    async def _lock(self, lock: Lock, caller: Caller) -> object:
        await self._operations.set_lock(lock.aisle, lock.locked, lock.reason)
        return {}

    async def _clear(self, clear: Clear, caller: Caller) -> object:
        await self._operations.clear_fault(clear.code, clear.scope, caller.name)
        return {}

    async def _confirm_ledger(self, _: Nothing, caller: Caller) -> object:
        await self._operations.confirm_ledger(caller.name)
        return {}
