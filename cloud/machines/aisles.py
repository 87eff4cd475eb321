"""The aisles of all machines as rows, kept in step with the configurations that say what lies where.

A configuration is one document per machine; lists over thousands of machines ask these rows instead. Every aisle has
an id of its own within the tenant: the one it came with (AI59), or a new one of the same form. It keeps it for ever,
also when it leaves the planogram, because records of the past name it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from cloud.database import Work
from cloud.errors import FleetError
from cloud.machines import store
from cloud.machines.model import Aisle
from cloud.serials import next_serials, skip_to
from shared.messages import AisleConfig, MachineConfig

_ID = re.compile(r"AI([1-9][0-9]{0,14})")


Place = tuple[str, str]


async def follow_configs(
    work: Work, tenant: str, configs: Sequence[MachineConfig], *, ids: Mapping[Place, str] | None = None
) -> None:
    """Write down what these configurations, one per machine, say of their aisles.

    `ids` are those that new aisles came with, by (machine, aisle).
    """
    machines = [config.machine for config in configs]
    known = {(aisle.machine, aisle.aisle): aisle for aisle in await store.find_aisles(work, tenant, machines)}
    decided = {(config.machine, aisle.aisle): aisle for config in configs for aisle in config.aisles}
    wanted = {key: (ids or {}).get(key, key[1]) for key in decided if key not in known}
    named = await _ids(work, tenant, wanted) | {key: aisle.id for key, aisle in known.items()}
    after = {key: _row(tenant, key[0], aisle, named[key]) for key, aisle in decided.items()}
    gone = {key: replace(known[key], for_sale=False, listed=False) for key in known.keys() - decided.keys()}
    await store.add_aisles(work, [aisle for key, aisle in after.items() if key not in known])
    await store.put_aisles(
        work, [aisle for key, aisle in sorted((after | gone).items()) if aisle != known.get(key, aisle)]
    )


async def aisle_of_id(work: Work, tenant: str, which: str) -> Aisle:
    """The aisle that a planogram lists under this id; FleetError not_found."""
    found = await store.find_aisle(work, tenant, which)
    if found is None or not found.listed:
        raise FleetError("not_found", f"there is no aisle {which!r}", field="aisle")
    return found


async def aisles_of(work: Work, tenant: str, machine: str) -> list[Aisle]:
    """Every aisle that a machine has or had."""
    return await store.find_aisles(work, tenant, [machine])


async def aisles_of_machines(work: Work, tenant: str, machines: Collection[str]) -> list[Aisle]:
    """Every aisle that these machines have or had."""
    return await store.find_aisles(work, tenant, machines)


async def _ids(work: Work, tenant: str, wanted: Mapping[Place, str]) -> dict[Place, str]:
    """An id for each new aisle: the wanted one where it has the form and is free, otherwise a new one."""
    taken = await store.taken_aisle_ids(work, tenant, set(wanted.values())) if wanted else set()
    ids: dict[Place, str] = {}
    for key, which in sorted(wanted.items()):
        if _ID.fullmatch(which) and which not in taken:
            ids[key] = which
            taken.add(which)
    if ids:
        await skip_to(work, tenant, "aisle", max(int(kept.removeprefix("AI")) for kept in ids.values()))
    others = sorted(wanted.keys() - ids.keys())
    if others:
        numbers = await next_serials(work, tenant, "aisle", len(others))
        ids |= {key: f"AI{number}" for key, number in zip(others, numbers, strict=True)}
    return ids


def _row(tenant: str, machine: str, aisle: AisleConfig, which: str) -> Aisle:
    return Aisle(
        tenant=tenant,
        machine=machine,
        aisle=aisle.aisle,
        id=which,
        name=aisle.name or aisle.aisle,
        goods=aisle.goods,
        price_fen=aisle.price_fen,
        capacity=aisle.capacity,
        for_sale=aisle.for_sale,
        listed=True,
    )
