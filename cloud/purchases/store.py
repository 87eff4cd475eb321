"""SQL of purchases."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Row,
    Table,
    Text,
    UniqueConstraint,
    and_,
    func,
    select,
    text,
)

from cloud.database import Work, metadata, one_of, record_of, row_of, tenant_column
from cloud.purchases.model import Delivery, Line, Purchase, Receiver

# Lists count what is not deleted, from the index alone.
_LISTED: dict[str, Any] = {"sqlite_where": text("deleted_ms IS NULL"), "postgresql_where": text("deleted_ms IS NULL")}

purchases = Table(
    "purchases",
    metadata,
    tenant_column(),
    Column("purchase", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("member", Text, nullable=False),
    Column("unit", Text),
    # JSON: copies of that day, read and written with the purchase and never searched.
    Column("lines", Text, nullable=False),
    Column("goods_fen", BigInteger, nullable=False),
    Column("freight_fen", BigInteger, nullable=False),
    Column("install_fen", BigInteger, nullable=False),
    Column("deposit_fen", BigInteger, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("delivery", Text, nullable=False),
    Column("memo", Text, nullable=False),
    Column("rental", Text),
    Column("group", Text),
    Column("due_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("paid_ms", BigInteger),
    Column("received_ms", BigInteger),
    Column("return_ms", BigInteger),
    Column("ended_ms", BigInteger),
    # The payment whose money it is; one payment pays for one purchase.
    Column("payment", Text),
    Column("pay_channel", Text, nullable=False),
    Column("transaction", Text, nullable=False),
    Column("repaid_fen", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
    UniqueConstraint("tenant", "payment"),
    CheckConstraint("goods_fen >= 0 AND freight_fen >= 0 AND install_fen >= 0 AND deposit_fen >= 0", name="amounts"),
    CheckConstraint(
        "repaid_fen >= 0 AND repaid_fen <= goods_fen + freight_fen + install_fen + deposit_fen", name="repaid"
    ),
    # Lists are counted by it: an index is walked the faster the narrower it is.
    Index("ix_purchases_listed", "tenant", **_LISTED),
    Index("ix_purchases_created", "tenant", "created_ms", "purchase", **_LISTED),
    Index("ix_purchases_member", "tenant", "member", "created_ms", "purchase", **_LISTED),
    Index("ix_purchases_state", "tenant", "state", "created_ms", "purchase", **_LISTED),
    Index("ix_purchases_unit", "tenant", "unit", "created_ms", "purchase", **_LISTED),
    Index("ix_purchases_due", "due_ms"),
    # The platform's people see those of all tenants, and know a number and not whose it is.
    Index("ix_purchases_all", "created_ms", "purchase", **_LISTED),
    Index("ix_purchases_purchase", "purchase"),
)
# What is to be paid for one.
AMOUNT_FEN = purchases.c.goods_fen + purchases.c.freight_fen + purchases.c.install_fen + purchases.c.deposit_fen
# Lists are sorted by it, within a brand and over all of them.
Index("ix_purchases_amount", purchases.c.tenant, AMOUNT_FEN, purchases.c.created_ms, purchases.c.purchase, **_LISTED)
Index("ix_purchases_amount_all", AMOUNT_FEN, purchases.c.created_ms, purchases.c.purchase, **_LISTED)

_JSON: dict[str, Any] = {"lines": tuple[Line, ...], "receiver": Receiver, "delivery": Delivery}


def purchase_from(row: Row[Any]) -> Purchase:
    """A row as the purchase it holds."""
    parsed = {name: msgspec.json.decode(getattr(row, name), type=kind) for name, kind in _JSON.items()}
    return record_of(Purchase, row, **parsed)


async def find_purchase(work: Work, tenant: str, purchase: str, *, lock: bool = False) -> Purchase | None:
    """One purchase, also a deleted one."""
    query = select(purchases).where(and_(purchases.c.tenant == tenant, purchases.c.purchase == purchase))
    row = await work.row(query.with_for_update() if lock else query)
    return None if row is None else purchase_from(row)


async def put_purchase(work: Work, purchase: Purchase) -> None:
    """Insert or replace a purchase."""
    values = row_of(purchase)
    parts = {name: msgspec.json.encode(values[name]).decode() for name in _JSON}
    await work.put(purchases, [{**values, **parts}])


async def forget_receivers(work: Work, tenant: str, member: str) -> None:
    """Take name, number, address and memo out of all purchases of a member."""
    here = and_(purchases.c.tenant == tenant, purchases.c.member == member)
    nobody = msgspec.json.encode(Receiver()).decode()
    await work.execute(purchases.update().where(here).values(receiver=nobody, memo=""))


async def count_unpaid(work: Work, tenant: str, member: str) -> int:
    """How many purchases of a member wait for their money."""
    here = and_(purchases.c.tenant == tenant, purchases.c.member == member, purchases.c.state == "obligation")
    return int(await work.scalar(select(func.count()).select_from(purchases).where(here)) or 0)


async def find_purchases(work: Work, tenant: str, wanted: Collection[str]) -> list[Purchase]:
    """These purchases, in no order."""
    found = []
    for here in one_of(work, purchases.c.purchase, wanted):
        rows = await work.rows(select(purchases).where(purchases.c.tenant == tenant, here))
        found += [purchase_from(row) for row in rows]
    return found


async def lock_gathering(work: Work, tenant: str, wanted: Collection[str]) -> list[Purchase]:
    """Of these purchases those whose group is not over, locked in the order of their numbers."""
    found = []
    for here in one_of(work, purchases.c.purchase, sorted(wanted)):
        query = select(purchases).where(purchases.c.tenant == tenant, purchases.c.state == "gathering", here)
        rows = await work.rows(query.order_by(purchases.c.purchase).with_for_update())
        found += [purchase_from(row) for row in rows]
    return found


async def wait_no_more(work: Work, tenant: str, wanted: Collection[str]) -> None:
    """Of these purchases those that nobody has paid are due now."""
    for here in one_of(work, purchases.c.purchase, sorted(wanted)):
        unpaid = purchases.update().where(purchases.c.tenant == tenant, purchases.c.state == "obligation", here)
        await work.execute(unpaid.values(due_ms=work.now_ms))


async def lock_due(work: Work, limit: int) -> list[Purchase]:
    """Purchases to which time does something now, locked; those that others have locked are left to them."""
    due = select(purchases).where(purchases.c.due_ms <= work.now_ms).order_by(purchases.c.due_ms).limit(limit)
    return [purchase_from(row) for row in await work.rows(due.with_for_update(skip_locked=True))]
