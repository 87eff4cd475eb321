"""Giving a quarantined message another chance, once a newer release can read it or somebody has repaired the cause."""

from __future__ import annotations

from cloud.database import Work
from cloud.errors import FleetError
from cloud.ingest import store
from cloud.ingest.apply import Scene, apply, touches
from cloud.ingest.batch import kind_of
from cloud.ingest.read import FactSaid, Incoming, read
from cloud.machines.credentials import Credentials
from cloud.machines.model import Origin
from cloud.machines.register import machine_of
from shared.ids import MachineId


async def replay(work: Work, credentials: Credentials, tenant: str, item: str) -> str:
    """Let a quarantined fact take effect now; answers its type. Its number has been counted before and stays.

    FleetError: not_found, conflict when it was replayed before, has no number, or still cannot be applied.
    """
    kept = await store.find_quarantined(work, tenant, item)
    if kept is None:
        raise FleetError("not_found", f"no quarantined message {item!r}", field="item")
    if kept.replayed_ms is not None:
        raise FleetError("conflict", "it was replayed before", field="item")
    said = read(Incoming(kept.topic, kept.raw))
    if kept.seq is None or not isinstance(said, FactSaid):
        raise FleetError("conflict", f"it has no place in a stream: {kept.reason}", field="item")
    if said.fact is None:
        raise FleetError("conflict", said.problem, field="item")
    machine = await machine_of(work, tenant, said.machine)
    scene = await Scene.open(work, credentials, {said.machine: machine}, [(machine, touches(said.fact))])
    origin = Origin(tenant, MachineId(said.machine), kept.epoch, kept.seq, kept.received_ms, machine.shop)
    apply(scene, origin, said.fact)
    order = getattr(said.fact, "order", None)
    await store.rename_fact(work, (tenant, said.machine, kept.epoch, kept.seq), kind_of(said), order)
    await store.note_replayed(work, tenant, item)
    await scene.write()
    return kind_of(said)
