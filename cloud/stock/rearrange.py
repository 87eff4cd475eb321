"""Changing one aisle: what lies in it, whether it sells, how many are left in it.

Each change of goods is a new version of the machine's planogram, and each change of quantity is something that the
machine is asked to book. Goods that come out of an aisle go to the warehouse of the shop once the machine has confirmed
it; goods that go in are taken from there at once.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from cloud.catalog.goods import check_saleable, goods_of
from cloud.database import Work
from cloud.errors import FleetError
from cloud.machines.aisles import aisle_of_id
from cloud.machines.credentials import Credentials
from cloud.machines.model import Aisle, Machine
from cloud.machines.planogram import revise
from cloud.machines.register import machine_of
from cloud.serials import next_serial
from cloud.stock import warehouse
from cloud.stock.asks import book, expected
from shared.messages import AisleConfig, MachineConfig


class _Visit:
    """A person at one machine: what he does to its aisles is booked as his."""

    def __init__(self, work: Work, credentials: Credentials, machine: Machine, user: str, person: str) -> None:
        self.work = work
        self.credentials = credentials
        self.machine = machine
        self.user = user
        self.person = person

    async def put(self, aisle: Aisle, quantity: int) -> None:
        """Put items in, taken from the warehouse, or (negative) take some out."""
        if quantity > 0:
            await self._take(aisle.goods, quantity)
        if quantity:
            asked = {aisle: quantity}
            await book(self.work, self.credentials, self.machine, asked, person=self.person, asked_by=self.user)

    async def decide(self, aisle: str, **changes: object) -> None:
        """A new version of the planogram with one aisle changed."""

        def change(config: MachineConfig) -> MachineConfig:
            changed = (_changed(one, changes) if one.aisle == aisle else one for one in config.aisles)
            return msgspec.structs.replace(config, aisles=tuple(changed))

        await revise(
            self.work, self.credentials, self.machine.tenant, self.machine.machine, change, self.user, field="aisle"
        )

    async def _take(self, goods: str, quantity: int) -> None:
        shop = self.machine.shop
        if shop is None:
            raise FleetError("conflict", f"machine {self.machine.machine!r} stands in no shop: there is no warehouse")
        tenant = self.machine.tenant
        source = f"put:{await next_serial(self.work, tenant, 'put')}"
        await warehouse.take(self.work, tenant, shop, {goods: quantity}, source=source, person=self.person)


def _changed(aisle: AisleConfig, changes: dict[str, object]) -> AisleConfig:
    return msgspec.structs.replace(aisle, **changes)


async def rearrange(
    work: Work,
    credentials: Credentials,
    tenant: str,
    aisle: str,
    *,
    goods: str | None = None,
    off_sale: bool = False,
    remaining: int | None = None,
    user: str,
    person: str,
) -> None:
    """Change the aisle with this id: take it off sale, or give it other goods, and then leave `remaining` items in it.

    Off sale wins over the rest: all that can be sold is taken out. Other goods begin with nothing, or with `remaining`.
    FleetError: not_found, invalid (unknown goods, more than fits), conflict (nothing configured, too little in the
    warehouse, the machine is not claimed).
    """
    found = await aisle_of_id(work, tenant, aisle)
    machine = await machine_of(work, tenant, found.machine, lock=True)
    visit = _Visit(work, credentials, machine, user, person)
    there = (await expected(work, tenant, machine.machine))[found.aisle]
    if remaining is not None and not 0 <= remaining <= found.capacity:
        detail = f"aisle {aisle!r} holds 0 to {found.capacity}, not {remaining}"
        raise FleetError("invalid", detail, field="goods_num")
    if off_sale:
        if found.for_sale:
            await visit.put(found, -max(there, 0))
            await visit.decide(found.aisle, for_sale=False)
        return
    if goods is not None and (goods != found.goods or not found.for_sale):
        there, found = await _replace(visit, found, there, goods)
    if not found.for_sale:
        if remaining is not None:
            raise FleetError("conflict", f"no goods are configured for aisle {aisle!r}", field="vendor_goods_id")
        return
    if remaining is not None:
        await visit.put(found, remaining - there)


async def _replace(visit: _Visit, aisle: Aisle, there: int, goods: str) -> tuple[int, Aisle]:
    """Take out what lies there, and configure other goods; answers how many are left (none) and the aisle as it is."""
    work, tenant = visit.work, visit.machine.tenant
    await check_saleable(work, tenant, [goods])
    new, old = await goods_of(work, tenant, goods), await goods_of(work, tenant, aisle.goods)
    await visit.put(aisle, -max(there, 0))
    changes: dict[str, object] = {"goods": goods, "price_fen": new.price_fen, "for_sale": True}
    if aisle.name == old.name:  # the panel shows what lies there
        changes["name"] = new.name
    await visit.decide(aisle.aisle, **changes)
    return min(there, 0), replace(aisle, goods=goods, for_sale=True)
