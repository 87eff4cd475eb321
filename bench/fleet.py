"""A fleet as ingest hears it: registered machines with stock, orders paid from escrow, and the facts that end them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from cloud.catalog.goods import add_goods
from cloud.database import Database, Work
from cloud.ingest.batch import BATCH_MAX, ingest_batch
from cloud.ingest.read import Incoming
from cloud.machines.credentials import Credentials
from cloud.machines.planogram import put_config
from cloud.machines.register import claim, register
from cloud.members.wallet import join, top_up
from cloud.orders.place import PlaceOrder, place
from shared.clock import Clock
from shared.envelope import Envelope, pack
from shared.ids import MachineId, mint_order_id
from shared.messages import (
    AisleConfig,
    Attempt,
    Claim,
    EpochBegan,
    Fact,
    Hello,
    StockLoaded,
    VendDelivered,
    encode,
)
from shared.topics import up

TENANT = "bench"
GOODS = "cola"
PRICE_FEN = 350
AISLES = 60
LOADED = 10_000
MEMBERS = 50
BALANCE_FEN = 100_000
# Orders of one unit of work while the fleet is made ready; nothing of that is measured.
PLACED_AT_ONCE = 100
# Longer than any preparation: orders must not expire before their facts are said.
DEADLINE_MS = 3_600_000


@dataclass
class Device:
    """One machine's stream."""

    machine: MachineId
    clock: Clock
    epoch: str = "e1"
    seq: int = 0

    def fact(self, fact: Fact) -> Incoming:
        """The next numbered fact, on its topic."""
        self.seq += 1
        envelope = Envelope(
            machine=self.machine,
            epoch=self.epoch,
            seq=self.seq,
            prev=self.seq - 1,
            boot_id=self.clock.boot_id,
            mono_ms=self.clock.mono_ms(),
            wall_ms=self.clock.wall_ms(),
            clock_state="synced",
            fact=msgspec.Raw(encode(fact)),
        )
        return Incoming(up(self.machine, "fact"), pack(envelope))

    def hello(self) -> Incoming:
        """Who is here; it sells."""
        said = Hello(
            machine=self.machine,
            epoch=self.epoch,
            boot_id=self.clock.boot_id,
            next_seq=1,
            oldest_seq=1,
            config_version=1,
            software="bench",
        )
        return Incoming(up(self.machine, "hello"), encode(said))

    def claim(self, order: str) -> Incoming:
        """A bid for an order."""
        said = Claim(order=order, nonce=f"n-{order}", boot_id=self.clock.boot_id, epoch=self.epoch)
        return Incoming(up(self.machine, "claim"), encode(said))

    def delivered(self, number: int, order: str, *, from_app: bool) -> Incoming:
        """The end of one vend."""
        attempt = Attempt(
            txn=number + 1,
            aisle=aisle(number),
            outcome="delivered",
            result="ok",
            drop_seen=True,
            max_current_ma=600,
            avg_current_ma=300,
            run_time_ms=3000,
        )
        return self.fact(
            VendDelivered(
                order=order,
                aisle=aisle(number),
                goods=GOODS,
                price_fen=PRICE_FEN,
                source="order" if from_app else "button",
                means="escrow" if from_app else "coin",
                paid_fen=PRICE_FEN,
                txn=number + 1,
                config_version=1,
                attempts=(attempt,),
            )
        )


def aisle(number: int) -> str:
    """Aisles take turns."""
    return f"1-{number % AISLES:02d}"


async def open_fleet(database: Database, credentials: Credentials, machines: int) -> list[Device]:
    """A tenant with goods and members who have money, and machines online with stock in every aisle."""
    async with database.work(tenant=TENANT) as work:
        await add_goods(work, TENANT, GOODS, "Cola", PRICE_FEN)
        for number in range(MEMBERS):
            await join(work, TENANT, f"member-{number}", f"Member {number}")
            await top_up(work, TENANT, f"member-{number}", BALANCE_FEN, "first")
    devices = [Device(MachineId(f"bench-{number}"), database.clock) for number in range(machines)]
    for device in devices:
        await _install(database, credentials, device)
        said = [device.hello(), device.fact(EpochBegan(reason="new", software="bench"))]
        for number in range(AISLES):
            loaded = StockLoaded(aisle=aisle(number), goods=GOODS, quantity=LOADED, on_hand=LOADED)
            said.append(device.fact(loaded))
        await ingest_batch(database, credentials, said)
    return devices


async def _install(database: Database, credentials: Credentials, device: Device) -> None:
    layout = [
        AisleConfig(
            aisle=aisle(number), board=1, motor=number, goods=GOODS, price_fen=PRICE_FEN, capacity=LOADED, name="Cola"
        )
        for number in range(AISLES)
    ]
    async with database.work(tenant=TENANT) as work:
        await register(work, TENANT, device.machine, machine=device.machine)
        await claim(work, credentials, TENANT, device.machine)
        await put_config(work, credentials, TENANT, device.machine, layout, "bench")


async def vends_from_app(
    database: Database, credentials: Credentials, devices: Sequence[Device], count: int
) -> list[Incoming]:
    """Orders placed by members and claimed by machines; the facts that are still to be said about them."""
    placed: list[tuple[Device, int, str]] = []
    for first in range(0, count, PLACED_AT_ONCE):
        async with database.work(tenant=TENANT) as work:
            for number in range(first, min(first + PLACED_AT_ONCE, count)):
                device = devices[number % len(devices)]
                placed.append((device, number // len(devices), await _place(work, device, number, len(devices))))
    claims = [device.claim(order) for device, _, order in placed]
    for first in range(0, count, BATCH_MAX):
        await ingest_batch(database, credentials, claims[first : first + BATCH_MAX])
    return [device.delivered(number, order, from_app=True) for device, number, order in placed]


async def _place(work: Work, device: Device, number: int, machines: int) -> str:
    wanted = PlaceOrder(
        tenant=TENANT,
        member=f"member-{number % MEMBERS}",
        machine=device.machine,
        aisle=aisle(number // machines),
        idempotency_key=f"order-{number}",
    )
    return (await place(work, wanted, deadline_ms=DEADLINE_MS)).order


def vends_from_buttons(devices: Sequence[Device], count: int) -> Iterator[Incoming]:
    """Sales begun at the machines, the machines taking turns."""
    for number in range(count):
        device = devices[number % len(devices)]
        yield device.delivered(number // len(devices), mint_order_id(), from_app=False)
