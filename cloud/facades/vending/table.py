"""The vending dialect as one table."""

from __future__ import annotations

from cloud.facades.dialect import Dialect
from cloud.facades.fields import decoded
from cloud.facades.vending import aisles, boards, devices, faults, orders, records, returns, sessions
from cloud.facades.vending.wire import SCHEME, declared, enclose, envelope, tell, token_of

VENDING = Dialect(
    name="vending",
    prefix="/vending",
    operations=(
        *devices.OPERATIONS,
        *aisles.OPERATIONS,
        *records.OPERATIONS,
        *boards.OPERATIONS,
        *returns.OPERATIONS,
        *orders.OPERATIONS,
        *faults.OPERATIONS,
        *sessions.OPERATIONS,
    ),
    token_of=token_of,
    tell=tell,
    decode=decoded,
    envelope=envelope,
    enclose=enclose,
    declared_errors=declared,
    is_lenient=True,
    scheme=SCHEME,
)
