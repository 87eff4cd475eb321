"""Returns: goods are scanned because they go back, and lie in the shop's warehouse again when that is done."""

from __future__ import annotations

from cloud.accounts.model import Unit
from cloud.catalog.goods import goods_of
from cloud.database import Work
from cloud.errors import FleetError
from cloud.serials import next_serial
from cloud.stock import store, warehouse
from cloud.stock.model import Return, finish

QUANTITY_MAX = 10_000


async def scan(work: Work, shop: Unit, goods: str, quantity: int, *, user: str) -> Return:
    """Note that goods go back to a shop; every scan is a return of its own. FleetError: not_found goods, invalid."""
    if not 1 <= quantity <= QUANTITY_MAX:
        raise FleetError("invalid", f"{quantity} is not between 1 and {QUANTITY_MAX}", field="goods_num")
    await goods_of(work, shop.tenant, goods)
    scanned = Return(
        tenant=shop.tenant,
        number=f"RI{await next_serial(work, shop.tenant, 'return')}",
        shop=shop.unit,
        goods=goods,
        quantity=quantity,
        state="waiting",
        address=shop.address or shop.name,
        person=None,
        scanned_by=user,
        scanned_ms=work.now_ms,
        at_ms=work.now_ms,
    )
    await store.put_return(work, scanned)
    return scanned


async def complete(work: Work, tenant: str, number: str, *, person: str) -> Return:
    """The goods are back. Saying it again changes nothing. FleetError not_found."""
    found = await return_of(work, tenant, number, lock=True)
    if found.state == "done":
        return found
    done = finish(found, person, work.now_ms)
    await store.put_return(work, done)
    await warehouse.put_back(work, tenant, done.shop, done.goods, done.quantity, source=done.number, person=person)
    return done


async def return_of(work: Work, tenant: str, number: str, *, lock: bool = False) -> Return:
    """One return; FleetError not_found."""
    found = await store.find_return(work, tenant, number, lock=lock)
    if found is None:
        raise FleetError("not_found", f"there is no return {number!r}", field="return_id")
    return found
