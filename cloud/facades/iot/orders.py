"""Chapter AD: orders of products, their delivery, payment and return."""

from __future__ import annotations

from typing import Literal

from cloud.accounts.audit import record
from cloud.accounts.model import Permission
from cloud.database import Work
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.iot.orders_shapes import (
    PAY_CHANNELS,
    DeliveryAsk,
    DeliveryTold,
    OrderAdded,
    OrderAsk,
    Orders,
    OrderTold,
    OrderWindow,
    PaymentTold,
    PrepayTold,
    RefundAsk,
    delivery_told,
    order_told,
    own_number,
    payment_told,
)
from cloud.facades.iot.wire import BRANDS, CUSTOMERS, OFFICES, PLATFORM, allow, iso, yuan
from cloud.members.wechat import openid_of
from cloud.payments.model import Payment
from cloud.payments.request import begin
from cloud.promotions.order import order
from cloud.providers.payment import Channel
from cloud.purchases import fulfil
from cloud.purchases.browse import list_purchases, purchase_seen
from cloud.purchases.model import Purchase, PurchaseEvent
from cloud.purchases.prepay import prepay
from cloud.wiring import deadlines_of


async def list_orders(call: Call[Nothing, OrderWindow]) -> Orders:
    """Orders (AD-01), newest first: a customer's own, a brand's, or those of the customers that a unit serves.

    `status`, `amount`, `freight`, `install_cost`, `deposit`, `refunded`, `rental_id`, `vid` and the further spellings
    of the address are additions. `state` is the place in the chain: 0 obligation, 1 paid, 2 delivered, 3 received,
    4 return, 5 consent, 6 refund, 7 close, 8 done, and 9 gathering: paid in a group that is not full yet.
    """
    found = await list_purchases(call.work, call.subject.reach, call.query.ask)
    return Orders(total=found.total, orders=[order_told(purchase) for purchase in found.items])


async def add_order(call: Call[OrderAsk, Nothing]) -> OrderAdded:
    """Order products (AD-02) at their prices of now; the order's number is answered.

    `period` rents, `coupon_id` takes off what a coupon is worth, and reductions that run are taken off by themselves:
    additions.
    """
    deadlines, coupon = deadlines_of(call.parts.settings), call.body.coupon_id or None
    placed = await order(call.work, deadlines, call.tenant, call.subject.user, call.body.basket(), coupon=coupon)
    return OrderAdded(order_id=placed.purchase, amount=yuan(placed.amount_fen))


async def read_order(call: Call[Nothing, Nothing]) -> OrderTold:
    """One order (AD-03); 410 when it was deleted."""
    return order_told(await _seen(call.work, call))


async def read_delivery(call: Call[Nothing, Nothing]) -> DeliveryTold:
    """How an order is sent (AD-04)."""
    return delivery_told(await _seen(call.work, call))


async def add_delivery(call: Call[DeliveryAsk, Nothing]) -> None:
    """Send an order that is paid (AD-05): paid -> delivered."""
    found = await _seen(call.work, call)
    delivery = call.body.onto(found.delivery)
    deadlines = deadlines_of(call.parts.settings)
    await fulfil.deliver(call.work, deadlines, found.tenant, found.purchase, delivery, call.subject.user)


async def change_delivery(call: Call[DeliveryAsk, Nothing]) -> None:
    """Correct how an order was sent (AD-06): only the keys that are sent."""
    found = await _seen(call.work, call)
    await fulfil.correct_delivery(call.work, found.tenant, found.purchase, call.body.onto(found.delivery))


async def prepay_weixin(call: Call[Nothing, Nothing]) -> PrepayTold:
    """Pay by WeChat (AD-07): in WeChat itself where the customer has bound it, otherwise by a code to scan.

    Asked again, the answer is the same payment while it is open. `parameters` is for WeChat's own library.
    """
    return await _prepay(call, "weixin")


async def prepay_credit(call: Call[Nothing, Nothing]) -> PrepayTold:
    """Pay by credit card (AD-08), on the page of an aggregator."""
    return await _prepay(call, "credit")


async def prepay_debit(call: Call[Nothing, Nothing]) -> PrepayTold:
    """Pay by bank card (AD-09), on the page of an aggregator."""
    return await _prepay(call, "debit")


async def read_payment(call: Call[Nothing, Nothing]) -> PaymentTold:
    """Whether and how an order was paid (AD-10)."""
    return payment_told(await _seen(call.work, call))


async def confirm_order(call: Call[Nothing, Nothing]) -> None:
    """The order has arrived (AD-11): delivered -> received."""
    await _step(call, "confirm")


async def return_order(call: Call[Nothing, Nothing]) -> None:
    """Ask to send an order back (AD-12): received or delivered -> return."""
    await _step(call, "ask_return")


async def consent_return(call: Call[Nothing, Nothing]) -> None:
    """Agree that an order is sent back (AD-13): return -> consent."""
    await _step(call, "consent")


async def refund_order(call: Call[RefundAsk, Nothing]) -> None:
    """The goods are back (AD-14): consent -> refund. The money goes back, deposits too, never more than was paid."""
    await _step(call, "give_back", call.body.amount)


async def close_order(call: Call[Nothing, Nothing]) -> None:
    """Close an order that nobody has paid; staff may close one that cannot be delivered, and all its money goes back.

    An addition to the documented operations: the state `close` has none.
    """
    found = await _seen(call.work, call)
    unpaid = found.state == "obligation" or call.subject.level == "customer"
    await _step(call, "cancel" if unpaid else "give_up")


async def delete_order(call: Call[Nothing, Nothing]) -> None:
    """Delete an order (AD-15) for good: 410 from then on. Not while its money is neither earned nor given back."""
    found = await _seen(call.work, call)
    await fulfil.delete_purchase(call.work, found.tenant, found.purchase)


async def _seen(
    work: Work, call: Call[DeliveryAsk, Nothing] | Call[RefundAsk, Nothing] | Call[Nothing, Nothing]
) -> Purchase:
    """The order that the path names, also with the letter that front ends put before it."""
    return await purchase_seen(work, call.subject.reach, own_number(call.path["oid"]))


async def _step(
    call: Call[RefundAsk, Nothing] | Call[Nothing, Nothing], event: PurchaseEvent, repay_fen: int | None = None
) -> None:
    found = await _seen(call.work, call)
    deadlines = deadlines_of(call.parts.settings)
    await fulfil.change_state(
        call.work, deadlines, found.tenant, found.purchase, event, call.subject.user, repay_fen=repay_fen
    )


async def _prepay(call: Call[Nothing, Nothing], way: Literal["weixin", "credit", "debit"]) -> PrepayTold:
    """Write the payment, and have its provider begin it once that is committed."""
    till, database = call.parts.till, call.parts.database

    async def opened(work: Work) -> tuple[Purchase, Payment]:
        found = await _seen(work, call)
        payer = await openid_of(work, found.tenant, found.member) if way == "weixin" else ""
        channel: Channel = way if way != "weixin" else "weixin_jsapi" if payer else "weixin_native"
        payment = await prepay(work, till, found.tenant, found.purchase, channel, payer)
        asked = {**call.path, "payment": payment.payment, "channel": payment.channel}
        await record(work, call.subject, "order.prepay", asked, call.request_id)
        return found, payment

    found, payment = await database.transact(opened, tenant=call.tenant)
    begun = await begin(database, till, payment)
    return PrepayTold(
        order_id=found.purchase,
        bill_no=payment.payment,
        pay_ch=PAY_CHANNELS[payment.channel],
        amount=yuan(payment.amount_fen),
        expire_tms=iso(payment.expires_ms),
        parameters=dict(begun.parameters),
    )


P = Permission
_READ = allow(OFFICES | CUSTOMERS, P.ORDERS_READ)
_ORDER = "/orders/{oid}"
OPERATIONS = (
    Operation("GET", "/orders", _READ, list_orders),
    Operation("POST", "/orders", allow(CUSTOMERS), add_order, changes="order.add", success=201),
    Operation("GET", _ORDER, _READ, read_order),
    Operation("GET", f"{_ORDER}/delivery", _READ, read_delivery),
    Operation(
        "POST",
        f"{_ORDER}/delivery",
        allow(OFFICES, P.ORDERS_PLACE),
        add_delivery,
        changes="order.deliver",
        success=201,
    ),
    Operation(
        "PUT",
        f"{_ORDER}/delivery",
        allow(BRANDS, P.ORDERS_PLACE),
        change_delivery,
        changes="order.correct_delivery",
        success=201,
    ),
    *(
        Operation(
            "POST",
            f"{_ORDER}/prepay/{way}",
            allow(CUSTOMERS),
            does,
            changes="order.prepay",
            success=201,
            transacted=False,
        )
        for way, does in (("weixin", prepay_weixin), ("credit", prepay_credit), ("debit", prepay_debit))
    ),
    Operation("GET", f"{_ORDER}/payment", _READ, read_payment),
    Operation(
        "POST", f"{_ORDER}/status/confirm", allow(CUSTOMERS), confirm_order, changes="order.confirm", success=201
    ),
    Operation("POST", f"{_ORDER}/status/return", allow(CUSTOMERS), return_order, changes="order.return", success=201),
    Operation(
        "POST",
        f"{_ORDER}/status/consent",
        allow(BRANDS, P.ORDERS_REFUND),
        consent_return,
        changes="order.consent",
        success=201,
    ),
    Operation(
        "PUT",
        f"{_ORDER}/status/refund",
        allow(BRANDS, P.ORDERS_REFUND),
        refund_order,
        changes="order.refund",
        success=201,
        aliases=(("POST", f"{_ORDER}/status/refund"),),
    ),
    Operation(
        "POST",
        f"{_ORDER}/status/close",
        allow(BRANDS | CUSTOMERS, P.ORDERS_REFUND),
        close_order,
        changes="order.close",
        success=201,
    ),
    Operation("DELETE", _ORDER, allow(PLATFORM), delete_order, changes="order.delete", success=204),
)
