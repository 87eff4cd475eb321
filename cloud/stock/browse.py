"""Looking at stock."""

from __future__ import annotations

from sqlalchemy import select

from cloud.database import Work
from cloud.paging import Ask, Page, page
from cloud.stock.model import Balance, Movement
from cloud.stock.store import stock_balances, stock_movements


async def balances_of(work: Work, tenant: str, machine: str) -> list[Balance]:
    """What lies in each aisle of a machine."""
    query = select(stock_balances).where(stock_balances.c.tenant == tenant, stock_balances.c.machine == machine)
    return [Balance(**row._mapping) for row in await work.rows(query.order_by(stock_balances.c.aisle))]


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
        make=lambda row: Movement(**row._mapping),
    )
