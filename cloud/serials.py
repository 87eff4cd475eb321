"""Numbers that count up and are never used again, per tenant and kind: VR12, RI3, ABCD00000000000000A1."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table, Text, select

from cloud.database import Work, metadata, tenant_column

serials = Table(
    "serials",
    metadata,
    tenant_column(),
    Column("kind", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
)


async def next_serial(work: Work, tenant: str, kind: str) -> int:
    """The next number of a kind, from 1 on."""
    return (await next_serials(work, tenant, kind, 1))[0]


async def next_serials(work: Work, tenant: str, kind: str, count: int) -> range:
    """The next `count` numbers of a kind. A Work that rolls back gives them back; until it ends others wait."""
    await work.insert_new(serials, [{"tenant": tenant, "kind": kind, "last": 0}])
    here = (serials.c.tenant == tenant) & (serials.c.kind == kind)
    changed = serials.update().where(here).values(last=serials.c.last + count).returning(serials.c.last)
    last = int(await work.scalar(changed))
    return range(last - count + 1, last + 1)


async def skip_to(work: Work, tenant: str, kind: str, at_least: int) -> None:
    """Numbers up to `at_least` came from elsewhere and are taken."""
    await work.insert_new(serials, [{"tenant": tenant, "kind": kind, "last": 0}])
    here = (serials.c.tenant == tenant) & (serials.c.kind == kind) & (serials.c.last < at_least)
    await work.execute(serials.update().where(here).values(last=at_least))


async def skip_all(work: Work, count: int) -> None:
    """So many numbers of every kind may have been given where this database does not know of it."""
    await work.execute(serials.update().values(last=serials.c.last + count))


async def last_serial(work: Work, tenant: str, kind: str) -> int:
    """The number given last; 0 before the first."""
    here = (serials.c.tenant == tenant) & (serials.c.kind == kind)
    return int(await work.scalar(select(serials.c.last).where(here)) or 0)
