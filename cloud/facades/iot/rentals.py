"""Rentals, which the documentation names (chapter eight, questions 1 and 2) without describing them: all additions.

How is a rental ended, and by whom? By the customer or the company: `quit` sends somebody for the machine, and `end`,
when it is back, gives the deposit back. How is a period bought, and looked up? `renew` makes an order of it, which is
paid like every order and extends the rental in that moment; `expire_tms` and `litres_left` tell what is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from cloud.accounts.model import Permission
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.iot.orders_shapes import OrderAdded
from cloud.facades.iot.wire import (
    BRANDS,
    CUSTOMERS,
    OFFICES,
    Asked,
    Listed,
    Money,
    Single,
    Window,
    Yuan,
    allow,
    iso,
    yuan,
)
from cloud.paging import Ask
from cloud.purchases.place import place_renewal
from cloud.rentals.begin import begin_rental
from cloud.rentals.browse import list_rentals as rentals_seen
from cloud.rentals.browse import litres_left, rental_seen
from cloud.rentals.model import STATES, Rental, RentalState
from cloud.rentals.quit import fetch_rental, quit_rental
from cloud.wiring import deadlines_of
from shared.quantities import ML_PER_LITRE


def _state(value: Any) -> Any:
    text = str(value)
    return STATES[int(text)] if text.isdecimal() and int(text) < len(STATES) else value


class RentalWindow(Window):
    columns: ClassVar[Mapping[str, str]] = {
        "rental_id": "rental",
        "state": "state",
        "order_id": "purchase",
        "product_id": "product",
        "user_id": "member",
        "device_id": "machine",
        "create_tms": "created_ms",
        "begin_tms": "began_ms",
        "expire_tms": "ends_ms",
        "end_tms": "ended_ms",
        "deposit": "deposit_fen",
        "vid": "tenant",
    }
    state: Annotated[RentalState | None, BeforeValidator(_state, json_schema_input_type=int)] = None
    order_id: str | None = None
    product_id: str | None = None
    user_id: str | None = None
    device_id: str | None = None
    vid: str | None = None

    @property
    def ask(self) -> Ask:
        """States are sorted in the order of a rental's life, and found by their word."""
        asked = super().ask
        sort = None if asked.sort is None else asked.sort.replace("state", "place")
        return replace(asked, sort=sort)


class RenewAsk(Asked):
    key: Annotated[str, Field(min_length=2, max_length=20, description="The period: 30d, as its product offers it.")]


class BeginAsk(Asked):
    device_id: Annotated[str, Field(min_length=1, max_length=48)]


class EndAsk(Asked):
    withheld: Annotated[Yuan, Field(description="What of the deposit is kept, for damage.")] = 0
    elsewhere: Annotated[bool, Field(description="The rest was paid out by other means.")] = False


class RentalTold(Single):
    rental_id: str
    state: int
    status: RentalState
    type: Annotated[int, Field(description="As the type of a device: 2 by time, 3 by amount.")]
    order_id: str
    product_id: str
    name: str
    user_id: str
    vid: str
    device_id: str
    create_tms: str
    begin_tms: str
    expire_tms: str
    end_tms: str
    quit_tms: str
    days: int
    litres: Money
    minimum: Money
    deposit: Money
    withheld: Money


class RentalDetail(RentalTold):
    litres_left: Annotated[Money | None, Field(description="null where litres do not end it.")]


class Rentals(Listed):
    rentals: list[RentalTold]


async def list_rentals(call: Call[Nothing, RentalWindow]) -> Rentals:
    """Rentals, newest first: a customer's own, or those within the caller's reach. An addition.

    `state`: 0 agreed, 1 running, 2 overdue, 3 dismantling, 4 ended.
    """
    found = await rentals_seen(call.work, call.subject.reach, call.query.ask)
    return Rentals(total=found.total, rentals=[RentalTold(**_told(rental)) for rental in found.items])


async def read_rental(call: Call[Nothing, Nothing]) -> RentalDetail:
    """One rental: its period, its end, and of a metered one what is left of its litres. An addition."""
    rental = await rental_seen(call.work, call.subject.reach, call.path["rid"])
    left_ml = await litres_left(call.work, rental)
    return RentalDetail(**_told(rental), litres_left=None if left_ml is None else _litres(left_ml))


async def renew_rental(call: Call[RenewAsk, Nothing]) -> OrderAdded:
    """Buy a further period: answers an order; paid like every other, it extends the rental. An addition."""
    rental = await rental_seen(call.work, call.subject.reach, call.path["rid"])
    deadlines = deadlines_of(call.parts.settings)
    order = await place_renewal(call.work, deadlines, rental.tenant, rental.rental, call.body.key)
    return OrderAdded(order_id=order.purchase, amount=yuan(order.amount_fen))


async def begin_rental_at(call: Call[BeginAsk, Nothing]) -> None:
    """The machine is installed: the rental begins now, and the machine learns its terms. An addition.

    The same happens when the customer binds a machine of the product.
    """
    rental = await rental_seen(call.work, call.subject.reach, call.path["rid"])
    await begin_rental(call.work, rental.tenant, rental.rental, call.body.device_id)


async def quit_rental_early(call: Call[Nothing, Nothing]) -> None:
    """End a rental: somebody is sent to fetch the machine, which gives water until then. An addition."""
    rental = await rental_seen(call.work, call.subject.reach, call.path["rid"])
    await quit_rental(call.work, rental.tenant, rental.rental, call.subject.user)


async def end_rental(call: Call[EndAsk, Nothing]) -> None:
    """The machine is back: the deposit goes back, less what is withheld. An addition.

    It goes back the way it came; that of a rental from an older system goes into the user's wallet.
    """
    rental = await rental_seen(call.work, call.subject.reach, call.path["rid"])
    body, by = call.body, call.subject.user
    await fetch_rental(
        call.work, rental.tenant, rental.rental, by, withheld_fen=body.withheld, elsewhere=body.elsewhere
    )


def _litres(ml: int) -> Money:
    return ml // ML_PER_LITRE if ml % ML_PER_LITRE == 0 else ml / ML_PER_LITRE


def _told(rental: Rental) -> dict[str, Any]:
    return {
        "rental_id": rental.rental,
        "state": STATES.index(rental.state),
        "status": rental.state,
        "type": 3 if rental.is_metered else 2,
        "order_id": rental.purchase,
        "product_id": rental.product,
        "name": rental.name,
        "user_id": rental.member,
        "vid": rental.tenant,
        "device_id": rental.machine or "",
        "create_tms": iso(rental.created_ms),
        "begin_tms": iso(rental.began_ms),
        "expire_tms": iso(rental.ends_ms),
        "end_tms": iso(rental.ended_ms),
        "quit_tms": iso(rental.quit_ms),
        "days": rental.bought_days,
        "litres": _litres(rental.prepaid_ml),
        "minimum": _litres(rental.minimum_ml_per_day),
        "deposit": yuan(rental.deposit_fen),
        "withheld": yuan(rental.withheld_fen),
    }


P = Permission
_ONE = "/rentals/{rid}"
OPERATIONS = (
    Operation("GET", "/rentals", allow(OFFICES | CUSTOMERS, P.ORDERS_READ), list_rentals),
    Operation("GET", _ONE, allow(OFFICES | CUSTOMERS, P.ORDERS_READ), read_rental),
    Operation(
        "POST",
        f"{_ONE}/renew",
        allow(OFFICES | CUSTOMERS, P.ORDERS_PLACE),
        renew_rental,
        changes="rental.renew",
        success=201,
    ),
    Operation(
        "POST",
        f"{_ONE}/begin",
        allow(OFFICES, P.MACHINES_OPERATE),
        begin_rental_at,
        changes="rental.begin",
        success=201,
    ),
    Operation(
        "POST",
        f"{_ONE}/quit",
        allow(OFFICES | CUSTOMERS, P.ORDERS_PLACE),
        quit_rental_early,
        changes="rental.quit",
        success=201,
    ),
    Operation("POST", f"{_ONE}/end", allow(BRANDS, P.ORDERS_REFUND), end_rental, changes="rental.end", success=201),
)
