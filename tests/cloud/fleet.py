"""A small fleet for tests: one tenant with goods, a member with money, and machines that speak like real ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from cloud.accounts.vault import Vault
from cloud.audit import ledger_drift
from cloud.catalog.goods import add_goods
from cloud.database import Database, Work
from cloud.downlink import Outgoing
from cloud.ingest.batch import ingest_batch
from cloud.ingest.read import Incoming
from cloud.machines.credentials import Credentials
from cloud.machines.planogram import put_config
from cloud.machines.register import claim, register
from cloud.members.wallet import join, top_up
from cloud.orders.place import PlaceOrder, place
from shared.clock import ClockState, ManualClock
from shared.envelope import Envelope, pack
from shared.ids import MachineId
from shared.messages import (
    AisleConfig,
    Attempt,
    Claim,
    EpochBegan,
    Fact,
    Grant,
    Hello,
    Refusal,
    StockLoaded,
    VendDelivered,
    VendFailed,
    VendUnknown,
    Watermark,
    decode_grant,
    encode,
)
from shared.topics import up

TENANT = "t1"
MEMBER = "anna"
PRICE_FEN = 350
CREDENTIALS = Credentials(bytes(range(32)))
VAULT = Vault(bytes(range(32)))


@dataclass
class Device:
    """One machine as the cloud hears it: it numbers its facts, and repeats them when asked."""

    machine: str
    clock: ManualClock
    epoch: str = "e1"
    seq: int = 0
    said: dict[int, Incoming] = field(default_factory=dict)

    def fact(self, fact: Fact, *, clock_state: ClockState = "synced", prev: int | None = None) -> Incoming:
        """The next numbered fact, on its topic."""
        before = self.seq if prev is None else prev
        self.seq += 1
        envelope = Envelope(
            machine=self.machine,
            epoch=self.epoch,
            seq=self.seq,
            prev=before,
            boot_id=self.clock.boot_id,
            mono_ms=self.clock.mono_ms(),
            wall_ms=self.clock.wall_ms(),
            clock_state=clock_state,
            fact=msgspec.Raw(encode(fact)),
        )
        self.said[self.seq] = Incoming(up(MachineId(self.machine), "fact"), pack(envelope))
        return self.said[self.seq]

    def hello(self, *, config_version: int = 1, selling: bool = True) -> Incoming:
        said = Hello(
            machine=self.machine,
            epoch=self.epoch,
            boot_id=self.clock.boot_id,
            next_seq=self.seq + 1,
            oldest_seq=1,
            config_version=config_version,
            software="1.0",
            selling=selling,
        )
        return Incoming(up(MachineId(self.machine), "hello"), encode(said))

    def claim(self, order: str, *, nonce: str = "n1", boot_id: str | None = None) -> Incoming:
        said = Claim(order=order, nonce=nonce, boot_id=boot_id or self.clock.boot_id, epoch=self.epoch)
        return Incoming(up(MachineId(self.machine), "claim"), encode(said))

    def gone(self) -> Incoming:
        return Incoming(up(MachineId(self.machine), "gone"), b"{}")

    def began(self) -> Incoming:
        return self.fact(EpochBegan(reason="new", software="1.0"))

    def loaded(self, quantity: int, on_hand: int, aisle: str = "A1", goods: str = "cola") -> Incoming:
        return self.fact(StockLoaded(aisle=aisle, goods=goods, quantity=quantity, on_hand=on_hand))


def vend(
    kind: type,
    order: str,
    *,
    source: str = "order",
    aisle: str = "A1",
    goods: str = "cola",
    price_fen: int = PRICE_FEN,
    paid_fen: int = 0,
    **more: object,
) -> Fact:
    """The end of one vend: `kind` is VendDelivered, VendFailed (of a jam) or VendUnknown (nothing was seen)."""
    defaults = {VendFailed: {"reason": "jam"}, VendUnknown: {"reason": "nothing_seen"}}.get(kind, {})
    attempt = Attempt(txn=1, aisle=aisle, outcome="delivered", result="ok", drop_seen=True)
    made: Fact = kind(
        order=order,
        aisle=aisle,
        goods=goods,
        price_fen=price_fen,
        source=source,
        means="escrow" if source == "order" else "coin",
        paid_fen=paid_fen,
        txn=1,
        config_version=1,
        attempts=(attempt,),
        **(defaults | more),
    )
    return made


def pressed(order: str, *, kind: type = VendDelivered, paid_fen: int = PRICE_FEN, **more: object) -> Fact:
    """The end of a sale begun at the machine and paid with coins."""
    return vend(kind, order, source="button", paid_fen=paid_fen, **more)


async def say(database: Database, *messages: Incoming) -> list[Outgoing]:
    """Let machines speak."""
    return await ingest_batch(database, CREDENTIALS, messages)


def watermarks(outgoing: list[Outgoing]) -> list[Watermark]:
    return [msgspec.json.decode(m.payload, type=Watermark) for m in outgoing if m.channel == "watermark"]


def grants(outgoing: list[Outgoing]) -> list[Grant | Refusal]:
    return [decode_grant(m.payload) for m in outgoing if m.channel == "grant"]


async def new_machine(database: Database, machine: str = "m1", tenant: str = TENANT, aisles: int = 3) -> Device:
    """A claimed machine with a planogram and nothing in it, which has not spoken yet."""
    async with database.work(tenant=tenant) as work:
        await register(work, tenant, f"machine {machine}", machine=machine)
        await claim(work, CREDENTIALS, tenant, machine)
        layout = [
            AisleConfig(aisle=f"A{n}", board=1, motor=n, goods="cola", price_fen=PRICE_FEN, capacity=10)
            for n in range(1, aisles + 1)
        ]
        await put_config(work, CREDENTIALS, tenant, machine, layout, "tests")
    assert isinstance(database.clock, ManualClock)
    return Device(machine, database.clock)


async def open_shop(database: Database, *, tenant: str = TENANT, balance_fen: int = 10_000, stock: int = 10) -> Device:
    """Goods, a member with money, and a machine online with stock in A1."""
    async with database.work(tenant=tenant) as work:
        await add_goods(work, tenant, "cola", "Cola", PRICE_FEN)
        await join(work, tenant, MEMBER, "Anna")
        if balance_fen:
            await top_up(work, tenant, MEMBER, balance_fen, "first")
    device = await new_machine(database, tenant=tenant)
    messages = [device.hello(), device.began()]
    await say(database, *messages, device.loaded(stock, stock))
    return device


def wanted(key: str = "k1", *, aisle: str = "A1", machine: str = "m1", member: str = MEMBER) -> PlaceOrder:
    return PlaceOrder(tenant=TENANT, member=member, machine=machine, aisle=aisle, idempotency_key=key)


async def place_order(database: Database, key: str = "k1", **more: str) -> str:
    """Place an order and answer its id."""

    async def use(work: Work) -> str:
        return (await place(work, wanted(key, **more))).order

    return await database.transact(use, tenant=TENANT)


async def drift(database: Database, tenant: str = TENANT) -> int:
    async with database.look(tenant=tenant) as work:
        return await ledger_drift(work, tenant)
