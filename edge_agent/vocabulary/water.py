"""Answers about water: pours, plan, filters, probes, and the calibration of the meter."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from edge_agent.errors import Refused
from edge_agent.ledger import pours, water
from edge_agent.ledger.database import LedgerDatabase
from edge_agent.ledger.pours import PourRow
from edge_agent.local_socket import Ask, Caller, Vocabulary
from edge_agent.pour import display
from edge_agent.pour.filters import HOUR_MS, rejection_percent
from edge_agent.vocabulary.asks import Calibrate, FilterChange, Nothing, OrderQuestion, Pour
from edge_agent.waterworks import Waterworks
from shared.ids import OrderId

# What a technician looks through; the ledger keeps them all.
POURS_LISTED: Final = 20


class WaterWords:
    """Answers the words of a purifier by asking its operations, its watch and the ledger."""

    def __init__(self, water: Waterworks, ledger: LedgerDatabase) -> None:
        self._operations = water.operations
        self._pouring = water.pouring
        self._watch = water.watch
        self._ledger = ledger

    def table(self, others: Vocabulary) -> Vocabulary:
        """`others` with the words of water."""
        return {
            **others,
            "pour": Ask(Pour, self._pour),
            "stop": Ask(Nothing, self._stop),
            "pour_order": Ask(OrderQuestion, self._pour_order),
            "pours": Ask(Nothing, self._pours),
            "water": Ask(Nothing, self._water),
            "sensors": Ask(Nothing, self._sensors),
            "calibrate": Ask(Calibrate, self._calibrate),
            "change_filter": Ask(FilterChange, self._change_filter),
        }

    async def _pour(self, asked: Pour, caller: Caller) -> object:
        settled = await self._operations.pour(
            asked.press, asked.outlet, asked.ml, asked.means, asked.paid_fen, service=asked.service
        )
        return asdict(settled)

    async def _stop(self, _: Nothing, caller: Caller) -> object:
        return {"stopped": self._operations.stop()}

    async def _pour_order(self, question: OrderQuestion, caller: Caller) -> object:
        row = await self._ledger.read(lambda conn: pours.pour(conn, OrderId(question.order)))
        return None if row is None else _row(row)

    async def _pours(self, _: Nothing, caller: Caller) -> object:
        return [_row(row) for row in await self._ledger.read(lambda conn: pours.recent(conn, POURS_LISTED))]

    async def _water(self, _: Nothing, caller: Caller) -> object:
        kept, stop = self._watch.upkeep, self._watch.stop()
        reason = self._operations.why_not()
        meter = await self._pouring.factor()
        answer: dict[str, Any] = {
            "giving": reason is None,
            "reason": reason,
            "fit": self._watch.fit,
            "pouring_ml": self._pouring.poured_ml(),
            "pulses_per_litre_milli": meter.pulses_per_litre_milli,
            "plan": None,
            "filters": [],
            "display": {language: display.stopped("machine", language) for language in display.LANGUAGES},
        }
        if kept is None:
            return answer
        standing = kept.standing
        answer["plan"] = {
            "plan": standing.plan.plan,
            "mode": standing.plan.mode,
            "ended": standing.ended,
            "left_ml": standing.left_ml,
            "left_ms": standing.left_ms,
        }
        answer["filters"] = [
            {
                "position": life.spec.position,
                "name": life.spec.name,
                "condition": life.condition,
                "percent_left": life.percent_left,
                "powered_hours": life.wear.powered_ms // HOUR_MS,
                "worked_hours": life.wear.worked_ms // HOUR_MS,
                "litres": life.wear.poured_ml // 1000,
            }
            for life in kept.filters
        ]
        if reason is None:
            answer["display"] = {
                language: display.ready(standing, language, near_end=kept.near_end) for language in display.LANGUAGES
            }
        elif stop is not None:
            answer["display"] = {language: display.stopped(stop, language) for language in display.LANGUAGES}
        return answer

    async def _sensors(self, _: Nothing, caller: Caller) -> object:
        found = await self._watch.fresh_probes()
        return asdict(found) | {"rejection_percent": rejection_percent(found.tds_in_ppm, found.tds_out_ppm)}

    async def _calibrate(self, asked: Calibrate, caller: Caller) -> object:
        if not asked.check:
            found = await self._operations.calibrate([(run.order, run.ml) for run in asked.runs], caller.name)
            return {
                "pulses_per_litre_milli": found.factor.pulses_per_litre_milli,
                "spread_ppm": found.spread_ppm,
                "runs": found.runs,
            }
        if len(asked.runs) != 1:
            raise Refused("malformed", f"runs: {len(asked.runs)} are given, a check takes one")
        return {"off_ppm": await self._operations.check_meter(asked.runs[0].order, asked.runs[0].ml)}

    async def _change_filter(self, asked: FilterChange, caller: Caller) -> object:
        await self._operations.change_filter(asked.position, caller.name)
        serving = (await self._ledger.read(water.cartridges))[asked.position]
        return {"position": serving.position, "number": serving.number, "name": serving.name}


def _row(row: PourRow) -> dict[str, Any]:
    terms = row.terms
    return {
        "order": terms.order,
        "txn": row.txn,
        "state": row.state,
        "reason": row.reason,
        "outlet": terms.outlet,
        "asked_ml": terms.asked_ml,
        "poured_ml": row.poured_ml,
        "charged_fen": row.charged_fen,
        "paid_fen": terms.paid_fen,
        "counts": row.counts,
        "open_ms": row.open_ms,
        "doubt": row.doubt,
    }
