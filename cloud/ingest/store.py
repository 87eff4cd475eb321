"""SQL of the streams: what came, how far it is applied, and what could not be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    LargeBinary,
    Table,
    Text,
    and_,
    bindparam,
    func,
    select,
    tuple_,
)

from cloud.database import Work, metadata, tenant_column
from cloud.ingest.dating import BootClock

# One row per ledger file of a machine. `applied`: every fact up to this number is in effect or in quarantine.
streams = Table(
    "streams",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("applied", BigInteger, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),
)

# The key is what makes an effect happen once (I9): it is inserted in the transaction of the effects.
facts = Table(
    "facts",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("order", Text),
    Column("body", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("mono_ms", BigInteger, nullable=False),
    Column("wall_ms", BigInteger, nullable=False),
    Column("clock_state", Text, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("happened_ms", BigInteger, nullable=False),
    Index("ix_facts_order", "tenant", "order"),
    Index("ix_facts_happened", "tenant", "machine", "happened_ms"),
)

# Facts that came before their forerunner, until it comes: several workers share a machine's messages.
early_facts = Table(
    "early_facts",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("raw", LargeBinary, nullable=False),
)

# Where a boot's monotonic clock began on the cloud's time line, as far as it is known.
boots = Table(
    "boots",
    metadata,
    tenant_column(),
    Column("machine", Text, primary_key=True),
    Column("boot_id", Text, primary_key=True),
    Column("began_ms", BigInteger, nullable=False),
    Column("synced", Boolean, nullable=False),
)

# What could not be applied, with its bytes as they came. The tenant is '' when the machine is nobody's.
quarantine = Table(
    "quarantine",
    metadata,
    tenant_column(),
    Column("item", Text, primary_key=True),
    Column("topic", Text, nullable=False),
    Column("machine", Text, nullable=False),
    Column("epoch", Text),
    Column("seq", BigInteger),
    Column("reason", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("times", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("replayed_ms", BigInteger),
    Index("ix_quarantine_received", "tenant", "received_ms"),
    Index("ix_quarantine_machine", "tenant", "machine"),
)

StreamKey = tuple[str, str, str]
FactKey = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A message that could not be applied. The tenant is '' when the machine is nobody's."""

    tenant: str
    item: str
    topic: str
    machine: str
    epoch: str | None
    seq: int | None
    reason: str
    raw: bytes


async def lock_streams(work: Work, keys: Collection[StreamKey]) -> dict[StreamKey, int]:
    """How far each (tenant, machine, epoch) is applied, locked until the work ends; new ones begin at 0.

    A machine writes one ledger file at a time, so the beginning of one closes the others.
    """
    if not keys:
        return {}
    found = await _find_streams(work, keys)
    if missing := sorted(set(keys) - set(found)):
        owners = tuple_(streams.c.tenant, streams.c.machine)
        others = and_(owners.in_([key[:2] for key in missing]), streams.c.closed_ms.is_(None))
        await work.execute(streams.update().where(others).values(closed_ms=work.now_ms))
        rows = [dict(zip(("tenant", "machine", "epoch"), key, strict=True)) for key in missing]
        await work.insert_new(
            streams, [{**row, "applied": 0, "opened_ms": work.now_ms, "closed_ms": None} for row in rows]
        )
        found |= await _find_streams(work, missing)
    return found


async def _find_streams(work: Work, keys: Collection[StreamKey]) -> dict[StreamKey, int]:
    key = tuple_(streams.c.tenant, streams.c.machine, streams.c.epoch)
    query = select(streams).where(key.in_(sorted(keys))).order_by(*key.clauses).with_for_update()
    return {(row.tenant, row.machine, row.epoch): row.applied for row in await work.rows(query)}


async def advance_streams(work: Work, applied: Mapping[StreamKey, int]) -> None:
    """Write how far locked streams are applied now."""
    if applied:
        key = (streams.c.tenant, streams.c.machine, streams.c.epoch)
        here = and_(*[column == bindparam(f"its_{column.name}") for column in key])
        await work.execute(
            streams.update().where(here).values(applied=bindparam("upto")),
            [
                {"its_tenant": tenant, "its_machine": machine, "its_epoch": epoch, "upto": upto}
                for (tenant, machine, epoch), upto in sorted(applied.items())
            ],
        )


async def find_early(work: Work, keys: Collection[StreamKey]) -> list[tuple[StreamKey, bytes]]:
    """The envelopes that wait in these locked streams."""
    if not keys:
        return []
    key = tuple_(early_facts.c.tenant, early_facts.c.machine, early_facts.c.epoch)
    rows = await work.rows(select(early_facts).where(key.in_(sorted(keys))))
    return [((row.tenant, row.machine, row.epoch), row.raw) for row in rows]


async def keep_early(work: Work, facts_: Iterable[tuple[StreamKey, int, bytes]]) -> None:
    """Let facts wait; those that wait already are left alone."""
    rows = [{"tenant": key[0], "machine": key[1], "epoch": key[2], "seq": seq, "raw": raw} for key, seq, raw in facts_]
    await work.insert_new(early_facts, rows)


async def drop_early(work: Work, applied: Mapping[StreamKey, int]) -> None:
    """Forget what waited and is applied now."""
    for (tenant, machine, epoch), upto in sorted(applied.items()):
        here = and_(early_facts.c.tenant == tenant, early_facts.c.machine == machine, early_facts.c.epoch == epoch)
        await work.execute(early_facts.delete().where(and_(here, early_facts.c.seq <= upto)))


async def find_hashes(work: Work, keys: Collection[FactKey]) -> dict[FactKey, str]:
    """The hashes of facts that are kept, by (tenant, machine, epoch, seq)."""
    if not keys:
        return {}
    key = tuple_(facts.c.tenant, facts.c.machine, facts.c.epoch, facts.c.seq)
    rows = await work.rows(select(*key.clauses, facts.c.hash).where(key.in_(sorted(keys))))
    return {(row.tenant, row.machine, row.epoch, row.seq): row.hash for row in rows}


async def add_facts(work: Work, rows: Iterable[Mapping[str, Any]]) -> None:
    """Keep facts; a number that is taken raises, and with it everything that the fact did is undone (I9)."""
    await work.insert(facts, rows)


async def find_boots(work: Work, keys: Collection[StreamKey]) -> dict[StreamKey, BootClock]:
    """What is known of the clocks of (tenant, machine, boot)."""
    if not keys:
        return {}
    key = tuple_(boots.c.tenant, boots.c.machine, boots.c.boot_id)
    rows = await work.rows(select(boots).where(key.in_(sorted(keys))))
    return {(row.tenant, row.machine, row.boot_id): BootClock(row.began_ms, row.synced) for row in rows}


async def put_boots(work: Work, known: Mapping[StreamKey, BootClock]) -> None:
    """Keep what was learnt about boots."""
    if known:
        new = work.upsert(boots)
        changed = {"began_ms": new.excluded.began_ms, "synced": new.excluded.synced}
        rows = [
            {"tenant": key[0], "machine": key[1], "boot_id": key[2], "began_ms": clock.began_ms, "synced": clock.synced}
            for key, clock in sorted(known.items())
        ]
        await work.execute(
            new.on_conflict_do_update(index_elements=["tenant", "machine", "boot_id"], set_=changed), rows
        )


async def add_quarantined(work: Work, items: Iterable[Quarantined]) -> None:
    """Keep what could not be applied; the same bytes again only count up."""
    rows = [
        {
            "tenant": item.tenant,
            "item": item.item,
            "topic": item.topic,
            "machine": item.machine,
            "epoch": item.epoch,
            "seq": item.seq,
            "reason": item.reason,
            "raw": item.raw,
            "times": 1,
            "received_ms": work.now_ms,
            "replayed_ms": None,
        }
        for item in items
    ]
    if rows:
        new = work.upsert(quarantine).on_conflict_do_update(
            index_elements=["tenant", "item"], set_={"times": quarantine.c.times + 1}
        )
        await work.execute(new, rows)


async def count_quarantined(work: Work, tenant: str, machine: str) -> int:
    """How many messages of a machine wait in quarantine that have no number."""
    here = and_(quarantine.c.tenant == tenant, quarantine.c.machine == machine, quarantine.c.seq.is_(None))
    return int(await work.scalar(select(func.count()).where(here)))


async def find_quarantined(work: Work, tenant: str, item: str) -> Any:
    """One quarantined message, locked until the work ends; None when the tenant has none of this id."""
    here = and_(quarantine.c.tenant == tenant, quarantine.c.item == item)
    return await work.row(select(quarantine).where(here).with_for_update())


async def note_replayed(work: Work, tenant: str, item: str) -> None:
    """The message has taken effect after all."""
    here = and_(quarantine.c.tenant == tenant, quarantine.c.item == item)
    await work.execute(quarantine.update().where(here).values(replayed_ms=work.now_ms))


async def rename_fact(work: Work, key: FactKey, kind: str, order: str | None) -> None:
    """A fact that was in quarantine is now known for what it is."""
    here = and_(facts.c.tenant == key[0], facts.c.machine == key[1], facts.c.epoch == key[2], facts.c.seq == key[3])
    await work.execute(facts.update().where(here).values({"kind": kind, "order": order}))
