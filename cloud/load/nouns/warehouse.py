"""Warehouses: how many of which goods lie in a shop outside its machines.

What is loaded is a count: the difference to what the books say is booked as a movement, so the history stays whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from msgspec import Meta
from sqlalchemy import select

from cloud.accounts.store import units
from cloud.load.columns import Id, Row, Sum
from cloud.load.noun import Draft, Key, Noun, Run, chosen, values_of
from cloud.serials import next_serial
from cloud.stock.model import WarehouseMovement
from cloud.stock.store import move_warehouse, open_warehouse, warehouse_balances


class WarehouseRow(Row, frozen=True, kw_only=True):
    """Goods in the warehouse of a shop."""

    shop: Annotated[Id, Meta(title="门店编号", description="The shop whose warehouse it is.")]
    goods: Annotated[Id, Meta(title="商品编号", description="The goods that lie there.")]
    on_hand: Annotated[Sum, Meta(title="库存数量", description="How many items there are, as counted.")]


class _Warehouse(Noun[WarehouseRow]):
    async def present(self, run: Run, brand: str, keys: Sequence[Key] | None) -> Iterable[WarehouseRow]:
        columns = warehouse_balances.c
        query = select(columns.shop, columns.goods, columns.on_hand).where(columns.tenant == brand)
        found = []
        shops = None if keys is None else {shop for shop, _ in keys}
        for here in chosen(run.work, columns.shop, shops):
            found += [WarehouseRow(brand=brand, **row._mapping) for row in await run.work.rows(query.where(here))]
        return found

    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[WarehouseRow]]) -> None:
        kinds = await values_of(run.work, units, brand, "unit", {draft.after.shop for draft in drafts}, "kind")
        for draft in drafts:
            if kinds[draft.after.shop] != "shop":
                draft.object("shop", f"is no shop but a {kinds[draft.after.shop]}")

    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[WarehouseRow]]) -> None:
        await open_warehouse(run.work, brand, [(draft.after.shop, draft.after.goods) for draft in drafts])
        number = await next_serial(run.work, brand, "load")
        movements = []
        for draft in drafts:
            row, before = draft.after, draft.before.on_hand if draft.before else 0
            if row.on_hand != before:
                source, quantity = f"load:{number}:{row.shop}", row.on_hand - before
                movement = WarehouseMovement(
                    brand, source, row.goods, row.shop, "corrected", quantity, run.actor, run.work.now_ms
                )
                movements.append(movement)
        await move_warehouse(run.work, movements)


WAREHOUSE = _Warehouse(
    "warehouse", "仓库库存", WarehouseRow, ("shop", "goods"), references={"shop": "units", "goods": "goods"}
)
