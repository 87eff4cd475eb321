"""A person sets the volume of a pour that no meter can prove."""

from __future__ import annotations

from dataclasses import replace

from cloud.database import Work
from cloud.errors import FleetError, IllegalEvent
from cloud.machines.register import machine_of
from cloud.orders.books import Books
from cloud.tickets.model import Condition
from cloud.water import store
from cloud.water.model import Flow, Pour, PourEvent, advance, parted
from cloud.water.pours import Pours


async def decide(work: Work, tenant: str, order: str, *, poured_ml: int, decided_by: str) -> Pour:
    """Charge for `poured_ml`, by the pour's own price, and give the rest back.

    The machine need not know: its own account of plan and filters follows its meter, and nothing is held there.
    FleetError: not_found, invalid volume, or conflict when there is nothing to decide.
    """
    await machine_of(work, tenant, await store.machine_of_pour(work, tenant, order), lock=True)
    pours = await Pours.open(Books(work), [(tenant, order)])
    found = pours.require(tenant, order)
    event: PourEvent = "decide_flowed" if poured_ml else "decide_dry"
    if not found.is_doubtful:
        raise IllegalEvent(f"pour {order}", found.state, event)
    if not 0 <= poured_ml <= found.asked_ml:
        raise FleetError(
            "invalid", f"{poured_ml} is not between 0 and the {found.asked_ml} ml asked", field="poured_ml"
        )
    decided, effects = advance(found, event, work.now_ms)
    decided = replace(decided, poured_ml=poured_ml, charged_fen=decided.owed_fen(poured_ml), decided_by=decided_by)
    pours.put(decided)
    pours.pay(decided, effects, note=f"decided by {decided_by}")
    pours.flow(_settled(found, decided, poured_ml, work.now_ms))
    pours.books.desk.clear(Condition(tenant, found.machine, "pour_uncertain", order))
    pours.tell(decided, "pour.decided")
    await pours.write()
    await pours.books.write()
    return decided


def _settled(found: Pour, decided: Pour, poured_ml: int, now_ms: int) -> Flow:
    """What was in doubt is sold as far as it is charged, and given beyond that; the sum stays what the meter said."""
    metered = found.poured_ml or 0
    sold = parted(decided, poured_ml)[0] if decided.state == "poured" else 0
    return Flow(
        tenant=found.tenant,
        machine=found.machine,
        source=f"decision/{found.order}",
        kind="decision",
        order=found.order,
        plan=found.plan,
        sold_ml=sold,
        given_ml=metered - sold,
        leaked_ml=0,
        doubtful_ml=-metered,
        at_ms=now_ms,
    )
