"""Messages that could not be applied: looking at them, and giving them another chance."""

from __future__ import annotations

from typing import Self

from cloud.accounts.model import Permission
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.native.shapes import Id, PageFilter, PageOf, Told, page_of
from cloud.ingest import browse
from cloud.ingest.replay import replay

# The tenant of what came from a machine that belongs to nobody.
NOBODY = ""


class QuarantineFilter(PageFilter):
    machine: Id | None = None
    replayed: bool | None = None


class QuarantinedTold(Told):
    """`text` is the message as it came; bytes that are not UTF-8 are written as \\xNN. `times`: how often it came."""

    item: str
    topic: str
    machine: str
    epoch: str | None
    seq: int | None
    reason: str
    text: str
    times: int
    received_ms: int
    replayed_ms: int | None

    @classmethod
    def of(cls, kept: browse.Quarantined) -> Self:
        return cls(
            item=kept.item,
            topic=kept.topic,
            machine=kept.machine,
            epoch=kept.epoch,
            seq=kept.seq,
            reason=kept.reason,
            text=kept.raw.decode("utf-8", errors="backslashreplace"),
            times=kept.times,
            received_ms=kept.received_ms,
            replayed_ms=kept.replayed_ms,
        )


class ReplayTold(Told):
    """The type of the fact that has taken effect now."""

    item: str
    kind: str


async def list_quarantine(call: Call[Nothing, QuarantineFilter]) -> PageOf[QuarantinedTold]:
    """What this tenant's machines said and could not be applied, newest first."""
    query = call.query
    found = await browse.list_quarantined(
        call.work, call.tenant, query.ask, machine=query.machine, replayed=query.replayed
    )
    return page_of(QuarantinedTold.of, found)


async def list_unclaimed(call: Call[Nothing, PageFilter]) -> PageOf[QuarantinedTold]:
    """What came from machines that belong to nobody, newest first: work of the platform's own people."""
    async with call.parts.database.look() as work:
        return page_of(QuarantinedTold.of, await browse.list_quarantined(work, NOBODY, call.query.ask))


async def quarantine_detail(call: Call[Nothing, Nothing]) -> QuarantinedTold:
    """One message with its reason."""
    return QuarantinedTold.of(await browse.quarantined_of(call.work, call.tenant, call.path["item"]))


async def replay_quarantined(call: Call[Nothing, Nothing]) -> ReplayTold:
    """Let a fact take effect now, after its cause is repaired. 409 when it still cannot, or was replayed before."""
    item = call.path["item"]
    return ReplayTold(item=item, kind=await replay(call.work, call.parts.credentials, call.tenant, item))


P = Permission
OPERATIONS = (
    Operation("GET", "/quarantine", P.QUARANTINE_READ, list_quarantine),
    Operation("GET", "/quarantine/unclaimed", P.TENANTS_MANAGE, list_unclaimed, transacted=False),
    Operation("GET", "/quarantine/{item}", P.QUARANTINE_READ, quarantine_detail),
    Operation(
        "POST", "/quarantine/{item}/replay", P.QUARANTINE_REPLAY, replay_quarantined, changes="quarantine.replay"
    ),
)
