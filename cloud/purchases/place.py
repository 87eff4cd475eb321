"""Ordering: prices are the products' own, of this day."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from cloud.accounts.brands import dated_number
from cloud.database import Work
from cloud.errors import FleetError
from cloud.events import tell
from cloud.members.ledger import Ledger
from cloud.members.wallet import member_of
from cloud.products.model import Product
from cloud.products.shelf import kept_product, products_of
from cloud.purchases import store
from cloud.purchases.model import (
    LINES_MAX,
    QUANTITY_MAX,
    Deadlines,
    Line,
    Purchase,
    PurchaseKind,
    Receiver,
    bought,
    rented,
)
from cloud.purchases.steps import purchase_event, step
from cloud.rentals.begin import rental_of
from cloud.rentals.model import HELD

# Orders of one member that wait for their money: a basket or two, and whoever tries out.
UNPAID_MAX = 50
# The most that one order may cost: ten million yuan, well below what a provider takes.
AMOUNT_MAX_FEN = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """So many pieces of a product. `period`: rent them, for this first period; None: as the product is offered."""

    product: str
    quantity: int
    period: str | None = None


@dataclass(frozen=True, slots=True)
class Basket:
    """What a customer orders at once, where it is to go, and what he wrote to it."""

    wanted: Sequence[Wanted]
    receiver: Receiver
    memo: str = ""


# What is made of the lines before the order is written: something may be taken off them.
Pricing = Callable[[tuple[Line, ...]], Awaitable[tuple[Line, ...]]]


async def as_offered(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """Nothing is taken off."""
    return lines


async def place_purchase(
    work: Work,
    deadlines: Deadlines,
    tenant: str,
    member: str,
    basket: Basket,
    *,
    pricing: Pricing = as_offered,
    group: str | None = None,
    pay_by_ms: int | None = None,
) -> Purchase:
    """Write an order that waits for its money, until `pay_by_ms` at the latest; one that costs nothing is paid at once.

    `group`: the one that it is bought in.

    FleetError: invalid (product, quantity, period), gone member, too_many unpaid orders; what `pricing` raises.
    """
    wanted = basket.wanted
    if not 0 < len(wanted) <= LINES_MAX:
        raise FleetError("invalid", f"1 to {LINES_MAX} products are expected", field="content")
    found = await products_of(work, tenant, {one.product for one in wanted})
    lines = tuple(_line(found.get(one.product), one) for one in wanted)
    reserved = all(found[one.product].kind == "reservation" for one in wanted)
    kind: PurchaseKind = "reservation" if reserved else "goods"
    if any(line.period is not None for line in lines):
        kind = "rental"
    priced = await pricing(lines)
    to, memo = basket.receiver, basket.memo
    return await _write(work, deadlines, tenant, member, kind, priced, to, memo, group=group, pay_by_ms=pay_by_ms)


async def place_renewal(work: Work, deadlines: Deadlines, tenant: str, rental: str, period: str) -> Purchase:
    """Write an order for a further period of a rental, at today's price; paying it renews the rental.

    FleetError: not_found, conflict when the rental has ended, invalid period, too_many unpaid orders.
    """
    found = await rental_of(work, tenant, rental)
    if found.state not in HELD:
        raise FleetError("conflict", f"the rental {rental!r} has ended", field="rental")
    product = await kept_product(work, tenant, found.product)
    # A further period brings no freight, installation or deposit.
    line = _rented(product, Wanted(product=found.product, quantity=1, period=period))
    line = Line(
        product=line.product,
        name=line.name,
        quantity=1,
        price_fen=line.price_fen,
        period=line.period,
        commission=line.commission,
    )
    return await _write(work, deadlines, tenant, found.member, "renewal", (line,), Receiver(), "", rental=rental)


async def _write(
    work: Work,
    deadlines: Deadlines,
    tenant: str,
    member: str,
    kind: PurchaseKind,
    lines: tuple[Line, ...],
    receiver: Receiver,
    memo: str,
    rental: str | None = None,
    group: str | None = None,
    pay_by_ms: int | None = None,
) -> Purchase:
    due_ms = work.now_ms + deadlines.pay_ms
    buyer = await member_of(work, tenant, member, lock=True)  # so that the unpaid ones are counted once
    if await store.count_unpaid(work, tenant, member) >= UNPAID_MAX:
        raise FleetError("too_many", f"{UNPAID_MAX} orders wait for their money: pay or cancel some", field="content")
    purchase = Purchase(
        tenant=tenant,
        purchase=await dated_number(work, tenant, "purchase"),
        kind=kind,
        state="obligation",
        member=buyer.member,
        unit=buyer.unit,
        lines=lines,
        goods_fen=sum(line.goods_fen for line in lines),
        freight_fen=sum(line.freight_fen for line in lines),
        install_fen=sum(line.install_fen * line.quantity for line in lines),
        deposit_fen=sum(line.deposit_fen * line.quantity for line in lines),
        receiver=receiver,
        memo=memo,
        rental=rental,
        group=group,
        due_ms=due_ms if pay_by_ms is None else min(due_ms, pay_by_ms),
        created_ms=work.now_ms,
    )
    if purchase.amount_fen > AMOUNT_MAX_FEN:
        raise FleetError("invalid", f"one order costs at most {AMOUNT_MAX_FEN // 100} yuan", field="content")
    if purchase.amount_fen == 0:
        ledger = Ledger(work)
        purchase = await step(work, ledger, purchase, purchase.when_paid, deadlines, member)
        await ledger.write()
    else:
        await store.put_purchase(work, purchase)
    await tell(work, [purchase_event(purchase)])
    return purchase


def _line(product: Product | None, wanted: Wanted) -> Line:
    if product is None:
        raise FleetError("invalid", f"no product {wanted.product!r}", field="content")
    if not 0 < wanted.quantity <= QUANTITY_MAX:
        raise FleetError("invalid", f"quantity: {wanted.quantity} is not between 1 and {QUANTITY_MAX}", field="content")
    if wanted.period is not None or (product.specification.is_rented and product.rent.periods):
        return _rented(product, wanted)
    return bought(product, wanted.quantity)


def _rented(product: Product, wanted: Wanted) -> Line:
    offered = product.rent.periods
    period = offered[0] if wanted.period is None and offered else product.rent.period(wanted.period or "")
    if period is None:
        keys = ", ".join(one.key for one in offered) or "none"
        raise FleetError("invalid", f"period: {wanted.period!r} is not offered ({keys})", field="content")
    return rented(product, wanted.quantity, period)
