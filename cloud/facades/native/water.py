"""Water: what a purifier is, how it is, what it poured, and what people did there."""

from __future__ import annotations

from cloud.accounts.model import Permission
from cloud.errors import FleetError
from cloud.facades.dialect import Call, Nothing, Operation
from cloud.facades.native.members import PostingTold
from cloud.facades.native.order_shapes import RefundAsk, RefundTold
from cloud.facades.native.shapes import All, PageFilter, PageOf, all_of, page_of
from cloud.facades.native.tickets import TicketTold
from cloud.facades.native.water_shapes import (
    CalibrationTold,
    ConditionTold,
    FilterChangeTold,
    FlowTold,
    PourAsk,
    PourFilter,
    PourStory,
    PourTold,
    PurifierWire,
    VisitFilter,
    VisitTold,
    VolumeAsk,
    timeline_of,
)
from cloud.ingest.browse import facts_of_order
from cloud.machines.planogram import current_config
from cloud.machines.register import machine_of
from cloud.members.browse import list_postings
from cloud.orders.browse import refunds_of
from cloud.paging import PAGE_SIZE_MAX
from cloud.tickets.browse import tickets_about
from cloud.water import browse
from cloud.water.condition import condition_of
from cloud.water.place import PlacePour, place_pour
from cloud.water.place import cancel_pour as cancel
from cloud.water.purifier import put_purifier as decide_purifier
from cloud.water.refund import refund
from cloud.water.review import decide
from shared.messages import MachineConfig
from shared.water import PurifierConfig

# --- purifiers ---


async def get_purifier(call: Call[Nothing, Nothing]) -> PurifierWire:
    """What was decided for a purifier. 404 for a machine that is none."""
    return PurifierWire.of((await _purifier(call))[0])


async def put_purifier(call: Call[PurifierWire, Nothing]) -> PurifierWire:
    """Decide outlets, prices, plan, filters and limits; `version` is the one that you have seen (0: none yet).

    The planogram stays. The new version is signed and sent to the machine. 409 when somebody else was faster.
    """
    machine = (await machine_of(call.work, call.tenant, call.path["machine"])).machine
    decided = await decide_purifier(
        call.work,
        call.parts.credentials,
        call.tenant,
        machine,
        call.body.config(),
        call.subject.login,
        expected_version=call.body.version,
    )
    return PurifierWire.of(decided)


async def water_condition(call: Call[Nothing, Nothing]) -> ConditionTold:
    """A purifier as it is now: plan, filters, quality, and whether it gives water or why not."""
    _, purifier = await _purifier(call)
    return ConditionTold.of(await condition_of(call.work, call.tenant, call.path["machine"], purifier))


async def list_flows(call: Call[Nothing, PageFilter]) -> PageOf[FlowTold]:
    """Where a machine's water went, newest first."""
    machine = (await machine_of(call.work, call.tenant, call.path["machine"])).machine
    return page_of(FlowTold.model_validate, await browse.list_flows(call.work, call.tenant, machine, call.query.ask))


async def list_filter_changes(call: Call[Nothing, PageFilter]) -> PageOf[FilterChangeTold]:
    """Cartridges that were changed, newest first."""
    machine = (await machine_of(call.work, call.tenant, call.path["machine"])).machine
    found = await browse.list_filter_changes(call.work, call.tenant, machine, call.query.ask)
    return page_of(FilterChangeTold.model_validate, found)


async def list_calibrations(call: Call[Nothing, PageFilter]) -> PageOf[CalibrationTold]:
    """Factors that were measured for a machine's meters, newest first."""
    machine = (await machine_of(call.work, call.tenant, call.path["machine"])).machine
    found = await browse.list_calibrations(call.work, call.tenant, machine, call.query.ask)
    return page_of(CalibrationTold.model_validate, found)


async def list_visits(call: Call[Nothing, VisitFilter]) -> PageOf[VisitTold]:
    """Visits of people to machines, newest first."""
    query = call.query
    found = await browse.list_visits(call.work, call.tenant, query.ask, machine=query.machine, genuine=query.genuine)
    return page_of(VisitTold.model_validate, found)


# --- pours ---


async def order_pour(call: Call[PourAsk, Nothing]) -> PourTold:
    """Order water: the price of all that is asked for is held, and what flows is charged.

    The same Idempotency-Key with the same body answers the same pour, for ever; with another body 409. 503 when the
    machine is away or gives no water, 409 when the wallet does not hold the price.
    """
    assert call.idempotency_key is not None, "the operation is keyed"
    wanted = PlacePour(
        tenant=call.tenant,
        member=call.body.member,
        machine=call.body.machine,
        outlet=call.body.outlet,
        asked_ml=call.body.asked_ml,
        idempotency_key=call.idempotency_key,
    )
    placed = await place_pour(call.work, wanted, deadline_ms=call.parts.settings.order_deadline_ms)
    return PourTold.model_validate(placed)


async def list_pours(call: Call[Nothing, PourFilter]) -> PageOf[PourTold]:
    """Pours, newest first; sorted by placed_ms, ended_ms, poured_ml or charged_fen on wish.

    Those in state review wait for a person to set the volume that is charged.
    """
    found = await browse.list_pours(call.work, call.tenant, call.query.wanted(), call.query.ask)
    return page_of(PourTold.model_validate, found)


async def pour_detail(call: Call[Nothing, Nothing]) -> PourStory:
    """One pour with its whole story: what happened when, where the water went, every move of money, every ticket."""
    work, tenant = call.work, call.tenant
    pour = await browse.pour_of(work, tenant, call.path["order"])
    everything = PageFilter(page_size=PAGE_SIZE_MAX).ask
    facts = await facts_of_order(work, tenant, pour.order)
    postings = (await list_postings(work, tenant, everything, subject=pour.order)).items
    refunds = await refunds_of(work, tenant, pour.order)
    tickets = await tickets_about(work, tenant, pour.order)
    return PourStory(
        pour=PourTold.model_validate(pour),
        timeline=timeline_of(pour, facts, refunds, tickets),
        flows=[FlowTold.model_validate(flow) for flow in await browse.flows_of(work, tenant, pour.order)],
        postings=[PostingTold.model_validate(posting) for posting in postings],
        refunds=[RefundTold.model_validate(given) for given in refunds],
        tickets=[TicketTold.model_validate(ticket) for ticket in tickets],
    )


async def cancel_pour(call: Call[Nothing, Nothing]) -> PourTold:
    """Take a pour back while no machine has claimed it; the money returns at once. 409 when it is too late."""
    return PourTold.model_validate(await cancel(call.work, call.tenant, call.path["order"]))


async def decide_pour(call: Call[VolumeAsk, Nothing]) -> PourTold:
    """Set the volume of a pour in review: it is charged by the pour's own price, and the rest goes back."""
    decided = await decide(
        call.work, call.tenant, call.path["order"], poured_ml=call.body.poured_ml, decided_by=call.subject.login
    )
    return PourTold.model_validate(decided)


async def _purifier(call: Call[Nothing, Nothing]) -> tuple[MachineConfig, PurifierConfig]:
    machine = (await machine_of(call.work, call.tenant, call.path["machine"])).machine
    config = await current_config(call.work, call.tenant, machine)
    if config is None or config.purifier is None:
        raise FleetError("not_found", f"machine {machine!r} is not a purifier", field="machine")
    return config, config.purifier


async def refund_pour(call: Call[RefundAsk, Nothing]) -> All[RefundTold]:
    """Give back money of a pour that was charged, partly or whole; answers all that was given back for it until now.

    Never more than was charged. The same Idempotency-Key is carried out once, for ever; used for another refund it is
    answered with 409.
    """
    assert call.idempotency_key is not None, "the operation is keyed"
    pour = await refund(
        call.work,
        call.tenant,
        call.path["order"],
        call.body.amount_fen,
        reference=call.idempotency_key,
        reason=call.body.reason,
        decided_by=call.subject.login,
    )
    return all_of(RefundTold.model_validate, await refunds_of(call.work, call.tenant, pour.order))


async def list_pour_refunds(call: Call[Nothing, Nothing]) -> All[RefundTold]:
    """What was given back for one pour."""
    pour = await browse.pour_of(call.work, call.tenant, call.path["order"])
    return all_of(RefundTold.model_validate, await refunds_of(call.work, call.tenant, pour.order))


P = Permission
M = "/machines/{machine}"
OPERATIONS = (
    Operation("GET", f"{M}/purifier", P.MACHINES_READ, get_purifier),
    Operation("PUT", f"{M}/purifier", P.CATALOG_WRITE, put_purifier, changes="purifier.put"),
    Operation("GET", f"{M}/water", P.MACHINES_READ, water_condition),
    Operation("GET", f"{M}/water/flows", P.MACHINES_READ, list_flows),
    Operation("GET", f"{M}/filter-changes", P.MACHINES_READ, list_filter_changes),
    Operation("GET", f"{M}/calibrations", P.MACHINES_READ, list_calibrations),
    Operation("GET", "/visits", P.MACHINES_READ, list_visits),
    Operation("POST", "/pours", P.ORDERS_PLACE, order_pour, changes="pour.place", keyed=True, success=201),
    Operation("GET", "/pours", P.ORDERS_READ, list_pours),
    Operation("GET", "/pours/{order}", P.ORDERS_READ, pour_detail),
    Operation("POST", "/pours/{order}/cancel", P.ORDERS_PLACE, cancel_pour, changes="pour.cancel"),
    Operation("POST", "/pours/{order}/decision", P.REVIEWS_DECIDE, decide_pour, changes="pour.decide"),
    Operation("POST", "/pours/{order}/refunds", P.ORDERS_REFUND, refund_pour, changes="pour.refund", keyed=True),
    Operation("GET", "/pours/{order}/refunds", P.ORDERS_READ, list_pour_refunds),
)
