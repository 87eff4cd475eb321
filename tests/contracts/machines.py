"""Machines that speak like real ones: they report what they did, and do what they are told."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from sqlalchemy import select

from cloud.database import Database
from cloud.downlink import Outgoing
from cloud.ingest.batch import ingest_batch
from cloud.ingest.read import Incoming
from cloud.machines.credentials import Credentials
from cloud.machines.store import commands, machine_directory
from cloud.stock.store import stock_balances
from shared.clock import ManualClock
from shared.messages import (
    ApplyConfig,
    CommandAnswered,
    ConfigReported,
    CountStock,
    Fact,
    LoadStock,
    StockCounted,
    StockLoaded,
    VendDelivered,
    decode_ask,
)
from tests.cloud.fleet import Device, vend


class Machines:
    """All machines of a world. `told` is how many facts each has numbered so far."""

    def __init__(self, database: Database, credentials: Credentials, told: Mapping[str, int]) -> None:
        assert isinstance(database.clock, ManualClock)
        self._database = database
        self._credentials = credentials
        self._devices = {machine: Device(machine, database.clock, seq=seq) for machine, seq in told.items()}

    @property
    def told(self) -> dict[str, int]:
        """How many facts each machine has numbered."""
        return {machine: device.seq for machine, device in self._devices.items()}

    def device(self, machine: str) -> Device:
        """One machine, new if it has not spoken yet."""
        assert isinstance(self._database.clock, ManualClock)
        return self._devices.setdefault(machine, Device(machine, self._database.clock))

    async def hear(self, *messages: Incoming) -> list[Outgoing]:
        """Let the cloud hear these; answers what it says."""
        return await ingest_batch(self._database, self._credentials, messages)

    async def report(self, machine: str, *facts: Fact) -> None:
        """Facts of one machine."""
        device = self.device(machine)
        await self.hear(*(device.fact(fact) for fact in facts))

    async def boot(self, machine: str) -> None:
        """The machine comes online for the first time."""
        device = self.device(machine)
        await self.hear(device.hello(), device.began())

    async def greet(self) -> None:
        """Every machine says that it is there, as it does every few minutes."""
        await self.hear(*(device.hello() for device in self._devices.values()))

    async def fill(self, machine: str, aisle: str, goods: str, quantity: int) -> None:
        """A person puts goods into an empty aisle."""
        await self.report(machine, StockLoaded(aisle=aisle, goods=goods, quantity=quantity, on_hand=quantity))

    async def sell(self, machine: str, aisle: str, goods: str, price_fen: int, *, order: str | None = None) -> None:
        """Deliver one item: of `order`, which is claimed first, or of a button pressed and paid with coins."""
        device = self.device(machine)
        if order is not None:
            await self.hear(device.claim(order))
            fact = vend(VendDelivered, order, aisle=aisle, goods=goods, price_fen=price_fen)
        else:
            paid = {"source": "button", "paid_fen": price_fen}
            fact = vend(VendDelivered, f"b{uuid4().hex[:12]}", aisle=aisle, goods=goods, price_fen=price_fen, **paid)  # type: ignore[arg-type]
        await self.hear(device.fact(fact))

    async def obey(self) -> int:
        """Every machine does what it was told; answers how many commands that were."""
        waiting = select(commands, machine_directory.c.tenant.label("owner")).join(
            machine_directory, machine_directory.c.machine == commands.c.machine
        )
        async with self._database.look() as work:
            rows = await work.rows(waiting.where(commands.c.state == "waiting").order_by(commands.c.asked_ms))
            balances = {(row.machine, row.aisle): row for row in await work.rows(select(stock_balances))}
        on_hand = {key: row.on_hand for key, row in balances.items()}
        goods = {key: row.goods for key, row in balances.items()}
        for row in rows:
            done = CommandAnswered(command=row.command, done=True)
            facts: list[Fact] = [done]
            match decode_ask(row.ask.encode()):
                case ApplyConfig(version=version):
                    facts.append(ConfigReported(version=version))
                case LoadStock(aisle=aisle, quantity=quantity, person=person):
                    key = (row.machine, aisle)
                    on_hand[key] = on_hand.get(key, 0) + quantity
                    facts.append(
                        StockLoaded(
                            aisle=aisle,
                            goods=goods[key],
                            quantity=quantity,
                            on_hand=on_hand[key],
                            person=person,
                            command=row.command,
                        )
                    )
                case CountStock(aisle=aisle, counted=counted, person=person):
                    key = (row.machine, aisle)
                    expected, on_hand[key] = on_hand.get(key, 0), counted
                    facts.append(
                        StockCounted(
                            aisle=aisle,
                            goods=goods[key],
                            counted=counted,
                            expected=expected,
                            person=person,
                            command=row.command,
                        )
                    )
                case _:
                    pass
            await self.report(row.machine, *facts)
        return len(rows)
