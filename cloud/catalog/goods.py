"""What may be done with goods."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from cloud.catalog import store
from cloud.catalog.model import Goods
from cloud.database import Work
from cloud.errors import FleetError
from shared.ids import MalformedId, check_id

PRICE_MAX_FEN = 1_000_000  # 10,000 yuan: what no aisle has ever sold, and a slip of the keyboard easily reaches
# What a screen has room for.
PICTURES_MAX = 20
CATEGORIES_MAX = 20


async def add_goods(
    work: Work,
    tenant: str,
    goods: str,
    name: str,
    price_fen: int,
    *,
    barcode: str = "",
    spec: str | None = None,
    pictures: Sequence[str] = (),
    categories: Collection[str] = (),
) -> Goods:
    """Take new goods into the catalog; FleetError: invalid id, price or category, conflict when the id is taken."""
    try:
        check_id("goods", goods)
    except MalformedId as error:
        raise FleetError("invalid", str(error), field="goods") from error
    if await store.find_goods(work, tenant, goods):
        raise FleetError("conflict", f"goods {goods!r} exist already", field="goods")
    new = Goods(
        tenant, goods, name, barcode, _price(price_fen), False, work.now_ms, work.now_ms, spec or None, _few(pictures)
    )
    await store.add_goods(work, new)
    await _categorise(work, tenant, goods, categories)
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
    spec: str | None = None,
    pictures: Sequence[str] | None = None,
    categories: Collection[str] | None = None,
) -> Goods:
    """Change what is given and keep the rest; FleetError: not_found, invalid price or category. `spec` '' is none.

    The price is the default for new planograms: a machine sells at the price of its own configuration.
    """
    found = await goods_of(work, tenant, goods)
    changed = replace(
        found,
        name=found.name if name is None else name,
        price_fen=found.price_fen if price_fen is None else _price(price_fen),
        barcode=found.barcode if barcode is None else barcode,
        archived=found.archived if archived is None else archived,
        spec=found.spec if spec is None else spec or None,
        pictures=found.pictures if pictures is None else _few(pictures),
        changed_ms=work.now_ms,
    )
    await store.put_goods(work, changed)
    if categories is not None:
        await _categorise(work, tenant, goods, categories)
    return changed


async def goods_of(work: Work, tenant: str, goods: str) -> Goods:
    """The goods, or FleetError(not_found)."""
    found = await store.find_goods(work, tenant, goods)
    if found is None:
        raise FleetError("not_found", f"no goods {goods!r}", field="goods")
    return found


async def goods_by_barcode(work: Work, tenant: str, barcode: str) -> Goods | None:
    """The goods that a scanned bar code means; None when nobody knows it. '' means none."""
    return await store.find_by_barcode(work, tenant, barcode) if barcode else None


async def check_saleable(work: Work, tenant: str, wanted: Collection[str]) -> None:
    """FleetError(invalid) that names the goods a planogram may not contain: unknown or archived ones."""
    missing = set(wanted) - await store.saleable(work, tenant, wanted)
    if missing:
        raise FleetError("invalid", f"{min(missing)!r} are unknown or archived goods", field="goods")


async def _categorise(work: Work, tenant: str, goods: str, categories: Collection[str]) -> None:
    if len(set(categories)) > CATEGORIES_MAX:
        raise FleetError("invalid", f"goods are in at most {CATEGORIES_MAX} categories", field="categories")
    known = {category.category for category in await store.all_categories(work, tenant)}
    if missing := set(categories) - known:
        raise FleetError("invalid", f"there is no category {min(missing)!r}", field="categories")
    await store.set_categories(work, tenant, goods, categories)


def _price(price_fen: int) -> int:
    if not 0 <= price_fen <= PRICE_MAX_FEN:
        raise FleetError("invalid", f"{price_fen} is not between 0 and {PRICE_MAX_FEN} fen", field="price_fen")
    return price_fen


def _few(pictures: Sequence[str]) -> tuple[str, ...]:
    if len(pictures) > PICTURES_MAX:
        raise FleetError("invalid", f"goods have at most {PICTURES_MAX} pictures", field="pictures")
    return tuple(pictures)
