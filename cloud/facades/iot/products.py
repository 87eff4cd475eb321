"""Chapter AC: products. What the shop's pages show, and what rent, commission and machines are made of."""

from __future__ import annotations

from cloud.accounts.model import Permission
from cloud.accounts.people import tenant_exists
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.iot.products_shapes import (
    NewProductAsk,
    ProductAdded,
    ProductAsk,
    Products,
    ProductTold,
    ProductWindow,
    PropertiesAsk,
    PropertiesTold,
    product_told,
    properties_told,
)
from cloud.facades.iot.visits import READ, of_brand, visit
from cloud.facades.iot.wire import BRANDS, Asked, allow, same_id
from cloud.products import shelf
from cloud.products.browse import list_products as products_seen
from cloud.products.browse import product_seen

_WRITE = allow(BRANDS, Permission.CATALOG_WRITE)


class OfBrand(Asked):
    """`vid`: of this brand, where several have a product of this number."""

    vid: str = ""


async def list_products(call: Call[Nothing, ProductWindow]) -> Products:
    """The shop's products (AC-01), in its own sequence. Visitors without a token see them too, unless a setting closes
    the shop; `vid` names the brand.
    """
    async with visit(call, call.query.vid) as (work, reach, _):
        found = await products_seen(work, reach, call.query.ask)
    return Products(total=found.total, products=[product_told(product) for product in found.items])


async def add_product(call: Call[NewProductAsk, Nothing]) -> ProductAdded:
    """Put a product on the shelf (AC-02); its id is answered, a given one is kept.

    `commis.mode` (ratio: percent, fixed: yuan a piece) and `rent.minimum` (litres a day) are additions. A period's key
    is 30d (days), 500l (litres) or both: 30d500l. `vid` names the brand when the platform asks.
    """
    body = call.body
    tenant = await _brand(call, body.vid)
    added = await shelf.add_product(call.work, tenant, body.prod_id or None, body.fields())
    return ProductAdded(prod_id=added.product)


async def read_product(call: Call[Nothing, OfBrand]) -> ProductTold:
    """One product (AC-03), with or without a token; 410 when it was deleted."""
    async with visit(call, call.query.vid) as (work, reach, _):
        return product_told(await product_seen(work, reach, call.path["pid"]))


async def change_product(call: Call[ProductAsk, Nothing]) -> None:
    """Change a product (AC-04): only the keys that are sent. Orders and contracts keep what was agreed."""
    same_id("prod_id", call.body.prod_id, call.path["pid"])
    product = await product_seen(call.work, of_brand(call.subject.reach, call.body.vid), call.path["pid"])
    await shelf.change_product(call.work, product.tenant, product.product, call.body.fields())


async def read_properties(call: Call[Nothing, OfBrand]) -> PropertiesTold:
    """What a product costs to rent, earns its recommenders, and is made of (AC-05)."""
    reach = of_brand(call.subject.reach, call.query.vid)
    return properties_told(await product_seen(call.work, reach, call.path["pid"]))


async def change_properties(call: Call[PropertiesAsk, Nothing]) -> None:
    """Change rent, commission or specification (AC-06): each that is sent is replaced as a whole."""
    product = await product_seen(call.work, call.subject.reach, call.path["pid"])
    await shelf.change_product(call.work, product.tenant, product.product, call.body.fields())


async def delete_product(call: Call[Nothing, OfBrand]) -> None:
    """Delete a product (AC-07) at once and for good: the client has asked whether that is meant."""
    product = await product_seen(call.work, of_brand(call.subject.reach, call.query.vid), call.path["pid"])
    await shelf.delete_product(call.work, product.tenant, product.product)


async def _brand(call: Call[NewProductAsk, Nothing], vid: str) -> str:
    """The brand that a new thing belongs to; FleetError invalid when there is none of this id, or it is another's."""
    if not vid or vid == call.tenant:
        return call.tenant
    if call.subject.level != "platform" or not await tenant_exists(call.work, vid):
        raise FleetError("invalid", f"no brand {vid!r} within your reach", field="vid")
    return vid


OPERATIONS = (
    Operation("GET", "/products", "public", list_products, transacted=False),
    Operation("POST", "/products", _WRITE, add_product, changes="product.add", success=201),
    Operation("GET", "/products/{pid}", "public", read_product, transacted=False),
    Operation("PUT", "/products/{pid}", _WRITE, change_product, changes="product.change", success=201),
    Operation("GET", "/products/{pid}/prof", READ, read_properties),
    Operation("PUT", "/products/{pid}/prof", _WRITE, change_properties, changes="product.change", success=201),
    Operation("DELETE", "/products/{pid}", _WRITE, delete_product, changes="product.delete", success=204),
)
