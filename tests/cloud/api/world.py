"""Two tenants to be kept apart: in each one person of every role, and one of everything that can be asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from cloud.accounts import store
from cloud.accounts.codes import Codes
from cloud.accounts.model import ROLES, Reach, Role, Tenant, User, mint_token, token_hash
from cloud.accounts.passwords import Passwords, pepper_of
from cloud.accounts.units import open_unit
from cloud.accounts.vault import Vault
from cloud.catalog.categories import add_category
from cloud.catalog.goods import add_goods
from cloud.database import Database, Work
from cloud.facades.dialect import Parts
from cloud.ingest.store import Quarantined, add_quarantined
from cloud.machines.credentials import Credentials
from cloud.machines.model import MachineState
from cloud.machines.planogram import put_config
from cloud.machines.register import claim, register
from cloud.machines.store import put_states
from cloud.members.model import wallet
from cloud.members.wallet import join, top_up
from cloud.orders.model import Order
from cloud.orders.place import PlaceOrder, place
from cloud.paging import Ask
from cloud.payments.capture import settle_recorded
from cloud.payments.payout import NewPayout, pay_out
from cloud.payments.refund import refund
from cloud.payments.request import open_top_up
from cloud.serials import skip_to
from cloud.settings import Settings
from cloud.stock.model import Balance
from cloud.stock.store import put_balances
from cloud.tickets.browse import TicketFilter, list_tickets
from cloud.tickets.desk import PREFIX, TicketDesk
from cloud.tickets.model import Condition
from cloud.watch import Watch
from cloud.water.model import Pour
from cloud.water.place import PlacePour, place_pour
from cloud.water.purifier import put_purifier
from cloud.wiring import open_till
from shared.clock import ManualClock
from shared.ids import MachineId
from shared.messages import AisleConfig
from shared.topics import up
from shared.water import Outlet, PurifierConfig, ServicePlan

SERVER_SECRET = bytes(range(32))
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Business:
    """A tenant and the ids of what it owns."""

    tenant: str
    machine: str
    spare: str
    goods: str
    category: str
    shop: str
    member: str
    tokens: dict[Role, str] = field(repr=False)
    temporary: str = field(repr=False)
    # Of an owner below the brand: a shop's, who signs in to dialects only.
    shopkeeper: str = field(repr=False)
    # Of the brand's owner, but given in another dialect.
    elsewhere: str = field(repr=False)
    viewer: str
    purifier: str
    order: str
    pour: str
    ticket: str
    item: str
    payment: str
    paid: str
    refund: str
    payout: str


def parts_of(database: Database, settings: Settings) -> Parts:
    """What the application is built from."""
    return Parts(
        settings=settings,
        database=database,
        clock=database.clock,
        passwords=Passwords(pepper_of(SERVER_SECRET)),
        credentials=Credentials(SERVER_SECRET),
        watch=Watch(database),
        till=open_till(settings, database.clock),
        codes=Codes(SERVER_SECRET),
        vault=Vault(SERVER_SECRET),
    )


async def open_business(database: Database, tenant: str) -> Business:
    """Make a tenant with everything in it."""
    async with database.work() as work:
        await store.add_tenant(work, Tenant(tenant, tenant.title(), work.now_ms))
        tokens = {role: await sign_up(work, tenant, role, role) for role in ROLES}
        temporary = await sign_up(work, tenant, "newcomer", "owner", temporary=True)
        elsewhere = mint_token(tenant)
        expires_ms = work.now_ms + HOUR_MS
        await store.add_token(work, tenant, token_hash(elsewhere), f"u-{tenant}-owner", expires_ms, audience="iot")
    async with database.work(tenant=tenant) as work:
        order, ticket = await _fill(work, tenant)
        pour = await _pour(work, tenant)
        payment, paid, refund, payout = await _pay(work, tenant)
        shopkeeper = await sign_up(work, tenant, "shopkeeper", "owner", unit=f"shop-{tenant}")
    return Business(
        tenant=tenant,
        machine=f"m-{tenant}",
        spare=f"spare-{tenant}",
        goods=f"cola-{tenant}",
        category=f"drinks-{tenant}",
        shop=f"shop-{tenant}",
        member=f"ann-{tenant}",
        tokens=tokens,
        temporary=temporary,
        shopkeeper=shopkeeper,
        elsewhere=elsewhere,
        viewer=f"u-{tenant}-viewer",
        purifier=f"tap-{tenant}",
        order=order.order,
        pour=pour.order,
        ticket=ticket,
        item=f"q-{tenant}",
        payment=payment,
        paid=paid,
        refund=refund,
        payout=payout,
    )


async def sign_up(
    work: Work, tenant: str, login: str, role: Role, *, temporary: bool = False, unit: str | None = None
) -> str:
    """A user who is signed in; nobody knows the password. Answers the token."""
    user = User(tenant, f"u-{tenant}-{login}", login, login.title(), role, False, temporary, work.now_ms, unit=unit)
    assert await store.add_user(work, user, "no hash of any password")
    token = mint_token(tenant)
    await store.add_token(work, tenant, token_hash(token), user.user, work.now_ms + HOUR_MS)
    return token


async def _fill(work: Work, tenant: str) -> tuple[Order, str]:
    credentials = Credentials(SERVER_SECRET)
    machine, goods, member = f"m-{tenant}", f"cola-{tenant}", f"ann-{tenant}"
    await register(work, tenant, "By the gate", place="Gate 1", machine=machine)
    await register(work, tenant, "In the store", machine=f"spare-{tenant}")
    await claim(work, credentials, tenant, machine)
    await open_unit(work, tenant, f"shop-{tenant}", "shop", "Corner shop")
    await add_category(work, tenant, "Drinks", category=f"drinks-{tenant}")
    await add_goods(work, tenant, goods, "Cola 330 ml", 350)
    aisle = AisleConfig(aisle="a1", board=1, motor=0, goods=goods, price_fen=350, capacity=10)
    await put_config(work, credentials, tenant, machine, [aisle], "setup")
    await put_states(work, [MachineState(tenant=tenant, machine=machine, online=True, last_seen_ms=work.now_ms)])
    await put_balances(work, [Balance(tenant, machine, "a1", goods, on_hand=10)])
    await join(work, tenant, member, "Ann", "13900001234")
    await top_up(work, tenant, member, 10_000, "opening-balance")
    wanted = PlaceOrder(tenant=tenant, member=member, machine=machine, aisle="a1", idempotency_key="the-first-order")
    order = await place(work, wanted)
    # Tenants count alike; these are to be told apart.
    await skip_to(work, tenant, PREFIX, crc32(tenant.encode()))
    desk = TicketDesk(work)
    desk.open(Condition(tenant, machine, "jam", "a1"), "the spiral is stuck")
    await desk.write()
    kept = Quarantined(tenant, f"q-{tenant}", up(MachineId(machine), "fact"), machine, None, None, "not JSON", b"\xff{")
    await add_quarantined(work, [kept])
    ticket = (await list_tickets(work, Reach(tenant), TicketFilter(machine=machine), Ask())).items[0]
    return order, ticket.ticket


async def _pour(work: Work, tenant: str) -> Pour:
    """A purifier, and a litre of cold water that is ordered from it."""
    credentials, machine = Credentials(SERVER_SECRET), f"tap-{tenant}"
    await register(work, tenant, "In the lobby", machine=machine)
    await claim(work, credentials, tenant, machine)
    outlets = (Outlet(warmth="normal", relay=1), Outlet(warmth="cold", relay=2, price_fen_per_litre=50))
    purifier = PurifierConfig(outlets=outlets, plan=ServicePlan(plan=f"plan-{tenant}", mode="vending"))
    await put_purifier(work, credentials, tenant, machine, purifier, "setup")
    await put_states(work, [MachineState(tenant=tenant, machine=machine, online=True, last_seen_ms=work.now_ms)])
    wanted = PlacePour(
        tenant=tenant,
        member=f"ann-{tenant}",
        machine=machine,
        outlet="cold",
        asked_ml=1_000,
        idempotency_key="the-first-pour",
    )
    return await place_pour(work, wanted)


async def _pay(work: Work, tenant: str) -> tuple[str, str, str, str]:
    """A payment that nobody has made yet; one that was made, of which some goes back; and something paid out."""
    till, member = open_till(Settings(data=Path("nowhere")), ManualClock()), f"ann-{tenant}"
    payment = await open_top_up(work, till, tenant, member, 1_000, "weixin_native", reference="the-first-payment")
    paid = await open_top_up(work, till, tenant, member, 2_000, "credit", reference="the-second-payment")
    await settle_recorded(work, till, tenant, paid.payment)
    back = await refund(work, tenant, paid.payment, 300, reference="back", reason="too much", decided_by="setup")
    wanted = NewPayout(
        tenant=tenant,
        reference="the-first-payout",
        account=wallet(member),
        way="weixin",
        payee=f"openid-of-ann-{tenant}",
        payee_name="Ann",
        amount_fen=400,
        note="overpaid",
        decided_by="setup",
    )
    out = await pay_out(work, till, wanted)
    return payment.payment, paid.payment, back.refund, out.payout
