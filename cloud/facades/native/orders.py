"""Orders: placing, following, taking back, refunding, and deciding what nobody could prove."""

from __future__ import annotations

from cloud.accounts.model import Permission
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.native.members import PostingTold
from cloud.facades.native.order_shapes import (
    DecisionAsk,
    OrderAsk,
    OrderFilter,
    OrderStory,
    OrderTold,
    RefundAsk,
    RefundTold,
    ReviewFilter,
    attempts_of,
    timeline_of,
)
from cloud.facades.native.shapes import All, PageFilter, PageOf, all_of, page_of
from cloud.facades.native.tickets import TicketTold
from cloud.ingest.browse import facts_of_order
from cloud.members.browse import list_postings
from cloud.orders import browse
from cloud.orders.place import PlaceOrder, cancel, place
from cloud.orders.refund import refund
from cloud.orders.review import decide
from cloud.paging import PAGE_SIZE_MAX
from cloud.tickets.browse import tickets_about


async def place_order(call: Call[OrderAsk, Nothing]) -> OrderTold:
    """Place an order: the price, which is the server's, is held in escrow, and the machine is asked.

    The same Idempotency-Key with the same body answers the same order, for ever; with another body 409. 503 when the
    machine is away or does not sell, 409 when the aisle is closed or sold out or the wallet does not hold the price.
    """
    assert call.idempotency_key is not None, "the operation is keyed"
    wanted = PlaceOrder(
        tenant=call.tenant,
        member=call.body.member,
        machine=call.body.machine,
        aisle=call.body.aisle,
        idempotency_key=call.idempotency_key,
    )
    placed = await place(call.work, wanted, deadline_ms=call.parts.settings.order_deadline_ms)
    return OrderTold.model_validate(placed)


async def list_orders(call: Call[Nothing, OrderFilter]) -> PageOf[OrderTold]:
    """Orders, newest first; sorted by placed_ms, ended_ms or price_fen on wish."""
    found = await browse.list_orders(call.work, call.tenant, call.query.wanted(), call.query.ask)
    return page_of(OrderTold.model_validate, found)


async def order_detail(call: Call[Nothing, Nothing]) -> OrderStory:
    """One order with its whole story: what happened when, every start of a motor, every move of money, every ticket."""
    work, tenant = call.work, call.tenant
    order = await browse.order_of(work, tenant, call.path["order"])
    everything = PageFilter(page_size=PAGE_SIZE_MAX).ask
    facts = await facts_of_order(work, tenant, order.order)
    postings = (await list_postings(work, tenant, everything, subject=order.order)).items
    refunds = await browse.refunds_of(work, tenant, order.order)
    tickets = await tickets_about(work, tenant, order.order)
    return OrderStory(
        order=OrderTold.model_validate(order),
        timeline=timeline_of(order, facts, refunds, tickets),
        attempts=attempts_of(facts),
        postings=[PostingTold.model_validate(posting) for posting in postings],
        refunds=[RefundTold.model_validate(given) for given in refunds],
        tickets=[TicketTold.model_validate(ticket) for ticket in tickets],
    )


async def cancel_order(call: Call[Nothing, Nothing]) -> OrderTold:
    """Take an order back while no machine has claimed it; the money returns at once. 409 when it is too late."""
    return OrderTold.model_validate(await cancel(call.work, call.tenant, call.path["order"]))


async def refund_order(call: Call[RefundAsk, Nothing]) -> OrderTold:
    """Give back money of a delivered order, never more than was captured.

    The same Idempotency-Key is carried out once, for ever; used for another refund it is answered with 409.
    """
    assert call.idempotency_key is not None, "the operation is keyed"
    refunded = await refund(
        call.work,
        call.tenant,
        call.path["order"],
        call.body.amount_fen,
        reference=call.idempotency_key,
        reason=call.body.reason,
        decided_by=call.subject.login,
    )
    return OrderTold.model_validate(refunded)


async def list_refunds(call: Call[Nothing, Nothing]) -> All[RefundTold]:
    """What was given back for one order."""
    order = await browse.order_of(call.work, call.tenant, call.path["order"])
    return all_of(RefundTold.model_validate, await browse.refunds_of(call.work, call.tenant, order.order))


async def list_reviews(call: Call[Nothing, ReviewFilter]) -> PageOf[OrderTold]:
    """Orders of which nobody can prove whether something was delivered, newest first: a person has to decide."""
    wanted = browse.OrderFilter(state="review", machine=call.query.machine)
    return page_of(OrderTold.model_validate, await browse.list_orders(call.work, call.tenant, wanted, call.query.ask))


async def decide_review(call: Call[DecisionAsk, Nothing]) -> OrderTold:
    """Decide a review: delivered earns the money, not delivered returns it; the machine's stock follows."""
    decided = await decide(
        call.work,
        call.parts.credentials,
        call.tenant,
        call.path["order"],
        delivered=call.body.delivered,
        decided_by=call.subject.login,
    )
    return OrderTold.model_validate(decided)


P = Permission
OPERATIONS = (
    Operation("POST", "/orders", P.ORDERS_PLACE, place_order, changes="order.place", keyed=True, success=201),
    Operation("GET", "/orders", P.ORDERS_READ, list_orders),
    Operation("GET", "/orders/{order}", P.ORDERS_READ, order_detail),
    Operation("POST", "/orders/{order}/cancel", P.ORDERS_PLACE, cancel_order, changes="order.cancel"),
    Operation("POST", "/orders/{order}/refunds", P.ORDERS_REFUND, refund_order, changes="order.refund", keyed=True),
    Operation("GET", "/orders/{order}/refunds", P.ORDERS_READ, list_refunds),
    Operation("GET", "/reviews", P.ORDERS_READ, list_reviews),
    Operation("POST", "/reviews/{order}/decision", P.REVIEWS_DECIDE, decide_review, changes="review.decide"),
)
