"""One batch of messages, one unit of work.

    read -> whose is it -> lock the streams -> line up -> apply in memory -> write -> commit -> watermarks and grants

Everything a fact does is in the transaction that keeps its number, so it happens once (I9); the watermark that lets the
machine forget it leaves after the commit, and so does the acknowledgement to the broker (I8).

A fact that cannot be read, or that a rule refuses, goes to quarantine in that same transaction and its number counts as
applied: it blocks nobody and can be replayed when somebody knows better. When the database itself refuses a batch, the
batch is undone and its messages are taken one by one, so that only the culprit goes to quarantine (I11). When the
database is not there at all, nothing is applied, nothing is acknowledged, and everything comes again: an error goes to
quarantine only when it is known to be about a value.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from cloud import downlink
from cloud.database import Database, Work, incarnation
from cloud.downlink import Outgoing
from cloud.errors import FleetError
from cloud.events import Event
from cloud.ingest import store
from cloud.ingest.apply import Scene, Touched, apply, touches
from cloud.ingest.dating import date
from cloud.ingest.numbering import LinedUp, Stream, line_up
from cloud.ingest.read import (
    ClaimSaid,
    FactSaid,
    GoneSaid,
    HelloSaid,
    Incoming,
    ReadingsSaid,
    Said,
    Unreadable,
    read,
)
from cloud.machines.credentials import Credentials
from cloud.machines.model import Machine, Origin
from cloud.machines.planogram import resend_config
from cloud.machines.profile import resend_stop
from cloud.machines.register import machines_by_id
from cloud.orders.grant import answer_claim
from cloud.tickets.model import Condition
from cloud.water.grant import answer_claim as answer_pour_claim
from shared.ids import MachineId
from shared.messages import Claim, Grant, Refusal, Watermark, encode
from shared.topics import up

log = logging.getLogger("cloud.ingest")

# Messages of one unit of work: beyond this a commit gets slower without the rate getting higher.
BATCH_MAX = 500

# Facts of one stream that may wait for a missing one: more than a machine sends without hearing a watermark.
EARLY_MAX = 500

# Items without a number that one machine may leave in quarantine; later ones are only counted.
UNNUMBERED_MAX = 20_000

# PostgreSQL's classes of errors that are about values: data exception, integrity constraint violation.
_DATA_STATES = ("22", "23")

# What code raises when it meets a value that nobody thought of.
_RULES_BROKEN = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, RecursionError)


@dataclass(slots=True)
class _Batch:
    """What one unit of work has learnt so far."""

    work: Work
    credentials: Credentials
    machines: dict[str, Machine]
    condemned: list[store.Quarantined] = field(default_factory=list)
    alarms: list[tuple[Condition, str]] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    behind: list[tuple[Machine, int]] = field(default_factory=list)


async def ingest_batch(database: Database, credentials: Credentials, messages: Sequence[Incoming]) -> list[Outgoing]:
    """Let `messages` take effect and commit; answers what machines are to be told now.

    Raises only when the database is not available: then nothing has happened, and the messages are to come again.
    """
    said = [read(message) for message in messages]
    try:
        batch = await database.transact(partial(_settle, credentials=credentials, said=said))
    except Exception as error:
        if not _is_the_messages_fault(error):
            raise
        # Whatever it was, one of these messages provokes it: the others must not suffer.
        log.warning("a batch of %d is taken one by one: %s", len(said), _words(error))
        return [sent for one in said for sent in await _ingest_one(database, credentials, one)]
    for machine, has_version in batch.behind:
        await database.transact(
            partial(_bring_up_to_date, credentials=credentials, machine=machine, has_version=has_version)
        )
    return batch.outgoing


async def _bring_up_to_date(work: Work, credentials: Credentials, machine: Machine, has_version: int) -> None:
    """Tell a machine that said hello what was decided while it could not hear."""
    await resend_config(work, credentials, machine, has_version)
    await resend_stop(work, credentials, machine)


async def _ingest_one(database: Database, credentials: Credentials, one: Said) -> list[Outgoing]:
    try:
        return (await database.transact(partial(_settle, credentials=credentials, said=[one]))).outgoing
    except Exception as error:
        if not _is_the_messages_fault(error):
            raise
        # Logged here, kept with its reason there.
        log.warning("%s goes to quarantine: %s", one.incoming.topic[:80], _words(error))
        condemned = condemn(one, _words(error))
        return (await database.transact(partial(_settle, credentials=credentials, said=[condemned]))).outgoing


def condemn(one: Said, problem: str) -> Said:
    """The same message as one that cannot be applied; a fact keeps its number."""
    if isinstance(one, FactSaid):
        return replace(one, fact=None, problem=problem)
    return Unreadable(one.machine, one.incoming, problem)


async def _settle(work: Work, *, credentials: Credentials, said: Sequence[Said]) -> _Batch:
    machines = await machines_by_id(work, {one.machine for one in said if one.machine})
    batch = _Batch(work, credentials, machines)
    welcome = [one for one in said if _is_welcome(batch, one)]
    facts = [(_stream(batch, one.machine, one.envelope.epoch), one) for one in welcome if isinstance(one, FactSaid)]
    hellos = [(_stream(batch, one.machine, one.hello.epoch), one) for one in welcome if isinstance(one, HelloSaid)]

    positions = await store.lock_streams(work, {stream for stream, _ in [*facts, *hellos]})
    waiting = await _waiting(work, {stream for stream, _ in facts})
    lined = line_up(positions, [*facts, *waiting])
    scene = await Scene.open(work, credentials, machines, _touched(batch, lined, welcome))

    kept = await _apply_due(batch, scene, lined)
    await _compare_again(batch, lined, kept)
    for one in welcome:
        await _hear(batch, scene, one)

    await store.add_facts(work, kept)
    await store.advance_streams(work, {key: upto for key, upto in lined.applied.items() if upto != positions[key]})
    await _let_early_wait(work, lined, waiting)
    await _quarantine(batch)
    for condition, detail in batch.alarms:
        scene.books.desk.open(condition, detail)
        scene.books.announce(Event(condition.tenant, "machine.quarantine", condition.machine, {"reason": detail}))
    await scene.write()
    await _answer_with_watermarks(batch, lined, {stream for stream, _ in [*facts, *hellos]})
    return batch


async def _waiting(work: Work, streams: Iterable[Stream]) -> list[tuple[Stream, FactSaid]]:
    """Facts that came early, in an earlier batch or to another worker; they were readable then."""
    waiting = []
    for stream, raw in await store.find_early(work, set(streams)):
        said = read(Incoming(up(MachineId(stream[1]), "fact"), raw))
        assert isinstance(said, FactSaid), "only numbered facts wait"
        waiting.append((stream, said))
    return waiting


async def _let_early_wait(work: Work, lined: LinedUp, waited: Sequence[tuple[Stream, FactSaid]]) -> None:
    """Keep what is early for whoever brings the missing number; beyond the limit the machine sends it again anyhow."""
    room = Counter(dict.fromkeys(lined.gaps, EARLY_MAX))
    room.subtract(stream for stream, _ in waited if stream in room)
    kept = []
    for stream, one in lined.early:
        if room[stream] > 0:
            room[stream] -= 1
            kept.append((stream, one.envelope.seq, one.incoming.payload))
    await store.keep_early(work, kept)
    await store.drop_early(work, {stream: lined.applied[stream] for stream, _ in waited})


def _is_welcome(batch: _Batch, one: Said) -> bool:
    """Whether it counts; if not, it is condemned here."""
    machine = batch.machines.get(one.machine)
    if isinstance(one, Unreadable):
        _condemn(batch, one, one.problem)
    elif machine is None:
        _condemn(batch, one, "machine: nobody has registered it")
    elif not machine.is_trusted:
        _condemn(batch, one, "machine: it is not claimed, or was revoked")
    else:
        return True
    return False


def _stream(batch: _Batch, machine: str, epoch: str) -> Stream:
    return batch.machines[machine].tenant, machine, epoch


def _touched(batch: _Batch, lined: LinedUp, welcome: Iterable[Said]) -> Iterator[tuple[Machine, Touched]]:
    """What the messages of this batch need; the order of a claim may be one for goods or one for water."""
    for one in welcome:
        what = Touched(order=one.claim.order, pour=one.claim.order) if isinstance(one, ClaimSaid) else Touched()
        yield batch.machines[one.machine], what
    for _, due in lined.due:
        if due.fact is not None:
            yield batch.machines[due.machine], touches(due.fact)


async def _apply_due(batch: _Batch, scene: Scene, lined: LinedUp) -> list[dict[str, Any]]:
    """Let the facts that are next take effect; answers the rows by which they are remembered."""
    known = await store.find_boots(batch.work, {(*stream[:2], one.envelope.boot_id) for stream, one in lined.due})
    learnt = {}
    rows = []
    for (tenant, machine, epoch), one in lined.due:
        boot = (tenant, machine, one.envelope.boot_id)
        happened_ms, clock = date(one.envelope, batch.work.now_ms, known.get(boot))
        if known.get(boot) != clock:
            known[boot] = learnt[boot] = clock
        shop = batch.machines[machine].shop
        origin = Origin(tenant, MachineId(machine), epoch, one.envelope.seq, happened_ms, shop)
        problem = one.problem
        if one.fact is not None:
            try:
                apply(scene, origin, one.fact)
            except FleetError as error:
                problem = _words(error)
        if problem:
            _condemn(batch, one, problem)
        rows.append(_row(batch, origin, one, is_applied=not problem))
    await store.put_boots(batch.work, learnt)
    return rows


def _row(batch: _Batch, origin: Origin, one: FactSaid, *, is_applied: bool) -> dict[str, Any]:
    order = None if one.fact is None else getattr(one.fact, "order", None)
    return {
        "tenant": origin.tenant,
        "machine": origin.machine,
        "epoch": origin.epoch,
        "seq": origin.seq,
        "hash": one.hash,
        "kind": kind_of(one) if is_applied else "quarantined",
        "order": order if is_applied else None,
        "body": bytes(one.envelope.fact).decode(errors="replace"),
        "boot_id": one.envelope.boot_id,
        "mono_ms": one.envelope.mono_ms,
        "wall_ms": one.envelope.wall_ms,
        "clock_state": one.envelope.clock_state,
        "received_ms": batch.work.now_ms,
        "happened_ms": origin.happened_ms,
    }


def kind_of(one: FactSaid) -> str:
    """The fact's type as it stands in the message."""
    return str(one.fact.__struct_config__.tag) if one.fact is not None else "quarantined"


async def _compare_again(batch: _Batch, lined: LinedUp, kept: Iterable[dict[str, Any]]) -> None:
    """A number that comes again must carry the same bytes; other bytes are a forgery or a fault, and do nothing."""
    hashes = await store.find_hashes(batch.work, {(*stream, one.envelope.seq) for stream, one in lined.again})
    hashes |= {(row["tenant"], row["machine"], row["epoch"], row["seq"]): row["hash"] for row in kept}
    for stream, one in lined.again:
        if hashes.get((*stream, one.envelope.seq)) != one.hash:
            unnumbered = Unreadable(one.machine, one.incoming, "")
            _condemn(batch, unnumbered, f"seq: number {one.envelope.seq} was applied with other content")
            condition = Condition(stream[0], one.machine, "forged_fact", "machine")
            batch.alarms.append((condition, f"number {one.envelope.seq} of {stream[2]} came with two contents"))


async def _hear(batch: _Batch, scene: Scene, one: Said) -> None:
    """What is said beside facts."""
    machine = batch.machines[one.machine]
    key = (machine.tenant, one.machine)
    if isinstance(one, GoneSaid):
        scene.presence.gone(key)
        scene.books.announce(Event(machine.tenant, "machine.gone", machine.machine, {}))
        return
    scene.presence.seen(key)
    match one:
        case ClaimSaid():
            batch.outgoing.append(Outgoing(machine.machine, "grant", encode(_answer(batch, scene, machine, one.claim))))
        case HelloSaid():
            scene.presence.hello(key, one.hello)
            scene.books.announce(Event(machine.tenant, "machine.hello", machine.machine, {"epoch": one.hello.epoch}))
            await downlink.hasten(batch.work, machine.tenant, machine.machine)
            batch.behind.append((machine, one.hello.config_version))
        case ReadingsSaid():
            scene.presence.measured(key, one.readings)


def _answer(batch: _Batch, scene: Scene, machine: Machine, claim: Claim) -> Grant | Refusal:
    if scene.pours.pour(machine.tenant, claim.order) is not None:
        return answer_pour_claim(scene.pours, batch.credentials, machine, claim)
    return answer_claim(scene.books, batch.credentials, machine, claim)


def _condemn(batch: _Batch, one: Said, problem: str) -> None:
    """Into quarantine; a known machine's tenant is alarmed."""
    machine = batch.machines.get(one.machine)
    tenant = "" if machine is None else machine.tenant
    numbered = one.envelope if isinstance(one, FactSaid) and machine is not None and machine.is_trusted else None
    raw = one.incoming.payload[:65_536]
    batch.condemned.append(
        store.Quarantined(
            tenant=tenant,
            item=hashlib.sha256(one.incoming.topic.encode() + b"\0" + one.incoming.payload).hexdigest()[:40],
            topic=_clean(one.incoming.topic)[:200],
            machine=one.machine,
            epoch=None if numbered is None else numbered.epoch,
            seq=None if numbered is None else numbered.seq,
            reason=_clean(problem)[:500],
            raw=raw,
        )
    )
    if tenant:
        batch.alarms.append((Condition(tenant, one.machine, "quarantine", "machine"), _clean(problem)[:500]))


async def _quarantine(batch: _Batch) -> None:
    """Write what was condemned. Unnumbered items beyond the machine's share only count up one common item."""
    room: dict[tuple[str, str], int] = {}
    for index, item in enumerate(batch.condemned):
        if item.seq is not None:
            continue
        owner = (item.tenant, item.machine)
        if owner not in room:
            room[owner] = UNNUMBERED_MAX - await store.count_quarantined(batch.work, *owner)
        if room[owner] <= 0:
            reason = "quarantine: full, this item counts further messages"
            batch.condemned[index] = replace(item, item=f"overflow-{item.machine}", reason=reason, raw=b"")
        room[owner] -= 1
    await store.add_quarantined(batch.work, batch.condemned)


async def _answer_with_watermarks(batch: _Batch, lined: LinedUp, streams: Iterable[Stream]) -> None:
    life = await incarnation(batch.work)
    for stream in sorted(streams):
        mark = Watermark(epoch=stream[2], applied=lined.applied[stream], incarnation=life, resend=stream in lined.gaps)
        batch.outgoing.append(Outgoing(MachineId(stream[1]), "watermark", encode(mark)))


def _is_the_messages_fault(error: Exception) -> bool:
    """Whether some message provoked it, as far as that can be told: quarantine must never hide a failing database."""
    if isinstance(error, IntegrityError | DataError):
        return True
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or ""
        return state[:2] in _DATA_STATES or isinstance(error.__cause__, ValueError)
    return isinstance(error, (FleetError, StatementError, *_RULES_BROKEN))


def _words(error: Exception) -> str:
    """An error for people: what it says, and for the unexpected also what it is. Never the statement's parameters."""
    if isinstance(error, FleetError):
        return str(error)
    cause = getattr(error, "orig", None) or error
    return _clean(f"{type(cause).__name__}: {cause}")[:500]


def _clean(text: str) -> str:
    """PostgreSQL stores every character but NUL and lone surrogates."""
    return text.replace("\0", "�").encode(errors="replace").decode()
