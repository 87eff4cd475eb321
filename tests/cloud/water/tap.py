"""A purifier for tests: its configuration, and facts as a real one tells them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from cloud.database import Database, Work
from cloud.ingest.store import quarantine
from cloud.machines.register import claim, register
from cloud.members.store import ledger_accounts
from cloud.members.wallet import join, top_up
from cloud.reports import WaterAccount, water_account
from cloud.tickets.store import tickets
from cloud.water.browse import pour_of
from cloud.water.model import Pour
from cloud.water.place import PlacePour, place_pour
from cloud.water.purifier import put_purifier
from shared.clock import ManualClock
from shared.messages import PourEnded
from shared.quantities import charged_fen, hold_fen
from shared.water import FilterSpec, Outlet, PurifierConfig, ServicePlan, WaterLimits
from tests.cloud.fleet import CREDENTIALS, MEMBER, TENANT, Device, say

PRICE = 37  # fen a litre: a litre and a half costs 55.5, so rounding shows
BALANCE_FEN = 10_000
VENDING = ServicePlan(plan="p1", mode="vending")


def purifier(plan: ServicePlan = VENDING, *, stop_when_unfit: bool = True) -> PurifierConfig:
    """Two outlets, one of them dear, and two filters."""
    return PurifierConfig(
        outlets=(
            Outlet(warmth="normal", relay=1, price_fen_per_litre=PRICE),
            Outlet(warmth="hot", relay=2, price_fen_per_litre=120),
        ),
        plan=plan,
        filters=(
            FilterSpec(position=1, name="PP cotton", lifetime_hours=4_000, worklife_hours=900),
            FilterSpec(position=2, name="RO membrane", lifetime_hours=17_000, worklife_hours=4_000),
        ),
        limits=WaterLimits(pour_ml_max=5_000, stop_when_unfit=stop_when_unfit),
    )


async def open_tap(
    database: Database, *, config: PurifierConfig | None = None, balance_fen: int = BALANCE_FEN
) -> Device:
    """A member with money, and a purifier that is online."""
    async with database.work(tenant=TENANT) as work:
        await join(work, TENANT, MEMBER, "Anna")
        if balance_fen:
            await top_up(work, TENANT, MEMBER, balance_fen, "first")
        await register(work, TENANT, "In the lobby", machine="w1")
        await claim(work, CREDENTIALS, TENANT, "w1")
        await put_purifier(work, CREDENTIALS, TENANT, "w1", config or purifier(), "tests")
    assert isinstance(database.clock, ManualClock)
    device = Device("w1", database.clock)
    await say(database, device.hello(), device.began())
    return device


def wish(key: str = "k1", **more: Any) -> PlacePour:
    asked: dict[str, Any] = {"member": MEMBER, "machine": "w1", "outlet": "normal", "asked_ml": 1_500}
    return PlacePour(tenant=TENANT, idempotency_key=key, **(asked | more))


async def order_pour(database: Database, key: str = "k1", **more: Any) -> str:
    """Order water and answer the pour's id."""

    async def use(work: Work) -> str:
        return (await place_pour(work, wish(key, **more))).order

    return await database.transact(use, tenant=TENANT)


async def claimed_pour(database: Database, device: Device, key: str = "k1", **more: Any) -> str:
    """A pour that the machine has claimed."""
    order = await order_pour(database, key, **more)
    await say(database, device.claim(order))
    return order


def ended(order: str, poured_ml: int, *, asked_ml: int = 1_500, price: int = PRICE, **more: Any) -> PourEnded:
    """The end of a pour that an app has ordered; charged as the machine's rule says."""
    told: dict[str, Any] = {
        "outlet": "normal",
        "source": "order",
        "means": "escrow",
        "charged_fen": charged_fen(poured_ml, price, hold_fen(asked_ml, price)),
        "reason": "target" if poured_ml >= asked_ml else "stopped",
        "txn": 1,
        "plan": "p1",
        "totaliser_after": poured_ml,
        "config_version": 1,
    }
    return PourEnded(order=order, asked_ml=asked_ml, poured_ml=poured_ml, price_fen_per_litre=price, **(told | more))


def tapped(order: str, poured_ml: int, *, paid_fen: int = 56, **more: Any) -> PourEnded:
    """The end of a pour begun at the machine and paid with coins."""
    return ended(order, poured_ml, **({"source": "button", "means": "coin", "paid_fen": paid_fen} | more))


async def pour_row(database: Database, order: str) -> Pour:
    async with database.look(tenant=TENANT) as work:
        return await pour_of(work, TENANT, order)


async def balances(database: Database) -> dict[str, int]:
    """Accounts that hold something, without what was brought in at the beginning."""
    accounts = ledger_accounts.c
    async with database.look(tenant=TENANT) as work:
        rows = await work.rows(select(accounts.account, accounts.balance_fen).where(accounts.tenant == TENANT))
    return {row.account: row.balance_fen for row in rows if row.balance_fen and row.account != "funding"}


async def litres(database: Database) -> WaterAccount:
    async with database.look(tenant=TENANT) as work:
        return await water_account(work, TENANT, "w1", 0, work.now_ms + 1)


async def open_jobs(database: Database) -> set[tuple[str, str]]:
    """Code and scope of every ticket that is open."""
    async with database.look(tenant=TENANT) as work:
        rows = await work.rows(select(tickets.c.code, tickets.c.scope).where(tickets.c.open_key.is_not(None)))
    return {(row.code, row.scope) for row in rows}


async def quarantined(database: Database) -> list[str]:
    """Why facts could not be applied."""
    async with database.look(tenant=TENANT) as work:
        return [row.reason for row in await work.rows(select(quarantine.c.reason).order_by(quarantine.c.seq))]
