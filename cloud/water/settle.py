"""The machine's word on a pour, carried out: money, litres, tickets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from cloud.errors import FleetError, IllegalEvent
from cloud.machines.model import Origin
from cloud.tickets.model import Condition
from cloud.water.model import BIRTHS, Flow, Pour, PourEffect, advance, parted
from cloud.water.pours import Pours
from shared.messages import PourEnded, PourReason, PourRefused

Word = Literal["flowed", "dry", "uncertain"]

# Ends that say something about the machine: somebody has to look at it.
_TROUBLE: dict[PourReason, str] = {
    "stalled": "no water came",
    "valve_stuck": "the water did not follow the valve",
    "valve_lost": "the valve's relay did not answer",
    "meter_lost": "the flow meter did not answer",
}


def settle(pours: Pours, origin: Origin, fact: PourEnded) -> None:
    """Apply the end of a pour; the pour of the fact must be open in `pours`.

    Raises before anything is changed: `IllegalEvent` when it has ended otherwise, FleetError(not_found) for a pour that
    the cloud should know, FleetError(forbidden) for another machine's.
    """
    known = pours.pour(origin.tenant, fact.order)
    if known is not None:
        _check(origin, known)
    told = _with_outcome(_born(origin, fact) if known is None else known, fact)
    word = word_of(told, fact)
    if known is None:
        state, effects = BIRTHS[word]
        told = replace(told, state=state, ended_ms=None if state == "review" else origin.happened_ms)
    else:
        told, effects = advance(told, word, pours.now_ms)
    told = replace(told, doubted=word == "uncertain", charged_fen=0 if word == "uncertain" else told.charged_fen)
    if known is None:
        pours.bear(told)
    else:
        pours.put(told)
        pours.withdraw_offer(told)
    pours.pay(told, effects, note=f"{origin.machine} {origin.key}")
    pours.flow(_line(origin, told, fact.poured_ml))
    _open_tickets(pours, origin, told, fact, effects)
    pours.tell(told, f"pour.{word}", reason=told.reason)


def refuse(pours: Pours, origin: Origin, fact: PourRefused) -> None:
    """Nothing flowed, and nothing ever will: the money goes back."""
    known = pours.require(origin.tenant, fact.order)
    _check(origin, known)
    told, effects = advance(known, "dry", pours.now_ms)
    told = replace(told, reason=fact.reason, poured_ml=0)
    pours.put(told)
    pours.withdraw_offer(told)
    pours.pay(told, effects, note=f"{origin.machine} {origin.key}")
    pours.tell(told, "pour.refused", reason=fact.reason)


def word_of(pour: Pour, fact: PourEnded) -> Word:
    """Which of the three ends it is. A charge that is not ours by the pour's own terms is no certain end."""
    if not fact.certain or fact.charged_fen != pour.charged_fen:
        return "uncertain"
    return "flowed" if fact.poured_ml else "dry"


def _check(origin: Origin, pour: Pour) -> None:
    if pour.machine != origin.machine:
        raise FleetError("forbidden", f"pour {pour.order!r} belongs to another machine", field="order")
    if pour.poured_ml is not None:  # also after a refund: water is told of once (I1)
        raise IllegalEvent(f"pour {pour.order}", pour.state, "end")


def _born(origin: Origin, fact: PourEnded) -> Pour:
    if fact.source == "order" or fact.means == "escrow":
        raise FleetError("not_found", f"pour {fact.order!r} is paid from escrow, and nobody placed it", field="order")
    return Pour(
        tenant=origin.tenant,
        order=fact.order,
        machine=origin.machine,
        outlet=fact.outlet,
        asked_ml=fact.asked_ml,
        price_fen_per_litre=fact.price_fen_per_litre,
        source=fact.source,
        means=fact.means,
        paid_fen=fact.paid_fen,
        state="review",  # until the word decides
        placed_ms=origin.happened_ms,
    )


def _with_outcome(pour: Pour, fact: PourEnded) -> Pour:
    return replace(
        pour,
        reason=fact.reason,
        poured_ml=fact.poured_ml,
        charged_fen=pour.owed_fen(fact.poured_ml),
        plan=fact.plan,
    )


def _line(origin: Origin, pour: Pour, poured_ml: int) -> Flow:
    """Where the water of a pour went: sold is what is paid for; after a refund it was given."""
    sold, given, doubtful = 0, 0, 0
    if pour.doubted:
        doubtful = poured_ml
    elif pour.state == "poured":
        sold, given = parted(pour, poured_ml)
    else:
        given = poured_ml
    return Flow(
        tenant=origin.tenant,
        machine=origin.machine,
        source=origin.key,
        kind="pour",
        order=pour.order,
        plan=pour.plan,
        sold_ml=sold,
        given_ml=given,
        leaked_ml=0,
        doubtful_ml=doubtful,
        at_ms=origin.happened_ms,
    )


def _open_tickets(pours: Pours, origin: Origin, pour: Pour, fact: PourEnded, effects: Iterable[PourEffect]) -> None:
    def open_ticket(code: str, scope: str, detail: str) -> None:
        pours.books.desk.open(Condition(origin.tenant, origin.machine, code, scope), detail, subject=pour.order)

    if fact.reason in _TROUBLE:
        open_ticket("pour_trouble", fact.outlet, f"outlet {fact.outlet}: {fact.reason}, {_TROUBLE[fact.reason]}")
    elif fact.reason == "target" and fact.certain:
        pours.books.desk.clear(Condition(origin.tenant, origin.machine, "pour_trouble", fact.outlet))
    if pour.doubted:
        open_ticket("pour_uncertain", pour.order, _why_doubtful(pour, fact))
    if "absorb_loss" in effects and pour.charged_fen:
        open_ticket("late_delivery", pour.order, f"poured after it was refunded: {pour.charged_fen} fen lost")


def _why_doubtful(pour: Pour, fact: PourEnded) -> str:
    if not fact.certain:
        why = fact.doubt or "nobody can prove it"
        return f"outlet {fact.outlet}: {fact.reason}; the meter says {fact.poured_ml} ml: {why}"
    owed = pour.owed_fen(fact.poured_ml)
    return f"outlet {fact.outlet}: the machine charged {fact.charged_fen} fen for {fact.poured_ml} ml, {owed} are owed"
