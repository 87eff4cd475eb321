"""What may be done with goods."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from cloud.catalog import store
from cloud.catalog.model import Goods
from cloud.database import Work
from cloud.errors import FleetError
from shared.ids import MalformedId, check_id

PRICE_MAX_FEN = 1_000_000  # 10,000 yuan: what no aisle has ever sold, and a slip of the keyboard easily reaches


async def add_goods(work: Work, tenant: str, goods: str, name: str, price_fen: int, *, barcode: str = "") -> Goods:
    """Take new goods into the catalog; FleetError: invalid id or price, or conflict when the id is taken."""
    try:
        check_id("goods", goods)
    except MalformedId as error:
        raise FleetError("invalid", str(error), field="goods") from error
    if await store.find_goods(work, tenant, goods):
        raise FleetError("conflict", f"goods {goods!r} exist already", field="goods")
    new = Goods(tenant, goods, name, barcode, _price(price_fen), False, work.now_ms, work.now_ms)
    await store.add_goods(work, new)
    return new


async def change_goods(
    work: Work,
    tenant: str,
    goods: str,
    *,
    name: str | None = None,
    price_fen: int | None = None,
    barcode: str | None = None,
    archived: bool | None = None,
) -> Goods:
    """Change what is given and keep the rest; FleetError: not_found or invalid price.

    The price is the default for new planograms: a machine sells at the price of its own configuration.
    """
    found = await goods_of(work, tenant, goods)
    changed = replace(
        found,
        name=found.name if name is None else name,
        price_fen=found.price_fen if price_fen is None else _price(price_fen),
        barcode=found.barcode if barcode is None else barcode,
        archived=found.archived if archived is None else archived,
        changed_ms=work.now_ms,
    )
    await store.put_goods(work, changed)
    return changed


async def goods_of(work: Work, tenant: str, goods: str) -> Goods:
    """The goods, or FleetError(not_found)."""
    found = await store.find_goods(work, tenant, goods)
    if found is None:
        raise FleetError("not_found", f"no goods {goods!r}", field="goods")
    return found


async def check_saleable(work: Work, tenant: str, wanted: Collection[str]) -> None:
    """FleetError(invalid) that names the goods a planogram may not contain: unknown or archived ones."""
    missing = set(wanted) - await store.saleable(work, tenant, wanted)
    if missing:
        raise FleetError("invalid", f"{min(missing)!r} are unknown or archived goods", field="goods")


def _price(price_fen: int) -> int:
    if not 0 <= price_fen <= PRICE_MAX_FEN:
        raise FleetError("invalid", f"{price_fen} is not between 0 and {PRICE_MAX_FEN} fen", field="price_fen")
    return price_fen
