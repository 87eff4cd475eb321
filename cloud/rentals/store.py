"""SQL of rentals."""

from __future__ import annotations

from collections.abc import Collection, Sequence

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
    select,
    tuple_,
)

from cloud.database import Work, metadata, one_of, record_of, row_of, tenant_column
from cloud.rentals.model import HELD, Rental, RentalState

rentals = Table(
    "rentals",
    metadata,
    tenant_column(),
    Column("rental", Text, primary_key=True),
    Column("purchase", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("member", Text, nullable=False),
    Column("unit", Text),
    Column("machine", Text),
    Column("state", Text, nullable=False),
    Column("bought_days", BigInteger, nullable=False),
    Column("prepaid_ml", BigInteger, nullable=False),
    Column("minimum_ml_per_day", BigInteger, nullable=False),
    Column("deposit_fen", BigInteger, nullable=False),
    Column("payment", Text),
    Column("created_ms", BigInteger, nullable=False),
    Column("began_ms", BigInteger),
    Column("ends_ms", BigInteger),
    Column("quit_ms", BigInteger),
    Column("quit_by", Text, nullable=False),
    Column("ended_ms", BigInteger),
    Column("withheld_fen", BigInteger, nullable=False),
    # The machine while the rental holds it, NULL afterwards: a machine is rented once at a time.
    Column("held_machine", Text),
    UniqueConstraint("tenant", "held_machine"),
    CheckConstraint("withheld_fen >= 0 AND withheld_fen <= deposit_fen", name="withheld"),
    Index("ix_rentals_created", "tenant", "created_ms", "rental"),
    Index("ix_rentals_member", "tenant", "member", "created_ms", "rental"),
    Index("ix_rentals_purchase", "tenant", "purchase"),
    Index("ix_rentals_machine", "tenant", "machine"),
    Index("ix_rentals_ends", "state", "ends_ms"),
    Index("ix_rentals_rental", "rental"),
)
SHOWN = [column for column in rentals.c if column.name != "held_machine"]


def rental_from(row: Row[tuple[object, ...]]) -> Rental:
    """A row as the rental it holds."""
    return record_of(Rental, row)


async def find_rental(work: Work, tenant: str, rental: str, *, lock: bool = False) -> Rental | None:
    """One rental."""
    query = select(*SHOWN).where(and_(rentals.c.tenant == tenant, rentals.c.rental == rental))
    row = await work.row(query.with_for_update() if lock else query)
    return None if row is None else rental_from(row)


async def rentals_of_purchase(work: Work, tenant: str, purchase: str) -> list[Rental]:
    """The rentals that a purchase agreed on, locked."""
    here = and_(rentals.c.tenant == tenant, rentals.c.purchase == purchase)
    query = select(*SHOWN).where(here).order_by(rentals.c.rental).with_for_update()
    return [rental_from(row) for row in await work.rows(query)]


async def agreed_of_member(work: Work, tenant: str, member: str) -> list[Rental]:
    """What a member has agreed on and not begun, oldest first, locked."""
    here = and_(rentals.c.tenant == tenant, rentals.c.member == member, rentals.c.state == "agreed")
    query = select(*SHOWN).where(here).order_by(rentals.c.created_ms, rentals.c.rental).with_for_update()
    return [rental_from(row) for row in await work.rows(query)]


async def find_holders(work: Work, tenant: str, machines: Collection[str]) -> dict[str, str]:
    """Which rentals hold these machines, by machine, as far as any does."""
    found: dict[str, str] = {}
    query = select(rentals.c.held_machine, rentals.c.rental).where(rentals.c.tenant == tenant)
    for here in one_of(work, rentals.c.held_machine, sorted(machines)):
        found |= {row.held_machine: row.rental for row in await work.rows(query.where(here))}
    return found


async def held_by(work: Work, tenant: str, machine: str) -> Rental | None:
    """The rental that holds a machine."""
    query = select(*SHOWN).where(and_(rentals.c.tenant == tenant, rentals.c.held_machine == machine))
    row = await work.row(query)
    return None if row is None else rental_from(row)


async def put_rentals(work: Work, changed: Sequence[Rental]) -> None:
    """Insert or replace rentals."""
    rows = [{**row_of(one), "held_machine": one.machine if one.state in HELD else None} for one in changed]
    await work.put(rentals, rows)


async def lock_past_end(work: Work, state: RentalState, before_ms: int, limit: int) -> list[Rental]:
    """Rentals in `state` whose end lies before a moment, locked; those that others have locked are left to them."""
    query = select(*SHOWN).where(rentals.c.state == state, rentals.c.ends_ms <= before_ms)
    query = query.order_by(rentals.c.ends_ms).limit(limit).with_for_update(skip_locked=True)
    return [rental_from(row) for row in await work.rows(query)]


async def lock_metered(work: Work, after: tuple[str, str] | None, limit: int) -> list[Rental]:
    """Running rentals that litres end, from a place on, locked; those that others have locked are left to them."""
    key = tuple_(rentals.c.tenant, rentals.c.rental)
    query = select(*SHOWN).where(rentals.c.state == "running", rentals.c.prepaid_ml > 0)
    if after is not None:
        query = query.where(key > after)
    query = query.order_by(rentals.c.tenant, rentals.c.rental).limit(limit).with_for_update(skip_locked=True)
    return [rental_from(row) for row in await work.rows(query)]
