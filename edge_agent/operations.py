"""All that may be asked of this machine, by the cloud, the front panel or a technician, and in which order it happens.

One vend at a time: whoever holds the lane turns motors, and everybody else is told that the machine is busy. What has
begun is finished whether or not the one who asked still waits.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from edge_agent.errors import DiskShort, Refused
from edge_agent.ledger import config as stored_config
from edge_agent.ledger import journal, locks, stock
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.ledger.journal import Sale
from edge_agent.vend import aisles
from edge_agent.vend.claim import WAIT_MS, Claims, bury
from edge_agent.vend.recovery import recover
from edge_agent.vend.session import VendEnd, Vending
from edge_agent.watch import HELD_BACK, MachineWatch
from shared.clock import Clock
from shared.ids import AisleId, GoodsId, OrderId, check_id
from shared.messages import AisleConfig, MachineConfig, Means, Offer

log = logging.getLogger(__name__)

# A panel's press id becomes the order id, so that pressing again, or asking again after a crash, never sells twice.
PRESS_PREFIX = "p"


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a sale, in the words of the journal: delivered, failed, unknown or tombstoned.

    `kept_fen` is what stays in the machine of the coins that were put in: the price, or nothing when nothing fell. They
    are kept while a vend is in review, because only a person can decide it.
    """

    order: OrderId
    state: str
    reason: str | None
    kept_fen: int


class Operations:
    """The machine's use cases. `lane` is held by whoever may turn a motor."""

    def __init__(
        self,
        *,
        ledger: LedgerDatabase,
        clock: Clock,
        mac_key: bytes,
        vending: Vending,
        claims: Claims,
        watch: MachineWatch,
        lane: asyncio.Lock,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._mac_key = mac_key
        self._vending = vending
        self._claims = claims
        self._watch = watch
        self._lane = lane

    # --- life ---

    async def reload(self) -> None:
        """Act on the last known good configuration, at start and after every change of it."""
        machine, key = self._ledger.machine, self._mac_key
        config = await self._ledger.read(lambda conn: stored_config.last_known_good(conn, machine, key))
        await self._watch.configure(config)

    async def recover(self) -> list[VendEnd]:
        """Settle what the last run left open; nothing is sold before this has returned."""
        async with self._lane:
            ends = await recover(self._ledger, self._vending, self.config, self._clock)
            await self._watch.change(recovering=False)
        return ends

    def busy(self) -> bool:
        """Whether a vend (or the recovery of one) is running."""
        return self._lane.locked()

    @property
    def config(self) -> MachineConfig | None:
        """The configuration that the machine acts on now."""
        return self._watch.config

    def why_not_selling(self) -> str | None:
        """A sentence, or None when the machine may sell."""
        return self._watch.why_not_selling()

    # --- sales ---

    async def take_offer(self, offer: Offer) -> VendEnd | None:
        """Wait for the lane, claim an offered order and carry it out. None when it may not be sold or was not granted.

        An order that was claimed and cannot be carried out, or whose aisle cannot deliver, is answered with its
        tombstone, so that the buyer has the money back at once. One that only has to wait is offered again.
        """
        async with self._lane:
            config = self.config
            known = await self._ledger.read(lambda conn: journal.order(conn, OrderId(offer.order)))
            if known is not None or config is None or self.why_not_selling() is not None:
                return None
            try:
                ready = await self._vending.make_ready(config, offer.aisle, offer.goods)
                won = await self._claims.win(offer, ready.aisle, config.version)
                if won is None:
                    return None
                return await self._vending.deliver(won.sale, config, ready, not_after_mono_ms=won.not_after_mono_ms)
            except (Refused, DiskShort) as refused:
                log.warning("order %s is not carried out: %s", offer.order, refused)
                await self._bury(offer, config, refused)
                return None

    async def sell(self, press: str, aisle: str, means: Means, paid_fen: int) -> Settled:
        """A sale started and paid on the machine. The same press asked again is answered with what became of it.

        Raises `Refused`: "not_selling", "busy", "aisle_closed", "underpaid", "known_order" (still running).
        """
        order = OrderId(check_id("press", PRESS_PREFIX + press))
        if (known := await self.settled(order)) is not None:
            return known
        reason = self.why_not_selling()
        config = self.config
        if reason is not None or config is None:
            raise Refused("not_selling", reason or "no configuration yet")
        found = aisles.find(config, aisle)
        if found is None:
            raise Refused("aisle_closed", f"there is no aisle {aisle}")
        if means != "free" and paid_fen < found.price_fen:
            raise Refused("underpaid", f"aisle {aisle} costs {found.price_fen} fen, {paid_fen} were paid")
        if self.busy():
            raise Refused("busy", "another sale is running")
        async with self._lane:
            await self._sell(order, found, config, means)
        settled = await self.settled(order)
        assert settled is not None
        return settled

    async def _sell(self, order: OrderId, aisle: AisleConfig, config: MachineConfig, means: Means) -> None:
        pressed_ms = self._clock.mono_ms()
        ready = await self._vending.make_ready(config, aisle.aisle, aisle.goods)
        sale = Sale(
            order=order,
            aisle=AisleId(ready.aisle.aisle),
            goods=GoodsId(aisle.goods),
            price_fen=aisle.price_fen,
            source="button",
            means=means,
            # The price stays here; what was put in beyond it is the panel's to give back.
            paid_fen=0 if means == "free" else aisle.price_fen,
            config_version=config.version,
        )
        await self._vending.deliver(sale, config, ready, not_after_mono_ms=pressed_ms + WAIT_MS)

    async def settled(self, order: OrderId) -> Settled | None:
        """What became of an order; None when it was never begun here. `Refused("known_order")` while it runs."""
        row = await self._ledger.read(lambda conn: journal.order(conn, order))
        if row is None:
            return None
        if row.state in ("open", "claimed"):
            raise Refused("known_order", f"order {order} is running")
        kept_fen = row.sale.paid_fen if row.state in ("delivered", "unknown") else 0
        return Settled(order=order, state=row.state, reason=row.reason, kept_fen=kept_fen)

    async def _bury(self, offer: Offer, config: MachineConfig, refused: Refused | DiskShort) -> None:
        """Tell that an offered order will never be carried out here, if that is already certain."""
        row = await self._ledger.read(lambda conn: journal.order(conn, OrderId(offer.order)))
        if row is not None and row.state == "claimed":
            await bury(self._ledger, row.sale, "not_selling", self._clock)
        elif row is None and isinstance(refused, Refused) and refused.reason == "aisle_closed":
            sale = Sale(
                order=OrderId(offer.order),
                aisle=AisleId(offer.aisle),
                goods=GoodsId(offer.goods),
                price_fen=offer.price_fen,
                source="order",
                means="escrow",
                paid_fen=offer.price_fen,
                config_version=config.version,
            )
            await bury(self._ledger, sale, "aisle_closed", self._clock)

    # --- stock and locks, by a person at the machine ---

    async def load(self, aisle: str, quantity: int, person: str) -> int:
        """Book items put into (or taken out of) an aisle; returns what lies there now."""
        found = self._aisle(aisle)
        await self._ledger.write(
            lambda conn: stock.load(
                conn, AisleId(found.aisle), GoodsId(found.goods), quantity, self._clock, person=person
            )
        )
        return (await self._ledger.read(lambda conn: stock.balance(conn, AisleId(aisle)))).on_hand

    async def count(self, aisle: str, counted: int, person: str) -> int:
        """Book the counted number of items; returns the difference to what the ledger expected."""
        found = self._aisle(aisle)
        before = (await self._ledger.read(lambda conn: stock.balance(conn, AisleId(aisle)))).on_hand
        await self._ledger.write(
            lambda conn: stock.count(
                conn, AisleId(found.aisle), GoodsId(found.goods), counted, self._clock, person=person
            )
        )
        return counted - before

    async def set_lock(self, aisle: str, locked: bool, reason: str) -> None:
        """Close an aisle for sale, or open it."""
        found = self._aisle(aisle)
        await self._ledger.write(lambda conn: locks.set_lock(conn, found.aisle, locked, reason, self._clock))

    async def clear_fault(self, code: str, scope: str, person: str) -> None:
        """A person has looked at a fault and says that it is over; one that still holds comes back by itself.

        What holds the whole machine back is not his to lift: it would not come back by itself. `Refused("held_back")`.
        """
        if code in HELD_BACK:
            raise Refused("held_back", f"{code}: nobody clears this at the machine: ask the operator")
        await self._ledger.write(lambda conn: locks.clear_fault(conn, code, scope, f"cleared by {person}", self._clock))

    async def confirm_ledger(self, person: str) -> None:
        """A person has counted the stock after a damaged ledger: the machine may sell again."""
        await self._ledger.confirm_damage()
        log.warning("the damaged ledger was confirmed by %s", person)
        await self.reload()

    def _aisle(self, name: str) -> AisleConfig:
        found = aisles.find(self.config, name) if self.config is not None else None
        if found is None:
            raise Refused("aisle_closed", f"there is no aisle {name} in this machine's configuration")
        return found
