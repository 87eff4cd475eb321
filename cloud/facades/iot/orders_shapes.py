"""Shapes of orders, as the documentation spells them (`addr_deatil` is its spelling), and the way to the domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field

from cloud.facades.fields import FROM_TEXT, ONE_OR_MANY
from cloud.facades.iot.wire import Asked, Listed, Moment, Money, Single, Told, Window, Yuan, iso, yuan
from cloud.paging import Ask
from cloud.providers.payment import Channel
from cloud.purchases.model import (
    LINES_MAX,
    QUANTITY_MAX,
    STATES,
    Delivery,
    Purchase,
    PurchaseKind,
    PurchaseState,
    Receiver,
)
from cloud.purchases.place import Basket, Wanted

_TYPES: dict[PurchaseKind, str] = {"goods": "商品", "rental": "租赁", "reservation": "预约", "renewal": "续租"}
_KINDS = {text: kind for kind, text in _TYPES.items()}

# By which channel money came, in the documentation's words; cards go through an aggregator.
PAY_CHANNELS: dict[Channel, str] = {
    "weixin_jsapi": "weixin",
    "weixin_native": "weixin",
    "weixin_app": "weixin",
    "alipay_app": "alipay",
    "alipay_wap": "alipay",
    "alipay_qr": "alipay",
    "credit": "tonglian",
    "debit": "tonglian",
}

# A line on a parcel.
_Line = Annotated[str, Field(max_length=200)]
_Number = Annotated[str, Field(max_length=64)]


class LineAsk(Asked):
    product_id: Annotated[str, Field(min_length=1, max_length=48)]
    quantity: Annotated[int, Field(ge=1, le=QUANTITY_MAX)]
    period: Annotated[
        str | None,
        Field(max_length=20, description="Rent it, for this first period (30d); without it as the product is offered."),
    ] = None


class ReceiverAsk(Asked):
    """Either spelling of the address."""

    name: _Line = ""
    phone: _Line = ""
    area: _Line = ""
    address: _Line = ""
    addr_area: _Line = ""
    addr_detail: _Line = ""
    addr_deatil: _Line = ""
    zipcode: _Line = ""

    def parsed(self) -> Receiver:
        """As the domain has it."""
        return Receiver(
            name=self.name,
            phone=self.phone,
            area=self.area or self.addr_area,
            address=self.address or self.addr_detail or self.addr_deatil,
            zipcode=self.zipcode,
        )


class BasketAsk(Asked):
    content: Annotated[tuple[LineAsk, ...], ONE_OR_MANY, Field(min_length=1, max_length=LINES_MAX)]
    receiver: Annotated[ReceiverAsk, FROM_TEXT]
    memo: Annotated[str, Field(max_length=1_000)] = ""

    def basket(self) -> Basket:
        """As the domain has it."""
        wanted = [
            Wanted(product=line.product_id, quantity=line.quantity, period=line.period or None) for line in self.content
        ]
        return Basket(wanted, self.receiver.parsed(), self.memo)


class OrderAsk(BasketAsk):
    coupon_id: Annotated[str, Field(max_length=48)] = ""


class DeliveryAsk(Asked):
    """What is left out stays as it is."""

    company: _Line | None = None
    tracking_num: _Line | None = None
    delivery_tms: Moment = None
    delivery_clerk: _Line | None = None

    def onto(self, before: Delivery) -> Delivery:
        """The delivery with what was sent."""
        sent: dict[str, Any] = {
            "company": self.company,
            "tracking": self.tracking_num,
            "clerk": self.delivery_clerk,
            "sent_ms": self.delivery_tms,
        }
        return replace(before, **{name: value for name, value in sent.items() if value is not None})


class RefundAsk(Asked):
    amount: Annotated[
        Yuan | None, Field(description="How much goes back beside the deposit; without it all that was paid.")
    ] = None


def _state(value: Any) -> Any:
    """A state by its number in the chain, or by its word."""
    text = str(value)
    return STATES[int(text)] if text.isdecimal() and int(text) < len(STATES) else value


class OrderWindow(Window):
    columns: ClassVar[Mapping[str, str]] = {
        "state": "state",
        "type": "kind",
        "order_id": "purchase",
        "user_id": "member",
        "create_tms": "created_ms",
        "complete_tms": "ended_ms",
        "memo": "memo",
        "amount": "amount_fen",
        "vid": "tenant",
    }
    state: Annotated[PurchaseState | None, BeforeValidator(_state, json_schema_input_type=int)] = None
    type: Annotated[PurchaseKind | None, BeforeValidator(lambda value: _KINDS.get(value, value))] = None
    order_id: _Number | None = None
    user_id: _Number | None = None
    memo: str | None = None
    vid: _Number | None = None

    @property
    def ask(self) -> Ask:
        """States are sorted in the order of the chain, and found by their word."""
        asked = super().ask
        sort = None if asked.sort is None else asked.sort.replace("state", "place")
        return replace(asked, sort=sort)


class LineTold(Told):
    product_id: str
    name: str
    quantity: int
    price: Money
    period: str


class ReceiverTold(Told):
    name: str
    phone: str
    addr_area: str
    addr_deatil: str
    addr_detail: str
    area: str
    address: str
    zipcode: str


class DeliveryTold(Single):
    company: str
    tracking_num: str
    delivery_tms: str
    delivery_clerk: str


class PaymentTold(Single):
    pay_ch: str
    pay_tms: str
    bill_no: str
    transaction_no: str
    status: str


class ReturnTold(Told):
    return_tms: str


class OrderTold(Single):
    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    state: int
    status: PurchaseState
    type: str
    order_id: str
    user_id: str
    vid: str
    create_tms: str
    complete_tms: str
    content: list[LineTold]
    receiver: ReceiverTold
    delivery: DeliveryTold
    payment: PaymentTold
    returned: Annotated[ReturnTold, Field(alias="return")]
    memo: str
    amount: Money
    discount: Money
    freight: Money
    install_cost: Money
    deposit: Money
    refunded: Money
    rental_id: str
    group_id: str


class Orders(Listed):
    orders: list[OrderTold]


class OrderAdded(Single):
    top: ClassVar[tuple[str, ...]] = ("order_id",)
    order_id: str
    amount: Money


class PrepayTold(Single):
    """What the client's library of the payment platform is to be given, beside our number of the payment."""

    order_id: str
    bill_no: str
    pay_ch: str
    amount: Money
    expire_tms: str
    parameters: dict[str, str]


def delivery_told(purchase: Purchase) -> DeliveryTold:
    """How an order is sent."""
    delivery = purchase.delivery
    return DeliveryTold(
        company=delivery.company,
        tracking_num=delivery.tracking,
        delivery_tms=iso(delivery.sent_ms),
        delivery_clerk=delivery.clerk,
    )


def payment_told(purchase: Purchase) -> PaymentTold:
    """How an order was paid; `status` is an addition."""
    paid = purchase.paid_ms is not None
    return PaymentTold(
        pay_ch=PAY_CHANNELS[purchase.pay_channel] if purchase.pay_channel else "",
        pay_tms=iso(purchase.paid_ms),
        bill_no=purchase.payment or "",
        transaction_no=purchase.transaction,
        status="refunded" if purchase.repaid_fen else "paid" if paid else "unpaid",
    )


def own_number(number: str) -> str:
    """An order's number without the letter that front ends put before it."""
    return number[1:] if number[:1] in ("D", "d") else number


def receiver_told(receiver: Receiver) -> ReceiverTold:
    """To whom something is brought, in all spellings of his address."""
    return ReceiverTold(
        name=receiver.name,
        phone=receiver.phone,
        addr_area=receiver.area,
        addr_deatil=receiver.address,
        addr_detail=receiver.address,
        area=receiver.area,
        address=receiver.address,
        zipcode=receiver.zipcode,
    )


def order_told(purchase: Purchase) -> OrderTold:
    """An order in the words of the documentation."""
    lines = [
        LineTold(
            product_id=line.product,
            name=line.name,
            quantity=line.quantity,
            price=yuan(line.price_fen),
            period=line.period.key if line.period is not None else "",
        )
        for line in purchase.lines
    ]
    return OrderTold(
        state=STATES.index(purchase.state),
        status=purchase.state,
        type=_TYPES[purchase.kind],
        order_id=purchase.purchase,
        user_id=purchase.member,
        vid=purchase.tenant,
        create_tms=iso(purchase.created_ms),
        complete_tms=iso(purchase.ended_ms),
        content=lines,
        receiver=receiver_told(purchase.receiver),
        delivery=delivery_told(purchase),
        payment=payment_told(purchase),
        returned=ReturnTold(return_tms=iso(purchase.return_ms)),
        memo=purchase.memo,
        amount=yuan(purchase.amount_fen),
        discount=yuan(purchase.discount_fen),
        freight=yuan(purchase.freight_fen),
        install_cost=yuan(purchase.install_fen),
        deposit=yuan(purchase.deposit_fen),
        refunded=yuan(purchase.repaid_fen),
        rental_id=purchase.rental or "",
        group_id=purchase.group or "",
    )
