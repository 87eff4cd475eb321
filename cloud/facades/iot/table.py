"""The IoT dialect as one table."""

from __future__ import annotations

from cloud.facades.dialect import Dialect
from cloud.facades.fields import decoded
from cloud.facades.iot import (
    agents,
    commission,
    devices,
    orders,
    products,
    promotions,
    rentals,
    rights,
    sessions,
    tickets,
    users,
    vendors,
)
from cloud.facades.iot.wire import SCHEME, admit, declared, enclose, envelope, tell, token_of

IOT = Dialect(
    name="iot",
    prefix="/iot",
    operations=(
        *sessions.OPERATIONS,
        *users.OPERATIONS,
        *devices.OPERATIONS,
        *products.OPERATIONS,
        *orders.OPERATIONS,
        *tickets.OPERATIONS,
        *commission.OPERATIONS,
        *rentals.OPERATIONS,
        *agents.OPERATIONS,
        *promotions.OPERATIONS,
        *rights.OPERATIONS,
        *vendors.OPERATIONS,
    ),
    token_of=token_of,
    admit=admit,
    tell=tell,
    decode=decoded,
    envelope=envelope,
    enclose=enclose,
    spans_tenants=True,
    declared_errors=declared,
    is_lenient=True,
    scheme=SCHEME,
)
