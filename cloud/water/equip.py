"""Making a machine what its product says: mode, cartridges and outlets become part of its signed configuration."""

from __future__ import annotations

import msgspec

from cloud.database import Work
from cloud.errors import FleetError
from cloud.machines.credentials import Credentials
from cloud.machines.planogram import current_config, put_configs
from cloud.machines.register import machine_of
from cloud.products.model import BillingMode, Specification
from shared.messages import MachineConfig, config_problems
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

    Nothing is decided when the machine is so already; then the answer is None. A machine that is not claimed gets it
    when it first says hello. FleetError: not_found, invalid when the whole cannot be so.
    """
    await machine_of(work, tenant, machine, lock=True)
    decided = fitted(specification, machine, await current_config(work, tenant, machine), plan)
    if decided is None:
        return None
    if problems := config_problems(decided):
        raise FleetError("invalid", problems[0], field="specification", data={"problems": problems})
    await put_configs(work, credentials, tenant, [decided], made_by)
    return decided


def fitted(
    specification: Specification, machine: str, config: MachineConfig | None, plan: ServicePlan | None = None
) -> MachineConfig | None:
    """The version after `config` in which a machine is what its product says; None: it is so already."""
    before = None if config is None else config.purifier
    wanted = equipped(specification, before, plan)
    if wanted == before:
        return None
    version = 1 if config is None else config.version + 1
    basis = config or MachineConfig(machine=machine, version=version, aisles=())
    return msgspec.structs.replace(basis, version=version, purifier=wanted)


def equipped(
    specification: Specification, before: PurifierConfig | None, plan: ServicePlan | None = None
) -> PurifierConfig:
    """A machine's configuration with a product's specification; what the specification leaves out stays as it was.

    Under `plan`, or what the mode says while nobody rents it, or else the plan that it has.
    """
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
    return msgspec.structs.replace(
        before, outlets=outlets, plan=plan or _plan_kept(before.plan, specification), filters=kept
    )


def idle_plan(specification: Specification) -> ServicePlan:
    """The plan of a machine that nobody rents: a rented one gives no water before its rental begins."""
    mode = _MODES[specification.mode]
    ends_ms = 0 if mode in ("timed_rental", "metered_rental") else None
    return ServicePlan(plan=specification.mode, mode=mode, ends_wall_ms=ends_ms)


def _plan_kept(before: ServicePlan, specification: Specification) -> ServicePlan:
    """A rental and a plan that somebody set by hand stay; the plan of a mode follows its product to another mode."""
    if specification.mode in ("reserved", before.plan) or before.plan not in _MODES:
        return before
    idle = idle_plan(specification)
    return before if idle.mode == before.mode else idle


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
