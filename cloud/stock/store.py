"""SQL of stock: of aisles, of warehouses, and of what goes between them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Index,
    Table,
    Text,
    and_,
    bindparam,
    select,
    text,
    tuple_,
)

from cloud.database import Work, metadata, record_of, row_of, tenant_column
from cloud.stock.model import AisleAsk, Balance, Movement, Restock, Return, WarehouseMovement

# Append-only: a trigger refuses every change. `source` is the fact that moved it ("epoch.seq").
stock_movements = Table(
    "stock_movements",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("aisle", Text, nullable=False),
    Column("goods", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("on_hand_delta", BigInteger, nullable=False),
    Column("held_delta", BigInteger, nullable=False),
    Column("person", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("ix_stock_movements_at", "tenant", "machine", "at_ms"),
)

# A trigger on aisles gives each its balance, and keeps `for_sale` what it says there.
stock_balances = Table(
    "stock_balances",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("aisle", Text, primary_key=True),
    Column("goods", Text, nullable=False),
    Column("on_hand", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("for_sale", Boolean, nullable=False),
    Column("sellable", BigInteger, Computed("on_hand - held", persisted=True)),
    Index(
        "ix_stock_balances_sellable",
        "tenant",
        "sellable",
        "machine",
        "aisle",
        postgresql_where=text("for_sale"),
        sqlite_where=text("for_sale"),
    ),
)
# What a `Balance` is made of.
BALANCE = tuple(column for column in stock_balances.c if column.computed is None)

# Append-only. What is in a warehouse is the sum of these.
warehouse_movements = Table(
    "warehouse_movements",
    metadata,
    tenant_column(),
    Column("source", Text, primary_key=True),
    Column("goods", Text, primary_key=True),
    Column("shop", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("person", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("ix_warehouse_movements_at", "tenant", "shop", "at_ms"),
)

warehouse_balances = Table(
    "warehouse_balances",
    metadata,
    tenant_column(),
    Column("shop", Text, primary_key=True),
    Column("goods", Text, primary_key=True),
    Column("on_hand", BigInteger, nullable=False),
    CheckConstraint("on_hand >= 0", name="never_below_nothing"),
)

# Append-only: what became of each is the state of its command.
aisle_asks = Table(
    "aisle_asks",
    metadata,
    tenant_column(),
    Column("command", Text, primary_key=True),
    Column("machine", Text, nullable=False),
    Column("aisle", Text, nullable=False),
    Column("goods", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("shop", Text),
    Column("restock", Text),
    Index("ix_aisle_asks_restock", "tenant", "restock"),
)

restocks = Table(
    "restocks",
    metadata,
    tenant_column(),
    Column("restock", Text, primary_key=True),
    Column("machine", Text, nullable=False),
    Column("shop", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Index("ix_restocks_shop", "tenant", "shop", "made_ms"),
    Index("ix_restocks_digest", "tenant", "digest", "made_ms"),
)

returns = Table(
    "returns",
    metadata,
    tenant_column(),
    Column("number", Text, primary_key=True),
    Column("shop", Text, nullable=False),
    Column("goods", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("person", Text),
    Column("scanned_by", Text, nullable=False),
    Column("scanned_ms", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    CheckConstraint("quantity > 0", name="quantity"),
    Index("ix_returns_shop", "tenant", "shop", "at_ms"),
)

AisleKey = tuple[str, str, str]


async def find_balances(work: Work, aisles: Collection[AisleKey], *, lock: bool) -> dict[AisleKey, Balance]:
    """The balances of (tenant, machine, aisle) triples, as far as they exist."""
    if not aisles:
        return {}
    key = tuple_(stock_balances.c.tenant, stock_balances.c.machine, stock_balances.c.aisle)
    query = select(*BALANCE).where(key.in_(sorted(aisles))).order_by(*key.clauses)
    rows = await work.rows(query.with_for_update() if lock else query)
    return {(row.tenant, row.machine, row.aisle): record_of(Balance, row) for row in rows}


async def add_movements(work: Work, movements: Iterable[Movement]) -> None:
    """Append movements; one that is already there raises."""
    await work.insert(stock_movements, [row_of(movement) for movement in movements])


async def put_balances(work: Work, balances: Iterable[Balance]) -> None:
    """Write the balances of aisles that this Work has locked, or is the first to write."""
    rows = [row_of(balance) for balance in balances]
    if rows:
        new = work.upsert(stock_balances)
        changed = {name: new.excluded[name] for name in ("goods", "on_hand", "held")}
        await work.execute(new.on_conflict_do_update(index_elements=["tenant", "machine", "aisle"], set_=changed), rows)


# --- warehouses ---


async def find_warehouse(
    work: Work, tenant: str, shop: str, wanted: Collection[str], *, lock: bool = False
) -> dict[str, int]:
    """How many of these goods lie in a shop's warehouse; those of which there never were any are left out."""
    here = and_(warehouse_balances.c.tenant == tenant, warehouse_balances.c.shop == shop)
    query = select(warehouse_balances.c.goods, warehouse_balances.c.on_hand).where(
        here, warehouse_balances.c.goods.in_(sorted(wanted))
    )
    rows = await work.rows(query.order_by(warehouse_balances.c.goods).with_for_update() if lock else query)
    return {row.goods: row.on_hand for row in rows}


async def open_warehouse(work: Work, tenant: str, wanted: Iterable[tuple[str, str]]) -> None:
    """Begin with nothing of these (shop, goods) that were never there."""
    rows = [{"tenant": tenant, "shop": shop, "goods": goods, "on_hand": 0} for shop, goods in wanted]
    await work.insert_new(warehouse_balances, rows)


async def moved_sources(work: Work, sources: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of these (tenant, source) pairs that have moved something."""
    key = tuple_(warehouse_movements.c.tenant, warehouse_movements.c.source)
    rows = await work.rows(select(*key.clauses).where(key.in_(sorted(sources))))
    return {(row.tenant, row.source) for row in rows}


async def move_warehouse(work: Work, movements: Collection[WarehouseMovement]) -> None:
    """Append movements and add them to their balances; IntegrityError for one below nothing, or that was there."""
    await work.insert(warehouse_movements, [row_of(movement) for movement in movements])
    sums: dict[tuple[str, str, str], int] = {}
    for movement in movements:
        key = (movement.tenant, movement.shop, movement.goods)
        sums[key] = sums.get(key, 0) + movement.quantity
    new = work.upsert(warehouse_balances)
    added = {"on_hand": warehouse_balances.c.on_hand + new.excluded.on_hand}
    put = new.on_conflict_do_update(index_elements=["tenant", "shop", "goods"], set_=added)
    columns = warehouse_balances.c
    here = and_(columns.tenant == bindparam("of"), columns.shop == bindparam("at"), columns.goods == bindparam("which"))
    take = warehouse_balances.update().where(here).values(on_hand=columns.on_hand - bindparam("taken"))
    # What comes in may be the first of its kind; what goes out must be there. An insert that is below nothing is
    # refused before anybody sees that it would have been an update.
    puts = [(*key, quantity) for key, quantity in sorted(sums.items()) if quantity > 0]
    takes = [(*key, -quantity) for key, quantity in sorted(sums.items()) if quantity < 0]
    if puts:
        await work.execute(put, [dict(zip(("tenant", "shop", "goods", "on_hand"), row, strict=True)) for row in puts])
    if takes:
        await work.execute(take, [dict(zip(("of", "at", "which", "taken"), row, strict=True)) for row in takes])


# --- what machines were asked to book ---


async def add_asks(work: Work, asks: Iterable[AisleAsk]) -> None:
    """Append what was asked."""
    await work.insert(aisle_asks, [row_of(ask) for ask in asks])


async def find_asks(work: Work, commands: Collection[tuple[str, str]]) -> dict[tuple[str, str], AisleAsk]:
    """What was asked by these (tenant, command) pairs; commands that asked for something else are left out."""
    key = tuple_(aisle_asks.c.tenant, aisle_asks.c.command)
    rows = await work.rows(select(aisle_asks).where(key.in_(sorted(commands))))
    return {(row.tenant, row.command): record_of(AisleAsk, row) for row in rows}


# --- records ---


async def add_restock(work: Work, restock: Restock) -> None:
    """Keep one record."""
    await work.insert(restocks, [row_of(restock)])


async def find_repeated(work: Work, tenant: str, digest: str, since_ms: int) -> Restock | None:
    """The newest record of the same restock since then."""
    here = and_(restocks.c.tenant == tenant, restocks.c.digest == digest, restocks.c.made_ms >= since_ms)
    row = await work.row(select(restocks).where(here).order_by(restocks.c.made_ms.desc()).limit(1))
    return None if row is None else record_of(Restock, row)


async def find_return(work: Work, tenant: str, number: str, *, lock: bool = False) -> Return | None:
    """One return."""
    query = select(returns).where(and_(returns.c.tenant == tenant, returns.c.number == number))
    row = await work.row(query.with_for_update() if lock else query)
    return None if row is None else record_of(Return, row)


async def put_return(work: Work, one: Return) -> None:
    """Write a return."""
    await work.put(returns, [row_of(one)])
