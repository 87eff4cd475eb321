"""Placing an order: presence, aisle, stock, money and the offer, in one unit of work."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from cloud import downlink
from cloud.database import Work
from cloud.errors import FleetError
from cloud.machines.model import Machine
from cloud.machines.planogram import aisle_of, current_config
from cloud.machines.presence import aisle_is_locked, expect_selling
from cloud.members.wallet import member_of, wallet_balance
from cloud.orders import store
from cloud.orders.books import Books
from cloud.orders.model import Order, advance
from cloud.stock.shelves import sellable
from shared.ids import mint_order_id
from shared.messages import AisleConfig, Offer, encode

# The same as the setting's default, for callers that have no settings.
DEADLINE_MS = 60_000
# What clients send is a UUID or a number of theirs; more is a mistake.
KEY_CHARS_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder:
    """A member wants one item of an aisle now. The price is the server's business."""

    tenant: str
    member: str
    machine: str
    aisle: str
    idempotency_key: str

    @property
    def key(self) -> str:
        """One member's keys are nobody else's."""
        return f"{self.member}/{self.idempotency_key}"

    @property
    def digest(self) -> str:
        """The same for the same request."""
        return hashlib.sha256(f"{self.member}\n{self.machine}\n{self.aisle}".encode()).hexdigest()


async def place(work: Work, wanted: PlaceOrder, *, deadline_ms: int = DEADLINE_MS) -> Order:
    """Hold the price in escrow and offer the order to its machine; asked again with the same key, the same order.

    FleetError: not_found (machine, member, aisle), unavailable (the machine is away or does not sell), conflict (aisle
    closed or empty, not enough money, key used for another request), invalid (key).
    """
    if not 0 < len(wanted.idempotency_key) <= KEY_CHARS_MAX:
        raise FleetError("invalid", f"1 to {KEY_CHARS_MAX} characters are expected", field="idempotency_key")
    await member_of(work, wanted.tenant, wanted.member, lock=True)  # one spending at a time, so the key is met once
    if before := await store.find_by_key(work, wanted.tenant, wanted.key):
        if before.request_hash != wanted.digest:
            raise FleetError("conflict", "the key was used for another order", field="idempotency_key")
        return before
    machine, aisle = await _open_aisle(work, wanted)
    if await wallet_balance(work, wanted.tenant, wanted.member) < aisle.price_fen:
        raise FleetError("conflict", f"the wallet does not hold {aisle.price_fen} fen", field="member")
    order = Order(
        tenant=wanted.tenant,
        order=mint_order_id(),
        machine=wanted.machine,
        aisle=aisle.aisle,
        goods=aisle.goods,
        price_fen=aisle.price_fen,
        source="order",
        means="escrow",
        paid_fen=aisle.price_fen,
        state="held",
        placed_ms=work.now_ms,
        member=wanted.member,
        idempotency_key=wanted.key,
        request_hash=wanted.digest,
        deadline_ms=work.now_ms + deadline_ms,
        shop=machine.shop,
    )
    books = Books(work)
    books.bear(order)
    books.pay(order, ["hold"])
    await _offer(work, order)
    books.tell(order, "order.placed")
    await books.write()
    return order


async def cancel(work: Work, tenant: str, order: str) -> Order:
    """Take an order back while no machine has claimed it; FleetError: not_found, or conflict when it is too late."""
    books = await Books.open(work, orders=[(tenant, order)])
    cancelled, effects = advance(books.require(tenant, order), "cancel", work.now_ms)
    cancelled = replace(cancelled, reason="cancelled")
    books.put(cancelled)
    books.pay(cancelled, effects)
    books.withdraw_offer(cancelled)
    books.tell(cancelled, "order.cancelled")
    await books.write()
    return cancelled


async def _open_aisle(work: Work, wanted: PlaceOrder) -> tuple[Machine, AisleConfig]:
    """The machine and its aisle, if an item of it can be sold now."""
    machine = await expect_selling(work, wanted.tenant, wanted.machine)
    config = await current_config(work, wanted.tenant, wanted.machine)
    aisle = aisle_of(config, wanted.aisle)
    if aisle is None:
        raise FleetError("not_found", f"machine {wanted.machine!r} has no aisle {wanted.aisle!r}", field="aisle")
    if not aisle.for_sale or await aisle_is_locked(work, wanted.tenant, wanted.machine, wanted.aisle):
        raise FleetError("conflict", f"aisle {wanted.aisle!r} is closed", field="aisle")
    stock = await sellable(work, wanted.tenant, wanted.machine, wanted.aisle, lock=True)
    if stock.sellable <= await store.open_on_aisle(work, wanted.tenant, wanted.machine, wanted.aisle):
        raise FleetError("conflict", f"aisle {wanted.aisle!r} is sold out", field="aisle")
    return machine, aisle


async def _offer(work: Work, order: Order) -> None:
    assert order.deadline_ms is not None, "a placed order has a deadline"
    offer = Offer(order=order.order, aisle=order.aisle, goods=order.goods, price_fen=order.price_fen)
    await downlink.enqueue(work, order.tenant, order.machine, "offer", order.order, encode(offer), order.deadline_ms)
