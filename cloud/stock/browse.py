"""Looking at stock."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select

from cloud.catalog.browse import goods_in
from cloud.database import Work, record_of
from cloud.paging import Ask, Page, page
from cloud.stock.model import AisleAsk, Balance, Movement, Restock, Return, ReturnState, WarehouseMovement
from cloud.stock.store import (
    BALANCE,
    aisle_asks,
    restocks,
    returns,
    stock_balances,
    stock_movements,
    warehouse_balances,
    warehouse_movements,
)


async def balances_of(work: Work, tenant: str, machine: str) -> list[Balance]:
    """What lies in each aisle of a machine."""
    query = select(*BALANCE).where(stock_balances.c.tenant == tenant, stock_balances.c.machine == machine)
    return [record_of(Balance, row) for row in await work.rows(query.order_by(stock_balances.c.aisle))]


async def list_movements(
    work: Work, tenant: str, machine: str, ask: Ask, *, aisle: str | None = None
) -> Page[Movement]:
    """What moved in a machine, newest first."""
    query = select(stock_movements).where(stock_movements.c.tenant == tenant, stock_movements.c.machine == machine)
    if aisle is not None:
        query = query.where(stock_movements.c.aisle == aisle)
    return await page(
        work,
        query,
        ask,
        sorts={"at_ms": stock_movements.c.at_ms, "aisle": stock_movements.c.aisle},
        ties=(stock_movements.c.at_ms.desc(), stock_movements.c.source.desc()),
        make=lambda row: record_of(Movement, row),
    )


# --- warehouses ---


async def warehouse_of(work: Work, tenant: str, shop: str) -> dict[str, int]:
    """How many of which goods lie in a shop's warehouse."""
    here = warehouse_balances.c.tenant == tenant, warehouse_balances.c.shop == shop
    rows = await work.rows(select(warehouse_balances.c.goods, warehouse_balances.c.on_hand).where(*here))
    return {row.goods: row.on_hand for row in rows}


async def list_warehouse_movements(
    work: Work, tenant: str, shop: str, ask: Ask, *, goods: str | None = None
) -> Page[WarehouseMovement]:
    """What came into a shop's warehouse and left it, newest first."""
    columns = warehouse_movements.c
    query = select(warehouse_movements).where(columns.tenant == tenant, columns.shop == shop)
    if goods is not None:
        query = query.where(columns.goods == goods)
    return await page(
        work,
        query,
        ask,
        sorts={"at_ms": columns.at_ms, "goods": columns.goods},
        ties=(columns.at_ms.desc(), columns.source.desc(), columns.goods),
        make=lambda row: record_of(WarehouseMovement, row),
    )


# --- records ---


@dataclass(frozen=True, slots=True)
class RestockSeen:
    """A record, with what the machine was asked for; what became of each ask is the state of its command."""

    restock: Restock
    asks: tuple[AisleAsk, ...]


async def list_restocks(work: Work, tenant: str, shop: str, ask: Ask) -> Page[RestockSeen]:
    """The restocks of a shop, newest first."""
    query = select(restocks).where(restocks.c.tenant == tenant, restocks.c.shop == shop)
    found = await page(
        work,
        query,
        ask,
        sorts={"made_ms": restocks.c.made_ms},
        ties=(restocks.c.made_ms.desc(), func.length(restocks.c.restock).desc(), restocks.c.restock.desc()),
        make=lambda row: record_of(Restock, row),
    )
    asks = await _asks_of(work, tenant, [one.restock for one in found.items])
    seen = [RestockSeen(one, tuple(asks.get(one.restock, ()))) for one in found.items]
    return Page(seen, found.total, found.page, found.page_size)


async def _asks_of(work: Work, tenant: str, wanted: Collection[str]) -> dict[str, list[AisleAsk]]:
    found: dict[str, list[AisleAsk]] = {}
    if wanted:
        here = aisle_asks.c.tenant == tenant, aisle_asks.c.restock.in_(wanted)
        for row in await work.rows(select(aisle_asks).where(*here).order_by(aisle_asks.c.aisle)):
            found.setdefault(row.restock, []).append(record_of(AisleAsk, row))
    return found


async def list_returns(
    work: Work, tenant: str, shop: str, ask: Ask, *, state: ReturnState | None = None, category: str | None = None
) -> Page[Return]:
    """The returns to a shop, newest first; `category` is one that the goods are in, or that stands above it."""
    query = select(returns).where(returns.c.tenant == tenant, returns.c.shop == shop)
    if state is not None:
        query = query.where(returns.c.state == state)
    if category is not None:
        query = query.where(returns.c.goods.in_(goods_in(tenant, category)))
    return await page(
        work,
        query,
        ask,
        sorts={"at_ms": returns.c.at_ms},
        ties=(returns.c.at_ms.desc(), func.length(returns.c.number).desc(), returns.c.number.desc()),
        make=lambda row: record_of(Return, row),
    )


async def count_records(work: Work, tenant: str, shop: str) -> tuple[int, int]:
    """How many restocks and how many returns a shop has."""
    counts = {
        table.name: select(func.count()).where(table.c.tenant == tenant, table.c.shop == shop).scalar_subquery()
        for table in (restocks, returns)
    }
    row = await work.row(select(*(count.label(name) for name, count in counts.items())))
    assert row is not None, "counts answer one row"
    return int(row.restocks), int(row.returns)
