"""Answers to a technician: test runs, what waits for the cloud, visits, and a picture of the machine that moves."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec

from edge_agent.errors import DiskShort
from edge_agent.ledger import journal, outbox, visits
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.local_socket import Ask, Caller, Vocabulary, Watch
from edge_agent.vend.trial import Trials
from edge_agent.vocabulary.asks import AisleTrial, Follow, Nothing, VisitStart
from shared.clock import Clock
from shared.ids import mint_visit_id
from shared.seal import seal_visit

log = logging.getLogger(__name__)

# The words whose doing belongs into the record of a visit.
ON_RECORD: Final = frozenset(
    {"load", "count", "lock", "clear", "confirm_ledger", "test_aisle", "pour", "calibrate", "change_filter"}
)

# What is listed of the outbox one by one; the counts cover what a long outage leaves.
FACTS_LISTED: Final = 20
FACTS_COUNTED: Final = 5_000

# The words whose answers make one picture.
PICTURED: Final = ("status", "aisles", "water", "faults", "bus", "sensors")


class TechnicianWords:
    """Answers the words of the technician's command that are not those of the front panel."""

    def __init__(self, *, trials: Trials, ledger: LedgerDatabase, clock: Clock, mac_key: bytes) -> None:
        self._trials = trials
        self._ledger = ledger
        self._clock = clock
        self._mac_key = mac_key

    def table(self, others: Vocabulary) -> Vocabulary:
        """`others` with what a technician asks, and with everything that changes the machine put on record."""
        words: dict[str, Any] = {
            **others,
            "test_aisle": Ask(AisleTrial, self._test_aisle),
            "outbox": Ask(Nothing, self._outbox),
            "reviews": Ask(Nothing, self._reviews),
            "check_ledger": Ask(Nothing, self._check_ledger),
            "visit": Ask(Nothing, self._visit),
            "visit_start": Ask(VisitStart, self._visit_start),
            "visit_end": Ask(Nothing, self._visit_end),
        }
        words |= {name: self._on_record(name, word) for name, word in words.items() if name in ON_RECORD}
        pictured: dict[str, Any] = {name: words[name] for name in PICTURED if name in words}
        return words | {"watch": Watch(Follow, lambda follow, caller: self._watch(follow, caller, pictured))}

    async def _test_aisle(self, asked: AisleTrial, caller: Caller) -> object:
        end = await self._trials.run(asked.aisle, caller.name)
        return {
            "aisle": end.seen.aisle,
            "outcome": end.seen.outcome,
            "reason": end.reason,
            "result": end.seen.result,
            "drop_seen": end.seen.drop_seen,
            "max_current_ma": end.seen.max_current_ma,
            "avg_current_ma": end.seen.avg_current_ma,
            "run_time_ms": end.seen.run_time_ms,
            "booked": end.booked,
        }

    async def _outbox(self, _: Nothing, caller: Caller) -> object:
        def look(conn: sqlite3.Connection) -> tuple[outbox.StreamPosition, list[outbox.OutboxRow]]:
            where = outbox.position(conn)
            return where, outbox.pending(conn, where.acked, FACTS_COUNTED)

        where, rows = await self._ledger.read(look)
        kinds = [str(msgspec.json.decode(row.fact)["type"]) for row in rows]
        return {
            "acked": where.acked,
            "next_seq": where.next_seq,
            "oldest_seq": where.oldest_seq,
            "waiting": len(rows),
            "more": len(rows) == FACTS_COUNTED,
            "kinds": dict(Counter(kinds)),
            "facts": [
                {"seq": row.seq, "type": kind, "wall_ms": row.wall_ms, "clock_state": row.clock_state}
                for row, kind in zip(rows[:FACTS_LISTED], kinds, strict=False)
            ],
        }

    async def _reviews(self, _: Nothing, caller: Caller) -> object:
        rows = await self._ledger.read(journal.orders_in_review)
        return [{"order": row.sale.order, "aisle": row.sale.aisle, "reason": row.reason} for row in rows]

    async def _check_ledger(self, _: Nothing, caller: Caller) -> object:
        return {"findings": list(await self._ledger.integrity_check())}

    # --- visits ---

    async def _visit(self, _: Nothing, caller: Caller) -> object:
        def look(conn: sqlite3.Connection) -> object:
            visit = visits.current(conn)
            if visit is None:
                return None
            return {
                "visit": visit.visit,
                "person": visit.person,
                "began_wall_ms": visit.wall_ms,
                "actions": visits.actions(conn, visit.visit),
            }

        return await self._ledger.read(look)

    async def _visit_start(self, start: VisitStart, caller: Caller) -> object:
        visit = mint_visit_id()
        person = f"{start.name} ({caller.name})" if start.name else caller.name
        await self._ledger.write(lambda conn: visits.begin(conn, visit, person, self._clock))
        return {"visit": visit, "person": person}

    async def _visit_end(self, _: Nothing, caller: Caller) -> object:
        machine, key = self._ledger.machine, self._mac_key
        fact = await self._ledger.write(
            lambda conn: visits.end(conn, lambda record: seal_visit(key, machine, record), self._clock)
        )
        return msgspec.structs.asdict(fact)  # with its empty fields too: on the wire a visit without deeds has none

    def _on_record(self, name: str, word: Ask[Any]) -> Ask[Any]:
        """The same word, which also writes down that it was done while a visit goes on."""

        async def handle(params: Any, caller: Caller) -> object:
            result = await word.handler(params, caller)
            told = {key: value for key, value in msgspec.to_builtins(params).items() if value not in ("", None)}
            if isinstance(result, dict) and "outcome" in result:
                told["outcome"] = result["outcome"]
            action = " ".join([name, *(f"{key}={value}" for key, value in told.items())])
            try:
                await self._ledger.write(lambda conn: visits.note(conn, action, self._clock))
            except DiskShort as short:  # what was asked is done; the record of the visit lacks it
                log.warning("%s is not on the visit's record: %s", action, short)
            return result

        return Ask(word.params, handle)

    # --- the picture ---

    async def _watch(self, follow: Follow, caller: Caller, pictured: Vocabulary) -> AsyncIterator[object]:
        """All that a screen shows, until the caller goes away."""
        nothing = Nothing()
        while True:
            yield {name: await answer(word, nothing, caller) for name, word in pictured.items()}
            await self._clock.sleep_ms(follow.every_ms)


async def answer(word: Any, params: Nothing, caller: Caller) -> object:
    """The answer of a word without parameters."""
    handler: Callable[..., Any] = word.handler
    return await handler(params, caller)
