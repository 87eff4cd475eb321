"""What a brand shows to everybody: its shop's pages and advertisements, with a token and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from cloud.accounts.model import Permission, Reach, tenant_of_token
from cloud.accounts.sign_in import recognise
from cloud.database import Work
from cloud.errors import FleetError
from cloud.facades.dialect import Call
from cloud.facades.iot.wire import CUSTOMERS, OFFICES, allow

READ = allow(OFFICES | CUSTOMERS, Permission.CATALOG_READ)


@asynccontextmanager
async def visit(call: Call[Any, Any], vid: str) -> AsyncIterator[tuple[Work, Reach, bool]]:
    """A look by whoever asks: somebody with a token sees his own brand, a visitor the one he names.

    Beside the reach stands whether it is for buyers: visitors and customers. FleetError unauthenticated for visitors
    where a setting closes the shop.
    """
    token, database = call.token, call.parts.database
    if token is None and not call.parts.settings.shop_open:
        raise FleetError("unauthenticated", "this shop is open to those who are signed in")
    async with database.look(tenant=None if token is None else tenant_of_token(token)) as work:
        if token is None:
            yield work, Reach(vid or None), True
            return
        subject = await recognise(work, token, "iot")
        if not READ.admits(subject):
            raise FleetError("forbidden", f"this is not for the role {subject.role}")
        if subject.level == "platform":
            await work.span_tenants()
        yield work, of_brand(subject.reach, vid), subject.level == "customer"


def of_brand(reach: Reach, vid: str) -> Reach:
    """The part of a reach that lies in one brand; the platform's people name it."""
    return Reach(vid) if reach.tenant is None and vid else reach
