"""What may be done with products: put on the shelf, changed, taken off it for good."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from cloud import outcalls
from cloud.accounts.brands import brand_number
from cloud.database import Work
from cloud.errors import FleetError
from cloud.products import store
from cloud.products.model import Product, problem_of
from shared.ids import MalformedId, check_id

# The call that brings the machines of a product to its new specification (`cloud.water.refit`).
REFIT = "product_refit"


async def add_product(work: Work, tenant: str, product: str | None, fields: Mapping[str, Any]) -> Product:
    """A new product with the id of the caller's choice, or the next number. `fields`: those of `Product`.

    FleetError: invalid id or field; a taken id is invalid too, also when its product was deleted.
    """
    if product is not None:
        try:
            check_id("prod_id", product)
        except MalformedId as error:
            raise FleetError("invalid", str(error), field="prod_id") from error
        if await store.find_product(work, tenant, product) is not None:
            raise FleetError("invalid", f"the product {product!r} exists already", field="prod_id")
    number = product or await brand_number(work, tenant, "product")
    new = Product(tenant=tenant, product=number, created_ms=work.now_ms, changed_ms=work.now_ms, **fields)
    await store.put_product(work, _sound(new))
    return new


async def change_product(work: Work, tenant: str, product: str, fields: Mapping[str, Any]) -> Product:
    """Change the fields given and keep the rest; its machines become what a new specification says.

    FleetError: not_found, gone, invalid.
    """
    found = await product_of(work, tenant, product, lock=True)
    changed = replace(found, **fields, changed_ms=work.now_ms)
    await store.put_product(work, _sound(changed))
    if changed.specification != found.specification:
        await refit_machines(work, tenant, [product])
    return changed


async def refit_machines(work: Work, tenant: str, changed: Collection[str]) -> None:
    """Have the machines of these products become what their specifications say, after the commit."""
    await outcalls.enqueue_all(work, tenant, REFIT, changed)


async def delete_product(work: Work, tenant: str, product: str) -> None:
    """Take a product off the shelf for good: what was ordered keeps its name. FleetError: not_found, gone."""
    found = await product_of(work, tenant, product, lock=True)
    await store.put_product(work, replace(found, deleted_ms=work.now_ms))


async def product_of(work: Work, tenant: str, product: str, *, lock: bool = False) -> Product:
    """One product; FleetError not_found, or gone when it was deleted."""
    return on_shelf(await store.find_product(work, tenant, product, lock=lock), product)


async def kept_product(work: Work, tenant: str, product: str) -> Product:
    """One product, also one that was deleted: contracts outlive it. FleetError not_found."""
    found = await store.find_product(work, tenant, product)
    if found is None:
        raise FleetError("not_found", f"no product {product!r}", field="product")
    return found


async def products_of(work: Work, tenant: str, wanted: Collection[str]) -> dict[str, Product]:
    """Those of `wanted` that can be had."""
    found = await store.find_products(work, tenant, set(wanted))
    return {number: product for number, product in found.items() if product.deleted_ms is None}


def on_shelf(found: Product | None, product: str) -> Product:
    """The product that was found, if it can be had; FleetError not_found, or gone."""
    if found is None:
        raise FleetError("not_found", f"no product {product!r}", field="product")
    if found.deleted_ms is not None:
        raise FleetError("gone", f"the product {product!r} was deleted", field="product")
    return found


def _sound(product: Product) -> Product:
    if problem := problem_of(product):
        raise FleetError("invalid", problem[1], field=problem[0])
    return product
