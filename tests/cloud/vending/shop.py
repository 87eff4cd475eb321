"""A shop with a machine, goods and a warehouse; the machine does what it is told and says so, like a real one."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from sqlalchemy import select

from cloud.accounts.units import open_unit
from cloud.catalog.goods import add_goods
from cloud.database import Database, Work
from cloud.machines.register import machine_of
from cloud.machines.store import commands, put_machine
from cloud.stock.browse import warehouse_of
from cloud.stock.restock import Filled, restock
from cloud.stock.warehouse import receive
from shared.messages import (
    ApplyConfig,
    CommandAnswered,
    ConfigReported,
    Fact,
    LoadStock,
    MachineConfig,
    StockLoaded,
    decode_ask,
)
from tests.cloud.fleet import CREDENTIALS, PRICE_FEN, TENANT, Device, new_machine, say

SHOP = "SH1"


class Shelf:
    """A machine of the shop: it keeps its own stock and configuration, and answers commands."""

    def __init__(self, database: Database, device: Device) -> None:
        self.database = database
        self.device = device
        self.on_hand: dict[str, int] = {}
        self.goods: dict[str, str] = {}

    async def obey(self, *, refuse: bool = False) -> int:
        """Carry out all that waits (or refuse all of it) and report; answers how many commands there were."""
        waiting = select(commands).where(commands.c.machine == self.device.machine, commands.c.state == "waiting")
        async with self.database.look() as work:
            rows = await work.rows(waiting.order_by(commands.c.asked_ms, commands.c.kind.desc()))
        for row in rows:
            done = CommandAnswered(command=row.command, done=not refuse, detail="no" if refuse else "")
            facts = [] if refuse else self._carry_out(row.command, row.ask)
            await say(self.database, *(self.device.fact(fact) for fact in [*facts, done]))
        return len(rows)

    def _carry_out(self, command: str, ask: str) -> list[Fact]:
        match decode_ask(ask.encode()):
            case ApplyConfig(version=version, document=document):
                config = msgspec.json.decode(document, type=MachineConfig)
                self.goods = {aisle.aisle: aisle.goods for aisle in config.aisles}
                return [ConfigReported(version=version)]
            case LoadStock(aisle=aisle, quantity=quantity, person=person):
                self.on_hand[aisle] = self.on_hand.get(aisle, 0) + quantity
                loaded = StockLoaded(
                    aisle=aisle,
                    goods=self.goods[aisle],
                    quantity=quantity,
                    on_hand=self.on_hand[aisle],
                    person=person,
                    command=command,
                )
                return [loaded]
        raise AssertionError(f"not expected here: {ask}")


async def open_shop(database: Database) -> Shelf:
    """SH1 with 100 cola and 10 tea in its warehouse, and m1 in it: three empty aisles for ten cola each."""
    async with database.work(tenant=TENANT) as work:
        await open_unit(work, TENANT, SHOP, "shop", "Corner shop", address="Corner 1")
        await add_goods(work, TENANT, "cola", "Cola", PRICE_FEN, spec="330 ml", barcode="690000000001")
        await add_goods(work, TENANT, "tea", "Tea", 400)
        await receive(work, TENANT, SHOP, "cola", 100, reference="first", person="setup")
        await receive(work, TENANT, SHOP, "tea", 10, reference="first-tea", person="setup")
    device = await new_machine(database)
    async with database.work(tenant=TENANT) as work:
        found = await machine_of(work, TENANT, "m1", lock=True)
        await put_machine(work, replace(found, shop=SHOP, number="0001"))
    shelf = Shelf(database, device)
    await say(database, device.hello(), device.began())
    await shelf.obey()
    return shelf


async def fill(database: Database, *rows: tuple[str, int], person: str = "Ann", goods: str = "cola") -> str:
    """Restock m1; answers the record's number."""

    async def use(work: Work) -> str:
        filled = [Filled(aisle, goods, quantity) for aisle, quantity in rows]
        made = await restock(work, CREDENTIALS, TENANT, "m1", filled, user="u1", person=person)
        return made.restock

    return await database.transact(use, tenant=TENANT)


async def in_warehouse(database: Database) -> dict[str, int]:
    async with database.look(tenant=TENANT) as work:
        return await warehouse_of(work, TENANT, SHOP)
