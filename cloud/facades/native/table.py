"""The native API as one table."""

from __future__ import annotations

from fastapi.security import HTTPBearer
from starlette.requests import Request

from cloud.facades.dialect import Dialect
from cloud.facades.native import (
    accounts,
    catalog,
    events,
    machines,
    members,
    orders,
    payments,
    quarantine,
    reports,
    tickets,
    warehouse,
    water,
)
from cloud.facades.native.problems import declared, tell


def token_of(request: Request) -> str | None:
    """The bearer token of the Authorization header (RFC 6750)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


NATIVE = Dialect(
    name="native",
    prefix="/api/v1",
    operations=(
        *accounts.OPERATIONS,
        *machines.OPERATIONS,
        *catalog.OPERATIONS,
        *warehouse.OPERATIONS,
        *members.OPERATIONS,
        *payments.OPERATIONS,
        *orders.OPERATIONS,
        *water.OPERATIONS,
        *tickets.OPERATIONS,
        *quarantine.OPERATIONS,
        *reports.OPERATIONS,
        *events.OPERATIONS,
    ),
    token_of=token_of,
    tell=tell,
    declared_errors=declared,
    scheme=HTTPBearer(auto_error=False, description="The token that POST /api/v1/login answered."),
)
