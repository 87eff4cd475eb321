"""Looking at what machines said: their history, their streams, and what could not be applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Row, select

from cloud.database import Work, record_of
from cloud.errors import FleetError
from cloud.ingest.store import facts, quarantine, streams
from cloud.paging import Ask, Page, page


@dataclass(frozen=True, slots=True)
class FactSeen:
    """One fact as the machine said it. `happened_ms`: by the cloud's reckoning; `wall_ms`: the machine's own label."""

    machine: str
    epoch: str
    seq: int
    kind: str
    order: str | None
    boot_id: str
    wall_ms: int
    clock_state: str
    received_ms: int
    happened_ms: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StreamSeen:
    """How far one ledger file of a machine is applied."""

    epoch: str
    applied: int
    opened_ms: int
    closed_ms: int | None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A message that could not be applied, with its bytes."""

    item: str
    topic: str
    machine: str
    epoch: str | None
    seq: int | None
    reason: str
    raw: bytes
    times: int
    received_ms: int
    replayed_ms: int | None


_FACT = [facts.c[name] for name in FactSeen.__dataclass_fields__]
_QUARANTINED = [quarantine.c[name] for name in Quarantined.__dataclass_fields__]


async def history_of(work: Work, tenant: str, machine: str, ask: Ask, *, kind: str | None = None) -> Page[FactSeen]:
    """What a machine said, newest first."""
    query = select(*_FACT).where(facts.c.tenant == tenant, facts.c.machine == machine)
    if kind is not None:
        query = query.where(facts.c.kind == kind)
    return await page(
        work,
        query,
        ask,
        sorts={"happened_ms": facts.c.happened_ms, "received_ms": facts.c.received_ms},
        ties=(facts.c.happened_ms.desc(), facts.c.epoch, facts.c.seq.desc()),
        make=_fact,
    )


async def facts_of_order(work: Work, tenant: str, order: str) -> list[FactSeen]:
    """What machines said about one order, in order of arrival."""
    query = select(*_FACT).where(facts.c.tenant == tenant, facts.c.order == order)
    return [_fact(row) for row in await work.rows(query.order_by(facts.c.received_ms, facts.c.seq))]


async def streams_of(work: Work, tenant: str, machine: str) -> list[StreamSeen]:
    """The ledger files of a machine, newest first."""
    shown = [streams.c[name] for name in StreamSeen.__dataclass_fields__]
    query = select(*shown).where(streams.c.tenant == tenant, streams.c.machine == machine)
    return [record_of(StreamSeen, row) for row in await work.rows(query.order_by(streams.c.opened_ms.desc()))]


async def list_quarantined(
    work: Work, tenant: str, ask: Ask, *, machine: str | None = None, replayed: bool | None = None
) -> Page[Quarantined]:
    """What could not be applied, newest first."""
    query = select(*_QUARANTINED).where(quarantine.c.tenant == tenant)
    if machine is not None:
        query = query.where(quarantine.c.machine == machine)
    if replayed is not None:
        done = quarantine.c.replayed_ms.is_not(None)
        query = query.where(done if replayed else ~done)
    return await page(
        work,
        query,
        ask,
        sorts={"received_ms": quarantine.c.received_ms, "machine": quarantine.c.machine},
        ties=(quarantine.c.received_ms.desc(), quarantine.c.item),
        make=lambda row: record_of(Quarantined, row),
    )


async def quarantined_of(work: Work, tenant: str, item: str) -> Quarantined:
    """One message that could not be applied; FleetError not_found when the tenant has none of this id."""
    row = await work.row(select(*_QUARANTINED).where(quarantine.c.tenant == tenant, quarantine.c.item == item))
    if row is None:
        raise FleetError("not_found", f"there is no quarantined message {item!r}", field="item")
    return record_of(Quarantined, row)


def _fact(row: Row[Any]) -> FactSeen:
    return record_of(FactSeen, row, body=_body(row.body))


def _body(text: str) -> dict[str, Any]:
    """The fact's fields; what lies in quarantine may be anything and is shown as it came."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {"raw": text}
