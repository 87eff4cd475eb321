"""What is asked and told of orders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from cloud.facades.dialect import Wire
from cloud.facades.native.members import PostingTold
from cloud.facades.native.shapes import Amount, Id, Moment, Note, PageFilter, Told
from cloud.facades.native.tickets import TicketTold
from cloud.ingest.browse import FactSeen
from cloud.orders.browse import OrderFilter as Wanted
from cloud.orders.browse import RefundSeen
from cloud.orders.model import Order, OrderState
from cloud.tickets.model import Ticket
from shared.messages import Means, Source

# --- asked ---


class OrderAsk(Wire):
    member: Id
    machine: Id
    aisle: Id


class OrderFilter(PageFilter):
    """Which orders. Times in ms: from `placed_from_ms` on, before `placed_before_ms`."""

    state: OrderState | None = None
    machine: Id | None = None
    member: Id | None = None
    goods: Id | None = None
    source: Source | None = None
    placed_from_ms: Moment | None = None
    placed_before_ms: Moment | None = None

    def wanted(self) -> Wanted:
        return Wanted(
            state=self.state,
            machine=self.machine,
            member=self.member,
            goods=self.goods,
            source=self.source,
            placed_from_ms=self.placed_from_ms,
            placed_before_ms=self.placed_before_ms,
        )


class ReviewFilter(PageFilter):
    machine: Id | None = None


class RefundAsk(Wire):
    amount_fen: Amount
    reason: Note


class DecisionAsk(Wire):
    delivered: bool
    reason: Note


# --- told ---


class OrderTold(Told):
    """One order. `member` is null for a sale begun at the machine; `means` says how it was paid."""

    order: str
    machine: str
    aisle: str
    goods: str
    price_fen: int
    paid_fen: int
    refunded_fen: int
    member: str | None
    source: Source
    means: Means
    state: OrderState
    placed_ms: int
    deadline_ms: int | None
    claimed_ms: int | None
    ended_ms: int | None
    reason: str | None
    delivered_aisle: str | None
    written_off: bool
    decided_by: str | None


class RefundTold(Told):
    refund: str
    amount_fen: int
    reason: str
    decided_by: str
    decided_ms: int


class Happening(Told):
    """One thing that happened to an order."""

    at_ms: int
    what: str
    detail: dict[str, Any]


class AttemptTold(Told):
    """One start of one motor and what the board said of it; currents in mA."""

    txn: int
    aisle: str
    outcome: Literal["delivered", "failed", "unknown"]
    result: str | None = None
    drop_seen: bool | None = None
    max_current_ma: int = 0
    avg_current_ma: int = 0
    run_time_ms: int = 0


class OrderStory(Told):
    order: OrderTold
    timeline: list[Happening]
    attempts: list[AttemptTold]
    postings: list[PostingTold]
    refunds: list[RefundTold]
    tickets: list[TicketTold]


def attempts_of(facts: Iterable[FactSeen]) -> list[AttemptTold]:
    """Every start of a motor that machines told of."""
    return [AttemptTold.model_validate(attempt) for fact in facts for attempt in fact.body.get("attempts", ())]


def timeline_of(
    order: Order, facts: Iterable[FactSeen], refunds: Iterable[RefundSeen], tickets: Iterable[Ticket]
) -> list[Happening]:
    """What happened to an order, oldest first, from what is kept for ever."""
    moments = [Happening(at_ms=order.placed_ms, what="placed", detail={"source": order.source, "means": order.means})]
    if order.claimed_ms is not None:
        moments.append(Happening(at_ms=order.claimed_ms, what="claimed", detail={"machine": order.machine}))
    if order.ended_ms is not None:
        detail = {"reason": order.reason, "decided_by": order.decided_by, "written_off": order.written_off}
        moments.append(Happening(at_ms=order.ended_ms, what=order.state, detail=detail))
    moments += [happening_of(fact) for fact in facts]
    moments += [returned(given) for given in refunds]
    moments += [Happening(at_ms=t.opened_ms, what="ticket_opened", detail={"ticket": t.ticket}) for t in tickets]
    return sorted(moments, key=lambda moment: moment.at_ms)


def happening_of(fact: FactSeen) -> Happening:
    """A machine said something."""
    said = {"machine": fact.machine, "epoch": fact.epoch, "seq": fact.seq, "reason": fact.body.get("reason")}
    return Happening(at_ms=fact.happened_ms, what=fact.kind, detail=said)


def returned(given: RefundSeen) -> Happening:
    """An operator gave money back."""
    detail = {"amount_fen": given.amount_fen, "decided_by": given.decided_by}
    return Happening(at_ms=given.decided_ms, what="money_returned", detail=detail)
