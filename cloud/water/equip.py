"""Making a machine what its product says: mode, cartridges and outlets become part of its signed configuration."""

from __future__ import annotations

import msgspec

from cloud.database import Work
from cloud.machines.credentials import Credentials
from cloud.machines.planogram import current_config
from cloud.products.model import BillingMode, Specification
from cloud.water.purifier import put_purifier
from shared.messages import MachineConfig
from shared.water import FilterSpec, Outlet, PurifierConfig, ServiceMode, ServicePlan, Warmth

# Which relay opens which outlet where the machine has not said otherwise: in the order of the documentation.
_RELAYS: dict[Warmth, int] = {"normal": 1, "cold": 2, "warm": 3, "hot": 4}
# What a machine asks money for while nobody rents it. A rented one waits for its rental.
_MODES: dict[BillingMode, ServiceMode] = {
    "reserved": "sale",
    "sale": "sale",
    "timed": "timed_rental",
    "metered": "metered_rental",
    "vending": "vending",
}


async def equip(
    work: Work,
    credentials: Credentials,
    tenant: str,
    machine: str,
    specification: Specification,
    made_by: str,
    *,
    plan: ServicePlan | None = None,
) -> MachineConfig | None:
    """Give a machine the specification of its product, under `plan` (None: the one it has, or what its mode says).

    Nothing is sent when the machine is so already; then the answer is None. FleetError as `put_purifier`.
    """
    config = await current_config(work, tenant, machine)
    before = None if config is None else config.purifier
    wanted = equipped(specification, before, plan)
    if wanted == before:
        return None
    return await put_purifier(work, credentials, tenant, machine, wanted, made_by)


def equipped(
    specification: Specification, before: PurifierConfig | None, plan: ServicePlan | None = None
) -> PurifierConfig:
    """A machine's configuration with a product's specification; what the specification leaves out stays as it was."""
    outlets = _outlets(specification, () if before is None else before.outlets)
    filters = tuple(
        FilterSpec(
            position=part.position,
            name=part.name,
            timer_mode=part.timer_mode,
            lifetime_hours=part.lifetime_hours,
            worklife_hours=part.worklife_hours,
        )
        for part in specification.cartridges
    )
    if before is None:
        return PurifierConfig(outlets=outlets, plan=plan or idle_plan(specification), filters=filters)
    kept = filters or before.filters
    return msgspec.structs.replace(before, outlets=outlets, plan=plan or before.plan, filters=kept)


def idle_plan(specification: Specification) -> ServicePlan:
    """The plan of a machine that nobody rents: a rented one gives no water before its rental begins."""
    mode = _MODES[specification.mode]
    ends_ms = 0 if mode in ("timed_rental", "metered_rental") else None
    return ServicePlan(plan=specification.mode, mode=mode, ends_wall_ms=ends_ms)


def _outlets(specification: Specification, before: tuple[Outlet, ...]) -> tuple[Outlet, ...]:
    known = {outlet.warmth: outlet for outlet in before}
    if not specification.outlets:
        return before or (Outlet(warmth="normal", relay=_RELAYS["normal"]),)
    taken = {known[flow.warmth].relay for flow in specification.outlets if flow.warmth in known}
    outlets = []
    for flow in specification.outlets:
        outlet = known.get(flow.warmth) or Outlet(warmth=flow.warmth, relay=_free_relay(flow.warmth, taken))
        taken.add(outlet.relay)
        nominal = max(1, round(flow.flow_ul_per_s / 1000)) if flow.flow_ul_per_s else outlet.nominal_ml_per_s
        outlets.append(msgspec.structs.replace(outlet, nominal_ml_per_s=nominal))
    return tuple(outlets)


def _free_relay(warmth: Warmth, taken: set[int]) -> int:
    usual = _RELAYS[warmth]
    return usual if usual not in taken else next(relay for relay in range(1, 33) if relay not in taken)
